"""The dashboard: all containers with what they use, and what may be done to them."""

from __future__ import annotations

from typing import Any

from nbcontainers.container import api, opening
from nbcontainers.container import terminal as terminals
from nbcontainers.container.container import find
from nbcontainers.container.listing import LIVING
from nbcontainers.container.overview import FIGURES, Overview, figures
from nbcontainers.engine import default_engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.table import Row
from nbcontainers.widgets.live import action
from nbcontainers.widgets.watching import Watching

MOST = 300
"""Rows that a page gets: those that run first, then the newest."""
VERBS = {
    "start": api.start,
    "stop": api.stop,
    "kill": api.kill,
    "pause": api.pause,
    "unpause": api.unpause,
    "restart": api.restart,
}
_SHOWN = "name image state exit_code oom_killed health since addresses ports links memory_limit".split()


class Dashboard(Watching):
    """Facts: `rows` (id of 12 digits and _SHOWN) and `more` (how many are not among them). Pushed: `figures`, by id
    FIGURES in their order, of those that run."""

    interval = 1.0

    def __init__(self) -> None:
        super().__init__(default_engine())
        self.overview = Overview(self.engine)
        self._sent: dict[str, list[float | None]] = {}
        self._shells: list[str] = []

    def look(self) -> dict[str, Any]:
        running = self.gauges().read()
        rows = sorted(self.overview.rows(running), key=lambda row: row["state"] not in LIVING)
        self._push(
            {row["id"][:12]: _rounded(figures(running.get(row["id"]))) for row in rows[:MOST] if row["id"] in running}
        )
        return {"rows": [_shown(row) for row in rows[:MOST]], "more": max(0, len(rows) - MOST)}

    def _push(self, found: dict[str, list[float | None]]) -> None:
        if found != self._sent:
            self._sent = found
            self.send({"figures": found})

    def closed(self) -> None:
        """No page has the keys of its shells any more."""
        super().closed()
        for key in self._shells:
            self.hang_up(key)

    @action(beside=True)
    def do(self, verb: str, ids: list[str]) -> None:
        """One of VERBS, or `rm`, which kills what runs, on containers."""
        if verb == "rm":
            api.rm(*ids, force=True, engine=self.engine)
        elif verb in VERBS:
            VERBS[verb](*ids, engine=self.engine)  # type: ignore[operator]
        else:
            raise InvalidArgument(f"{verb!r} is nothing that the dashboard does")

    @action(beside=True)
    def terminal(self, id: str) -> dict[str, Any]:
        """A shell in a container; the arguments of its view."""
        shell = opening.execute(find(self.engine, id), ["sh"], {})
        self._shells.append(shell.key)
        return shell._live_()[1]

    @action(beside=True)
    def hang_up(self, key: str) -> None:
        """End a shell that was begun here."""
        if found := terminals.known(key):
            found.close()


def _shown(row: Row) -> dict[str, Any]:
    said = {key: row[key] for key in _SHOWN if row[key] or (row[key] == 0 and row[key] is not False)}
    found = {"id": row["id"][:12], **said}
    if len(row["addresses"]) > 2 or len(row["ports"]) > 4:
        found |= {"addresses": row["addresses"][:2], "ports": row["ports"][:4], "links": row["links"][:4]}
    return found


def _rounded(found: dict[str, float | None]) -> list[float | None]:
    """Without digits that nobody sees, so that rest is seen as rest."""
    cpu = found["cpu"]
    return [None if cpu is None else round(cpu, 1), *(_whole(found[name]) for name in FIGURES[1:])]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
