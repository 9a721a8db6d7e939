"""A build on a terminal or in a log: a line an instruction, its output below it, warnings, the image's names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from nbcontainers.builder import card
from nbcontainers.builder.progress import ENDED, Event, Progress, left_on_screen
from nbcontainers.builder.stage import OUTPUT
from nbcontainers.cli.parser import Call
from nbcontainers.cli.signature import FLAG, VALUE, Parameter
from nbcontainers.cli.transfer import Show, write
from nbcontainers.cli.verbs import Verb
from nbcontainers.errors import BuildError, ContainerFailed
from nbcontainers.table import plain

FORMS = ("auto", "plain", "tty", "quiet", "none")
PROGRESS = Parameter(
    "progress", VALUE, ("--progress",), metavar="FORM", choices=FORMS,
    help="auto, or Docker's word tty for it; plain: lines, also in a cell; quiet: the id alone; none: nothing but the result",
)  # fmt: skip
_LONGEST = 1 << 16
"""Characters that a line without an end may have, until they are written as one."""
DEBUG = Parameter("debug", FLAG, ("--debug",), help="Open a shell in the last good layer where a step fails")


class Lines(Show[Progress]):
    """Says each thing once; output of stages that run side by side is told apart by its line number."""

    def __init__(self, progress: Progress, write: Callable[[str], object]) -> None:
        super().__init__(progress)
        self.write = write
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
                self._warn(event)
            elif kind == "image":
                self._say(f"pulling {event.get('reference') or ''}")

    def _step(self, event: Event) -> None:
        step = self.progress.steps[event["id"]]
        if step.state not in ENDED:
            self._say(f"[{step.stage}] {step.lines[0]}: {step.text.splitlines()[0] if step.text else ''}")
            return
        if rest := self._begun.pop(step.id, ""):
            self._write(step.lines[0], rest)
        if said := card.says(step):
            self._say(f"  {step.lines[0]} {said}")

    def _warn(self, event: Event) -> None:
        first, last = event["lines"]
        self._say(f"warning: {self.progress.name}:{first}: {card.remark(event)}")
        for number in range(first, min(last, first + 2, len(self.progress.lines)) + 1):
            self._say(f"  {number:>4} | {self.progress.lines[number - 1]}")

    def _output(self, id: str, text: str) -> None:
        *lines, rest = (self._begun.get(id, "") + text).split("\n")
        if len(rest) > _LONGEST:
            rest = rest[rest.rfind("\r", 0, -1) + 1 :]  # what came before it is overwritten
        if len(rest) > _LONGEST:
            lines, rest = [*lines, rest], ""
        self._begun[id] = rest
        for line in lines:
            self._write(self.progress.steps[id].lines[0], line)

    def _write(self, number: int, output: str) -> None:
        for line in left_on_screen(output):
            self._say(f"  {number} | {line}")

    def finish(self) -> None:
        """How it ended; where nothing was begun, the error says all."""
        if self.progress.lines:
            self._say(card.heading(self.progress))

    def _say(self, line: str) -> None:
        self.write(f"{plain(line)}\n")


def run(verb: Verb, call: Call, *, quiet: bool) -> Any:
    """`build` on the command line; its result is the image's name or id."""
    listener: Lines | None = None
    try:
        if quiet or is_quiet(call):
            return verb.function(*call.arguments, **call.options)
        with Lines(Progress(subject(call)), partial(write, sys.stderr)) as listener:
            return verb.function(*call.arguments, **call.options, progress=listener)
    except BuildError as error:
        if listener and error.details.get("output"):
            error.message = error.message.partition(f"\n{OUTPUT}")[0]  # it stands right above
        if call.face.get("debug") and error.details.get("image") and sys.stdin.isatty() and sys.stdout.isatty():
            look_into(error)  # without a terminal its hint says what to type
        raise


def is_quiet(call: Call) -> bool:
    return call.face.get("progress") in ("quiet", "none")


def look_into(error: BuildError) -> None:
    """A shell in the image of the last good layer, until it is left."""
    from nbcontainers.cli import foreground
    from nbcontainers.cli.verbs import verbs

    name = error.details["image"]
    print(
        f"{error.message.splitlines()[0]}\n--debug: a shell in {name}, the files as they were before", file=sys.stderr
    )
    with suppress(ContainerFailed):  # what the last command in the shell said
        foreground.run(verbs("container")["run"], Call([name], {"interactive": True, "tty": True, "rm": True}))


def subject(call: Call) -> str:
    return ", ".join(call.options.get("tag") or ())
