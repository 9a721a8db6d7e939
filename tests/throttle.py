"""A slow line to a server on loopback: a TCP proxy that lets so many bytes a second through, in a thread a direction."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Generator

_PIECE = 1 << 16


class Line:
    """Bytes a second for everybody together, from the server to its clients; `rate` may be changed."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._lock = threading.Lock()

    def wait(self, count: int) -> None:
        with self._lock:
            time.sleep(count / self.rate)


@contextlib.contextmanager
def throttled(host: str, rate: float) -> Generator[tuple[str, Line]]:
    """host:port of a proxy to `host` (name:port), and its line."""
    name, _, port = host.rpartition(":")
    line = Line(rate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, (name, int(port)), line), daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", line
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _accept(listener: socket.socket, server: tuple[str, int], line: Line) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # shut down
            return
        there = socket.create_connection(server)
        for pair in ((client, there, None), (there, client, line)):
            threading.Thread(target=_copy, args=pair, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket, line: Line | None) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            if line:
                line.wait(len(piece))
            target.sendall(piece)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
