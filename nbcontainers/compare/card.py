"""A comparison in words and as HTML: the verdicts, the picture, what is absent, and the conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from nbcontainers.compare import figure
from nbcontainers.compare.rounds import Row
from nbcontainers.table import (
    AMBER,
    AS_IT_IS,
    BORDER,
    MONOSPACE,
    SHOWN_ROWS,
    Column,
    Table,
    bytes_,
    ink,
    plain,
    safe,
)

if TYPE_CHECKING:
    from nbcontainers.compare.comparison import Comparison

_CELL = "padding:2px 14px 2px 0;border:0;white-space:nowrap;text-align:"
"""Short, for there is one a cell."""
_SMALL = "opacity: .75; font-size: 12px;"
_NOISY = 1.10
"""A band wider than this is said to be one."""


def text(seen: Comparison) -> str:
    lines = [heading(seen), *notes(seen), ""]
    rows = [dict(zip(("axis", "target", "median", "interval", "ratio", "verdict"), cells(seen, row), strict=True))
            for row in seen.rows]  # fmt: skip
    columns = [Column("axis"), Column("target"), Column("median"), Column("interval", "95 % INTERVAL"),
               Column("ratio", f"× {seen.label(seen.base).upper()}"), Column("verdict")]  # fmt: skip
    lines.append(Table(rows, columns).text())
    return "\n".join(
        [*map(plain, lines[:-1]), lines[-1], "", *(plain(f"{key}: {value}") for key, value in facts(seen))]
    )


def html(seen: Comparison) -> str:
    said = "".join(f'<div style="color: {ink(AMBER)};">{safe(note)}</div>' for note in notes(seen))
    facts_ = "".join(f"<div>{safe(key)}: {safe(value)}</div>" for key, value in facts(seen))
    return (
        f'<div {AS_IT_IS} style="font-size: 13px; max-width: 980px;"><div><b style="font-weight: 600;">'
        f"{safe(heading(seen))}</b></div>{said}{figure.svg(seen)}{_table(seen)}"
        f'<details style="{_SMALL}"><summary>conditions</summary>{facts_}</details></div>'
    )


def heading(seen: Comparison) -> str:
    return (
        f"{seen.workload} on {', '.join(seen.label(name) for name in seen.targets)}: image {seen.image}, {seen.limits}, "
        f"{seen.rounds} rounds, {seen.at[:19].replace('T', ' ')} UTC"
    )


def notes(seen: Comparison) -> Iterator[str]:
    """What a reader has to know before the figures."""
    for name, why in seen.absent.items():
        yield f"{name} is absent: {why}"
    for why in dict.fromkeys(seen.measured.without.values()):
        pairs = [pair for pair, reason in seen.measured.without.items() if reason == why]
        axes, targets = (", ".join(dict.fromkeys(names)) for names in
                         ((axis for _, axis in pairs), (seen.label(target) for target, _ in pairs)))  # fmt: skip
        yield f"{axes} on {targets} is absent: {why}"
    for lane, failures in seen.measured.lost.items():
        yield f"{seen.label(lane)}: {len(failures)} of {seen.rounds} executions failed; {failures[-1]}"
    for reason in seen.noise:
        yield f"noisy: {reason}"
    wide = [axis for axis in seen.axes if seen.bands(axis) > _NOISY and len(seen.lanes) > 1]
    if wide:
        yield f"two runs of the same target differ by more than {_NOISY - 1:.0%} on {', '.join(wide)}: look at the grey bands"


def cells(seen: Comparison, row: Row) -> tuple[str, ...]:
    unit = row["unit"]
    span = "" if row["low"] is None else f"{number(row['low'])} … {number(row['high'])}"
    times = "" if row["ratio"] is None else f"{row['ratio']:.3g} [{row['ratio_low']:.3g}, {row['ratio_high']:.3g}]"
    far = f"; {row['outliers']} outlier{'s' * (row['outliers'] != 1)} kept" if row["outliers"] else ""
    return (
        row["axis"], seen.label(row["target"]), f"{number(row['median'])} {unit}", span, times, row["verdict"] + far
    )  # fmt: skip


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def facts(seen: Comparison) -> Iterator[tuple[str, str]]:
    """The conditions, and how it was measured."""
    yield (
        "protocol",
        (
            f"{seen.rounds} rounds in random order (seed {seen.seed}), one execution a target before them not counted, "
            f"{seen.label(seen.base)} twice in each; medians, bootstrap intervals of about 95 %; ratios are paired in a round, "
            "above 1 is slower; a difference is said where the interval excludes 1 and the ratio is outside the band of A/A"
        ),
    )
    for target, told in seen.measured.facts.items():
        yield seen.label(target), ", ".join(f"{key} {value}" for key, value in told.items())
    yield "host", ", ".join(f"{key} {_said(key, value)}" for key, value in seen.conditions.items())
    yield "samples", ".to_pandas() has every one, outliers marked and kept"


def _said(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_said(name, one)}" for name, one in value.items()) + ")"
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key.endswith("_part"):
        return f"{value:.1%}"
    if key.endswith("_bytes"):
        return bytes_(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _left(seen: Comparison) -> str:
    left = len(seen.rows) - SHOWN_ROWS
    return f'<div style="{_SMALL}">… {left} more; .table() has all</div>' if left > 0 else ""


def _table(seen: Comparison) -> str:
    titles = ("axis", "target", "median", "95 % interval", f"× {seen.label(seen.base)}", "")
    sides = ("left", "left", "right", "right", "right", "left")
    head = "".join(
        f'<th style="{_CELL}{side}; border-bottom: 1px solid {BORDER}; font-weight: 600;">{safe(title)}</th>'
        for title, side in zip(titles, sides, strict=True)
    )
    body, before = [], ""
    for row in seen.rows[:SHOWN_ROWS]:
        grey = "" if row["differs"] or row["target"] == seen.base else "opacity: .7;"
        line = f"border-top: 1px solid {BORDER};" if row["axis"] != before else ""
        told = "".join(
            f'<td style="{_CELL}{side}">{escape(plain(one))}</td>'
            for one, side in zip(cells(seen, row), sides, strict=True)
        )
        body.append(f'<tr style="background: none; {grey} {line}">{told}</tr>')
        before = row["axis"]
    return (
        f'<table style="border-collapse: collapse; border: 0; margin: 6px 0; font-size: 12.5px; '
        f'font-variant-numeric: tabular-nums;"><thead><tr style="background: none;">{head}</tr></thead>'
        f'<tbody style="font-family: {MONOSPACE};">{"".join(body)}</tbody></table>{_left(seen)}'
    )
