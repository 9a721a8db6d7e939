"""What containers use, going on: Docker's columns, and charts that scroll over the last minute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbcontainers.cgroups.stats import cpu_limit, memory_limit
from nbcontainers.container import gauges, points, statistics, store, usage
from nbcontainers.container.container import Container
from nbcontainers.container.gauges import Gauge
from nbcontainers.container.points import Point
from nbcontainers.engine import default_engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.widgets.live import Gone, action
from nbcontainers.widgets.watching import Watching

MOST = 150
"""Rows that a page gets."""
MOST_DRAWN = 8
"""Containers whose past is given at once."""
_SHOWN = 120


class Metrics(Watching):
    """`containers` are names or ids; none means all that run. Facts: `columns` ([heading, to the right]), `rows`: {id,
    name, state, cells (the texts of the columns), point (None while it does not run), memory and cpus (limits in force)},
    and `more`, how many are not among them."""

    interval = 0.5

    def __init__(self, containers: Sequence[str] = ()) -> None:
        super().__init__(default_engine())
        self.named = list(containers)
        self.columns = statistics.columns(statistics.PROCESSORS)

    def look(self) -> dict[str, Any]:
        rows = self._named() if self.named else self._all()
        return {
            "columns": [
                [column.heading, column.right or column.name in ("pids", "oom_kills")] for column in self.columns
            ],
            "rows": rows[:MOST],
            "more": max(0, len(rows) - MOST),
        }

    def _all(self) -> list[dict[str, Any]]:
        found = sorted(self.gauges().read().values(), key=lambda gauge: gauge.created, reverse=True)
        return [self._row(gauge.id, gauge.name, gauge) for gauge in found]

    def _named(self) -> list[dict[str, Any]]:
        """Those that are still there, also when they don't run."""
        ids = list(dict.fromkeys(id for name in self.named if (id := self._id(name))))
        if not ids:
            raise Gone(f"removed: {', '.join(self.named)}", hint="container ps -a shows what there is")
        running = self.gauges().read(ids)
        return [self._row(id, running[id].name if id in running else self._name(id), running.get(id)) for id in ids]

    def _id(self, name: str) -> str | None:
        try:
            return store.find(self.engine, name)
        except (NotFound, InvalidArgument):
            return None

    def _name(self, id: str) -> str:
        return str(store.read(self.engine, id, "container.json").get("name", id[:12]))

    def _row(self, id: str, name: str, gauge: Gauge | None) -> dict[str, Any]:
        row: dict[str, Any] = {"id": id, "name": name}
        if gauge is None or gauge.point is None:
            state = Container(self.engine, id).status
            return {**row, "state": state, "cells": [column.show(row) for column in self.columns], "point": None}
        row |= statistics.figures(gauge, memory_limit(gauge.limits))
        return {
            "id": id, "name": name, "state": "running", "cells": [column.show(row) for column in self.columns],
            "point": rounded(gauge.point), "memory": row["memory_limit"], "cpus": cpu_limit(gauge.limits),
        }  # fmt: skip

    @action(beside=True)
    def history(self, ids: Sequence[str]) -> dict[str, list[list[float | None]]]:
        """By id the points of the last minute: those somebody looked at, else the ones its monitor kept."""
        return {id: history(Container(self.engine, id)) for id in list(ids)[:MOST_DRAWN]}


def history(container: Container) -> list[list[float | None]]:
    """The points of the last minute, of one that has ended those of its whole run, each as `rounded`."""
    with gauges.of(container.engine).watched() as watched:  # the view may have been closed meanwhile
        gauge = watched.read([container.id]).get(container.id)
    seen = gauge.ring.since(0.0) if gauge else []
    try:
        stored = usage.recent(container) if gauge else usage.trend(container, usage.samples(container), None, {}).points
    except NotFound:  # removed meanwhile
        stored = []
    before = [point for point in stored if not seen or point.time < seen[0].time]
    return [rounded(point) for point in points.thin([*before, *seen], _SHOWN)]


def rounded(point: Point) -> list[float | None]:
    """`points.FIELDS` without digits that nobody sees."""
    return [
        None if value is None else int(value) if name in _WHOLE else round(value, 4)
        for name, value in zip(points.FIELDS, point, strict=True)
    ]


_WHOLE = {"memory", "pids", "net_rx", "net_tx", "io_read", "io_write", "oom_kills"}
