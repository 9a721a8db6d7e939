"""A look at the counters that move, for views that look at many containers four times a second.

`Sampler` reads everything once in a while and keeps it; this reads what a view shows, from files that stay open: pread(2)
of one costs 1-2 µs, 5-9 where the kernel's side of it has left the processor's caches, and open and close another 10. So
what counts is how many files are read, and that is as few as tell the truth: those whose *witness* says that they may
have changed. The witness of most is the container's own processor time: while it stands still nothing in it ran. That of
processor time, disk and pressure is the same file one folder up, which counts everything below it: where that stands
still, none of a hundred containers has to be asked. What others may change too, such as memory that the kernel takes
back, is read now and then whatever a witness says. One table says where each figure is in v1, v2 and a hybrid of both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from nbcontainers.cgroups.folder import READ

Parser = Callable[[bytes], tuple[int, ...]]
Slots = tuple[int | None, ...]
"""Where in FIGURES those of a file go; None: a better source has that."""

FIGURES = (
    "cpu_ns", "throttled_ns", "memory", "pids", "io_read_bytes", "io_write_bytes",
    "psi_cpu_ns", "psi_memory_ns", "psi_io_ns", "memory_inactive_file", "oom_kills",
)  # fmt: skip
"""As in `Sample`: whole numbers that count up, but for memory (bytes) and pids (tasks) now; -1 where there is none."""

_SLOTS = {name: slot for slot, name in enumerate(FIGURES)}
_CPU, _THROTTLED = _SLOTS["cpu_ns"], _SLOTS["throttled_ns"]
NOW, OFTEN, SOMETIMES, SELDOM, WHOLE = range(5)
"""How deep a look goes: NOW is processor time alone, with the memory of a container that rested and woke."""
RUNNING, ABOVE, NOTHING = range(3)
"""The witness of a file: the container's processor time; the same file of the folder above; or, for what others change
too, processor time up to SOMETIMES and none for SELDOM. WHOLE asks no witness, and one that rests no file of SOMETIMES."""


class Source(NamedTuple):
    """One file: the v1 controller whose folder it is in ("" is the v2 folder), its figures, how it is read, its witness, how
    deep a look goes to it, and the most bytes it has."""

    controller: str
    file: str
    figures: tuple[str, ...]
    parse: Parser
    witness: int = NOTHING
    depth: int = OFTEN
    size: int = 128


class _File:
    """One open file, or a closed one (-1), and what its witnesses said when it was last read."""

    __slots__ = ("above", "depth", "descriptor", "moves", "parse", "path", "ran", "size", "slots", "witness")

    def __init__(self, source: Source, path: str, slots: Slots, descriptor: int, above: Upper | None) -> None:
        self.path, self.descriptor, self.size, self.parse = path, descriptor, source.size, source.parse
        self.slots, self.witness, self.depth, self.above = slots, source.witness, source.depth, above
        self.ran: int | None = None
        self.moves = -1

    def due(self, ran: int, depth: int) -> bool:
        """Whether it may have changed; asked by one who then reads it."""
        above, before, self.ran = self.above, self.ran, ran
        if above is not None:
            moves, self.moves = self.moves, above.look()
            return moves != self.moves or depth == WHOLE
        if self.witness == ABOVE:
            return True
        return before != ran or depth == WHOLE or (depth == SELDOM and self.witness == NOTHING)

    def figures(self) -> tuple[int, ...]:
        if self.descriptor < 0:
            return self.parse(_content(self.path, self.size))
        return self.parse(os.pread(self.descriptor, self.size, 0))


class Upper:
    """A file of a folder above containers, which counts all below: how often it was seen to have changed."""

    __slots__ = ("_descriptor", "_folder", "_found", "_moves", "_parse", "_size", "fresh")

    def __init__(self, folder: str, source: Source) -> None:
        self._descriptor = -1
        self._descriptor = os.open(f"{folder}/{source.file}", READ)
        self._folder = folder if source.depth == NOW else ""
        self._size, self._parse = source.size, source.parse
        self._found: tuple[int, ...] = ()
        self._moves = 0
        self.fresh = False

    def look(self) -> int:
        """Read once a look, before what is below; one that cannot be read may have changed each time."""
        if not self.fresh:
            self.fresh = True
            try:
                found = self._parse(os.pread(self._descriptor, self._size, 0))
                if self._folder:  # a cgroup that went is seen at once: the links of a folder are those below it
                    found += (os.stat(self._folder).st_nlink,)
            except OSError:  # ENODEV: gone, or its pressure is not counted any more
                found = (-1,)
            self._moves += found != self._found or found[0] < 0
            self._found = found
        return self._moves

    @property
    def lost(self) -> bool:
        return bool(self._found) and self._found[0] < 0

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


class Uppers:
    """Those of all containers that are looked at together."""

    def __init__(self) -> None:
        self._files: dict[str, Upper | None] = {}

    def of(self, path: str, source: Source) -> Upper | None:
        """The witness of a container's file; None where there is none, or where it is the root of its hierarchy, whose
        figures the kernel counts by other means."""
        folder = os.path.dirname(os.path.dirname(path))
        upper = f"{folder}/{source.file}"
        known = self._files.get(upper)
        if upper not in self._files or (known and known.lost):
            try:
                rooted = os.stat(folder).st_dev != os.stat(os.path.dirname(folder)).st_dev
                self._files[upper] = None if rooted else Upper(folder, source)
            except OSError:
                self._files[upper] = None
        return self._files[upper]

    def again(self) -> None:
        """A look begins."""
        for file in self._files.values():
            if file is not None:
                file.fresh = False

    def close(self) -> None:
        """Each file is closed with the last container that asks it."""
        self._files = {}


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
    Source("cpuacct", "cpuacct.usage", ("cpu_ns",), number, ABOVE, NOW),
    Source("cpu", "cpu.stat", ("throttled_ns",), keyed(b"throttled_time "), RUNNING, SOMETIMES, 512),
    Source("memory", "memory.usage_in_bytes", ("memory",), number),
    Source("memory", "memory.stat", ("memory_inactive_file",), keyed(b"total_inactive_file "), NOTHING, SELDOM, 8192),
    Source("memory", "memory.oom_control", ("oom_kills",), keyed(b"oom_kill "), RUNNING, SELDOM),
    Source("pids", "pids.current", ("pids",), number, NOTHING, SOMETIMES),
    Source("blkio", "blkio.throttle.io_service_bytes_recursive", _IO, operations, ABOVE, SOMETIMES, 16384),
    Source("", "cpu.stat", ("cpu_ns", "throttled_ns"), cpu, ABOVE, NOW, 1024),
    Source("", "memory.current", ("memory",), number),
    Source("", "memory.stat", ("memory_inactive_file",), keyed(b"inactive_file "), NOTHING, SELDOM, 8192),
    Source("", "memory.events", ("oom_kills",), keyed(b"oom_kill "), RUNNING, SELDOM, 512),
    Source("", "pids.current", ("pids",), number, NOTHING, SOMETIMES),
    Source("", "io.stat", _IO, devices, ABOVE, SOMETIMES, 16384),
    Source("", "cpu.pressure", ("psi_cpu_ns",), pressure, ABOVE, SOMETIMES, 256),
    Source("", "memory.pressure", ("psi_memory_ns",), pressure, ABOVE, SOMETIMES, 256),
    Source("", "io.pressure", ("psi_io_ns",), pressure, ABOVE, SOMETIMES, 256),
)
"""Of two sources of a figure the first is taken: v1's cpuacct.usage costs half of v2's cpu.stat."""


class Glance:
    """The counters of one container, from the `record` of its cgroup; with `keep` its files stay open until `close`, with
    `uppers` those above are witnesses. `held` says whether --cpus may hold it back: without, that is not looked for.

    `read` raises OSError once the cgroup has gone: ENODEV, or ENOENT without `keep`.
    """

    __slots__ = ("_by_depth", "_cpu", "_files", "_held", "_ran", "_ran_then", "_values", "_woke", "depth")

    def __init__(self, record: Mapping[str, Any], *, keep: bool = True, uppers: Uppers | None = None) -> None:
        self._values = [-1] * len(FIGURES)
        self._ran = self._ran_then = -1
        self._woke = False
        self.depth = NOW
        """How deep the last look went, in truth."""
        self._cpu: _File | None = None
        self._files: list[_File] = []
        for source, path, slots in _found(record):
            above = uppers.of(path, source) if uppers and source.witness == ABOVE else None
            file = _File(source, path, slots, os.open(path, READ) if keep else -1, above)
            if _CPU in slots:
                self._cpu = file
            else:
                self._files.append(file)
        self.held = True

    @property
    def held(self) -> bool:
        return self._held

    @held.setter
    def held(self, held: bool) -> None:
        self._held = held
        self._by_depth = [[file for file in self._files if self._depth(file) <= depth] for depth in range(WHOLE + 1)]

    def _depth(self, file: _File) -> int:
        return WHOLE if not self._held and file.slots == (_THROTTLED,) else file.depth

    @property
    def kept(self) -> int:
        """How many files are open."""
        return sum(file.descriptor >= 0 for file in self._all())

    def _all(self) -> list[_File]:
        return [*self._files, self._cpu] if self._cpu else self._files

    def read(self, depth: int = WHOLE) -> list[int]:
        """FIGURES; those of deeper files are as they were. The same list again where nothing changed."""
        values, cpu = self._values, self._cpu
        if cpu is None:
            self._ran -= 1  # nobody knows
        elif cpu.due(0, depth):
            values = _into(values, cpu)
        ran = self._ran if cpu is None else values[_CPU]
        if ran == self._ran:
            self._woke = False
        elif not self._woke:
            self._woke, depth = True, max(depth, OFTEN)
        self._ran = ran
        if depth == SOMETIMES and ran == self._ran_then:
            depth = OFTEN
        if depth >= SOMETIMES:
            self._ran_then = ran
        self.depth = depth
        for file in self._by_depth[depth]:
            if file.due(ran, depth):
                values = _into(values, file)
        self._values = values
        return values

    def close(self) -> None:
        for file in self._all():
            if file.descriptor >= 0:
                os.close(file.descriptor)
        self._files, self._by_depth, self._cpu = [], [[]] * (WHOLE + 1), None

    def __del__(self) -> None:
        self.close()


def _into(values: list[int], file: _File) -> list[int]:
    """The values with the file's figures, in a new list where they changed."""
    found = file.figures()
    for slot, value in zip(file.slots, found, strict=True):
        if slot is not None and values[slot] != value:
            values = values.copy()
            values[slot] = value
    return values


def _found(record: Mapping[str, Any]) -> Iterator[tuple[Source, str, Slots]]:
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
        yield source, path, tuple([None if name in taken else _SLOTS[name] for name in source.figures])
        taken.update(source.figures)


def _content(path: str, size: int) -> bytes:
    descriptor = os.open(path, READ)
    try:
        return os.pread(descriptor, size, 0)
    finally:
        os.close(descriptor)
