"""The memory of this process: madvise(2), proc_pid_maps(5)."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Iterator
from typing import NamedTuple

from nbcontainers.linux import libc

MADV_POPULATE_READ, MADV_POPULATE_WRITE = 22, 23
_STEP = 256 << 10


class Mapping(NamedTuple):
    """One line of /proc/self/maps. `path` is "" for anonymous memory, "[heap]" and "[stack]" for those."""

    address: int
    size: int
    permissions: str
    path: str


def mappings() -> Iterator[Mapping]:
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            words = line.split(None, 5)
            start, _, end = words[0].partition("-")
            path = words[5].rstrip("\n") if len(words) > 5 else ""
            yield Mapping(int(start, 16), int(end, 16) - int(start, 16), words[1], path)


def populate(stop: Callable[[], bool] = lambda: False) -> None:
    """Take every page fault of a forked process now: copies of what it may write, entries for what it reads.

    A fault that copies a page costs 1-3 µs, and a forked Python takes a thousand of them in its first milliseconds.
    `stop` is asked every 64 pages or so. Does nothing before Linux 5.14.
    """
    for mapping in list(mappings()):
        if mapping.permissions[3] != "p" or mapping.permissions[0] != "r" or mapping.path.startswith("[v"):
            continue  # shared; not readable; vvar, vdso, vsyscall
        writable = mapping.permissions[1] == "w"
        advice, step = (MADV_POPULATE_WRITE, _STEP) if writable else (MADV_POPULATE_READ, mapping.size)
        for offset in range(0, mapping.size, step):
            if stop() or not _populate(mapping.address + offset, min(step, mapping.size - offset), advice):
                return


def _populate(address: int, size: int, advice: int) -> bool:
    """False where the kernel does not know how."""
    if libc.madvise(address, size, advice) >= 0:
        return True
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.EFAULT, errno.ENOMEM):  # a mapping beyond its file's end; one that changed
        raise libc.failure(number, "madvise")
    return number != errno.EINVAL
