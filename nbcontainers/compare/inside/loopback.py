"""TCP within an instance."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nbcontainers.compare.inside.step import MIB, per


def round_trip() -> tuple[float, str]:
    """A byte to another process over TCP on the loopback interface, and back."""

    def step() -> None:
        connection.sendall(b"x")
        connection.recv(1)

    with _connected(_echo) as connection:
        return per(step, 50) * 1e6, "µs"


def loopback() -> tuple[float, str]:
    """A MiB over TCP on the loopback interface, and a byte back when all has come."""
    data = b"x" * MIB

    def step() -> None:
        connection.sendall(data)
        connection.recv(1)

    with _connected(_swallow) as connection:
        return 1 / per(step), "MiB/s"


@contextmanager
def _connected(serve: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """To another process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if not (child := os.fork()):
            try:
                other, _ = server.accept()
                other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                serve(other)
            finally:
                os._exit(0)
        try:
            with socket.create_connection(server.getsockname()[:2]) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield connection
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(1):
            connection.sendall(data)


def _swallow(connection: socket.socket) -> None:
    """Answers each MiB."""
    with connection:
        buffer, left = bytearray(MIB), MIB
        while got := connection.recv_into(buffer, left):
            left -= got
            if not left:
                connection.sendall(b"x")
                left = MIB
