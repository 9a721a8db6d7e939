"""A transfer in a cell: its progress in one display area."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from nbcontainers.cli.parser import Call
from nbcontainers.cli.transfer import subject, summary
from nbcontainers.cli.verbs import Verb
from nbcontainers.image import card
from nbcontainers.image.progress import Progress
from nbcontainers.magics import area

SILENT = ("save", "import", "export", "commit", "verify")
"""Verbs that may take long and tell nothing meanwhile."""


class Area(area.Area[Progress]):
    """A transfer's."""

    def bundle(self) -> dict[str, str]:
        return card.bundle(self.progress)

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
