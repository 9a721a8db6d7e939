"""What a terminal shows, as lines of text: the part of ECMA-48 and xterm's control sequences that moves and erases.

Colours, titles, links and questions to the terminal are left out; nothing is ever answered. For a saved notebook and
where no front end draws it (widgets/terminal.js does).
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Callable

HISTORY = 200
"""Lines above the screen that are kept."""
_STRING = r"[PX^_\]][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
_PART = re.compile(
    rf"(?P<text>[^\x00-\x1f\x7f-\x9f]+)|\x1b\[(?P<csi>[0-?]*[ -/]*[@-~])|\x1b{_STRING}|\x1b(?P<esc>[ -/]*[0-~])"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f-\x9f])|\x1b"
)
_DEC = dict(zip("`afgjklmnopqrstuvwxyz{|}~", "◆▒°±┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·", strict=True))
"""The line drawing set that `ESC ( 0` chooses."""


def width(letter: str) -> int:
    """Columns of a character: 0 for one that joins the one before, 2 for wide ones."""
    if letter < "\u0300":
        return 1
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


class Screen:
    """`feed` takes output, `lines` gives what it left: the last lines of history and the screen."""

    def __init__(self, rows: int = 24, columns: int = 80) -> None:
        self.rows, self.columns = max(1, rows), max(2, columns)
        self.history: deque[str] = deque(maxlen=HISTORY)
        self.reset()

    def reset(self) -> None:
        self.cells = [self._blank() for _ in range(self.rows)]
        self.main: list[list[str]] | None = None
        """The ordinary screen while a program has the other one."""
        self.row = self.column = 0
        self.saved = (0, 0)
        self.top, self.bottom = 0, self.rows - 1
        self.full = False
        """Whether the last column was written: the next letter begins a new line."""
        self.drawing = False
        self.last = " "

    def feed(self, data: bytes) -> None:
        for part in _PART.finditer(data.decode("utf-8", "replace")):
            kind, found = part.lastgroup, part.group(part.lastgroup or 0)
            if kind == "text":
                self._write(found)
            elif kind == "control":
                self._control(found)
            elif kind == "csi":
                self._sequence(found)
            elif kind == "esc":
                self._escape(found)

    def lines(self) -> list[str]:
        """Without the empty ones at the end."""
        shown = [*self.history, *("".join(cells).rstrip() for cells in self.cells)]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    # -- letters ---------------------------------------------------------------------------------------------------

    def _blank(self) -> list[str]:
        return [" "] * self.columns

    def _write(self, text: str) -> None:
        if self.drawing:
            text = "".join(_DEC.get(letter, letter) for letter in text)
        for letter in text:
            self._put(letter, width(letter))

    def _put(self, letter: str, columns: int) -> None:
        if columns == 0:
            at = max(0, self.column - (not self.full))
            self.cells[self.row][at] += letter
            return
        if self.full or self.column + columns > self.columns:
            self.column = 0
            self._down()
        self.full = False
        line = self.cells[self.row]
        line[self.column] = self.last = letter
        if columns == 2:
            line[self.column + 1] = ""
        self.column += columns
        if self.column >= self.columns:
            self.column, self.full = self.columns - 1, True

    def _control(self, letter: str) -> None:
        if letter in "\n\v\f":
            self._down()
        elif letter == "\r":
            self._move(column=0)
        elif letter == "\b":
            self._move(column=self.column - 1)
        elif letter == "\t":
            self._move(column=(self.column // 8 + 1) * 8)

    def _escape(self, found: str) -> None:
        if found == "c":
            self.reset()
        elif found == "7":
            self.saved = (self.row, self.column)
        elif found == "8":
            self._move(*self.saved)
        elif found == "M":
            self._up()
        elif found in ("D", "E"):
            self._down()
            self._move(column=0 if found == "E" else self.column)
        elif found in ("(0", "(B"):
            self.drawing = found == "(0"

    # -- where -----------------------------------------------------------------------------------------------------

    def _move(self, row: int | None = None, column: int | None = None) -> None:
        self.full = False
        self.row = min(max(self.row if row is None else row, 0), self.rows - 1)
        self.column = min(max(self.column if column is None else column, 0), self.columns - 1)

    def _down(self) -> None:
        self.full = False
        if self.row == self.bottom:
            self._scroll(1)
        else:
            self._move(row=self.row + 1)

    def _up(self) -> None:
        if self.row == self.top:
            self._insert(self.top, 1)
        else:
            self._move(row=self.row - 1)

    def _scroll(self, count: int) -> None:
        """The region goes up; what leaves the top of an ordinary screen is history."""
        for _ in range(min(count, self.rows)):
            line = self.cells.pop(self.top)
            if self.top == 0 and self.main is None:
                self.history.append("".join(line).rstrip())
            self.cells.insert(self.bottom, self._blank())

    def _insert(self, at: int, count: int) -> None:
        for _ in range(min(count, self.rows)):
            self.cells.pop(self.bottom)
            self.cells.insert(at, self._blank())

    def _delete(self, at: int, count: int) -> None:
        for _ in range(min(count, self.rows)):
            self.cells.pop(at)
            self.cells.insert(self.bottom, self._blank())

    # -- CSI -------------------------------------------------------------------------------------------------------

    def _sequence(self, found: str) -> None:
        last = found[-1]
        if found[0] in "<=>?":
            if found[0] == "?" and last in "hl":
                self._mode(found[1:-1].split(";"), on=last == "h")
            return
        numbers = [int(number) if number.isdecimal() else 0 for number in found[:-1].split(";")]
        if last in _MOVES:
            self._move(*_MOVES[last](self, max(1, numbers[0]), max(1, (numbers[1:] or [1])[0])))
        elif last in _EDITS:
            _EDITS[last](self, numbers[0])
        elif last == "r":
            self._region(numbers)

    def _mode(self, modes: list[str], *, on: bool) -> None:
        """The other screen, of full-screen programs."""
        if not {"47", "1047", "1049"} & set(modes) or on == (self.main is not None):
            return
        if on:
            self.main, self.saved = self.cells, (self.row, self.column)
            self.cells = [self._blank() for _ in range(self.rows)]
        elif self.main is not None:
            self.cells, self.main = self.main, None
            self.top, self.bottom = 0, self.rows - 1
            self._move(*self.saved)

    def _region(self, numbers: list[int]) -> None:
        top, bottom = numbers[0] or 1, (numbers[1:] or [0])[0] or self.rows
        if top < bottom <= self.rows:
            self.top, self.bottom = top - 1, bottom - 1
            self._move(0, 0)

    def _erase_screen(self, how: int) -> None:
        self._erase_line(how if how < 2 else 2)
        first, last = {0: (self.row + 1, self.rows), 1: (0, self.row)}.get(how, (0, self.rows))
        for row in range(first, last):
            self.cells[row] = self._blank()
        if how == 3:
            self.history.clear()

    def _erase_line(self, how: int) -> None:
        line = self.cells[self.row]
        first, last = {0: (self.column, self.columns), 1: (0, self.column + 1)}.get(how, (0, self.columns))
        line[first:last] = [" "] * (last - first)

    def _shift(self, count: int) -> None:
        """Letters go to the right of the cursor, or come from there."""
        line, count = self.cells[self.row], min(max(abs(count), 1) * (1 if count > 0 else -1), self.columns)
        rest = line[self.column :]
        rest = [" "] * count + rest if count > 0 else rest[-count:] + [" "] * -count
        line[self.column :] = rest[: self.columns - self.column]

    def _blank_out(self, count: int) -> None:
        last = min(self.column + max(1, count), self.columns)
        self.cells[self.row][self.column : last] = [" "] * (last - self.column)

    def _repeat(self, count: int) -> None:
        self._write(self.last * min(max(1, count), self.columns))


_Where = tuple[int | None, int | None]
_MOVES: dict[str, Callable[[Screen, int, int], _Where]] = {
    "A": lambda screen, n, _: (screen.row - n, None),
    "B": lambda screen, n, _: (screen.row + n, None),
    "e": lambda screen, n, _: (screen.row + n, None),
    "C": lambda screen, n, _: (None, screen.column + n),
    "a": lambda screen, n, _: (None, screen.column + n),
    "D": lambda screen, n, _: (None, screen.column - n),
    "E": lambda screen, n, _: (screen.row + n, 0),
    "F": lambda screen, n, _: (screen.row - n, 0),
    "G": lambda screen, n, _: (None, n - 1),
    "`": lambda screen, n, _: (None, n - 1),
    "d": lambda screen, n, _: (n - 1, None),
    "H": lambda screen, n, m: (n - 1, m - 1),
    "f": lambda screen, n, m: (n - 1, m - 1),
    "u": lambda screen, *_: screen.saved,
}
_EDITS: dict[str, Callable[[Screen, int], object]] = {
    "J": Screen._erase_screen,
    "K": Screen._erase_line,
    "L": lambda screen, n: screen._insert(screen.row, max(1, n)),
    "M": lambda screen, n: screen._delete(screen.row, max(1, n)),
    "S": lambda screen, n: screen._scroll(max(1, n)),
    "T": lambda screen, n: screen._insert(screen.top, max(1, n)),
    "@": lambda screen, n: screen._shift(max(1, n)),
    "P": lambda screen, n: screen._shift(-max(1, n)),
    "X": Screen._blank_out,
    "b": Screen._repeat,
    "s": lambda screen, _: setattr(screen, "saved", (screen.row, screen.column)),
}
