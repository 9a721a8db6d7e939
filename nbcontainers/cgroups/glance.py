"""A look at the counters that move, for views that look at many containers four times a second.

`Sampler` reads everything once in a while and keeps it; this reads what a view shows, from files that stay open: pread(2)
of one costs 1-2 µs, 6 where the kernel's side of it has left the processor's caches, and open and close another 10. So how
many files are read is what counts: processor time and memory always, the others as deep as one asks. One table says
where each figure is in v1, v2 and a hybrid of both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from nbcontainers.cgroups.folder import READ

Parser = Callable[[bytes], tuple[int, ...]]

FIGURES = (
    "cpu_ns", "throttled_ns", "memory", "pids", "io_read_bytes", "io_write_bytes",
    "psi_cpu_ns", "psi_memory_ns", "psi_io_ns", "memory_inactive_file", "oom_kills",
)  # fmt: skip
"""As in `Sample`: whole numbers that count up, but for memory (bytes) and pids (tasks) now; -1 where there is none."""

_SLOTS = {name: slot for slot, name in enumerate(FIGURES)}
OFTEN, SOMETIMES, SELDOM = range(3)
"""How deep a look goes."""


class Source(NamedTuple):
    """One file: the v1 controller whose folder it is in ("" is the v2 folder), its figures, how it is read, how deep a look
    goes to it, and the most bytes it has."""

    controller: str
    file: str
    figures: tuple[str, ...]
    parse: Parser
    depth: int = OFTEN
    size: int = 512


class _File(NamedTuple):
    """One open file, or a closed one (-1)."""

    descriptor: int
    path: str
    size: int
    parse: Parser
    slots: tuple[int, ...]

    def text(self) -> bytes:
        return os.pread(self.descriptor, self.size, 0) if self.descriptor >= 0 else _content(self.path, self.size)


_IO = ("io_read_bytes", "io_write_bytes")


def number(text: bytes) -> tuple[int, ...]:
    """A file of one number."""
    return (int(text),)


def keyed(key: bytes, by: int = 1) -> Parser:
    """The number behind `key` (with its blank) in a flat keyed file, times `by`; -1 without it."""
    after, length = b"\n" + key, len(key)

    def parse(text: bytes) -> tuple[int, ...]:
        at = 0 if text.startswith(key) else text.find(after) + 1
        if at == 0 and not text.startswith(key):
            return (-1,)
        end = text.find(b"\n", at)
        return (int(text[at + length : end if end >= 0 else None]) * by,)

    return parse


def cpu(text: bytes) -> tuple[int, ...]:
    """v2's cpu.stat, which begins with usage_usec; throttled_usec is there with the cpu controller only."""
    used = int(text[11 : text.index(b"\n")]) * 1000
    at = text.find(b"\nthrottled_usec ")
    if at < 0:
        return used, -1
    at += 16
    end = text.find(b"\n", at)
    return used, int(text[at : end if end >= 0 else None]) * 1000


def pressure(text: bytes) -> tuple[int, ...]:
    """`some` of a pressure file, whose first line ends in its total in µs; empty where PSI is switched off."""
    at = text.find(b"total=")
    return (-1,) if at < 0 else (int(text[at + 6 : text.index(b"\n", at)]) * 1000,)


def operations(text: bytes) -> tuple[int, ...]:
    """v1's blkio.throttle.io_service_bytes_recursive: lines of `MAJOR:MINOR OPERATION BYTES`."""
    if text.startswith(b"Total 0\n"):
        return 0, 0
    words = text.split()
    return (
        sum(int(words[at + 1]) for at, word in enumerate(words) if word == b"Read"),
        sum(int(words[at + 1]) for at, word in enumerate(words) if word == b"Write"),
    )


def devices(text: bytes) -> tuple[int, ...]:
    """v2's io.stat: a line a device, `MAJOR:MINOR rbytes=… wbytes=… …`; a device without figures has none."""
    read = written = 0
    for word in text.split():
        if word.startswith(b"rbytes="):
            read += int(word[7:])
        elif word.startswith(b"wbytes="):
            written += int(word[7:])
    return read, written


SOURCES = (
    Source("cpuacct", "cpuacct.usage", ("cpu_ns",), number),
    Source("cpu", "cpu.stat", ("throttled_ns",), keyed(b"throttled_time "), SOMETIMES),
    Source("memory", "memory.usage_in_bytes", ("memory",), number),
    Source("memory", "memory.stat", ("memory_inactive_file",), keyed(b"total_inactive_file "), SELDOM, 8192),
    Source("memory", "memory.oom_control", ("oom_kills",), keyed(b"oom_kill "), SELDOM),
    Source("pids", "pids.current", ("pids",), number, SOMETIMES),
    Source("blkio", "blkio.throttle.io_service_bytes_recursive", _IO, operations, SOMETIMES, 16384),
    Source("", "cpu.stat", ("cpu_ns", "throttled_ns"), cpu, OFTEN, 1024),
    Source("", "memory.current", ("memory",), number),
    Source("", "memory.stat", ("memory_inactive_file",), keyed(b"inactive_file "), SELDOM, 8192),
    Source("", "memory.events", ("oom_kills",), keyed(b"oom_kill "), SELDOM),
    Source("", "pids.current", ("pids",), number, SOMETIMES),
    Source("", "io.stat", _IO, devices, SOMETIMES, 16384),
    Source("", "cpu.pressure", ("psi_cpu_ns",), pressure, SOMETIMES),
    Source("", "memory.pressure", ("psi_memory_ns",), pressure, SOMETIMES),
    Source("", "io.pressure", ("psi_io_ns",), pressure, SOMETIMES),
)
"""Of two sources of a figure the first is taken: v1's cpuacct.usage costs half of v2's cpu.stat."""


class Glance:
    """The counters of one container, from the `record` of its cgroup; with `keep` its files stay open until `close`.

    `read` raises OSError once the cgroup has gone: ENODEV, or ENOENT without `keep`.
    """

    __slots__ = ("_files", "_values")

    def __init__(self, record: Mapping[str, Any], *, keep: bool = True) -> None:
        self._values = [-1] * (len(FIGURES) + 1)  # the last is nobody's
        self._files: tuple[list[_File], ...] = ([], [], [])
        for source, path, slots in _found(record):
            descriptor = os.open(path, READ) if keep else -1
            self._files[source.depth].append(_File(descriptor, path, source.size, source.parse, slots))

    @property
    def kept(self) -> int:
        """How many files are open."""
        return sum(file.descriptor >= 0 for files in self._files for file in files)

    def read(self, depth: int = SELDOM) -> list[int]:
        """FIGURES; those of deeper files are as they were."""
        values = self._values
        for files in self._files[: depth + 1]:
            for file in files:
                for slot, value in zip(file.slots, file.parse(file.text()), strict=True):
                    values[slot] = value
        return values[:-1]

    def close(self) -> None:
        files, self._files = self._files, ([], [], [])
        for file in [file for several in files for file in several if file.descriptor >= 0]:
            os.close(file.descriptor)

    def __del__(self) -> None:
        self.close()


def _found(record: Mapping[str, Any]) -> Iterator[tuple[Source, str, tuple[int, ...]]]:
    """Each source that this container has and that has something new to tell, where it is, and its figures' slots."""
    joined = record.get("joined") or ()
    folders = {name: path for name, path in (record.get("v1") or {}).items() if name in joined}
    if "v2" in record:
        folders[""] = record["v2"]
    taken: set[str] = set()
    for source in SOURCES:
        if source.controller not in folders or taken.issuperset(source.figures):
            continue
        path = f"{folders[source.controller]}/{source.file}"
        try:
            _content(path, source.size)
        except OSError:  # ENOENT: an older kernel, or no such controller; EOPNOTSUPP: PSI is switched off
            continue
        yield source, path, tuple([len(FIGURES) if name in taken else _SLOTS[name] for name in source.figures])
        taken.update(source.figures)


def _content(path: str, size: int) -> bytes:
    descriptor = os.open(path, READ)
    try:
        return os.pread(descriptor, size, 0)
    finally:
        os.close(descriptor)
