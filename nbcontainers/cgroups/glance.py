"""A look at the counters that move, for views that look at many containers four times a second.

`Sampler` reads everything once in a while and keeps it; this reads what a view shows, most of it from files that stay
open: pread(2) of one costs 0.5-2 µs, open and close of one 10. What changes seldom or costs more to read (memory.stat, the
kill counts) is read only when asked for. One table says where each figure is in v1, v2 and a hybrid of both.
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
_SIZE = 16384


class Source(NamedTuple):
    """One file: the v1 controller whose folder it is in ("" is the v2 folder), its figures, and how it is read."""

    controller: str
    file: str
    figures: tuple[str, ...]
    parse: Parser
    seldom: bool = False


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
    Source("cpu", "cpu.stat", ("throttled_ns",), keyed(b"throttled_time ")),
    Source("memory", "memory.usage_in_bytes", ("memory",), number),
    Source("memory", "memory.stat", ("memory_inactive_file",), keyed(b"total_inactive_file "), seldom=True),
    Source("memory", "memory.oom_control", ("oom_kills",), keyed(b"oom_kill "), seldom=True),
    Source("pids", "pids.current", ("pids",), number),
    Source("blkio", "blkio.throttle.io_service_bytes_recursive", ("io_read_bytes", "io_write_bytes"), operations),
    Source("", "cpu.stat", ("cpu_ns", "throttled_ns"), cpu),
    Source("", "memory.current", ("memory",), number),
    Source("", "memory.stat", ("memory_inactive_file",), keyed(b"inactive_file "), seldom=True),
    Source("", "memory.events", ("oom_kills",), keyed(b"oom_kill "), seldom=True),
    Source("", "pids.current", ("pids",), number),
    Source("", "io.stat", ("io_read_bytes", "io_write_bytes"), devices),
    Source("", "cpu.pressure", ("psi_cpu_ns",), pressure),
    Source("", "memory.pressure", ("psi_memory_ns",), pressure),
    Source("", "io.pressure", ("psi_io_ns",), pressure),
)
"""Of two sources of a figure the first is taken: v1's cpuacct.usage costs half of v2's cpu.stat."""


class Glance:
    """The counters of one container, from the `record` of its cgroup; with `keep` its files stay open until `close`.

    `read` raises OSError once the cgroup has gone: ENODEV, or ENOENT without `keep`.
    """

    __slots__ = ("_descriptors", "_often", "_seldom", "_values")

    def __init__(self, record: Mapping[str, Any], *, keep: bool = True) -> None:
        self._values = [-1] * (len(FIGURES) + 1)  # the last is nobody's
        self._descriptors: list[int] = []
        self._often: list[tuple[int, Parser, tuple[int, ...]]] = []
        self._seldom: list[tuple[str, Parser, tuple[int, ...]]] = []
        for source, path, slots in _found(record):
            if keep and not source.seldom:
                descriptor = os.open(path, READ)
                self._descriptors.append(descriptor)
                self._often.append((descriptor, source.parse, slots))
            else:
                self._seldom.append((path, source.parse, slots))

    @property
    def kept(self) -> int:
        """How many files are open."""
        return len(self._descriptors)

    def read(self, *, thorough: bool = True) -> list[int]:
        """FIGURES; what changes seldom is as it was, unless `thorough`."""
        values = self._values
        for descriptor, parse, slots in self._often:
            for slot, value in zip(slots, parse(os.pread(descriptor, _SIZE, 0)), strict=True):
                values[slot] = value
        if thorough or not self._often:
            for path, parse, slots in self._seldom:
                for slot, value in zip(slots, parse(_content(path)), strict=True):
                    values[slot] = value
        return values[:-1]

    def close(self) -> None:
        descriptors, self._descriptors, self._often = self._descriptors, [], []
        for descriptor in descriptors:
            os.close(descriptor)

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
            _content(path)
        except OSError:  # ENOENT: an older kernel, or no such controller; EOPNOTSUPP: PSI is switched off
            continue
        yield source, path, tuple([len(FIGURES) if name in taken else _SLOTS[name] for name in source.figures])
        taken.update(source.figures)


def _content(path: str) -> bytes:
    descriptor = os.open(path, READ)
    try:
        return os.pread(descriptor, _SIZE, 0)
    finally:
        os.close(descriptor)
