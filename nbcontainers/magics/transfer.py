"""A transfer in a cell: one display area, updated in place, whose last state the notebook keeps.

Low rate and one area, since servers drop what comes too fast and front ends store every new output; see
IPython.display.DisplayHandle and ../shared/reference/ux.md, traps 8, 10, 17 and 23.
"""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from typing import Any, ClassVar

from IPython.core.display_functions import publish_display_data

from nbcontainers.cli.parser import Call
from nbcontainers.cli.transfer import Show, subject, summary
from nbcontainers.cli.verbs import Verb
from nbcontainers.image import card
from nbcontainers.image.progress import Progress

SILENT = ("save", "import", "export", "commit", "verify")
"""Verbs that may take long and tell nothing meanwhile."""


class Area(Show[Progress]):
    """Draws a Progress into one display area of the cell that made it."""

    every: ClassVar[float] = 0.2

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self.id = uuid.uuid4().hex
        self.there = False

    def draw(self) -> None:
        publish_display_data(card.bundle(self.progress), transient={"display_id": self.id}, update=self.there)  # type: ignore[no-untyped-call]
        self.there = True

    def finish(self) -> None:
        """What was shown is never left as it was; where nothing was begun, the error says all."""
        if self.there or summary(self.progress):
            self.draw()


class Waiting(Area):
    """Of a verb that says nothing on its way: that it works, and how long it took, where it takes long."""

    def finish(self) -> None:
        if self.there:
            self.draw()


def wait(verb: Verb, call: Call, *, quiet: bool) -> Any:
    """Carry out one of the `SILENT` verbs; its result is shown besides."""
    with nullcontext() if quiet else Waiting(Progress(verb.name, subject(call))):
        return verb.function(*call.arguments, **call.options)


def run(verb: Verb, call: Call, *, quiet: bool) -> Any:
    """Carry out a verb that accepts `progress`; its area is its output."""
    if quiet:
        return verb.function(*call.arguments, **call.options)
    with Area(Progress(verb.name, subject(call))) as listener:
        return verb.function(*call.arguments, **call.options, progress=listener)
