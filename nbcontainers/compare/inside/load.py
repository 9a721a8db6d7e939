"""What asks services in an instance from outside: on the host, on other processors than the instance's where there are.

NBC_OWN and NBC_PUBLISHED are two ways to it, `ADDRESS PORT WEB`: its own address, and ports of the host that lead there;
NBC_APART are the processors.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from contextlib import ExitStack

from nbcontainers.compare.inside.step import FACTS, MIB, Absent, clock, per

_REACHES_S, _ANSWERS_S, _LONG_S = 1.5, 5.0, 0.25
"""How long a connection and an answer may take, and how long it is asked."""
_CONNECTIONS = 16


def own_round_trip() -> tuple[float, str]:
    return _round_trip("NBC_OWN"), "µs"


def published_round_trip() -> tuple[float, str]:
    return _round_trip("NBC_PUBLISHED"), "µs"


def own_throughput() -> tuple[float, str]:
    return _throughput("NBC_OWN"), "MiB/s"


def published_throughput() -> tuple[float, str]:
    return _throughput("NBC_PUBLISHED"), "MiB/s"


def nginx() -> tuple[float, str]:
    return _requests("NBC_OWN"), "1/s"


def nginx_published() -> tuple[float, str]:
    return _requests("NBC_PUBLISHED"), "1/s"


def _round_trip(way: str) -> float:
    """Microseconds for a byte there and back: `e` is what has it come back."""

    def step() -> None:
        connection.sendall(b"e")
        if not connection.recv(1):
            raise ConnectionError("the service ended the connection")

    with _reached(way, 1) as connection:
        return per(step, 50) * 1e6


def _throughput(way: str) -> float:
    """MiB a second from the instance to here: `s` asks for a stream without an end."""
    buffer = bytearray(MIB)
    with _reached(way, 1) as connection:
        connection.sendall(b"s")
        if not connection.recv_into(buffer):
            raise ConnectionError("the service ended the connection")
        begun, count = clock(), 0
        while count < MIB or clock() - begun < _LONG_S:
            if not (got := connection.recv_into(buffer)):
                raise ConnectionError("the service ended the connection")
            count += got
        return count / MIB / (clock() - begun)


def _requests(way: str) -> float:
    """HTTP requests a second: 16 connections that stay, each of which asks again when it was answered."""
    asked = b"GET / HTTP/1.1\r\nHost: compare\r\n\r\n"
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        size = _length(stack.enter_context(_reached(way, 2)), asked)
        left: dict[int, int] = {}
        for _ in range(_CONNECTIONS):
            connection = stack.enter_context(_reached(way, 2))
            selector.register(connection, selectors.EVENT_READ, connection)
            connection.sendall(asked)
            left[connection.fileno()] = size
        begun, busy, count = clock(), time.process_time(), 0
        while count < _CONNECTIONS or clock() - begun < _LONG_S:
            if not (ready := selector.select(_ANSWERS_S)):
                raise TimeoutError("no answer came")
            for key, _ in ready:
                if not (got := len(key.data.recv(left[key.fd]))):
                    raise ConnectionError("nginx ended the connection")
                left[key.fd] -= got
                if not left[key.fd]:
                    count += 1
                    left[key.fd] = size
                    key.data.sendall(asked)
        took = clock() - begun
        FACTS["nginx was asked by"] = (
            f"{_CONNECTIONS} connections of one process, busy {(time.process_time() - busy) / took:.0%}"
        )
        return count / took


def _length(connection: socket.socket, asked: bytes) -> int:
    """Of each of its answers."""
    connection.sendall(asked)
    said = b""
    while b"\r\n\r\n" not in said:
        if not (more := connection.recv(4096)):
            raise ConnectionError("nginx ended the connection")
        said += more
    head, _, _ = said.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise Absent(f"nginx said {head.splitlines()[0].decode(errors='replace')}")
    lengths = [line.split(b":")[1] for line in head.lower().splitlines() if line.startswith(b"content-length:")]
    return len(head) + 4 + int(lengths[0])


def _reached(way: str, port: int) -> socket.socket:
    words = os.environ.get(way, "").split()
    if len(words) < 3:
        raise Absent("the instance told no address")
    _stand_apart()
    try:
        connection = socket.create_connection((words[0], int(words[port])), _REACHES_S)
    except OSError as error:
        raise Absent(f"the host does not reach {words[0]}: {error.strerror or error}") from None
    connection.settimeout(_ANSWERS_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _stand_apart() -> None:
    """On other processors than the instance."""
    numbers = {int(number) for number in os.environ.get("NBC_APART", "").split(",") if number}
    if numbers:
        os.sched_setaffinity(0, numbers)
    FACTS["asked from"] = f"the host, processor {','.join(map(str, sorted(numbers)))}" if numbers else "the host"
