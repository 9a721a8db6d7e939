"""Colours that programs write into their output (ECMA-48, SGR), shown safely: nothing else of a terminal's language passes.

Of a line colours and weights stay: in text as they are, with a reset at the end; in HTML as spans of colours that are
readable on light and dark. What would move the cursor, set titles, hide or overwrite text is shown as an escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from nbcontainers.table import ink, plain

_SGR = re.compile(r"\x1b\[([0-9;:]{0,60})m")
_RESET = "\x1b[0m"
_NAMED = ("#8b949e", "#d1434b", "#2a9d4a", "#b58900", "#4493f8", "#b55fcf", "#1b9aaa", "")
"""The eight colours; white is the front end's own."""
_WEIGHTS = {1: "font-weight: 600", 2: "opacity: .7", 3: "font-style: italic", 4: "text-decoration: underline",
            9: "text-decoration: line-through"}  # fmt: skip
_ENDS = {22: (1, 2), 23: (3,), 24: (4,), 29: (9,)}
_GREY = 48
"""Steps between its parts below which a colour counts as grey."""


class Style(NamedTuple):
    """Of a piece of text: colours (of `_NAMED`; None is none) and weights by their numbers."""

    colour: int | None = None
    ground: int | None = None
    weights: frozenset[int] = frozenset()

    @property
    def css(self) -> str:
        """Inline style; "" for plain text."""
        found = [_WEIGHTS[number] for number in sorted(self.weights)]
        if self.ground is not None and _NAMED[self.ground]:
            found.append(f"background: {_NAMED[self.ground]}; color: #000")
        elif self.colour is not None and _NAMED[self.colour]:
            found.append(f"color: {ink(_NAMED[self.colour])}")
        return "; ".join(found)


def text(line: str) -> str:
    """The line for a terminal."""
    if "\x1b" not in line:
        return _safe(line)
    parts = _SGR.split(line)
    shown = "".join(f"\x1b[{part}m" if number % 2 else _safe(part) for number, part in enumerate(parts))
    return shown + _RESET if len(parts) > 1 else shown


def html(line: str) -> str:
    """The line as HTML."""
    if "\x1b" not in line:
        return escape(_safe(line))
    return "".join(
        f'<span style="{style.css}">{escape(_safe(piece))}</span>' if style.css else escape(_safe(piece))
        for style, piece in pieces(line)
    )


def pieces(line: str) -> Iterator[tuple[Style, str]]:
    """Text with its style, without the sequences that set it."""
    style = Style()
    for number, part in enumerate(_SGR.split(line)):
        if number % 2:
            style = _set(style, part)
        elif part:
            yield style, part


def _safe(line: str) -> str:
    return "\t".join(map(plain, line.split("\t")))


def _set(style: Style, parameters: str) -> Style:
    numbers = [int(part or 0) for part in re.split("[;:]", parameters)]
    while numbers:
        style, numbers = _one(style, numbers[0], numbers[1:])
    return style


def _one(style: Style, code: int, rest: list[int]) -> tuple[Style, list[int]]:
    """One parameter, and what is left of those behind it."""
    if code == 0:
        return Style(), rest
    if code in _WEIGHTS:
        return style._replace(weights=style.weights | {code}), rest
    if code in _ENDS:
        return style._replace(weights=style.weights - set(_ENDS[code])), rest
    if code in (38, 48):
        colour, rest = _extended(rest)
        return (style._replace(colour=colour) if code == 38 else style._replace(ground=colour)), rest
    if code == 39:
        return style._replace(colour=None), rest
    if code == 49:
        return style._replace(ground=None), rest
    if code % 10 < 8 and code // 10 in (3, 9):
        return style._replace(colour=code % 10), rest
    if code % 10 < 8 and code // 10 in (4, 10):
        return style._replace(ground=code % 10), rest
    return style, rest


def _extended(rest: list[int]) -> tuple[int | None, list[int]]:
    """`5;N` of 256 colours, or `2;R;G;B`: the nearest of the eight, so that no text can be hidden."""
    if rest[:1] == [5] and len(rest) > 1:
        return _of_256(rest[1]), rest[2:]
    if rest[:1] == [2] and len(rest) > 3:
        return _nearest(*rest[1:4]), rest[4:]
    return None, []


def _of_256(number: int) -> int | None:
    if number < 16:
        return number % 8
    if number > 231:
        return None
    return _nearest(*(0 if part == 0 else 55 + 40 * part for part in ((number - 16) // 36, (number - 16) // 6 % 6,
                                                                     (number - 16) % 6)))  # fmt: skip


def _nearest(red: int, green: int, blue: int) -> int | None:
    """Which parts are strong; the eight colours are numbered by that. None for a grey."""
    low, high = min(red, green, blue), max(red, green, blue)
    if high - low < _GREY:
        return None
    middle = (low + high) / 2
    return (red > middle) + 2 * (green > middle) + 4 * (blue > middle)
