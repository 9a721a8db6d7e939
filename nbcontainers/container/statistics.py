"""`stats`: what containers use now, from two looks at the kernel's counters a moment apart."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from nbcontainers.cgroups.detect import open_record
from nbcontainers.cgroups.stats import Sample
from nbcontainers.container import store, usage
from nbcontainers.container.container import Container
from nbcontainers.errors import NotFound
from nbcontainers.table import Column, Row, Table, bytes_, digest, percent, stored

_BETWEEN_S = 0.5


class Look(NamedTuple):
    """The counters of one container at one moment, and the bytes that came in and went out by its networks."""

    sample: Sample
    received: int | None
    sent: int | None


def columns(processors: int) -> list[Column]:
    """Docker's. Its CPU % counts one processor as 100; beside it the share of all the host has."""
    return [
        Column("id", "CONTAINER ID", digest),
        Column("name"),
        Column("cpu", "CPU % (OF 1)", percent),
        Column("cpu_host", f"CPU % (OF {processors})", percent),
        Column("memory", "MEM USAGE", bytes_),
        Column("memory_limit", "LIMIT", bytes_),
        Column("memory_part", "MEM %", percent),
        Column("net_received", "NET IN", stored),
        Column("net_sent", "NET OUT", stored),
        Column("io_read_bytes", "BLOCK IN", stored),
        Column("io_write_bytes", "BLOCK OUT", stored),
        Column("pids"),
    ]


def stats(containers: Sequence[Container]) -> Table:
    """Rows: id, name, state, cpu (percent of one processor), cpu_host (of all), memory (bytes, without files that the
    kernel could drop), memory_limit, memory_part, net_received, net_sent, io_read_bytes, io_write_bytes (bytes since its
    start) and pids. What this host does not count, and what has ended, is None."""
    processors = len(os.sched_getaffinity(0))
    first = {container: _look(container) for container in containers}
    if any(first.values()):
        time.sleep(_BETWEEN_S)
    rows = [row for container in containers if (row := _row(container, first[container], processors))]
    return Table(rows, columns(processors))


def _look(container: Container) -> Look | None:
    """None for one that does not run."""
    state = store.state(container.engine, container.id)
    if not store.alive(state):
        return None
    sampler = open_record(state["cgroup"]).sampler()
    try:
        return Look(sampler.sample(), *_network(state["pid"]))
    except OSError:  # ENODEV: it has ended, and its cgroup has gone
        return None
    finally:
        sampler.close()


def _network(pid: int) -> tuple[int | None, int | None]:
    """proc_pid_net_dev(5): the sums of all interfaces but the loopback; None where that is not ours to see."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = [line.replace(":", " ").split() for line in file.readlines()[2:]]
    except OSError:
        return None, None
    numbers = [(int(words[1]), int(words[9])) for words in lines if words[0] != "lo"]
    return sum(received for received, _ in numbers), sum(sent for _, sent in numbers)


def _row(container: Container, before: Look | None, processors: int) -> Row | None:
    try:
        row: Row = {"id": container.id, "name": container.name, "state": container.status}
        limit = (usage.limits(container).get("memory") or {}).get("limit")
    except NotFound:  # removed meanwhile
        return None
    now = _look(container)
    return row | _figures(before, now, limit, processors) if before and now else row


def _figures(before: Look, now: Look, limit: int | None, processors: int) -> dict[str, Any]:
    first, last = before.sample, now.sample
    busy = _percent(last.cpu_ns - first.cpu_ns, last.time_ns - first.time_ns) if last.cpu_ns >= 0 else None
    used = None if last.memory < 0 else last.memory - max(0, last.memory_inactive_file)
    limit = limit if limit and limit > 0 else None
    return {
        "cpu": busy, "cpu_host": None if busy is None else busy / processors,
        "memory": used, "memory_limit": limit,
        "memory_part": _percent(used, limit) if used is not None and limit else None,
        "net_received": now.received, "net_sent": now.sent,
        "io_read_bytes": _counted(last.io_read_bytes), "io_write_bytes": _counted(last.io_write_bytes),
        "pids": _counted(last.pids),
    }  # fmt: skip


def _counted(value: int) -> int | None:
    return value if value >= 0 else None


def _percent(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole > 0 else None
