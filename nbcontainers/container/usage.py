"""What a container used, from what its monitor wrote: exit.json at the end, the samples in `metrics` before."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbcontainers.cgroups import stats
from nbcontainers.cgroups.detect import open_record
from nbcontainers.container import store
from nbcontainers.monitor import restart
from nbcontainers.monitor.files import rfc3339

if TYPE_CHECKING:
    from nbcontainers.cgroups.sampler import Sampler
    from nbcontainers.cgroups.stats import Sample
    from nbcontainers.container.card import Card
    from nbcontainers.container.container import Container
    from nbcontainers.container.metrics import Facts
    from nbcontainers.container.points import Point
    from nbcontainers.container.trend import Trend

_MOST_READ, _MOST_SHOWN = 4000, 160
"""Samples a sparkline is made of, and points that it has."""


def samples(container: Container) -> Sequence[Sample]:
    """All samples so far, oldest first."""
    if container.kept:
        return stats.Stored(container.kept.metrics)
    try:
        return stats.read_metrics(f"{store.folder(container.engine, container.id)}/metrics")
    except FileNotFoundError:
        return []


def limits(container: Container) -> Mapping[str, Any]:
    if ended := container.ended:
        return ended.get("limits") or {}
    record = store.state(container.engine, container.id).get("cgroup")
    return open_record(record).limits if record else {}


def usage(container: Container) -> Mapping[str, float | int | None]:
    if ended := container.ended:
        return ended.get("usage") or {}
    record, found = store.state(container.engine, container.id).get("cgroup"), samples(container)
    return stats.usage(None, found[-1], open_record(record)) if record and found else {}


def elapsed(container: Container) -> float | None:
    if ended := container.ended:
        return ended.get("wall_s")
    found = samples(container)
    if not found or not container.running:
        return None
    return max(0.0, time.time() - found[0].time_ns / 1e9)


def started_at(container: Container) -> str | None:
    """RFC 3339; of one that runs the time of its first sample, which is taken right after its start."""
    if ended := container.ended:
        return ended.get("started_at")
    found = samples(container) if container.running else []
    return rfc3339(found[0].time_ns) if found else None


def restarts(container: Container) -> int:
    """How often its restart policy started it again since somebody did."""
    ended = container.ended.get("restart_count")
    return int(ended or store.state(container.engine, container.id, restart.COUNT).get("restarts", 0))


def facts(container: Container) -> Facts:
    from nbcontainers.container.metrics import Facts

    title = f"{container.name} ({container.image})"
    return Facts(title, limits(container), container.ended)


def now(container: Container, last: Sample | None) -> Sample | None:
    """What its counters say this moment; None for one that does not run. A kernel that keeps no peaks leaves them to
    whoever looks all the time: `last` is what its monitor saw."""
    state = store.state(container.engine, container.id)
    if not store.alive(state) or not state.get("cgroup"):
        return None
    sampler = open_record(state["cgroup"]).sampler()
    try:
        _count_network(sampler, str(container.record.get("network", "")), state["pid"])
        found = sampler.sample()
    except OSError:  # ENODEV: it has just ended
        return None
    finally:
        sampler.close()
    if last is None:
        return found
    peaks = {name: max(getattr(found, name), getattr(last, name)) for name in ("memory_peak", "pids_peak")}
    return found._replace(**peaks)


def _count_network(sampler: Sampler, mode: str, pid: int) -> None:
    if mode == "none":
        sampler.net = lambda: (0, 0)
    elif mode != "host":
        sampler.count_network(pid)


def trend(container: Container, found: Sequence[Sample], moment: Sample | None, limits: Mapping[str, Any]) -> Trend:
    """Of one that runs the last minute up to `moment`, of one that has ended its whole run."""
    from nbcontainers.container import points
    from nbcontainers.container.trend import MINUTE_S, Trend

    last = moment or (found[-1] if found else None)
    if last is None:
        return Trend([], 0.0, 0.0)
    begin, end = (found[0] if found else last).time_ns / 1e9, last.time_ns / 1e9
    if moment and end - begin > MINUTE_S:
        begin = end - MINUTE_S
        found = found[_before(found, begin) :]
    some = [*found[:: -(-len(found) // _MOST_READ) or 1]]
    some += [last] if not some or some[-1].time_ns < last.time_ns else []
    shown = points.thin(points.of_samples(some), _MOST_SHOWN)
    return Trend(shown, begin, end, moment is not None, limits, bool(container.ended.get("oom_killed")))


def _before(found: Sequence[Sample], begin: float) -> int:
    """The last sample but one before that time: a line that comes from there needs it for its rate."""
    return max(0, bisect_left(found, begin * 1e9, key=lambda sample: sample.time_ns) - 2)


def recent(container: Container) -> list[Point]:
    """The points of the last minute that its monitor kept."""
    from nbcontainers.container import points
    from nbcontainers.container.trend import MINUTE_S

    found = samples(container)
    begin = time.time() - MINUTE_S
    return [point for point in points.of_samples(found[_before(found, begin) :]) if point.time >= begin]


def card(container: Container, *, past: bool = True) -> Card:
    """The facts a cell shows; without `past` no sparklines."""
    from nbcontainers.container import health
    from nbcontainers.container.card import Card
    from nbcontainers.container.endpoints import links, reached

    record = container.record
    policy = record.get("restart") or {}
    times = f":{policy['maximum']}" if policy.get("maximum") else ""
    found, limits, status = samples(container), container.limits, container.status
    moment = now(container, found[-1] if found else None)
    return Card(
        id=container.id,
        name=record["name"],
        image=record["image"],
        command=record["command"],
        status=status,
        exit=container.ended,
        usage=stats.used(moment, limits) if moment else container.usage,
        limits=limits,
        wall_s=container.wall_s,
        started_at=container.started_at,
        reached=() if container.kept else reached(container),
        health=health.status(container),
        policy=f"{policy.get('name', 'no')}{times}",
        restarts=restarts(container),
        links={} if container.kept else links(container),
        trend=trend(container, found, moment, limits) if past else None,
        taken=None if status == "exited" else time.time(),
    )
