"""Every figure of a comparison: a block an axis, a line a target, with the intervals of its median and of its ratio."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from nbcontainers.compare import overview, workload
from nbcontainers.compare.overview import WIDTH, aligned
from nbcontainers.compare.report import LESS
from nbcontainers.compare.rounds import AGAIN, Row
from nbcontainers.table import BORDER, MONOSPACE, SHOWN_ROWS, plain, safe

if TYPE_CHECKING:
    from nbcontainers.compare.comparison import Comparison

_TD = "padding:2px 12px 2px 0;border:0;white-space:nowrap;text-align:"
"""Short, for there is one a cell."""
_TIMES = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_WHAT = {axis.name: axis.what for axis in workload.AXES} | {
    workload.START: "what the target itself takes before and after the work",
    workload.CELL: "the cell, by its own clock",
}
_INTERVAL = "95 % interval"


class Unit(NamedTuple):
    """In which the figures of an axis are shown: a value is multiplied by `factor`."""

    name: str
    factor: float = 1.0
    less: bool = True
    """Whether less is better."""

    @property
    def words(self) -> str:
        return f"{self.name}, {'less' if self.less else 'more'} is better"


def unit(seen: Comparison, axis: str) -> Unit:
    """That in which the first target's median has one to three digits before the point."""
    rows = [row for row in seen.rows if row["axis"] == axis]
    given, first = rows[0]["unit"], abs(rows[0]["median"])
    if given in _TIMES:
        seconds = first * _TIMES[given]
        name = max((name for name in _TIMES if _TIMES[name] <= seconds), key=lambda name: _TIMES[name], default="ns")
        return Unit(name, _TIMES[given] / _TIMES[name])
    if given == "MiB/s" and first >= 1000:
        return Unit("GiB/s", 1 / 1024, False)
    return Unit(given, 1.0, given in LESS)


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ratio(value: float) -> str:
    """Three digits; what is far below 1 as a fraction: `1.02`, `0.97`, `1/99`."""
    return f"1/{number(1 / value)}" if value < 0.2 else number(value)


def title(seen: Comparison, axis: str) -> str:
    """What it is, in which unit, and its noise."""
    what = f": {_WHAT[axis]}" if axis in _WHAT else ""
    return f"{axis}{what} ({unit(seen, axis).words}; noise {overview.noise(seen, axis)})"


def cells(seen: Comparison, row: Row) -> tuple[str, ...]:
    """Target, rounds, median, its interval, ratio, its interval, what can be said."""
    factor = unit(seen, row["axis"]).factor
    span = "" if row["low"] is None else f"{number(row['low'] * factor)} … {number(row['high'] * factor)}"
    times, around = "", ""
    if row["ratio"] is not None:
        times, around = ratio(row["ratio"]), f"{ratio(row['ratio_low'])} … {ratio(row['ratio_high'])}"
    return (
        seen.label(row["target"]),
        str(row["rounds"]),
        number(row["median"] * factor),
        span,
        times,
        around,
        said(seen, row),
    )


def said(seen: Comparison, row: Row) -> str:
    if row["target"] == seen.base:
        return "compared with"
    if row["target"].endswith(AGAIN):
        return "the same again"
    return overview.cell(seen, row["axis"], row["target"])


def heads(seen: Comparison) -> tuple[str, ...]:
    return ("target", "n", "median", _INTERVAL, f"× {seen.label(seen.base)}", _INTERVAL, "difference")


def outliers(seen: Comparison, axis: str) -> str:
    """Whose samples are far from the others."""
    found = [
        f"{seen.label(row['target'])} {row['outliers']}" for row in seen.rows if row["axis"] == axis and row["outliers"]
    ]
    return f"outliers, kept: {', '.join(found)}" if found else ""


def text(seen: Comparison) -> str:
    blocks = [(axis, [cells(seen, row) for row in seen.rows if row["axis"] == axis]) for axis in seen.axes]
    lines = iter(aligned([heads(seen), *(row for _, rows in blocks for row in rows)], right=(1, 2, 3, 4, 5)))
    found = [next(lines)]
    for axis, rows in blocks:
        found += ["", *textwrap.wrap(plain(title(seen, axis)), WIDTH)]
        found += [next(lines) for _ in rows]
        found += textwrap.wrap(plain(outliers(seen, axis)), WIDTH)
    return "\n".join(found)


def html(seen: Comparison) -> str:
    head = "".join(
        f'<th style="{_TD}{side};border-bottom:1px solid {BORDER};font-weight:600">{safe(name)}</th>'
        for name, side in zip(heads(seen), _SIDES, strict=True)
    )
    body: list[str] = []
    shown = 0
    for axis in seen.axes:
        if shown >= SHOWN_ROWS:
            break
        rows = [row for row in seen.rows if row["axis"] == axis]
        body += _block(seen, axis, rows)
        shown += len(rows)
    left = len(seen.rows) - shown
    more = f'<div style="opacity:.75;font-size:12px">… {left} more; .table() has all</div>' if left > 0 else ""
    return (
        f'<div style="overflow-x: auto;"><table style="border-collapse: collapse; border: 0; margin: 6px 0; font-size: 12.5px; '
        f'font-variant-numeric: tabular-nums;"><thead><tr style="background:none">{head}</tr></thead>'
        f'<tbody style="font-family: {MONOSPACE};">{"".join(body)}</tbody></table></div>{more}'
    )


_SIDES = ("left", "right", "right", "right", "right", "right", "left")


def _block(seen: Comparison, axis: str, rows: list[Row]) -> Iterator[str]:
    yield f'<tr style="background:none"><td colspan="7" style="{_TD}left;padding-top:8px;font-weight:600">{safe(title(seen, axis))}</td></tr>'
    for row in rows:
        grey = "" if row["differs"] or row["target"] == seen.base else ";opacity:.75"
        told = "".join(
            f'<td style="{_TD}{side}">{safe(one)}</td>' for one, side in zip(cells(seen, row), _SIDES, strict=True)
        )
        yield f'<tr style="background:none{grey}">{told}</tr>'
    if far := outliers(seen, axis):
        yield f'<tr style="background:none"><td colspan="7" style="{_TD}left;opacity:.75">{safe(far)}</td></tr>'
