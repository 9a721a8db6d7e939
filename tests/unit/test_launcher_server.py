"""The launcher's loop, without a child: what is said at the same moment."""

from __future__ import annotations

import socket

from nbcontainers.launcher.server import Child, Server

WISH = b'{"target": "os:fspath", "arguments": {}}'


def speaking(server: Server, pid: int, words: bytes) -> Child:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.send(words)
    known = server.heard[ours.fileno()] = Child(pid, ours)
    return known


def test_one_whose_wish_ends_another_that_has_spoken_too() -> None:
    """The launcher lived on only where it happened to hear them in the other order; then a request was lost with it."""
    ours, _theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = Server(ours, None)
    taken, waiting = speaking(server, 1 << 30, WISH), speaking(server, (1 << 30) + 1, b"{}")
    server.prepared["os"] = waiting._replace(module="os")
    server.hear_all([taken.connection.fileno(), waiting.connection.fileno()])
    assert (server.wishes, server.prepared) == ({"os": WISH}, {})
    assert waiting not in server.heard.values()
