"""A comparison as a picture: for each axis the ratios to the first target, a dot for the median, a
line for its interval, a faint dot for each round; grey is the band within which two runs of the same target differ, and
what cannot be told apart from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nbcontainers.compare.rounds import Row
from nbcontainers.table import BLUE, GREEN, GREY, MONOSPACE, RED, safe

if TYPE_CHECKING:
    from nbcontainers.compare.comparison import Comparison

_LEFT, _WIDTH, _RIGHT, _LINE, _GAP, _TOP = 270, 520, 90, 17, 8, 26
_MOST = 5000.0
_NEAR = 0.1
"""Up to about this far from 1 the scale is that of the logarithm."""
_STEPS = (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 30, 100, 300, 1000)


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
    if not groups:
        return ""
    scale = _scale(seen, groups)
    body: list[str] = []
    top = float(_TOP)
    for axis, rows in groups:
        body += _band(seen, axis, scale, top, _LINE * len(rows))
        for number, row in enumerate(rows):
            body += _row(seen, row, scale, top + _LINE * number + _LINE / 2, first=number == 0)
        top += _LINE * len(rows) + _GAP
    body = [*_ticks(scale, top), *body]
    width, height = _LEFT + _WIDTH + _RIGHT, top + 22
    what = f"ratios to {seen.label(seen.base)}, with intervals and the band of two runs of the same"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" '
        f'role="img" aria-label="{safe(what)}" fill="currentColor" style="max-width: 100%; height: auto; '
        f'font: 11px {MONOSPACE};">\n' + "\n".join(body) + "\n</svg>"
    )


def _compared(seen: Comparison, axis: str) -> list[Row]:
    return [row for row in seen.rows if row["axis"] == axis and row["ratio"] is not None]


def _scale(seen: Comparison, groups: Sequence[tuple[str, list[Row]]]) -> Scale:
    """1 is always seen, and a twentieth on either side."""
    rows = [row for _, found in groups for row in found]
    low = min([0.95, *(row["ratio_low"] for row in rows), *(1 / seen.bands(axis) for axis, _ in groups)])
    high = max([1.05, *(row["ratio_high"] for row in rows), *(seen.bands(axis) for axis, _ in groups)])
    return Scale(max(low / 1.02, 1 / _MOST), min(high * 1.02, _MOST))


def _ticks(scale: Scale, bottom: float) -> Iterator[str]:
    """Lines at round ratios, as many as there is room for, and what they mean."""
    yield f'<text x="{_LEFT}" y="12" opacity=".75">← faster</text>'
    yield f'<text x="{_LEFT + _WIDTH}" y="12" text-anchor="end" opacity=".75">slower →</text>'
    last = -math.inf
    for ratio in sorted([1.0, *_STEPS, *(1 / step for step in _STEPS)]):
        place = scale.at(ratio)
        near = abs(place - scale.at(1.0)) < 40 and ratio != 1.0
        if not scale.low <= ratio <= scale.high or near or place - last < 44:
            continue
        last = place
        strong = ".6" if ratio == 1.0 else ".18"
        yield (
            f'<line x1="{place:.1f}" y1="{_TOP - 6}" x2="{place:.1f}" y2="{bottom:.1f}" stroke="currentColor" '
            f'stroke-opacity="{strong}"/>'
        )
        yield f'<text x="{place:.1f}" y="{bottom + 14:.1f}" text-anchor="middle" opacity=".75">{_times(ratio)}</text>'


def _times(ratio: float) -> str:
    return f"× {ratio:.3g}" if ratio >= 1 else f"× 1/{1 / ratio:.3g}"


def _band(seen: Comparison, axis: str, scale: Scale, top: float, height: float) -> Iterator[str]:
    band = seen.bands(axis)
    left, right = scale.at(1 / band), scale.at(band)
    yield (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(1.0, right - left):.1f}" height="{height:.1f}" fill="{GREY}" '
        f'fill-opacity=".25"><title>{safe(axis)}: two runs of the same differ by up to {band - 1:.1%}</title></rect>'
    )


def _row(seen: Comparison, row: Row, scale: Scale, y: float, *, first: bool) -> Iterator[str]:
    colour = GREY if not row["differs"] else RED if row["ratio"] > 1 else GREEN
    if row["differs"] is None:
        colour = GREY
    if first:
        yield f'<text x="0" y="{y + 4:.1f}" font-weight="600">{safe(row["axis"])}</text>'
    yield f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{safe(seen.label(row["target"]))}</text>'
    places = "".join(f"M{scale.at(ratio):.1f} {y:.1f}h0" for ratio in seen.ratios(row["axis"], row["target"]))
    yield f'<path d="{places}" stroke="{BLUE}" stroke-opacity=".4" stroke-width="5" stroke-linecap="round"/>'
    low, high = scale.at(row["ratio_low"]), scale.at(row["ratio_high"])
    yield f'<line x1="{low:.1f}" y1="{y:.1f}" x2="{high:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>'
    yield (
        f'<circle cx="{scale.at(row["ratio"]):.1f}" cy="{y:.1f}" r="4.2" fill="{colour}">'
        f"<title>{safe(seen.label(row['target']))}: {safe(row['verdict'])}</title></circle>"
    )
    yield f'<text x="{_LEFT + _WIDTH + 8}" y="{y + 4:.1f}">{_times(row["ratio"])}</text>'
