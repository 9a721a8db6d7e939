"""Removing a directory tree: rmdir(2), unlinkat(2), relative to descriptors so that no link is ever followed."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

_DEEPEST = 64
_MOVED = ".moved-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(path: str) -> None:
    """Remove a folder and everything below; what is not there, or goes meanwhile, is fine. Several may remove one tree.

    Mounts are not entered: OSError EBUSY.

    However deep the tree is, few descriptors are open at a time: what lies too deep is first moved to the top.
    """
    try:
        top = os.open(path, _FOLDER)
    except FileNotFoundError:
        return
    try:
        device = os.fstat(top).st_dev
        while _empty(top, device, top, 0):
            pass
    finally:
        os.close(top)
    with suppress(FileNotFoundError):
        os.rmdir(path)


def _empty(directory: int, device: int, top: int, depth: int) -> bool:
    """Remove all entries; whether something was moved to `top` instead."""
    moved = False
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
        elif not _remove_empty(name, directory):
            if depth == _DEEPEST:
                os.rename(name, f"{_MOVED}{os.urandom(8).hex()}", src_dir_fd=directory, dst_dir_fd=top)
                moved = True
                continue
            moved |= _remove_full(name, directory, device, top, depth)
    return moved


def _remove_full(name: str, directory: int, device: int, top: int, depth: int) -> bool:
    try:
        below = _open_folder(name, directory)
    except FileNotFoundError:
        return False
    try:
        if os.fstat(below).st_dev != device:
            raise OSError(errno.EBUSY, "a file system is mounted there", name)
        moved = _empty(below, device, top, depth + 1)
    finally:
        os.close(below)
    with suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=directory)
    return moved


def _remove_empty(name: str, directory: int) -> bool:
    """Most folders are empty, and then one call is enough."""
    try:
        os.rmdir(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _open_folder(name: str, directory: int) -> int:
    """overlayfs leaves folders of mode 0, which their owner may open up again."""
    try:
        return os.open(name, _FOLDER, dir_fd=directory)
    except PermissionError:
        closed = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.chmod(f"/proc/self/fd/{closed}", 0o700)  # chmod(2) by name would follow a link
        return os.open(".", _FOLDER, dir_fd=closed)
    finally:
        os.close(closed)
