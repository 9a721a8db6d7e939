"""flock(2): locks on a file, which end with the process that holds them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held(path: str | os.PathLike[str], *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of the file, which is made if need be and stays."""
    with _held(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), shared):
        yield


@contextmanager
def folder_held(path: str, *, shared: bool = False) -> Iterator[None]:
    """The same with the lock of a folder itself, which has to be there."""
    with _held(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), shared):
        yield


def folder_free(path: str | os.PathLike[str], *, shared: bool = False) -> bool:
    """Whether the folder is there and nobody holds its lock; `shared` for one that is never held shared: then several may
    look at once."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def _held(descriptor: int, shared: bool) -> Iterator[None]:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
