"""The log viewer: what a container wrote, of a million lines only those that are looked at."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from nbcontainers.container.container import Container, find
from nbcontainers.container.listing import LIVING
from nbcontainers.container.logindex import Index
from nbcontainers.container.pattern import Pattern
from nbcontainers.engine import default_engine
from nbcontainers.errors import NotFound
from nbcontainers.widgets.live import Binary, Gone, Live, action

MOST_CHARACTERS = 60_000
"""Of one answer; the page asks again for what is left."""
LONGEST_LINE = 8_000
MOST_FOUND = 20_000
_SLICE_S = 0.15


class Logs(Live):
    """By the id of a container, or else its name. Facts: `name`, `first` and `end` (numbers of records, see `Index`), `bytes`, `running`. Lines come on demand."""

    interval = 0.5

    def __init__(self, container: str, name: str = "") -> None:
        self.wanted = container
        self.instead = name
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._container: Container | None = None
        self._name = container
        self._search: tuple[tuple[str, bool, bool], Pattern] | None = None

    def look(self) -> dict[str, Any]:
        with self._lock:
            index = self._open()
            end = index.refresh()
            return {"name": self._name, "first": index.first, "end": end, "bytes": index.size, "running": self._runs()}

    def _open(self) -> Index:
        if self._index is None:
            try:
                self._container = self._find()
                self._name = self._container.name
                self._index = Index.of(self._container)
            except NotFound as error:
                raise Gone(error.message) from None
        return self._index

    def _find(self) -> Container:
        """The container, or the one that has its name now: a cell that is run again makes another."""
        try:
            return find(default_engine(), self.wanted)
        except NotFound:
            if not self.instead:
                raise
            return find(default_engine(), self.instead)

    def _runs(self) -> bool:
        try:
            return self._container is not None and self._container.status in LIVING
        except NotFound:  # removed; what it wrote is still open
            return False

    @action
    def lines(self, numbers: Sequence[int]) -> list[tuple[int, int, str, str]]:
        """Of records in rising order: number, 0 for stdout or 1 for stderr, time, text; as many as an answer may hold."""
        found: list[tuple[int, int, str, str]] = []
        size = 0
        with self._lock:
            index = self._open()
            for begin, end in runs(numbers):
                for line in index.lines(begin, end):
                    found.append((line["number"], int(line["stream"] == "stderr"), line["time"], shown(line["log"])))
                    size += len(found[-1][3]) + 60
                    if size > MOST_CHARACTERS:
                        return found
        return found

    @action(beside=True)
    def find(self, text: str, first: int, *, fixed: bool = True, ignore_case: bool = True, stream: str = "") -> Binary:
        """Which records from `first` on match, as 32-bit numbers; where to go on (`next`), None at the end (`end`)."""
        with self._lock:
            index = self._open()
            end = index.refresh()
        pattern = self._pattern(text, fixed, ignore_case)
        found = index.find(pattern, first, end, stream=stream, most=MOST_FOUND, seconds=_SLICE_S, lock=self._lock)
        return Binary({"next": found.next, "end": end}, [array("I", found.numbers).tobytes()])

    def _pattern(self, text: str, fixed: bool, ignore_case: bool) -> Pattern:
        asked = text, fixed, ignore_case
        if (search := self._search) is None or search[0] != asked:
            search = self._search = asked, Pattern(text, fixed=fixed, ignore_case=ignore_case)
        return search[1]

    def closed(self) -> None:
        with self._lock:
            if self._index is not None:
                self._index.close()
            self._index = None


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Rising numbers as stretches from, up to."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = found[-1][0], number + 1
        else:
            found.append((number, number + 1))
    return found


def shown(text: str) -> str:
    """A line without its end; a very long one is cut, and says so."""
    text = text.removesuffix("\n")
    left = len(text) - LONGEST_LINE
    return text if left <= 0 else f"{text[:LONGEST_LINE]} … {left} more characters"
