"""What lines of a log are searched for.

On one line of forty letters a regular expression as "(x+x+)+y" takes years, and `re` holds the interpreter's lock all
the while. So it works in a child of the launcher, which the stop button ends, and only for so long; plain text stays here.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from json import dumps
from typing import Any, NoReturn

from nbcontainers.errors import InvalidArgument
from nbcontainers.launcher import client

LONGEST_S = 5.0
"""Of processor time, for one piece of a log."""
_PIECE = 1 << 17
"""Characters: eight of the longest records."""
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_ESCAPE = rb"\u001b"
_SPECIAL = frozenset(r".^$*+?{}[]\|()")


class Pattern:
    """A regular expression of Python's, or with `fixed` the text itself; colours between the letters don't matter.
    Raises InvalidArgument for no regular expression."""

    def __init__(self, text: str, *, fixed: bool = False, ignore_case: bool = False) -> None:
        self.text = text
        self.ignore_case = ignore_case
        self.plain = fixed or _SPECIAL.isdisjoint(text)
        self._expression = compiled(re.escape(text) if self.plain else text, ignore_case=ignore_case)
        self._bytes = dumps(text)[1:-1].encode() if self.plain and not ignore_case else b""

    def may_match(self, record: bytes) -> bool:
        """Quicker than to read the record, or records."""
        return self._bytes in record or _ESCAPE in record

    def among(self, lines: Sequence[str]) -> list[int]:
        """Which of the lines match, by their places. Raises InvalidArgument where the expression takes too long."""
        lines = [_COLOURS.sub("", line) if "\x1b" in line else line for line in lines]
        if self.plain:
            return _matching(self._expression, lines)
        found: list[int] = []
        for begin, end in _pieces(lines):
            found += (begin + place for place in self._elsewhere(lines[begin:end]))
        return found

    def _elsewhere(self, lines: Sequence[str]) -> list[int]:
        return client.call(  # type: ignore[no-any-return]
            "nbcontainers.container.pattern:search",
            text=self.text, ignore_case=self.ignore_case, seconds=LONGEST_S, lines=lines,
        )  # fmt: skip


def compiled(text: str, *, ignore_case: bool) -> re.Pattern[str]:
    """Raises InvalidArgument."""
    try:
        return re.compile(text, re.IGNORECASE if ignore_case else 0)
    except (re.error, RecursionError, OverflowError) as error:
        hint = "add --fixed-strings to search for the text itself"
        raise InvalidArgument(f"--grep: {text!r} is no regular expression: {error}", hint=hint, option="grep") from None


def search(*, text: str, ignore_case: bool, seconds: float, lines: Sequence[str]) -> list[int]:
    """Of `Pattern.among`, in a process of its own, whose main thread `re` lets hear its signals."""

    def over(*signal: Any) -> NoReturn:
        hint = "add --fixed-strings (-F) to search for the text itself, or repeat nothing that has a repeat within"
        message = f"--grep: {text!r} takes longer than {seconds:g} s for some lines"
        raise InvalidArgument(message, hint=hint, option="grep")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return _matching(compiled(text, ignore_case=ignore_case), lines)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _matching(expression: re.Pattern[str], lines: Sequence[str]) -> list[int]:
    return [place for place, line in enumerate(lines) if expression.search(line)]


def _pieces(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """From, up to: as many lines as a piece has room for, or one."""
    begin = size = 0
    for end, line in enumerate(lines):
        if size and size + len(line) > _PIECE:
            yield begin, end
            begin, size = end, 0
        size += len(line)
    if begin < len(lines):
        yield begin, len(lines)
