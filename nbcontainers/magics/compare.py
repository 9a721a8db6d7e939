"""`%%compare`: the cell is what every target runs; one display area says how far it is."""

from __future__ import annotations

import sys
import time
import uuid
from typing import Any

from IPython.core.display_functions import publish_display_data

from nbcontainers import widgets
from nbcontainers.cli import compare as line
from nbcontainers.cli.parser import Call
from nbcontainers.cli.verbs import Verb
from nbcontainers.errors import InvalidArgument

_EVERY_S = 0.5


class Area:
    """Words in one display area, changed at most twice a second; the last of them, how long it took, stay."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.begun = time.monotonic()
        self.shown = 0.0

    def tell(self, words: str) -> None:
        now = time.monotonic()
        if now - self.shown >= _EVERY_S:
            self._show(words, update=bool(self.shown))
            self.shown = now

    def end(self, words: str) -> None:
        if self.shown:
            self._show(f"{words} after {time.monotonic() - self.begun:.0f} s", update=True)

    def _show(self, words: str, *, update: bool) -> None:
        publish_display_data({"text/plain": words}, transient={"display_id": self.id}, update=update)  # type: ignore[no-untyped-call]


class Line:
    """The same on a terminal's last line, where nothing else can be changed in place; it goes at the end."""

    def tell(self, words: str) -> None:
        if sys.stderr.isatty():
            line.write(words)

    def end(self, words: str) -> None:
        self.tell("")


def run(verb: Verb, call: Call, cell: str | None) -> Any:
    """Carry out a verb that tells how far it is. What there is of one that was stopped is shown."""
    options = dict(call.options)
    if cell is not None:
        if not cell.strip():
            raise InvalidArgument(
                "the cell has nothing to run", hint="write a script below the line, or %compare run WORKLOAD"
            )
        if "script" in options:
            raise InvalidArgument("--script and a cell are two scripts", hint="leave --script out")
        options["script"] = cell
    area = Line() if widgets.kernel() is None else Area()
    try:
        result = verb.function(*call.arguments, **options, tell=area.tell)
    except BaseException as error:
        area.end("stopped")
        if (partial := getattr(error, "comparison", None)) is not None:
            publish_display_data(partial._repr_mimebundle_())  # type: ignore[no-untyped-call]
        raise
    area.end("done")
    return result
