"""What a container used, from what its monitor wrote: exit.json at the end, the samples in `metrics` before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbcontainers.cgroups import stats
from nbcontainers.cgroups.detect import open_record
from nbcontainers.container import store
from nbcontainers.monitor import restart
from nbcontainers.monitor.files import rfc3339

if TYPE_CHECKING:
    from nbcontainers.cgroups.stats import Sample
    from nbcontainers.container.card import Card
    from nbcontainers.container.container import Container
    from nbcontainers.container.metrics import Facts


def samples(container: Container) -> list[Sample]:
    """All samples so far, oldest first."""
    if container.kept:
        return stats.parse_metrics(container.kept.metrics)
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
    import time

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


def card(container: Container) -> Card:
    """The facts a cell shows."""
    from nbcontainers.container import health
    from nbcontainers.container.card import Card
    from nbcontainers.container.endpoints import reached

    record = container.record
    policy = record.get("restart") or {}
    times = f":{policy['maximum']}" if policy.get("maximum") else ""
    return Card(
        id=container.id,
        name=record["name"],
        image=record["image"],
        command=record["command"],
        status=container.status,
        exit=container.ended,
        usage=container.usage,
        limits=container.limits,
        wall_s=container.wall_s,
        started_at=container.started_at,
        reached=() if container.kept else reached(container),
        health=health.status(container),
        policy=f"{policy.get('name', 'no')}{times}",
        restarts=restarts(container),
    )
