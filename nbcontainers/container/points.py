"""What a container used between two readings of its counters: the points that sparklines, charts and tables show."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from nbcontainers.cgroups.glance import FIGURES
from nbcontainers.cgroups.stats import Sample

READING = ("time_ns", *FIGURES, "net_rx_bytes", "net_tx_bytes")
"""One reading: whole numbers, -1 where this host has no such figure; the names are those of `Sample`."""

Reading = Sequence[int]


class Point(NamedTuple):
    """One moment; None is what this host does not count, and a rate at the first reading."""

    time: float
    """Seconds since the epoch."""
    cpu: float | None
    """Processors in use: 0.5 is half of one."""
    throttled: float | None
    """Seconds in a second that its processes were held back by --cpus; above 1 where several waited."""
    memory: float | None
    """Bytes, without file pages that the kernel could drop (inactive_file)."""
    pids: float | None
    net_rx: float | None
    """Bytes a second, as all that follow up to io_write."""
    net_tx: float | None
    io_read: float | None
    io_write: float | None
    psi_cpu: float | None
    """Part of the time, 0 to 1, in which at least one task waited; as the two that follow."""
    psi_memory: float | None
    psi_io: float | None
    oom_kills: float | None
    """So far."""


FIELDS = Point._fields
_SHORTEST_S = 0.002
_BY_SECOND = ("throttled_ns", "net_rx_bytes", "net_tx_bytes", "io_read_bytes", "io_write_bytes")
_PARTS = ("psi_cpu_ns", "psi_memory_ns", "psi_io_ns")
_AT = {name: at for at, name in enumerate(READING)}
_CPU, _MEMORY, _INACTIVE, _PIDS, _OOM = (
    _AT[name] for name in ("cpu_ns", "memory", "memory_inactive_file", "pids", "oom_kills")
)
_THROTTLED, _RX, _TX, _READ, _WRITE = (_AT[name] for name in _BY_SECOND)
_PSI_CPU, _PSI_MEMORY, _PSI_IO = (_AT[name] for name in _PARTS)
_of_sample = attrgetter(*READING)


def used_memory(now: Reading) -> int | None:
    """What `docker stats` calls memory usage: without inactive_file."""
    memory = now[_MEMORY]
    return None if memory < 0 else max(0, memory - max(0, now[_INACTIVE]))


def point(before: Reading | None, now: Reading, since: Reading | None = None, last: Point | None = None) -> Point:
    """What was used between two readings; at the first, or a moment after it, there are no rates.

    What is not read each time (throttling, processes, disk, pressure, kills) is measured from the reading `since`, where
    that is not the one before; with `last` it was not read now, and is as in that point.
    """
    seconds = (now[0] - before[0]) / 1e9 if before else 0.0
    if not before or seconds <= _SHORTEST_S:
        cpu = received = sent = None
    else:
        cpu = _rate(before[_CPU], now[_CPU], seconds * 1e9)
        received, sent = _rate(before[_RX], now[_RX], seconds), _rate(before[_TX], now[_TX], seconds)
    if last:
        return Point(now[0] / 1e9, cpu, last[2], used_memory(now), last[4], received, sent, *last[7:])
    slow = _slow(since or before, now)
    pids, kills = now[_PIDS], now[_OOM]
    return Point._make((
        now[0] / 1e9, cpu, slow[0], used_memory(now), pids if pids >= 0 else None, received, sent, *slow[1:],
        kills if kills >= 0 else None,
    ))  # fmt: skip


def _slow(before: Reading | None, now: Reading) -> Sequence[float | None]:
    """throttled, io_read, io_write and the three parts of pressure."""
    seconds = (now[0] - before[0]) / 1e9 if before else 0.0
    if not before or seconds <= _SHORTEST_S:
        return (None,) * 6
    nano = seconds * 1e9
    return (
        _rate(before[_THROTTLED], now[_THROTTLED], nano),
        _rate(before[_READ], now[_READ], seconds),
        _rate(before[_WRITE], now[_WRITE], seconds),
        _part(before[_PSI_CPU], now[_PSI_CPU], nano),
        _part(before[_PSI_MEMORY], now[_PSI_MEMORY], nano),
        _part(before[_PSI_IO], now[_PSI_IO], nano),
    )


def _rate(before: int, now: int, by: float) -> float | None:
    """A counter that went back began anew."""
    return (now - before) / by if before >= 0 and now >= before else None


def _part(before: int, now: int, by: float) -> float | None:
    rate = _rate(before, now, by)
    return None if rate is None else min(rate, 1.0)


def of_samples(samples: Sequence[Sample]) -> list[Point]:
    """The points of a container's stored samples."""
    readings: list[Reading] = [_of_sample(sample) for sample in samples]
    befores: list[Reading | None] = [None, *readings]
    return [point(before, now) for before, now in zip(befores, readings, strict=False)]


def thin(found: Sequence[Point], most: int) -> list[Point]:
    """At most about `most` points that keep every peak: of each stretch the one with the highest memory, and the
    one with the most processor time."""
    if len(found) <= most:
        return list(found)
    step = -(-2 * len(found) // most)
    kept: dict[int, Point] = {0: found[0], len(found) - 1: found[-1]}
    for begin in range(0, len(found), step):
        stretch = range(begin, min(begin + step, len(found)))
        for name in ("memory", "cpu"):
            best = max(stretch, key=lambda at: getattr(found[at], name) or 0.0)
            kept[best] = found[best]
    return [kept[at] for at in sorted(kept)]
