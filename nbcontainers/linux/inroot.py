"""Paths that cannot leave a root directory: openat2(2) with RESOLVE_IN_ROOT.

Symbolic links are followed as a process chrooted there would follow them; magic links never.
"""

from __future__ import annotations

import ctypes
import os

from nbcontainers.linux import libc

RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 2, 4, 16


class _How(ctypes.Structure):
    """struct open_how, openat2(2)."""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def openat2(root: int, path: str, flags: int, resolve: int = RESOLVE_IN_ROOT, mode: int = 0) -> int:
    """Open `path` below the directory `root`. EAGAIN, a race with a rename, is tried again a few times."""
    how = _How(flags | os.O_CLOEXEC, mode, resolve | RESOLVE_NO_MAGICLINKS)
    encoded = os.fsencode(path) or b"."
    for attempt in range(64):
        try:
            return libc.syscall(
                "openat2", root, libc.address(encoded), ctypes.addressof(how), ctypes.sizeof(how), path=path
            )
        except BlockingIOError:
            if attempt == 63:
                raise
    raise AssertionError("unreachable")


def open_path(root: int, path: str, flags: int = 0) -> int:
    """An O_PATH descriptor of what `path` is inside `root`."""
    return openat2(root, path, os.O_PATH | flags)


def make_directory(root: int, path: str, mode: int = 0o755) -> int:
    """Open the directory `path` inside `root`, making what is missing on the way; returns an O_PATH descriptor."""
    missing = []
    while True:
        try:
            found = open_path(root, path, os.O_DIRECTORY)
            break
        except FileNotFoundError:
            missing.append(path)
            path = path.rstrip("/").rpartition("/")[0] or "/"
    for path in reversed(missing):  # not by recursion: a path has up to 2047 parts
        above = found
        try:
            found = _make(root, above, path, path.rstrip("/").rpartition("/")[2], mode)
        finally:
            os.close(above)
    return found


def _make(root: int, above: int, path: str, name: str, mode: int) -> int:
    """mkdirat(2) never follows a link in its last component, so nothing is made outside."""
    if name in ("", ".", ".."):
        return open_path(root, path, os.O_DIRECTORY)
    try:
        os.mkdir(name, mode, dir_fd=above)
    except FileExistsError:  # somebody was quicker, or a dangling link, which the next open refuses
        pass
    return open_path(root, path, os.O_DIRECTORY)


def make_file(root: int, path: str, mode: int = 0o644) -> int:
    """Open the file `path` inside `root` as O_PATH, making an empty one where there is nothing."""
    try:
        return open_path(root, path)
    except FileNotFoundError:
        parent, _, name = path.rstrip("/").rpartition("/")
        above = make_directory(root, parent or "/")
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, mode, dir_fd=above))
    except FileExistsError:
        pass
    finally:
        os.close(above)
    return open_path(root, path)
