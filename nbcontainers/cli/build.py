"""A build on a terminal or in a log: a line an instruction, its output below it, warnings, the image's names."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from nbcontainers.builder import card
from nbcontainers.builder.progress import ENDED, Event, Progress
from nbcontainers.cli.parser import Call
from nbcontainers.cli.transfer import Show, write
from nbcontainers.cli.verbs import Verb
from nbcontainers.table import plain


class Lines(Show[Progress]):
    """Says each thing once; output of stages that run side by side is told apart by its line number."""

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        super().__init__(progress)
        self.stream = stream
        self._begun: dict[str, str] = {}

    def draw(self) -> None:
        """Nothing is ever drawn over."""

    def __call__(self, event: Event) -> None:
        with self._lock:
            self.progress.feed(event)
            kind = event.get("event")
            if kind == "step":
                self._step(event)
            elif kind == "output":
                self._output(event["id"], event["text"])
            elif kind == "warning":
                self._say(f"warning: {self.progress.name}:{event['lines'][0]}: {event['rule']}: {event['message']}")
            elif kind == "image":
                self._say(f"pulling {event.get('reference') or ''}")

    def _step(self, event: Event) -> None:
        step = self.progress.steps[event["id"]]
        if step.state not in ENDED:
            self._say(f"[{step.stage}] {step.lines[0]}: {step.text.splitlines()[0] if step.text else ''}")
            return
        if rest := self._begun.pop(step.id, ""):
            self._say(f"  {step.lines[0]} | {rest}")
        if said := card.says(step):
            self._say(f"  {step.lines[0]} {said}")

    def _output(self, id: str, text: str) -> None:
        *lines, rest = (self._begun.get(id, "") + text).split("\n")
        self._begun[id] = rest
        for line in lines:
            self._say(f"  {self.progress.steps[id].lines[0]} | {line}")

    def finish(self) -> None:
        self._say(card.heading(self.progress))

    def _say(self, line: str) -> None:
        write(self.stream, f"{plain(line)}\n")


def run(verb: Verb, call: Call, *, quiet: bool) -> Any:
    """`build` on the command line; its result is the image's name or id."""
    if quiet:
        return verb.function(*call.arguments, **call.options)
    with Lines(Progress(subject(call)), sys.stderr) as listener:
        return verb.function(*call.arguments, **call.options, progress=listener)


def subject(call: Call) -> str:
    return ", ".join(call.options.get("tag") or ())
