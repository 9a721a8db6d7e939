"""`stats`: what containers use now, from two looks at the kernel's counters a moment apart."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from html import escape
from typing import Any

from nbcontainers import view
from nbcontainers.cgroups.stats import cpu_limit, memory_limit
from nbcontainers.container import gauges, usage
from nbcontainers.container.container import Container
from nbcontainers.container.gauges import Gauge
from nbcontainers.errors import NotFound
from nbcontainers.table import Column, Row, Table, bytes_, digest, percent, stored

_BETWEEN_S = 0.5
PROCESSORS = len(os.sched_getaffinity(0))


def columns(processors: int) -> list[Column]:
    """Docker's. Its CPU % counts one processor as 100; beside it the share of all the host has. THROTTLED is the part of
    the time in which --cpus held it back, PSI that in which something in it waited for a processor, memory or a disk."""
    return [
        Column("id", "CONTAINER ID", digest),
        Column("name"),
        Column("cpu", "CPU % (OF 1)", percent),
        Column("cpu_host", f"CPU % (OF {processors})", percent),
        Column("throttled", "THROTTLED", percent),
        Column("memory", "MEM USAGE", bytes_),
        Column("memory_limit", "LIMIT", bytes_),
        Column("memory_part", "MEM %", percent),
        Column("net_received", "NET IN", stored),
        Column("net_sent", "NET OUT", stored),
        Column("io_read_bytes", "BLOCK IN", stored),
        Column("io_write_bytes", "BLOCK OUT", stored),
        Column("pids"),
        Column("psi_cpu", "PSI CPU", percent),
        Column("psi_memory", "PSI MEM", percent),
        Column("psi_io", "PSI I/O", percent),
        Column("oom_kills", "OOM KILLS"),
    ]


class Statistics(Table):
    """The figures of one moment, `taken` (seconds since the epoch). In a front end they go on, with a chart of each;
    `following` are the names of the containers that are meant, none: all that run."""

    def __init__(self, rows: Sequence[Row], taken: float, following: Sequence[str] = ()) -> None:
        super().__init__(rows, columns(PROCESSORS))
        self.taken = taken
        self.following = list(following)

    @property
    def when(self) -> str:
        return f"as of {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(self.taken))} UTC"

    def html(self) -> str:
        return f'{super().html()}<div style="opacity: .7; font-size: 12px;">{escape(self.when)}</div>'

    def _live_(self) -> tuple[str, dict[str, Any]]:
        return "metrics", {"containers": self.following}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> view.Bundle:
        found = view.bundle(self, lambda: self)
        return found | {"text/plain": f"{found['text/plain']}\n{self.when}"}


def stats(containers: Sequence[Container], *, following: bool = True) -> Statistics:
    """Rows: id, name, state, cpu (percent of one processor), cpu_host (of all), throttled, memory (bytes, without files
    that the kernel could drop), memory_limit, memory_part, net_received, net_sent, io_read_bytes, io_write_bytes (bytes
    since its start), pids, psi_cpu, psi_memory, psi_io (percent of the time) and oom_kills. What this host does not count,
    and what has ended, is None. Without `following` a live form shows whatever runs then."""
    shared = {container.engine: gauges.of(container.engine) for container in containers}
    for one in shared.values():
        one.enter()
    try:
        ids = [container.id for container in containers]
        if [id for one in shared.values() for id in one.read(ids)]:
            time.sleep(_BETWEEN_S)
        found = {id: gauge for one in shared.values() for id, gauge in one.read(ids, whole=True).items()}
        rows = [row for container in containers if (row := _row(container, found.get(container.id)))]
    finally:
        for one in shared.values():
            one.leave()
    return Statistics(rows, time.time(), [str(row["name"]) for row in rows] if following else [])


def _row(container: Container, gauge: Gauge | None) -> Row | None:
    try:
        row: Row = {"id": container.id, "name": container.name, "state": container.status}
        limit = memory_limit(usage.limits(container))
    except NotFound:  # removed meanwhile
        return None
    return row | figures(gauge, limit) if gauge else row


def figures(gauge: Gauge, limit: int | None = None) -> dict[str, Any]:
    """What a row has beside its names; `limit` is that of memory, in bytes."""
    point = gauge.point
    assert point is not None
    cpu = _percent(point.cpu)
    return {
        "cpu": cpu, "cpu_host": None if cpu is None else cpu / PROCESSORS,
        "throttled": _held_back(gauge), "memory": point.memory, "memory_limit": limit,
        "memory_part": 100 * point.memory / limit if point.memory is not None and limit else None,
        "net_received": gauge.counter("net_rx_bytes"), "net_sent": gauge.counter("net_tx_bytes"),
        "io_read_bytes": gauge.counter("io_read_bytes"), "io_write_bytes": gauge.counter("io_write_bytes"),
        "pids": gauge.counter("pids"), "psi_cpu": _percent(point.psi_cpu), "psi_memory": _percent(point.psi_memory),
        "psi_io": _percent(point.psi_io), "oom_kills": gauge.counter("oom_kills"),
    }  # fmt: skip


def _held_back(gauge: Gauge) -> float | None:
    """Of the time; where several processors' queues were held back at once, all of it. None without --cpus."""
    assert gauge.point is not None
    held = gauge.point.throttled
    return None if held is None or cpu_limit(gauge.limits) is None else 100 * min(held, 1.0)


def _percent(part: float | None) -> float | None:
    return None if part is None else 100 * part
