"""How far a build is: what its events say, line by line of the Dockerfile, for whoever shows it.

    {"event": "plan", "name", "lines": [text, …], "needed": [[first, last], …], "stages": […], "count": steps, "target"}
    {"event": "step", "id", "stage", "lines": [first, last], "state": one of STATES, "text", "seconds", "size", "entries"}
    {"event": "output", "id", "text"}         {"event": "warning", "rule", "message", "lines"}
    {"event": "built", "digest", "id", "names"}

and those of a pull (image/progress.py) while a base image is fetched. What is not known changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
STATES = ("running", "cached", "done", "failed", "cancelled")
ENDED = ("cached", "done", "failed", "cancelled")
_TAIL = 4096


@dataclass
class Step:
    """One instruction on its way. `seconds` in all, or None while it runs; `entries` and `size` of its layer."""

    id: str
    stage: str
    lines: tuple[int, int]
    text: str
    state: str = "running"
    begun: float = 0.0
    seconds: float | None = None
    size: int = 0
    entries: int = 0
    output: str = ""

    def last(self, count: int) -> list[str]:
        """The last lines of its output; what a carriage return has overwritten is left out."""
        lines = self.output.replace("\r\n", "\n").split("\n")
        return [shown for line in lines if (shown := line.rpartition("\r")[2]).strip()][-count:]


@dataclass
class Progress:
    """Call `feed` with each event, and `end` once; everything else is read only."""

    subject: str = ""
    clock: Callable[[], float] = time.monotonic
    name: str = "Dockerfile"
    lines: list[str] = field(default_factory=list)
    needed: list[tuple[int, int]] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    warnings: list[Event] = field(default_factory=list)
    count: int = 0
    pulling: str = ""
    built: Event = field(default_factory=dict)
    outcome: str = ""
    ended: float = 0.0

    def __post_init__(self) -> None:
        self.begun = self.clock()

    @property
    def elapsed(self) -> float:
        return (self.ended or self.clock()) - self.begun

    @property
    def done(self) -> int:
        return sum(step.state in ("cached", "done") for step in self.steps.values())

    @property
    def cached(self) -> int:
        return sum(step.state == "cached" for step in self.steps.values())

    def at(self, line: int) -> Step | None:
        """The step whose instruction begins on that line, the worst of several (ONBUILD)."""
        found = [step for step in self.steps.values() if step.lines[0] == line and "." in step.id]
        return max(found, key=lambda step: STATES.index(step.state) if step.state != "running" else 9, default=None)

    def is_needed(self, line: int) -> bool:
        """Whether the line belongs to a stage that the target needs; lines before the first stage do."""
        first = min((one[0] for one in self.needed), default=0)
        return line < first or any(one[0] <= line <= one[1] for one in self.needed)

    def feed(self, event: Event) -> None:
        """Take in one event."""
        kind = event.get("event")
        if kind == "plan":
            self.name, self.lines, self.count = event["name"], event["lines"], event["count"]
            self.needed = [(first, last) for first, last in event["needed"]]
        elif kind == "step":
            self._step(event)
        elif kind == "output" and (step := self.steps.get(event["id"])):
            step.output = (step.output + event["text"])[-_TAIL:]
        elif kind == "warning":
            self.warnings.append(event)
        elif kind == "built":
            self.built = event
        elif kind in ("image", "done"):
            self.pulling = (event.get("reference") or "") if kind == "image" else ""

    def end(self, outcome: str) -> None:
        """`outcome` is done, failed or interrupted; the first one stays."""
        if not self.outcome:
            self.outcome, self.ended = outcome, self.clock()

    def _step(self, event: Event) -> None:
        step = self.steps.get(event["id"])
        if step is None:
            first, last = event["lines"]
            step = Step(event["id"], event["stage"], (first, last), event["text"], begun=self.clock())
            self.steps[event["id"]] = step
        step.state = event["state"]
        if step.state in ENDED:
            step.seconds = event.get("seconds", self.clock() - step.begun)
            step.size, step.entries = event.get("size", 0), event.get("entries", 0)
