"""What lies on the disk and in memory: how large files are, whether they are in the page cache, what a process takes."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_LIBC.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)


def sizes(paths: Sequence[str]) -> list[int]:
    """Bytes each file or folder takes on the disk; what has several names counts once."""
    seen: set[tuple[int, int]] = set()
    found = []
    for path in paths:
        total = 0
        for file in _files(path, all_kinds=True):
            status = os.lstat(file)
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
        found.append(total)
    return found


def evict(paths: Sequence[str]) -> float:
    """Take files out of the page cache: posix_fadvise(2), POSIX_FADV_DONTNEED, which leaves what is dirty or mapped, so
    that the first is written before. The part of their pages that is still there. Raises OSError."""
    pages = left = 0
    for path in paths:
        for file in _files(path):
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                size = os.fstat(descriptor).st_size
                pages += -(-size // mmap.PAGESIZE)
                left += resident(descriptor, size)
            finally:
                os.close(descriptor)
    return left / pages if pages else 0.0


def resident(descriptor: int, size: int) -> int:
    """Pages of a file that are in the page cache: mincore(2)."""
    if not size:
        return 0
    place = _LIBC.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if place in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        pages = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
        if _LIBC.mincore(place, size, pages):
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(one & 1 for one in pages.raw)
    finally:
        _LIBC.munmap(place, size)


def pss(pid: int) -> int | None:
    """Bytes of a process, what it shares divided by those who share it: proc(5), smaps_rollup; None where it may not be
    read."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


def _files(path: str, *, all_kinds: bool = False) -> Iterator[str]:
    if not os.path.isdir(path) or os.path.islink(path):
        yield path
        return
    for folder, folders, files in os.walk(path):
        for name in [*files, *(folders if all_kinds else ())]:
            file = f"{folder}/{name}"
            if all_kinds or (os.path.isfile(file) and not os.path.islink(file)):
                yield file
