"""A comparison as a picture: for each axis the ratios to the first target, a dot for the median, a line for its interval, a
faint dot for each round (a ring for an outlier); grey is the band within which two runs of the same target differ, and what
cannot be told apart from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from nbcontainers.compare import details
from nbcontainers.compare.rounds import Row
from nbcontainers.table import BLUE, GREEN, GREY, MONOSPACE, RED, safe

if TYPE_CHECKING:
    from nbcontainers.compare.comparison import Comparison

_LEFT, _WIDTH, _RIGHT, _LINE, _GAP, _TOP, _FOOT = 190, 440, 170, 17, 10, 22, 42
_LEAST = 640
"""Narrower than this the picture is moved sideways and not made smaller: its words stay readable."""
_MOST = 5000.0
_MOST_ROWS = 130
"""A cell's output has its limits."""
_NEAR = 0.1
"""Up to about this far from 1 the scale is that of the logarithm."""
_STEPS = (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 30, 100, 300, 1000, 3000)
_FADED = 'opacity=".75"'


class Scale(NamedTuple):
    """From a ratio to a place: about as its logarithm near 1, and ever more closely together far from it, so that 2 % can
    be seen beside 1000 times. What is beyond the ends lies on them."""

    low: float
    high: float

    def at(self, ratio: float) -> float:
        low, here, high = (math.asinh(math.log(one) / _NEAR) for one in (self.low, ratio, self.high))
        return _LEFT + _WIDTH * min(1.0, max(0.0, (here - low) / (high - low)))


def svg(seen: Comparison) -> str:
    """Nothing where there is nothing to compare. Presentation attributes only, colours of the front end."""
    groups = [(axis, rows) for axis in seen.axes if (rows := _compared(seen, axis))]
    if not groups or len(seen.lanes) < 3:
        return ""
    left = len(groups)
    groups = groups[: max(1, _MOST_ROWS // len(groups[0][1]))]
    left -= len(groups)
    scale = _scale(seen, groups)
    body: list[str] = []
    top = float(_TOP)
    for axis, rows in groups:
        body += _group(seen, axis, rows, scale, top)
        top += _LINE * (len(rows) + 1) + _GAP
    more = f'<div style="opacity: .75; font-size: 12px;">… {left} axes more; .table() has all</div>' if left else ""
    width, height = _LEFT + _WIDTH + _RIGHT, top + _FOOT
    what = f"ratios to {seen.label(seen.base)}, with intervals and the band of two runs of the same"
    return (
        f'<div style="overflow-x: auto;"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" '
        f'width="{width}" height="{height:.0f}" role="img" aria-label="{safe(what)}" fill="currentColor" '
        f'style="max-width: 100%; min-width: {_LEAST}px; height: auto; margin: 8px 0; font: 11px {MONOSPACE};">\n'
        + "\n".join([*_ticks(scale, top), *body, *_legend(top + 36)])
        + f"\n</svg></div>{more}"
    )


def _compared(seen: Comparison, axis: str) -> list[Row]:
    return [row for row in seen.rows if row["axis"] == axis and row["ratio"] is not None]


def _scale(seen: Comparison, groups: Sequence[tuple[str, list[Row]]]) -> Scale:
    """1 is always seen, and a twentieth on either side; every round too, unless it is off by thousands."""
    rows = [row for _, found in groups for row in found]
    every = [one for row in rows for one in seen.ratios(row["axis"], row["target"])]
    bands = [band for axis, _ in groups if (band := seen.bands(axis))]
    low = min([0.95, *every, *(row["ratio_low"] for row in rows), *(1 / band for band in bands)])
    high = max([1.05, *every, *(row["ratio_high"] for row in rows), *bands])
    return Scale(max(low / 1.02, 1 / _MOST), min(high * 1.02, _MOST))


def _ticks(scale: Scale, bottom: float) -> Iterator[str]:
    """Lines at round ratios, as many as there is room for, and what they mean."""
    yield f'<text x="{_LEFT}" y="11" {_FADED}>← faster</text>'
    yield f'<text x="{_LEFT + _WIDTH}" y="11" text-anchor="end" {_FADED}>slower →</text>'
    yield f'<text x="{_LEFT + _WIDTH + 10}" y="11" {_FADED}>ratio</text>'
    yield f'<text x="{_LEFT + _WIDTH + 76}" y="11" {_FADED}>median</text>'
    right, here = -math.inf, scale.at(1.0)
    for ratio in sorted([1.0, *_STEPS, *(1 / step for step in _STEPS)]):
        place, words = scale.at(ratio), _times(ratio)
        half = 3.4 * len(words)
        if not scale.low <= ratio <= scale.high or place - half < right + 6:
            continue
        if ratio != 1.0 and abs(place - here) < half + 20:
            continue
        right = place + half
        strong = ".6" if ratio == 1.0 else ".18"
        yield (
            f'<line x1="{place:.1f}" y1="{_TOP - 6}" x2="{place:.1f}" y2="{bottom:.1f}" stroke="currentColor" '
            f'stroke-opacity="{strong}"/>'
        )
        yield f'<text x="{place:.1f}" y="{bottom + 14:.1f}" text-anchor="middle" {_FADED}>{words}</text>'


def _times(ratio: float) -> str:
    return f"×{ratio:.3g}" if ratio >= 1 else f"×1/{1 / ratio:.3g}"


def _legend(y: float) -> Iterator[str]:
    """What the marks mean; every one is drawn as it is above."""
    dot = f'<circle cx="{{x}}" cy="{y - 4:.1f}" r="4.2" fill="{GREY}"/>'
    line = f'<line x1="{{x}}" y1="{y - 4:.1f}" x2="{{end}}" y2="{y - 4:.1f}" stroke="{GREY}" stroke-width="2"/>'
    one = f'<circle cx="{{x}}" cy="{y - 4:.1f}" r="2.5" fill="{BLUE}" fill-opacity=".5"/>'
    ring = f'<circle cx="{{x}}" cy="{y - 4:.1f}" r="3" fill="none" stroke="{BLUE}"/>'
    box = f'<rect x="{{x}}" y="{y - 11:.1f}" width="14" height="13" fill="{GREY}" fill-opacity=".25"/>'
    said = ((dot, "median ratio", 12), (line, "95 % interval", 26), (one, "a round", 9), (ring, "outlier", 9),
            (box, "noise", 20))  # fmt: skip
    x = 6.0
    for mark, words, room in said:
        yield mark.format(x=x, end=x + 20)
        yield f'<text x="{x + room:.1f}" y="{y:.1f}" {_FADED}>{words}</text>'
        x += room + 6.7 * len(words) + 14
    yield f'<text x="{x:.1f}" y="{y:.1f}" {_FADED}>red slower, green faster, grey none found</text>'


def _group(seen: Comparison, axis: str, rows: Sequence[Row], scale: Scale, top: float) -> Iterator[str]:
    """An axis: its name and the first target's figure, its band, a line for each of the others."""
    unit = details.unit(seen, axis)
    first = next(row for row in seen.rows if row["axis"] == axis and row["target"] == seen.base)
    yield f'<text x="0" y="{top + 12:.1f}" font-weight="600">{safe(axis)}</text>'
    yield f'<text x="{_LEFT + _WIDTH + 76}" y="{top + 12:.1f}">{details.number(first["median"] * unit.factor)} {safe(unit.name)}</text>'
    top += _LINE
    yield from _band(seen, axis, scale, top, _LINE * len(rows))
    for number, row in enumerate(rows):
        yield from _row(seen, row, scale, top + _LINE * (number + 0.5), unit)


def _band(seen: Comparison, axis: str, scale: Scale, top: float, height: float) -> Iterator[str]:
    if (band := seen.bands(axis)) is None:
        return
    left, right = scale.at(1 / band), scale.at(band)
    yield (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(1.0, right - left):.1f}" height="{height:.1f}" fill="{GREY}" '
        f'fill-opacity=".25"><title>{safe(axis)}: two runs of the same differ by up to {band - 1:.1%}</title></rect>'
    )


def _row(seen: Comparison, row: Row, scale: Scale, y: float, unit: details.Unit) -> Iterator[str]:
    colour = GREY if not row["differs"] else RED if row["ratio"] > 1 else GREEN
    faded = "" if row["differs"] else _FADED
    yield f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end" {faded}>{safe(seen.label(row["target"]))}</text>'
    yield from _rounds(seen, row, scale, y)
    low, high = scale.at(row["ratio_low"]), scale.at(row["ratio_high"])
    yield f'<line x1="{low:.1f}" y1="{y:.1f}" x2="{high:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>'
    yield (
        f'<circle cx="{scale.at(row["ratio"]):.1f}" cy="{y:.1f}" r="4.2" fill="{colour}">'
        f"<title>{safe(seen.label(row['target']))}: {safe(row['verdict'])}</title></circle>"
    )
    x, strong = _LEFT + _WIDTH + 10, ' font-weight="600"' if row["differs"] else f" {_FADED}"
    yield f'<text x="{x}" y="{y + 4:.1f}"{strong}>{details.ratio(row["ratio"])}</text>'
    shown = f"{details.number(row['median'] * unit.factor)} {unit.name}"
    yield f'<text x="{x + 66}" y="{y + 4:.1f}" {_FADED}>{safe(shown)}</text>'


def _rounds(seen: Comparison, row: Row, scale: Scale, y: float) -> Iterator[str]:
    """A dot each, in one path; those of outliers are rings."""
    places = [round(scale.at(ratio), 1) for ratio in seen.ratios(row["axis"], row["target"], outliers=False)]
    steps = "".join(f"m{there - here:.1f} 0h0" for here, there in pairwise(places))
    if places:
        yield (
            f'<path d="M{places[0]} {y:.1f}h0{steps}" stroke="{BLUE}" stroke-opacity=".5" stroke-width="5" '
            f'stroke-linecap="round"/>'
        )
    for ratio in seen.ratios(row["axis"], row["target"], outliers=True):
        yield f'<circle cx="{scale.at(ratio):.1f}" cy="{y:.1f}" r="3" fill="none" stroke="{BLUE}"/>'
