"""`%%image build`: the cell is the Dockerfile, and one display area shows it with the state of each instruction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

from IPython.core.display_functions import publish_display_data

from nbcontainers.builder import card
from nbcontainers.builder.progress import Progress
from nbcontainers.cli.build import subject
from nbcontainers.cli.parser import Call
from nbcontainers.cli.transfer import Show
from nbcontainers.cli.verbs import Verb
from nbcontainers.errors import InvalidArgument


class Area(Show[Progress]):
    """Draws a build into one display area of the cell that made it."""

    every: ClassVar[float] = 0.2

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self.id = uuid.uuid4().hex
        self.there = False

    def draw(self) -> None:
        publish_display_data(card.bundle(self.progress), transient={"display_id": self.id}, update=self.there)  # type: ignore[no-untyped-call]
        self.there = True

    def finish(self) -> None:
        """Where nothing was begun, the error says all."""
        if self.there or self.progress.lines:
            self.draw()


def run(verb: Verb, call: Call, cell: str | None, names: Mapping[str, Any], *, quiet: bool) -> Any:
    """Build; `names` are the notebook's variables, for --context-from."""
    options = dict(call.options)
    if cell is not None:
        if not cell.strip():
            raise InvalidArgument("the cell has no Dockerfile", hint="write FROM mini and what follows below the line")
        options["dockerfile"] = cell
    if name := options.get("context_from"):
        options["context_from"] = _files(name, names)
    if quiet:
        return verb.function(*call.arguments, **options)
    with Area(Progress(subject(call))) as listener:
        return verb.function(*call.arguments, **options, progress=listener)


def _files(name: Any, names: Mapping[str, Any]) -> Any:
    """The mapping of that name; a DataFrame alone is the file NAME.csv."""
    if not isinstance(name, str):
        return name
    if name not in names:
        raise InvalidArgument(
            f"--context-from: no variable is named {name!r}", hint="give it files by path first: {'a.txt': 'text'}"
        )
    found = names[name]
    return {f"{name}.csv": found} if hasattr(found, "to_csv") else found
