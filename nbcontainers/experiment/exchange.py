"""The folder in which the notebook and one container meet: `run/exchange/<token>/socket`, and nothing else in it.

What is exchanged goes through the socket and lives in memory, so that nothing of size is left behind whoever is
killed. The folder is locked (flock) as long as its notebook lives: `prune` removes those that are not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import shutil
import socket
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from nbcontainers.engine import Engine
from nbcontainers.experiment.inside import wire
from nbcontainers.experiment.receive import Receiver

NAME = "exchange"
SOCKET = "socket"


class Exchange:
    """Waits for the container's Python, gives it the inputs, then reads. `fileno` is what to poll."""

    def __init__(self, engine: Engine) -> None:
        prune(engine)
        self.folder, self._lock = _own_folder(engine.run / NAME)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._bind()
        self.receiver: Receiver | None = None
        self._greeting: tuple[int, bytes, list[str], int] | None = None

    def _bind(self) -> None:
        """Through the open folder: a path in an unusually deep one would not fit a sockaddr_un (unix(7))."""
        self._socket.bind(f"/proc/self/fd/{self._lock}/{SOCKET}")
        (self.folder / SOCKET).chmod(0o666)  # the container's user may be any; the folder above is ours alone
        self._socket.listen(1)
        self._socket.setblocking(False)

    def offer(self, memory: int, place: tuple[int, int], outputs: list[str], most_bytes: int) -> None:
        """What the container gets when it connects: the memfd and where its header is; what we want back."""
        start, size = place
        self._greeting = memory, wire.pack(wire.HEADER, {"start": start, "size": size}), outputs, most_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        _remove(self.folder)
        os.close(self._lock)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def open(self) -> bool:
        return self._socket.fileno() >= 0 and not (self.receiver and self.receiver.closed)

    def waiting(self) -> bool:
        """Whether something has arrived that was not read yet."""
        return self.open and bool(select.select([self._socket], [], [], 0)[0])

    def hang_up(self) -> None:
        """Read no more; the container's Python ends when it sends again."""
        self._socket.close()

    def read(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """The displays that have arrived; never waits. Raises ContainerFailed on nonsense."""
        if self.receiver is None:
            self._accept()
        if self.receiver is not None:
            yield from self.receiver.read()

    def _accept(self) -> None:
        """The first to connect is the runner: nobody else can reach the folder before it does."""
        assert self._greeting
        memory, greeting, outputs, most_bytes = self._greeting
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return
        self._socket.close()
        self._socket = connection
        rights = array("i", [memory])
        connection.sendmsg([greeting], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        self.receiver = Receiver(connection, outputs, most_bytes)


def prune(engine: Engine) -> list[Path]:
    """Remove the folders whose notebook is gone, and return them."""
    removed = []
    for folder in _folders(engine.run / NAME):
        descriptor = _lock(folder)
        if descriptor is not None:  # held to the end, so that its maker cannot take it for its own meanwhile
            _remove(folder)
            os.close(descriptor)
            removed.append(folder)
    return removed


def _folders(parent: Path) -> list[Path]:
    try:
        return [parent / name for name in os.listdir(parent)]
    except FileNotFoundError:
        return []


def _own_folder(parent: Path) -> tuple[Path, int]:
    """A new folder and the lock on it; another one where somebody's `prune` was quicker than we with the lock."""
    while True:
        folder = _new_folder(parent)
        descriptor = _lock(folder)
        if descriptor is None:
            continue
        if os.fstat(descriptor).st_nlink:
            return folder, descriptor
        os.close(descriptor)


def _new_folder(parent: Path) -> Path:
    """A folder with a name of its own; the parent may just be going with the folder of another."""
    while True:
        folder = parent / secrets.token_hex(8)
        with contextlib.suppress(FileExistsError):
            os.mkdir(parent, 0o700)
        try:
            folder.mkdir(mode=0o711)
        except FileNotFoundError:
            continue
        return folder


def _remove(folder: Path) -> None:
    """The folder, and the one above with the last of them."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()
    except OSError:  # others are in use
        return


def _lock(folder: Path) -> int | None:
    """The folder's lock, as a descriptor to close; None if it is held, or the folder has gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
