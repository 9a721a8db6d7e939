"""Those who follow a running process over a socket: the client that started it, and any number that attached later."""

from __future__ import annotations

import os

from nbcontainers.monitor import protocol

#: A peer that has this much unread stops the reading of output until it has caught up: bounded memory.
HIGH, LOW = 1 << 18, 1 << 16


class Peer:
    """One socket, never waited for. `owner` is the client whose death ends the container."""

    def __init__(self, descriptor: int, *, owner: bool = False) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.owner = owner
        self.outgoing = bytearray()
        self.incoming = protocol.Frames(protocol.MAX_PAYLOAD)
        self.gone = False

    def send(self, frame: bytes) -> None:
        """Queue a frame, and write what can be written now."""
        if not self.gone:
            self.outgoing += frame
            self.flush()

    def flush(self) -> None:
        """Write what the socket takes."""
        try:
            while self.outgoing:
                with memoryview(self.outgoing) as view:
                    sent = os.write(self.descriptor, view)
                del self.outgoing[:sent]
        except BlockingIOError:
            return
        except OSError:  # EPIPE, ECONNRESET
            self.gone = True
            self.outgoing.clear()

    def receive(self) -> list[tuple[bytes, bytes]]:
        """The frames that have come whole; sets `gone` at the end of the socket or on nonsense."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        self.gone = self.gone or not data
        try:
            return list(self.incoming.feed(data))
        except protocol.ProtocolError:
            self.gone = True
            return []

    def close(self) -> None:
        os.close(self.descriptor)
