"""What a container used: samples of its counters, the `metrics` file that keeps them, and the sum at the end."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, overload

from nbcontainers.cgroups.cgroup import Cgroup
from nbcontainers.errors import InvalidArgument


class Sample(NamedTuple):
    """All counters of one container at one moment: whole numbers, and -1 where this host has no such figure.

    Times are nanoseconds and, like the `io_`, `oom_` and `nr_` columns, count up from the cgroup's birth; `memory…`
    are bytes and `pids` tasks at that moment, `…_peak` the highest so far.

    `memory - inactive_file` is what `docker stats` shows. File pages are charged to the cgroup that touched them
    first: a second run that reads the same file shows less `memory_file`, so compare runs by `memory_anon`.
    """

    time_ns: int  # CLOCK_REALTIME
    cpu_ns: int
    user_ns: int
    system_ns: int
    nr_periods: int
    nr_throttled: int
    throttled_ns: int
    memory: int
    memory_peak: int
    memory_anon: int
    memory_file: int
    memory_inactive_file: int
    memory_swap: int
    memory_limit_hits: int  # v1 memory.failcnt, v2 memory.events max: allocations that met the limit
    oom_kills: int
    pids: int
    pids_peak: int
    io_read_bytes: int  # real block I/O only: tmpfs and page cache hits don't count
    io_write_bytes: int
    io_reads: int
    io_writes: int
    psi_cpu_ns: int  # pressure stall information, "some": time in which at least one task waited
    psi_memory_ns: int
    psi_io_ns: int
    net_rx_bytes: int  # by all interfaces of its network namespace but the loopback; -1 where that is the host's
    net_tx_bytes: int


COLUMNS = Sample._fields
_RECORD = struct.Struct(f"<{len(COLUMNS)}q")
_MAGIC = b"nbcontainers metrics 1\n"

#: What a `metrics` file begins with: the columns by name, so that a later version can still read it.
HEADER = _MAGIC + json.dumps(COLUMNS, separators=(",", ":")).encode() + b"\n"


def pack(sample: Sample) -> bytes:
    """One record of a `metrics` file (208 bytes), to be appended with a single write(2)."""
    return _RECORD.pack(*sample)


class Stored(Sequence[Sample]):
    """The samples in the content of a `metrics` file, each taken apart when it is asked for: a month has 260,000.

    A record cut short at the end (the monitor was killed) is left out; columns that the file does not have are -1.
    Raises InvalidArgument for another file; an empty one has no samples.
    """

    def __init__(self, data: bytes, what: str = "this") -> None:
        columns, self._begin = _header(data, what) if data else (COLUMNS, 0)
        self._data = data
        self._record = struct.Struct(f"<{len(columns)}q")
        self._count = (len(data) - self._begin) // self._record.size
        self._known: list[int | None] | None = None
        if columns != COLUMNS:
            self._known = [columns.index(name) if name in columns else None for name in COLUMNS]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        found = range(self._count)[index]
        return self._at(found) if isinstance(found, int) else [self._at(at) for at in found]

    def _at(self, index: int) -> Sample:
        row = self._record.unpack_from(self._data, self._begin + index * self._record.size)
        if self._known is None:
            return Sample._make(row)
        return Sample._make(-1 if at is None else row[at] for at in self._known)


def _header(data: bytes, what: str) -> tuple[tuple[str, ...], int]:
    """The columns, and where the records begin."""
    if not data.startswith(_MAGIC) or (end := data.find(b"\n", len(_MAGIC))) < 0:
        raise InvalidArgument(
            f"{what} is not a metrics file", hint="nbcontainers writes one beside each container's log"
        )
    return tuple(json.loads(data[len(_MAGIC) : end])), end + 1


def read_metrics(path: str | os.PathLike[str]) -> Stored:
    """The samples in a `metrics` file. Raises OSError, InvalidArgument."""
    with open(path, "rb") as file:
        return Stored(file.read(), os.fspath(path))


#: key of `usage`: (column of Sample, divisor)
_COUNTERS = {
    "cpu_s": ("cpu_ns", 1e9),
    "user_s": ("user_ns", 1e9),
    "system_s": ("system_ns", 1e9),
    "throttled_s": ("throttled_ns", 1e9),
    "nr_periods": ("nr_periods", 1),
    "nr_throttled": ("nr_throttled", 1),
    "memory_limit_hits": ("memory_limit_hits", 1),
    "oom_kills": ("oom_kills", 1),
    "io_read_bytes": ("io_read_bytes", 1),
    "io_write_bytes": ("io_write_bytes", 1),
    "io_reads": ("io_reads", 1),
    "io_writes": ("io_writes", 1),
    "psi_cpu_s": ("psi_cpu_ns", 1e9),
    "psi_memory_s": ("psi_memory_ns", 1e9),
    "psi_io_s": ("psi_io_ns", 1e9),
    "net_rx_bytes": ("net_rx_bytes", 1),
    "net_tx_bytes": ("net_tx_bytes", 1),
}
_PEAKS = ("memory_peak", "pids_peak")

Usage = dict[str, float | int | None]
"""`cpu_s user_s system_s throttled_s` seconds, `nr_periods nr_throttled` CFS periods, `memory_peak memory_limit`
bytes, `memory_limit_hits oom_kills` events, `pids_peak pids_limit` tasks, `io_read_bytes io_write_bytes io_reads
io_writes`, `psi_cpu_s psi_memory_s psi_io_s` seconds, `net_rx_bytes net_tx_bytes`; None where this host has no such figure or no such limit."""


def usage(first: Sample | None, last: Sample, cgroup: Cgroup, rusage: Any = None) -> Usage:
    """What was used between two samples; `first` None means since the cgroup was made. For `exit.json`.

    Where there is no cgroup, `rusage` (a resource.struct_rusage of the reaped init, from os.wait4) stands in for CPU
    time and block I/O; its ru_maxrss is the largest single process and not the sum that `memory_peak` is.
    """
    found = used(last, cgroup.limits, first)
    if rusage is not None and found["cpu_s"] is None:
        found |= _from_rusage(rusage)
    return found


def used(last: Sample, limits: Mapping[str, Any], first: Sample | None = None) -> Usage:
    """The same from two samples, or from one since the cgroup was made, and the limits in force."""
    found: Usage = {key: _since(first, last, column, by) for key, (column, by) in _COUNTERS.items()}
    found |= {key: value if (value := getattr(last, key)) >= 0 else None for key in _PEAKS}
    found["memory_limit"], found["pids_limit"] = memory_limit(limits), _limit(limits, "pids")
    return found


def oom_cause(used: Usage) -> str | None:
    """Who was short of memory when a process was OOM-killed: the container's `limit`, the whole `host`, or None.

    Both kinds count in `oom_kills`; only the first meets the container's own limit. Where limits on memory and on memory and
    swap are equal Linux 6.18 counts no hit, so a peak within 2 % of the limit tells as much.
    """
    if not used.get("oom_kills"):
        return None
    peak, limit = used.get("memory_peak") or 0, used.get("memory_limit")
    return "limit" if used.get("memory_limit_hits") or (limit and peak >= 0.98 * limit) else "host"


def cpu_limit(limits: Mapping[str, Any]) -> float | None:
    """How many processors' time the quota in `Limits` is (cpu.cfs_quota_us, cpu.max); None without one."""
    cpu = limits.get("cpu") or {}
    quota, period = cpu.get("quota"), cpu.get("period")
    return quota / period if quota and period and quota > 0 else None


def memory_limit(limits: Mapping[str, Any]) -> int | None:
    """Bytes; None without one."""
    return _limit(limits, "memory")


def _limit(limits: Mapping[str, Any], controller: str) -> int | None:
    value: int | None = (limits.get(controller) or {}).get("limit")
    return value if value is not None and value > 0 else None


def _since(first: Sample | None, last: Sample, column: str, by: float) -> float | int | None:
    end: int = getattr(last, column)
    if end < 0:
        return None
    count: int = end - max(0, getattr(first, column)) if first else end
    return count if by == 1 else count / by


def _from_rusage(rusage: Any) -> Usage:
    """getrusage(2): ru_maxrss is KiB, ru_inblock and ru_oublock blocks of 512 bytes."""
    return {
        "cpu_s": rusage.ru_utime + rusage.ru_stime,
        "user_s": rusage.ru_utime,
        "system_s": rusage.ru_stime,
        "memory_peak": rusage.ru_maxrss * 1024,
        "io_read_bytes": rusage.ru_inblock * 512,
        "io_write_bytes": rusage.ru_oublock * 512,
    }
