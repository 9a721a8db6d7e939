"""A Dockerfile's text by lines, and errors that show the lines they are about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nbcontainers.errors import BuildError

SHOWN = 5
WIDTH = 120


@dataclass(frozen=True)
class Source:
    """`name` is what errors call the file; `lines` have no line ends. Lines are counted from 1."""

    name: str
    lines: tuple[str, ...]

    def error(self, message: str, first: int, last: int = 0, *, word: str = "", hint: str = "") -> BuildError:
        """A BuildError about the lines `first` to `last`, with `word` marked where it stands in them.

        Details for programs: `file`, `line`, `end_line`, and `column` (from 1, 0 when no word is marked).
        """
        last = max(first, last)
        row, column = self.find(word, first, last)
        shown = "\n".join(self.excerpt(first, last, row, column, len(word)))
        return BuildError(
            f"{self.name}:{row}: {message}" + (f"\n{shown}" if shown else ""),
            hint=hint, file=self.name, line=first, end_line=last, column=column,
        )  # fmt: skip

    def find(self, word: str, first: int, last: int) -> tuple[int, int]:
        """Line and column of `word` in these lines; (first, 0) when it does not stand there as it is."""
        if word:
            for number in range(first, min(last, len(self.lines)) + 1):
                at = self.lines[number - 1].find(word)
                if at >= 0:
                    return number, at + 1
        return first, 0

    def excerpt(self, first: int, last: int, row: int, column: int, length: int) -> list[str]:
        """The lines with their numbers and the mark below one of them; the middle of a long range is left out."""
        numbers = [number for number in range(first, last + 1) if number <= len(self.lines)]
        if len(numbers) > SHOWN:
            near = {*numbers[:2], row, *numbers[-1:]}
            numbers = [number for number in numbers if number in near]
        margin = len(str(last))
        shown: list[str] = []
        for before, number in zip([first - 1, *numbers], numbers, strict=False):
            if number > before + 1:
                shown.append(f"{'…':>{margin + 2}} |")
            text = self.lines[number - 1]
            start = max(0, column - WIDTH // 2) if number == row and len(text) > WIDTH else 0
            shown.append(f"{number:>{margin + 2}} | {printable(text[start : start + WIDTH])}".rstrip())
            if number == row:
                at, width = (column - 1 - start, length) if column else mark(text)
                shown.append(f"{'':>{margin + 2}} | {' ' * at}{'^' * max(1, min(width, WIDTH - at))}")
        return shown


def mark(text: str) -> tuple[int, int]:
    """Where a whole line is marked: from its first letter to its last."""
    bare = text.strip()
    return len(text) - len(text.lstrip()), len(bare)


def printable(text: str) -> str:
    """One column a character, whatever is in it."""
    return "".join(char if char.isprintable() else " " if char == "\t" else "�" for char in text)


def quoted(message: str) -> str:
    """The word that a message quotes first, which is what its line is marked at; '' for none."""
    parts = message.split("'", 2)
    return parts[1] if len(parts) == 3 else ""


def near(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` when a known word is close, else nothing."""
    from difflib import get_close_matches

    by_lower = {one.lower(): one for one in known}
    close = get_close_matches(word.lower(), by_lower, 1, 0.6)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""
