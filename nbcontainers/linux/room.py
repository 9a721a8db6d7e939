"""How much room a tree takes on the disk: st_blocks of stat(2), each file once."""

from __future__ import annotations

import os
import stat

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def size(path: str) -> int:
    """Bytes a tree takes on its own file system; a file with several links counts once.

    One folder is open at a time, and names are relative to it: a tree can be deeper than a path is long.
    """
    top = os.lstat(path)
    seen, total = {top.st_ino}, top.st_blocks * 512
    if not stat.S_ISDIR(top.st_mode):
        return total
    here = os.open(path, _FOLDER)
    try:
        found, folders = _entries(here, top.st_dev, seen)
        total, way = total + found, [(top.st_ino, folders)]  # the inode of each folder, and what is to be seen in it
        while way:
            if way[-1][1]:
                here, inode = _enter(here, way[-1][1].pop())
                if inode:
                    found, folders = _entries(here, top.st_dev, seen)
                    total += found
                    way.append((inode, folders))
                continue
            way.pop()
            if way:
                here, inode = _enter(here, "..")
                if inode != way[-1][0]:  # somebody moves folders: what lies above is not ours
                    break
    finally:
        os.close(here)
    return total


def _enter(folder: int, name: str) -> tuple[int, int]:
    """The folder `name` in place of `folder`, and its inode; the same folder and 0 if it has just gone."""
    try:
        there = os.open(name, _FOLDER, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return folder, 0
    os.close(folder)
    return there, os.fstat(there).st_ino


def _entries(folder: int, device: int, seen: set[int]) -> tuple[int, list[str]]:
    """Bytes of what is in a folder and was not `seen`, and the names of its folders."""
    total, folders = 0, []
    for name in os.listdir(folder):
        try:
            status = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:
            continue
        if status.st_dev != device or status.st_ino in seen:
            continue
        seen.add(status.st_ino)
        total += status.st_blocks * 512
        if stat.S_ISDIR(status.st_mode):
            folders.append(name)
    return total, folders
