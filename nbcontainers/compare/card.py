"""A comparison in words and as HTML: at a glance, the picture, every figure, what is absent, and the conditions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbcontainers.compare import details, figure, overview, statistics
from nbcontainers.compare.overview import WIDTH
from nbcontainers.compare.workload import START
from nbcontainers.table import AMBER, AS_IT_IS, bytes_, ink, plain, safe

if TYPE_CHECKING:
    from nbcontainers.compare.comparison import Comparison

_SMALL = "opacity: .75; font-size: 12px;"
_NOISY = 1.10
"""A band wider than this is said to be one."""
_LONGEST = 300
_NAMED = 3
"""Axes that the heading names; more of them it counts."""
_OPEN = 14
"""Rows that are shown at once below the picture; more of them are folded."""


def text(seen: Comparison) -> str:
    parts = [
        [heading(seen), *notes(seen)], overview.text(seen), [*legend(seen, brief=True)], details.text(seen),
        [f"{key}: {value}" for key, value in facts(seen)],
    ]  # fmt: skip
    return "\n\n".join(part if isinstance(part, str) else "\n".join(_wrapped(part)) for part in parts if part)


def _wrapped(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield from textwrap.wrap(plain(line), WIDTH, subsequent_indent="  ")


def html(seen: Comparison) -> str:
    said = "".join(f'<div style="color: {ink(AMBER)};">{safe(note)}</div>' for note in notes(seen))
    told = "".join(f'<div style="{_SMALL}">{safe(line)}</div>' for line in legend(seen, brief=overview.many(seen)))
    facts_ = "".join(f"<div><b>{safe(key)}</b>: {safe(value)}</div>" for key, value in facts(seen))
    unfolded = " open" if len(seen.rows) <= _OPEN else ""
    return (
        f'<div {AS_IT_IS} style="font-size: 13px; max-width: 1000px;"><div><b style="font-weight: 600;">'
        f"{safe(heading(seen))}</b></div>{said}{overview.html(seen)}{told}{figure.svg(seen)}"
        f"<details{unfolded}><summary>every figure: medians, intervals, ratios</summary>{details.html(seen)}</details>"
        f'<details style="{_SMALL}"><summary>how and under what conditions it was measured</summary>{facts_}</details></div>'
    )


def cut(why: str) -> str:
    """The beginning and the end of a reason: a kernel that does not boot says much between them."""
    return why if len(why) <= _LONGEST else f"{why[: _LONGEST * 2 // 3]} … {why[-_LONGEST // 3 :]}"


def heading(seen: Comparison) -> str:
    axes = [axis for axis in seen.axes if axis != START]
    what = ", ".join(axes) if len(axes) <= _NAMED else f"{len(axes)} workloads"
    return (
        f"{what or START} on {', '.join(seen.label(name) for name in seen.targets)}: image {seen.image}, {seen.limits}, "
        f"{seen.rounds} rounds, {seen.at[:19].replace('T', ' ')} UTC"
    )


def notes(seen: Comparison) -> Iterator[str]:
    """What a reader has to know before the figures."""
    if stopped := seen.conditions.get("stopped"):
        yield f"stopped: {stopped}"
    for name, why in seen.absent.items():
        yield f"{name} is absent: {cut(why)}"
    yield from _lacking(seen)
    for lane, failures in seen.measured.lost.items():
        yield f"{seen.label(lane)}: {len(failures)} of {seen.rounds} executions failed; {failures[-1]}"
    yield from _renamed(seen)
    if seen.noise:
        yield f"noisy: {'; '.join(seen.noise)}"
    wide = [axis for axis in seen.axes if (seen.bands(axis) or 0) > _NOISY]
    if wide:
        few = ", ".join(wide) if len(wide) < len(seen.axes) else "every axis"
        yield f"two runs of the same target differ by more than {_NOISY - 1:.0%} on {few}: smaller differences cannot be found"


def _lacking(seen: Comparison) -> Iterator[str]:
    """Axes that a target has not, or not in each round: a line a reason."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for pair, why in seen.measured.without.items():
        if lacks := seen.lacks(*pair):
            found.setdefault((lacks, why), []).append(pair)
    for (lacks, why), pairs in found.items():
        targets, axes = (dict.fromkeys(names) for names in zip(*pairs, strict=True))
        yield f"{', '.join(axes)} on {', '.join(map(seen.label, targets))} {lacks}: {why}"


def _renamed(seen: Comparison) -> Iterator[str]:
    """What is unequal, by the labels of its targets; one that is absent is not compared."""
    for words in seen.unequal:
        name = max((one for one in seen.targets if words.startswith(f"{one}: ")), key=len, default="")
        if name:
            yield f"{seen.label(name)}: {words.removeprefix(f'{name}: ')}"


def legend(seen: Comparison, *, brief: bool) -> Iterator[str]:
    """Below the overview: what its words mean."""
    if len(seen.targets) > 1:
        yield overview.legend(seen, brief=brief)


def facts(seen: Comparison) -> Iterator[tuple[str, str]]:
    """The conditions, and how it was measured."""
    yield (
        "protocol",
        (
            f"{seen.rounds} rounds in random order (seed {seen.seed}), one execution a target before them not counted, "
            f"{seen.label(seen.base)} twice in each; medians, bootstrap intervals of about 95 %; ratios are paired in a round, "
            "above 1 is slower; a difference is said where the ratio is outside the noise, which is the ratio of the two "
            "runs of the same, and the intervals of the ratios to both of these runs exclude 1; "
            f"{statistics.together(seen.verdicts, seen.rounds)}"
        ),
    )
    for target, told in seen.measured.facts.items():
        yield seen.label(target), ", ".join(f"{key} {value}" for key, value in told.items())
    yield "this machine", ", ".join(f"{key} {_said(key, value)}" for key, value in seen.conditions.items())
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
