"""Counters read through files that stay open: pread(2) costs 1-2 µs, open and read 10-16."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from nbcontainers.cgroups.folder import READ, Folder
from nbcontainers.cgroups.stats import Sample
from nbcontainers.linux import netdev

Numbers = tuple[int, ...]
Reader = Callable[[], Numbers]


def absent(count: int) -> Reader:
    """A reader for a host without these figures."""
    numbers = (-1,) * count
    return lambda: numbers


class Sampler:
    """Reads one container's counters. Each reader gives its columns of `Sample`, in their order.

    `sample` raises OSError ENODEV once the cgroup has been removed: take the last one before `destroy`.
    """

    def __init__(self) -> None:
        self._fds: list[int] = []
        self.cpu = absent(3)
        self.throttling = absent(3)
        self.memory = absent(8)
        self.pids = absent(2)
        self.io = absent(4)
        self.psi = absent(3)
        self.net = absent(2)

    def sample(self) -> Sample:
        numbers = (
            time.time_ns(),
            *self.cpu(),
            *self.throttling(),
            *self.memory(),
            *self.pids(),
            *self.io(),
            *self.psi(),
            *self.net(),
        )
        return Sample._make(numbers)

    def open(self, folder: Folder, name: str) -> int | None:
        """Open a file for the life of the sampler; None if this kernel does not have it or does not show it.

        Reading does no harm on a wrong file system, so the check of `Folder.open` is left out here.
        """
        try:
            fd = os.open(f"{folder.path}/{name}", READ)
        except OSError:  # ENOENT; EOPNOTSUPP where PSI is switched off
            return None
        self._fds.append(fd)
        return fd

    def count_network(self, pid: int) -> bool:
        """From now on the traffic of the network namespace of this process; False where it has ended."""
        try:
            fd = netdev.open_of(pid)
        except OSError:
            return False
        self._fds.append(fd)
        self.net = lambda: netdev.total(netdev.content(fd))
        return True

    def close(self) -> None:
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def number(fd: int) -> int:
    """The one number in a file; "max" is -1."""
    text = os.pread(fd, 64, 0)
    return -1 if text == b"max\n" else int(text)


def field(text: bytes, key: bytes) -> int:
    """The number behind `key` (with the newline before it and the blank behind) in a flat keyed file; -1 if absent."""
    at = text.find(key)
    if at < 0:
        return -1
    at += len(key)
    end = text.find(b"\n", at)
    return int(text[at:] if end < 0 else text[at:end])


def fields(fd: int, keys: Iterable[bytes]) -> Numbers:
    text = b"\n" + os.pread(fd, 8192, 0)
    return tuple([field(text, key) for key in keys])


class Highest:
    """The highest value seen, for kernels that don't keep a peak themselves."""

    def __init__(self) -> None:
        self.value = -1

    def __call__(self, value: int) -> int:
        if value > self.value:
            self.value = value
        return self.value


def pids(sampler: Sampler, folder: Folder) -> Reader:
    """pids.current and pids.peak; the latter is from Linux 6.1 (v2) and 6.11 (v1) on, tracked by us before."""
    current = sampler.open(folder, "pids.current")
    if current is None:
        return absent(2)
    peak = sampler.open(folder, "pids.peak")
    if peak is not None:
        return lambda: (number(current), number(peak))
    highest = Highest()
    return lambda: (value := number(current), highest(value))


def psi(sampler: Sampler, folder: Folder) -> Reader:
    """{cpu,memory,io}.pressure: accounting/psi.rst. They exist in the v2 tree even where it has no controllers."""
    files = [sampler.open(folder, f"{name}.pressure") for name in ("cpu", "memory", "io")]

    def total(fd: int | None) -> int:
        if fd is None:
            return -1
        text = os.pread(fd, 256, 0)
        at = text.index(b"total=") + 6
        return int(text[at : text.index(b"\n", at)]) * 1000

    if all(fd is None for fd in files):
        return absent(3)
    return lambda: tuple([total(fd) for fd in files])
