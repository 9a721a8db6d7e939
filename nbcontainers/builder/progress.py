"""How far a build is: what its events say, line by line of the Dockerfile, for whoever shows it.

    {"event": "plan", "name", "lines": [text, …], "steps": [[first, last], …], "unneeded": [[first, last], …],
     "context": folder or ""}
    {"event": "step", "id", "stage", "lines": [first, last], "state": one of STATES, "text", "seconds",
     "size", "entries", "files"}
    {"event": "output", "id", "text"}         {"event": "warning", "rule", "message", "lines"}
    {"event": "built", "digest", "id", "names"}

and those of a pull (image/progress.py) while a base image is fetched. Lines are counted from 1; `steps` are those of
every instruction that is wanted, `unneeded` those of the stages that are left out. Only a step that makes a layer has a
`size`; that of a FROM has a `note` instead. What is not known changes nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbcontainers.errors import Error
from nbcontainers.image import progress as pull
from nbcontainers.image.portrait import Portrait

Event = dict[str, Any]
STATES = ("waiting", "done", "cached", "cancelled", "failed", "running")
"""Of several steps on one line (the ONBUILD of a base) the last of these counts."""
ENDED = ("cached", "done", "failed", "cancelled")
_TAIL = 4096
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")


def left_on_screen(output: str) -> list[str]:
    """A command's output as the lines it left on a screen: without colours, tabs as spaces, and of what a carriage
    return has overwritten the last (ECMA-48, control sequences)."""
    lines = _CONTROL.sub("", output).replace("\r\n", "\n").split("\n")
    return [line.rstrip("\r").rpartition("\r")[2].expandtabs() for line in lines]


@dataclass
class Step:
    """One instruction on its way. `seconds` in all, or None while it runs; `size` of its layer, None where it makes
    none; `entries` are its files and folders, `files` those without folders."""

    id: str
    stage: str
    lines: tuple[int, int]
    text: str
    state: str = "waiting"
    begun: float = 0.0
    seconds: float | None = None
    size: int | None = None
    entries: int = 0
    files: int = 0
    note: str = ""
    output: str = ""

    def last(self, count: int) -> list[str]:
        """The last lines of its output; what a carriage return has overwritten is left out."""
        return [line for line in left_on_screen(self.output) if line.strip()][-count:]


@dataclass
class Progress:
    """Call `feed` with each event, and `end` once; everything else is read only.

    `image` is what is shown of it in the end, `error` what ended the build; both are the face's to set.
    """

    subject: str = ""
    clock: Callable[[], float] = time.monotonic
    name: str = "Dockerfile"
    context: str = ""
    lines: list[str] = field(default_factory=list)
    unneeded: list[tuple[int, int]] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    warnings: list[Event] = field(default_factory=list)
    count: int = 0
    pulled: pull.Progress | None = None
    built: Event = field(default_factory=dict)
    image: Portrait | None = None
    error: Error | None = None
    outcome: str = ""
    ended: float = 0.0

    def __post_init__(self) -> None:
        self.begun = self.clock()
        self._planned: dict[int, Step] = {}
        self._first: dict[int, int] = {}

    @property
    def elapsed(self) -> float:
        return (self.ended or self.clock()) - self.begun

    @property
    def done(self) -> int:
        return sum(step.state in ("cached", "done") for step in self.steps.values())

    @property
    def kept(self) -> tuple[int, int]:
        """How many steps have a result that is kept for the next builds; how many of these took it from the cache."""
        states = [step.state for step in self.steps.values() if step.size is not None]
        return len(states), states.count("cached")

    def at(self, line: int) -> Step | None:
        """The step whose instruction begins on that line; one that waits has no id."""
        found = [step for step in self.steps.values() if step.lines[0] == line]
        return max(found, key=lambda step: STATES.index(step.state), default=self._planned.get(line))

    def covering(self, line: int) -> Step | None:
        """The step whose instruction the line belongs to."""
        return self.at(self._first.get(line, line))

    def is_needed(self, line: int) -> bool:
        """Whether the line belongs to no stage that is left out."""
        return not any(first <= line <= last for first, last in self.unneeded)

    def begins_unneeded(self, line: int) -> bool:
        """Whether a stage that is left out begins there."""
        return any(first == line for first, _ in self.unneeded)

    def feed(self, event: Event) -> None:
        """Take in one event."""
        kind = event.get("event")
        if kind == "plan":
            self._plan(event)
        elif kind == "step":
            self._step(event)
        elif kind == "output" and (step := self.steps.get(event["id"])):
            step.output = (step.output + event["text"])[-_TAIL:]
        elif kind == "warning":
            self.warnings.append(event)
        elif kind == "built":
            self.built = event
        elif kind == "image":
            self.pulled = pull.Progress("pull", clock=self.clock)
        if self.pulled:
            self.pulled.feed(event)
            if kind == "done":
                self.pulled = None

    def end(self, outcome: str) -> None:
        """`outcome` is done, failed or interrupted; the first one stays. What still ran failed or was cancelled."""
        if self.outcome:
            return
        self.outcome, self.ended = outcome, self.clock()
        wrong = self.error.details.get("line") if self.error else None
        for step in self.steps.values():
            if step.state not in ENDED:
                step.state = "failed" if step.lines[0] == wrong else "cancelled"
                step.seconds = self.ended - step.begun

    def _plan(self, event: Event) -> None:
        self.name, self.lines, self.context = event["name"], event["lines"], event.get("context", "")
        self.unneeded = [(first, last) for first, last in event["unneeded"]]
        self._planned = {first: Step("", "", (first, last), "") for first, last in event["steps"]}
        self._first = {line: first for first, last in event["steps"] for line in range(first, last + 1)}
        self.count = len(self._planned)

    def _step(self, event: Event) -> None:
        step = self.steps.get(event["id"])
        if step is None:
            first, last = event["lines"]
            step = Step(event["id"], event["stage"], (first, last), event["text"], begun=self.clock())
            self.steps[event["id"]] = step
            self.count = max(self.count, len(self.steps))
        step.state = event["state"]
        step.note = event.get("note", step.note)
        if step.state in ENDED:
            step.seconds = event.get("seconds", self.clock() - step.begun)
            step.size = event.get("size")
            step.entries, step.files = event.get("entries") or 0, event.get("files") or 0
