"""How much room a tree takes on the disk: st_blocks of stat(2), each file once."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def size(path: str) -> int:
    """Bytes a tree takes on its own file system; a file with several links counts once."""
    return size_within(path, math.inf)[0]


def size_within(path: str, seconds: float) -> tuple[int, bool]:
    """The same as far as it was seen in that time, and whether that is all."""
    deadline, total = time.monotonic() + seconds, 0
    for found in _walk(path):
        total += found
        if time.monotonic() > deadline:
            return total, False
    return total, True


def _walk(path: str) -> Iterator[int]:
    """The bytes of each file. One folder is open at a time, and names are relative to it: a tree can be deeper than a
    path is long."""
    top = os.lstat(path)
    seen = {top.st_ino}
    yield top.st_blocks * 512
    if not stat.S_ISDIR(top.st_mode):
        return
    here = os.open(path, _FOLDER)
    try:
        way: list[tuple[int, list[str]]] = [(top.st_ino, [])]  # the inode of each folder, what is to be seen in it
        yield from _entries(here, top.st_dev, seen, way[-1][1])
        while way:
            if way[-1][1]:
                here, inode = _enter(here, way[-1][1].pop())
                if inode:
                    way.append((inode, []))
                    yield from _entries(here, top.st_dev, seen, way[-1][1])
                continue
            way.pop()
            if way:
                here, inode = _enter(here, "..")
                if inode != way[-1][0]:  # somebody moves folders: what lies above is not ours
                    break
    finally:
        os.close(here)


def _enter(folder: int, name: str) -> tuple[int, int]:
    """The folder `name` in place of `folder`, and its inode; the same folder and 0 if it has just gone."""
    try:
        there = os.open(name, _FOLDER, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return folder, 0
    os.close(folder)
    return there, os.fstat(there).st_ino


def _entries(folder: int, device: int, seen: set[int], folders: list[str]) -> Iterator[int]:
    """Bytes of each that is in a folder and was not `seen`; the names of its folders go into `folders`."""
    for name in os.listdir(folder):
        try:
            status = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:
            continue
        if status.st_dev != device or status.st_ino in seen:
            continue
        seen.add(status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            folders.append(name)
        yield status.st_blocks * 512
