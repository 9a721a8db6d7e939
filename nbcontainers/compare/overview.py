"""A comparison at a glance: a row an axis, a column a target, in each cell how much slower or faster it is, if that can be said."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from nbcontainers.compare import statistics
from nbcontainers.compare.report import Figure
from nbcontainers.compare.rounds import AGAIN, Row
from nbcontainers.table import BORDER, GREEN, MONOSPACE, RED, pad, plain, safe, tint, width

if TYPE_CHECKING:
    from nbcontainers.compare.comparison import Comparison

WIDTH = 100
"""Columns of the terminal that texts are made for."""
_CELL = 13
_MANY = 3
_TD = "padding:3px 6px;border:0;white-space:nowrap;text-align:"
_NONE = "none found"
_WORDS = {"MiB": ("more", "less"), "instances": ("fewer", "more")}


def legend(seen: Comparison, *, brief: bool) -> str:
    """What the words of the overview mean."""
    none = f"{_NONE} (≤ 5 %)"
    return (
        f"difference to {seen.label(seen.base)}, by axis. {_brief(none) if brief else none}: no difference found, it could be up to 5 %. "
        "noise: how far apart two runs of the same target were; nothing below it is called a difference"
    )


def short(row: Row) -> str:
    """The verdict in two words."""
    if row["differs"]:
        return effect(row, row["ratio"])
    if row["up_to"] is not None:
        return f"{_NONE} (≤ {_sign(statistics.part(row['up_to']))})"
    return "too few rounds"


def effect(row: Row, ratio: float) -> str:
    """How large it is, in the words of what is measured: time and rates are slower or faster, memory is more or less."""
    worse, better = _WORDS.get(row["unit"], ("slower", "faster"))
    return f"{_sign(statistics.times(max(ratio, 1 / ratio)))} {worse if ratio > 1 else better}"


def _sign(words: str) -> str:
    return words.replace(" times", "×")


def noise(seen: Comparison, axis: str) -> str:
    """The band of an axis: `± 3.1 %`, `≤ 18×`."""
    band = seen.bands(axis)
    if band is None:
        return "unknown"
    return f"± {statistics.part(band - 1)}" if band < 2 else f"≤ {_sign(statistics.times(band))}"


def text(seen: Comparison) -> str:
    """In blocks of as many targets as 100 columns hold."""
    others = _others(seen)
    first = max([4, *(len(axis) for axis in seen.axes)]) + 2
    many = max(1, (WIDTH - first - 9) // (_CELL + 2))
    blocks = [others[start : start + many] for start in range(0, len(others), many)]
    return "\n\n".join(_block(seen, block) for block in blocks)


def _block(seen: Comparison, targets: Sequence[str]) -> str:
    heads = [
        ["axis"],
        ["noise"],
        *(textwrap.wrap(plain(seen.label(target)), _CELL) for target in targets),
    ]
    above = zip_longest(*map(reversed, heads), fillvalue="")
    rows = [[axis, noise(seen, axis), *(_brief(cell(seen, axis, target)) for target in targets)] for axis in seen.axes]
    return "\n".join(aligned([*reversed([*above]), *rows]))


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Lines of columns, two spaces apart; those of the numbers `right` end below each other."""
    rows = [[plain(one) for one in row] for row in rows]
    widths = [max(map(width, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(_padded(one, wide, at in right) for at, (one, wide) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in rows]  # fmt: skip


def _padded(shown: str, wide: int, right: bool) -> str:
    return " " * (wide - width(shown)) + shown if right else pad(shown, wide)


def _brief(words: str) -> str:
    """For a column of 13: of the words of `short`."""
    if words.startswith(_NONE):
        return words.removeprefix(f"{_NONE} (").removesuffix(")")
    return words.removesuffix(" rounds")


def many(seen: Comparison) -> bool:
    """Whether there are so many targets that a cell's width has only room for brief words."""
    return len(_others(seen)) > _MANY


def html(seen: Comparison) -> str:
    others = _others(seen)
    titles = ("axis", "noise", *map(seen.label, others))
    head = "".join(
        f'<th style="{_TD}{"left" if place == 0 else "center"};white-space:normal;vertical-align:bottom;font-weight:600;'
        f'border-bottom:1px solid {BORDER}">{safe(title)}</th>'
        for place, title in enumerate(titles)
    )
    body = "".join(f'<tr style="background:none">{"".join(_cells(seen, axis, others))}</tr>' for axis in seen.axes)
    return (
        f'<div style="overflow-x: auto;"><table style="border-collapse: separate; border-spacing: 2px; border: 0; margin: 6px 0; '
        f'font-size: 12.5px; font-variant-numeric: tabular-nums;"><thead><tr style="background:none">{head}</tr></thead>'
        f'<tbody style="font-family: {MONOSPACE};">{body}</tbody></table></div>'
    )


def _cells(seen: Comparison, axis: str, targets: Sequence[str]) -> Iterator[str]:
    yield f'<td style="{_TD}left">{safe(axis)}</td>'
    yield f'<td style="{_TD}center;opacity:.75">{safe(noise(seen, axis))}</td>'
    for target in targets:
        words = cell(seen, axis, target)
        shown = safe(_brief(words) if many(seen) else words)
        yield f'<td style="{_TD}center;{_ground(_row(seen, axis, target))}">{shown}</td>'


def _ground(row: Row | None) -> str:
    """The more it differs, the more of the colour; what is no difference has none."""
    if row is None or not row["differs"]:
        return "opacity:.75"
    percent = min(40, 10 + round(12 * abs(math.log10(row["ratio"]))))
    return f"border-radius: 4px; {tint(RED if row['ratio'] > 1 else GREEN, percent)}"


def cell(seen: Comparison, axis: str, target: str) -> str:
    row, first = _row(seen, axis, target), _row(seen, axis, seen.base)
    if row is None:
        return "absent"
    if first is None:
        return "not compared"
    if row["rounds"] == 1 and first["rounds"] == 1:  # a trial, and not a round's
        cost, base = (Figure(one["median"], one["unit"]).cost for one in (row, first))
        return f"{effect(row, cost / base)}, once"
    return short(row)


def _row(seen: Comparison, axis: str, target: str) -> Row | None:
    return next((row for row in seen.rows if row["axis"] == axis and row["target"] == target), None)


def _others(seen: Comparison) -> list[str]:
    return [lane for lane in seen.lanes if lane != seen.base and not lane.endswith(AGAIN)]
