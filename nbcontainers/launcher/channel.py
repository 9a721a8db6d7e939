"""A client's end of the socket to a process that the launcher forked for it."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from typing import Any, Self

from nbcontainers.monitor.protocol import Frames, frame


class Channel:
    """Frames both ways (see `monitor.protocol`). Waiting is interruptible and loses nothing: read on afterwards."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._frames = Frames()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        """Hang up. The monitor of an attached container takes that for the client's death; send D before."""
        self.socket.close()

    def send(self, kind: bytes, payload: bytes | dict[str, Any] = b"") -> None:
        """Send one frame; dicts go as JSON. Raises BrokenPipeError when the other side is gone."""
        self.socket.sendall(frame(kind, payload if isinstance(payload, bytes) else json.dumps(payload).encode()))

    def receive(self, timeout: float | None = None) -> tuple[bytes, bytes] | None:
        """The next (kind, payload), or None at the end of the channel. Raises TimeoutError."""
        while (message := next(iter(self._frames), None)) is None:
            if timeout is not None and not select.select([self.socket], [], [], timeout)[0]:
                raise TimeoutError(f"no frame within {timeout} s")
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self._frames.buffer += data
        return message

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        """All frames to the end of the channel."""
        while (message := self.receive()) is not None:
            yield message
