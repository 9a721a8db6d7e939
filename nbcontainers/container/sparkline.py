"""A minute, or a whole run, in the height of a line: as inline SVG and as text.

A line is a sequence of (seconds, value), oldest first; None is what was not measured, and leaves a gap. Its area goes
from zero to `top`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

Line = Sequence[tuple[float, float | None]]
WIDTH, HEIGHT = 220, 34
_BLOCKS = "▁▂▃▄▅▆▇█"
_TEXT_WIDTH = 24


class Frame(NamedTuple):
    """What a sparkline is drawn in: from when to when (seconds), and the highest value."""

    begin: float
    end: float
    top: float

    def x(self, moment: float) -> float:
        return round(WIDTH * (moment - self.begin) / (self.end - self.begin or 1.0), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - 1 - (HEIGHT - 3) * min(value / (self.top or 1.0), 1.0), 1)


def svg(
    lines: Sequence[tuple[Line, str]], frame: Frame, title: str, *, limit: tuple[float, str] | None = None,
    marks: Iterable[tuple[float, str]] = (), shades: Iterable[tuple[float, float, str]] = (),
) -> str:  # fmt: skip
    """`lines` with their colours, the first one filled; `limit` a dashed line across, `marks` upright ones at a time,
    `shades` behind from a time to a time, each with its colour. `title` says it in words."""
    parts = [
        f'<rect x="{frame.x(begin)}" y="0" width="{max(frame.x(end) - frame.x(begin), 1):.1f}" height="{HEIGHT}" '
        f'style="fill: {colour}; fill-opacity: .3; stroke: none;"></rect>'
        for begin, end, colour in shades
    ]
    for number, (line, colour) in enumerate(lines):
        parts += [_stroke(stretch, frame, colour, fill=number == 0) for stretch in _stretches(line)]
    if limit:
        y = frame.y(limit[0])
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{y}" y2="{y}" style="{_DASHED} stroke: {limit[1]};"></line>')
    for moment, colour in marks:
        x = frame.x(moment)
        parts.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{HEIGHT}" style="stroke: {colour}; stroke-width: 2;"></line>')
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" style="{_BOX}">{"".join(parts)}</svg>'
    )


_BOX = "display: block; overflow: hidden; border-bottom: 1px solid rgba(128, 128, 128, .35);"
_DASHED = "stroke-width: 1; stroke-dasharray: 4 3;"


def _stretches(line: Line) -> list[list[tuple[float, float]]]:
    """The parts of a line between its gaps."""
    found: list[list[tuple[float, float]]] = [[]]
    for moment, value in line:
        if value is not None:
            found[-1].append((moment, value))
        elif found[-1]:
            found.append([])
    return [stretch for stretch in found if stretch]


def _stroke(stretch: Sequence[tuple[float, float]], frame: Frame, colour: str, *, fill: bool) -> str:
    places = [(frame.x(moment), frame.y(value)) for moment, value in stretch]
    if len(places) == 1:
        x, y = places[0]
        return f'<circle cx="{min(max(x, 2), WIDTH - 2)}" cy="{y}" r="2" style="fill: {colour};"></circle>'
    path = " ".join(f"{x},{y}" for x, y in places)
    line = f'<polyline points="{path}" style="fill: none; stroke: {colour}; stroke-width: 1.5;"></polyline>'
    if not fill:
        return line
    area = f"{places[0][0]},{HEIGHT} {path} {places[-1][0]},{HEIGHT}"
    return f'<polygon points="{area}" style="fill: {colour}; fill-opacity: .18; stroke: none;"></polygon>{line}'


def text(line: Line, frame: Frame, width: int = _TEXT_WIDTH) -> str:
    """The highest value of each stretch of time as a block; a blank before the first, then as high as the last known."""
    cells: list[float | None] = [None] * width
    span = frame.end - frame.begin or 1.0
    for moment, value in line:
        at = min(max(int(width * (moment - frame.begin) / span), 0), width - 1)
        if value is not None:
            cells[at] = max(value, cells[at] or 0.0)
    shown, last = "", None
    for cell in cells:
        last = cell if cell is not None else last
        shown += " " if last is None else _block(last, frame.top)
    return shown


def _block(value: float, top: float) -> str:
    return _BLOCKS[min(round((len(_BLOCKS) - 1) * value / (top or 1.0)), len(_BLOCKS) - 1)]
