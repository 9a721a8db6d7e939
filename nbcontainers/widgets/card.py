"""One container's card, going on: how it is, what it uses, and what may be done to it."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

from nbcontainers.cgroups.stats import cpu_limit, memory_limit
from nbcontainers.container import usage
from nbcontainers.container.container import Container, find
from nbcontainers.engine import default_engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.table import duration
from nbcontainers.widgets.dashboard import VERBS
from nbcontainers.widgets.live import Gone, action
from nbcontainers.widgets.metrics import history, rounded
from nbcontainers.widgets.watching import Watching

_WHOLE_CARD_S = 2.0


class Card(Watching):
    """Facts: those of `card.Card` as texts, `point` and the limits of the charts, `verbs` (what may be done now)."""

    interval = 0.5

    def __init__(self, container: str) -> None:
        super().__init__(default_engine())
        self.name = container
        self._facts: dict[str, Any] = {}
        self._known = ("", "")
        self._read = 0.0

    def look(self) -> dict[str, Any]:
        try:
            handle = find(self.engine, self.name)
            status = handle.status
            if (handle.id, status) != self._known or time.monotonic() - self._read > _WHOLE_CARD_S:
                self._facts, self._read = _facts(handle, status), time.monotonic()
                self._keep(handle, status)
        except NotFound:
            raise Gone(f"container {self.name} was removed", hint="container ps -a shows what there is") from None
        gauge = self.gauges().read([handle.id]).get(handle.id)
        point = gauge.point if gauge else None
        return {**self._facts, "point": rounded(point) if point else None}

    def _keep(self, handle: Container, status: str) -> None:
        """The notebook keeps how one ended that was seen to run."""
        (id, before), self._known = self._known, (handle.id, status)
        if status == "exited" and id == handle.id and before != status:
            self.settle(usage.card(handle), f"{id} {handle.finished_at}")

    @action
    def do(self, verb: str) -> None:
        """One of the dashboard's VERBS."""
        if verb not in VERBS:
            raise InvalidArgument(f"{verb!r} is nothing that the card does")
        VERBS[verb](self.name, engine=self.engine)  # type: ignore[operator]
        self._read = 0.0

    @action(beside=True)
    def history(self) -> list[list[float | None]]:
        """The points of the last minute."""
        return history(find(self.engine, self.name))


def _facts(handle: Container, status: str) -> dict[str, Any]:
    card = usage.card(handle, past=False)
    return {
        "id": handle.id, "name": card.name, "image": card.image, "line": card.line, "status": status,
        "verdict": card.verdict, "colour": card.colour, "why": card.why, "elapsed": "" if card.elapsed is None else duration(card.elapsed),
        "meters": [meter._asdict() for meter in card.meters()],
        "reached": [[word, *card.links.get(word, ())] for word in card.reached],
        "limits": card.in_force(), "memory": memory_limit(card.limits),
        "cpus": cpu_limit(card.limits), "verbs": _verbs(status),
        "ports": [int(where.rpartition(":")[2]) for several in handle.ports.values() for where in several],
        "proxy": find_spec("jupyter_server_proxy") is not None,
    }  # fmt: skip


def _verbs(status: str) -> list[str]:
    """What makes sense now."""
    if status in ("running", "paused"):
        return ["stop", "kill", "unpause" if status == "paused" else "pause", "restart"]
    return ["stop"] if status == "restarting" else ["start"] if status in ("created", "exited") else []
