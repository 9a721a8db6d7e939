"""The socket of RUN --mount=type=ssh: one of the build's own, with the mode and owner asked for, and an agent behind it."""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress
from pathlib import Path

_TICK_S = 0.2
_PIECE = 1 << 16
_PATIENCE_S = 5.0
"""Whoever takes nothing for so long is gone: one connection must not hold up the others, nor the end of the build."""


class Agent:
    """Listens at `path` and passes every connection on to the agent's socket, in a thread, until it is closed."""

    def __init__(self, path: Path, agent: str) -> None:
        self._agent = agent
        self._over = threading.Event()
        self._listener = _listen(path)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._thread = threading.Thread(target=self._serve, name="build-agent", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _serve(self) -> None:
        try:
            while not self._over.is_set():
                ready, _, _ = select.select([self._listener, *self._peers], [], [], _TICK_S)
                for one in ready:
                    if one is self._listener:
                        self._connect()
                    elif one in self._peers:
                        self._pass(one)
        finally:
            for one in (self._listener, *self._peers):
                one.close()

    def _connect(self) -> None:
        here, _ = self._listener.accept()
        there = socket.socket(socket.AF_UNIX)
        here.settimeout(_PATIENCE_S)
        there.settimeout(_PATIENCE_S)
        try:
            there.connect(self._agent)
        except OSError:  # it is gone: so is the connection
            here.close()
            there.close()
            return
        self._peers |= {here: there, there: here}

    def _pass(self, one: socket.socket) -> None:
        other = self._peers[one]
        with suppress(OSError):
            if data := one.recv(_PIECE):
                other.sendall(data)
                return
        for end in (one, other):
            del self._peers[end]
            end.close()


def _listen(path: Path) -> socket.socket:
    """By the folder's descriptor: a socket's name has at most 107 bytes (unix(7))."""
    found = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found.bind(f"/proc/self/fd/{folder}/{path.name}")
        found.listen()
    except BaseException:
        found.close()
        raise
    finally:
        os.close(folder)
    return found
