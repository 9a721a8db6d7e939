"""`dashboard`: all containers at one moment, how they are and what they use; a notebook page keeps it going."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from nbcontainers.cgroups.cgroup import Cgroup
from nbcontainers.cgroups.detect import open_record
from nbcontainers.cgroups.stats import cpu_limit, memory_limit
from nbcontainers.container import endpoints, gauges, health, store
from nbcontainers.container.container import Container
from nbcontainers.container.gauges import Gauge
from nbcontainers.container.listing import LIVING
from nbcontainers.container.shade import of_row
from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import NotFound
from nbcontainers.table import AS_IT_IS, Column, Row, Table, age, bytes_, digest, percent, stored, timestamp
from nbcontainers.view import View

if TYPE_CHECKING:
    import pandas

_BETWEEN_S = gauges.FRESH_S + 0.01
FIGURES = ("cpu", "memory", "net_received", "net_sent", "pids")
"""What changes all the time: percent of one processor, bytes, bytes a second, bytes a second, and a number."""


class _Known(NamedTuple):
    """A row as last read, what its folders were like then, and the process and cgroup of one that runs."""

    folders: tuple[int, int]
    row: Row
    process: Mapping[str, Any] = {}
    cgroup: Cgroup | None = None


class Overview:
    """How all containers are, cheap to ask again: what did not change on the disk is not read again."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._known: dict[str, _Known] = {}

    def rows(self, running: Collection[str] = ()) -> list[Row]:
        """The newest first. Keys: id, name, image, command, created, state, exit_code, reason, oom_killed, health,
        since (when it started, or ended; times are seconds since the epoch), addresses, ports and their links (where a
        browser may open each, or ""), cpus and memory_limit (in force while it runs; None without one). `running` are ids
        of those whose cgroups were just read."""
        found = {id: known for id in store.ids(self.engine) if (known := self._look(id, running))}
        self._known = found
        return sorted((known.row for known in found.values()), key=lambda row: row["created"], reverse=True)

    def _look(self, id: str, running: Collection[str]) -> _Known | None:
        container = Container(self.engine, id)
        folders = _changed(store.folder(self.engine, id)), _changed(f"{self.engine.run}/{id}")
        known = self._known.get(id)
        try:
            if known and known.folders == folders:
                return _as_now(container, known, id in running)
            row = _row(container)
            state = store.state(self.engine, id)
            kept = row["state"] in ("running", "paused") and state.get("cgroup")
            return _Known(folders, row, state, open_record(state["cgroup"])) if kept else _Known(folders, row)
        except NotFound:  # removed meanwhile
            return None


def _as_now(container: Container, known: _Known, answered: bool) -> _Known:
    """What may have changed though nothing was written: it was paused, or is no more. A cgroup that answered has its
    process, or a monitor that is about to write how that ended."""
    before = known.row["state"]
    if before in ("created", "exited", "dead"):
        return known
    cgroup = known.cgroup
    if cgroup and ((answered and cgroup.record["kind"] != "null") or store.alive(known.process)):
        state = "paused" if cgroup.frozen else "running"
    else:
        state = container.status
    return known if state == before else known._replace(row={**known.row, "state": state})


def _changed(folder: str) -> int:
    """When a file was put into a folder; all of ours are replaced by renaming."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return -1


def _row(container: Container) -> Row:
    record, state, ended = container.record, container.status, container.ended
    if not record:
        raise NotFound(f"container {container.short_id} was removed")
    running = store.state(container.engine, container.id)
    living = state in LIVING
    limits = (running.get("cgroup") or {}).get("limits") or {} if living else {}
    published, links = (endpoints.published(container), endpoints.links(container)) if living else ([], {})
    return {
        "id": container.id, "name": record["name"], "image": record["image"], "command": list(record["command"]),
        "created": timestamp(record["created"]) or 0.0, "state": state,
        "exit_code": ended.get("exit_code"), "reason": ended.get("reason"), "oom_killed": bool(ended.get("oom_killed")),
        "health": health.status(container) if living else "",
        "since": _started(running) if living else timestamp(ended.get("finished_at")),
        "addresses": [one for several in endpoints.addresses(container).values() for one in several] if living else [],
        "ports": [f"{where}->{inner}" for inner, where in published],
        "links": [links.get(f"{where} → {inner}", [""])[-1] for inner, where in published],
        "cpus": cpu_limit(limits), "memory_limit": memory_limit(limits),
    }  # fmt: skip


def _started(state: Mapping[str, Any]) -> float | None:
    """Of its first process, from proc_pid_stat(5)'s clock ticks since boot."""
    ticks = state.get("start_time")
    return None if ticks is None else _booted() + ticks / os.sysconf("SC_CLK_TCK")


@cache
def _booted() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def figures(gauge: Gauge | None) -> dict[str, float | None]:
    """FIGURES of a container; None is what this host does not count, and all of one that does not run."""
    point = gauge.point if gauge else None
    if point is None:
        return dict.fromkeys(FIGURES)
    cpu = None if point.cpu is None else 100 * point.cpu
    return dict(zip(FIGURES, (cpu, point.memory, point.net_rx, point.net_tx, point.pids), strict=True))


def words(row: Row, now: float) -> str:
    """`running for 5 minutes (healthy)`, `exited (137) 2 hours ago (out of memory)`."""
    state, since = row["state"], row["since"]
    length = "" if since is None else age(max(0.0, now - since)).lower()
    if state in ("exited", "restarting"):
        memory = " (out of memory)" if row["oom_killed"] else ""
        return f"{state} ({row['exit_code']}){f' {length} ago' if length else ''}{memory}"
    well = f" ({row['health']})" if row["health"] else ""
    return f"{state}{f' for {length}' if length and state in LIVING else ''}{well}"


class Dashboard(View):
    """All containers at one moment: `rows` are those of `Overview` with FIGURES."""

    def __init__(self, engine: Engine, rows: Iterable[Row], time_s: float) -> None:
        self.engine = engine
        self.time_s = time_s
        self.rows = [{**row, "status": words(row, time_s)} for row in rows]

    @classmethod
    def now(cls, engine: Engine) -> Dashboard:
        """Two looks at the counters, a fifth of a second apart."""
        with gauges.of(engine).watched() as watched:
            begun = time.monotonic()
            running = watched.read()
            rows = Overview(engine).rows(running)
            if running:
                time.sleep(max(0.0, _BETWEEN_S - (time.monotonic() - begun)))
            found = watched.read()
            return cls(engine, [{**row, **figures(found.get(row["id"]))} for row in rows], time.time())

    @property
    def running(self) -> int:
        return sum(row["state"] in LIVING for row in self.rows)

    @property
    def heading(self) -> str:
        """How many there are, and when that was."""
        count = f"{len(self.rows)} container{'s' * (len(self.rows) != 1)}, {self.running} running"
        return f"{count} at {time.strftime('%Y-%m-%d %H:%M:%S %Z', time.localtime(self.time_s))}"

    def table(self) -> Table:
        return Table(self.rows, [
            Column("name", "NAMES"), Column("status", colour=of_row), Column("image"), Column("addresses", "IP"), Column("ports"),
            Column("cpu", "CPU % (OF 1)", percent), Column("memory", "MEM USAGE", bytes_),
            Column("memory_limit", "LIMIT", bytes_), Column("net_received", "NET IN/S", _by_second),
            Column("net_sent", "NET OUT/S", _by_second), Column("pids", format=_whole),
            Column("id", "CONTAINER ID", digest),
        ])  # fmt: skip

    def text(self) -> str:
        return f"{self.heading}\n{self.table().text()}" if self.rows else self.heading

    def html(self) -> str:
        head = f'<div {AS_IT_IS} style="font-size: 13px; opacity: .7;">{escape(self.heading)}</div>'
        return f"<div>{head}{self.table().html() if self.rows else ''}</div>"

    def to_pandas(self) -> pandas.DataFrame:
        """One row a container: sizes as whole bytes, `created` and `since` as times (UTC), `cpu` in percent of one
        processor, `net_received` and `net_sent` in bytes a second."""
        import pandas

        frame = pandas.DataFrame(self.rows, columns=[*_COLUMNS])
        for name in ("created", "since"):
            frame[name] = pandas.to_datetime(frame[name].astype(float), unit="s", utc=True)
        for name in ("memory", "memory_limit", "pids", "exit_code"):
            frame[name] = frame[name].astype("Int64")
        for name in ("cpu", "cpus", "net_received", "net_sent"):
            frame[name] = frame[name].astype(float)
        return frame

    def _live_(self) -> tuple[str, dict[str, Any]] | None:
        """The page asks this process's own engine; another's picture stays as it is."""
        return ("dashboard", {}) if self.engine == default_engine() else None


_COLUMNS = (
    "id", "name", "image", "command", "state", "status", "health", "exit_code", "reason", "oom_killed", "created",
    "since", "addresses", "ports", "cpus", "memory_limit", *FIGURES,
)  # fmt: skip


def _by_second(value: object) -> str:
    return f"{stored(value)}/s" if isinstance(value, (int, float)) else ""


def _whole(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, (int, float)) else ""
