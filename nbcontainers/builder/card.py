"""A build as text and as HTML: the numbered Dockerfile with the state of each instruction (styles as image/card.py).

Below a line stands what it is worth: the last lines of its output while it runs, all that is known when it failed,
the warning that is about it. A long file is shown in part, so that no update grows large.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nbcontainers.builder.progress import Event, Progress, Step
from nbcontainers.errors import Error
from nbcontainers.image import card as pulls
from nbcontainers.image.portrait import WIDE, Portrait
from nbcontainers.table import (
    AMBER,
    AS_IT_IS,
    BLUE,
    BORDER,
    BOX,
    GREEN,
    GREY,
    HEAD,
    MONOSPACE,
    RED,
    amount,
    duration,
    ink,
    plain,
    safe,
    stored,
    tint,
)

_SIGNS = {"waiting": ("·", GREY), "running": ("▶", BLUE), "cached": ("●", GREY), "done": ("✓", GREEN),
          "failed": ("✗", RED), "cancelled": ("–", AMBER)}  # fmt: skip
_PAST = {"": "building", "done": "built", "failed": "build failed:", "interrupted": "build interrupted:"}
_SHOWN, _SHOWN_OF_FAILED, _KEPT, _KEPT_IN_TEXT = 5, 15, 30, 3
"""Lines of output: of a step that runs, that failed, and of one that is done (folded away; in text)."""
_LONGEST = 300
_MOST_LINES = 120
_INSTANT = 0.01
"""Seconds that are not worth a word."""


class Row(NamedTuple):
    """One line as it is shown: its number (0 for a gap, with the count of what is left out as `text`), the step that
    begins there, the step it belongs to, and what stands below it."""

    number: int
    text: str
    step: Step | None = None
    within: Step | None = None
    output: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()


def bundle(progress: Progress) -> dict[str, str]:
    return {"text/plain": text(progress), "text/html": html(progress)}


def heading(progress: Progress) -> str:
    """`building mine · 3 of 9 steps · 2.1 s`, `built mine in 4 s · 7 of 9 steps cached`."""
    names = ", ".join(
        name.removeprefix("localhost/").removesuffix(":latest") for name in progress.built.get("names") or ()
    )
    start = f"{_PAST[progress.outcome]} {names or progress.subject or 'image' * (not progress.outcome)}".rstrip(" :")
    if progress.outcome == "done":
        return " · ".join(filter(None, (f"{start} in {duration(progress.elapsed)}", cached(progress))))
    steps = f"{progress.done} of {progress.count} steps" if progress.count else ""
    return " · ".join(filter(None, (start, steps, duration(progress.elapsed), *_pulling(progress))))


def cached(progress: Progress) -> str:
    """`2 of 3 steps cached`, of those that are worth keeping: an ENV is no step here."""
    count, known = progress.kept
    if not count:
        return ""
    if known == count:
        return f"all {count} steps cached" if count > 1 else "its step was cached"
    return f"{known} of {count} steps cached" if known else f"{count} step{'s' * (count > 1)}"


def _pulling(progress: Progress) -> Iterator[str]:
    if progress.pulled and not progress.outcome:
        yield f"pulling {progress.pulled.name}"
        yield from pulls.totals(progress.pulled)


def says(step: Step) -> str:
    """`cached`, `1.2 s · +3 files, 4 kB`, `no change`."""
    if step.state == "waiting":
        return ""
    if step.state == "running":
        return f"running · {step.note}" if step.note else "running"
    parts = [step.state] if step.state in ("cached", "failed", "cancelled") else []
    if step.state != "cached" and step.seconds is not None and step.seconds >= _INSTANT:
        parts.append(duration(step.seconds))
    if step.files:
        parts.append(f"{step.files} file{'s' * (step.files > 1)}, {amount(step.size or 0, stored)}")
    elif step.entries:
        parts.append(f"{step.entries} folder{'s' * (step.entries > 1)}")
    elif step.size is not None and step.state in ("cached", "done"):
        parts.append("changed nothing")
    return " · ".join([*parts, *([step.note] if step.note else [])])


# -- rows ------------------------------------------------------------------------------------------------------------


def rows(progress: Progress) -> Iterator[Row]:
    """The lines to be shown, in order."""
    before = 0
    for number in _chosen(progress):
        if number > before + 1:
            yield _gap(number - before - 1)
        yield _row(progress, number)
        before = number
    if before < len(progress.lines):
        yield _gap(len(progress.lines) - before)


def _gap(count: int) -> Row:
    return Row(0, f"… {count} more line{'s' * (count > 1)}")


def _chosen(progress: Progress) -> list[int]:
    """All of a short file; of a long one what runs, failed or is warned of, then the beginnings of instructions."""
    count = len(progress.lines)
    if count <= _MOST_LINES:
        return list(range(1, count + 1))
    urgent = {line for one in progress.warnings for line in one["lines"]} | {_failed_line(progress)}

    def rank(number: int) -> int:
        step = progress.covering(number)
        is_edge = step is not None and number in step.lines
        if number in urgent or (is_edge and step is not None and step.state in ("running", "failed")):
            return 0
        return 1 if is_edge else 2

    return sorted(sorted(range(1, count + 1), key=rank)[:_MOST_LINES])


def _row(progress: Progress, number: int) -> Row:
    within = progress.covering(number)
    ends = within is None or number == within.lines[1]
    output: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    if within and ends and within.state in ("running", "failed"):
        output = tuple(within.last(_SHOWN_OF_FAILED if within.state == "failed" else _SHOWN))
    if within and ends and within.state == "done" and progress.outcome:
        folded = tuple(within.last(_KEPT))
    if number == _failed_line(progress) and progress.error:
        failure = tuple(_failure(progress.error, progress.name))
    remarks = tuple(remark(one) for one in progress.warnings if number == min(one["lines"][1], len(progress.lines)))
    return Row(number, progress.lines[number - 1], progress.at(number), within, output, remarks, failure, folded)


def _failed_line(progress: Progress) -> int:
    """The last line of what the error is about; 0 of none. What an ONBUILD did shows at the FROM that brought it."""
    if not progress.error:
        return 0
    failed = next((step.lines[1] for step in progress.steps.values() if step.state == "failed"), 0)
    is_ours = progress.error.details.get("file") == progress.name
    line = failed or (progress.error.details.get("end_line", 0) if is_ours else 0)
    return line if 0 < line <= len(progress.lines) else 0


def _failure(error: Error, name: str) -> Iterator[str]:
    """Why, and what to try. Where it is not about this file (the ONBUILD of a base), that is said."""
    first, file = error.message.partition("\n")[0], error.details.get("file")
    why = first.partition(": ")[2] if first.startswith(f"{file}:") else first
    yield why if file in (name, None) else f"{file}: {why}"
    if error.hint:
        yield f"try: {error.hint}"


def remark(warning: Event) -> str:
    return f"{warning['rule']}: {warning['message']}"


# -- text ------------------------------------------------------------------------------------------------------------


def text(progress: Progress) -> str:
    """As HTML, line for line; an image's layers in the end."""
    width = len(str(len(progress.lines)))
    lines = [heading(progress)]
    for row in rows(progress):
        lines += _lines(row, width)
    lines = [plain(line) for line in lines]
    if progress.image:
        lines.append(progress.image.text())
    return "\n".join(lines)


def _lines(row: Row, width: int) -> Iterator[str]:
    blank = f"  {'':>{width}} |"
    if not row.number:
        yield f"  {'':>{width}}   {row.text}"
        return
    sign = _SIGNS[row.step.state][0] if row.step else " "
    note = f"   # {says(row.step)}" if row.step and says(row.step) else ""
    yield f"{sign} {row.number:>{width}} | {row.text[:_LONGEST]}{note}"
    yield from (f"{blank}   {line[:_LONGEST]}" for line in (*row.output, *row.folded[-_KEPT_IN_TEXT:]))
    yield from (f"{blank} ^ warning: {line}" for line in row.remarks)
    yield from (f"{blank} ^ {line}" for line in row.failure)


# -- HTML ------------------------------------------------------------------------------------------------------------


def html(progress: Progress) -> str:
    found = "".join(_html_row(progress, row) for row in rows(progress))
    table = f'<table style="{_TABLE}"><tbody>{found}</tbody></table>' if found else ""
    image = f'<div style="{_IMAGE}">{_image(progress.image)}</div>' if progress.image else ""
    return f'<div {AS_IT_IS} style="{BOX} {WIDE}">{_head(progress)}{table}{image}</div>'


def _head(progress: Progress) -> str:
    first, _, rest = heading(progress).partition(" · ")
    colour = pulls.ENDS[progress.outcome]
    return (
        f'<div style="{HEAD}"><span style="color: {colour}; font-size: 15px;" aria-hidden="true">●</span> '
        f'<b style="font-weight: 600; overflow-wrap: anywhere;">{_safe(first)}</b> '
        f'<span style="opacity: .75; font-variant-numeric: tabular-nums;">{_safe(rest and f"· {rest}")}</span>'
        f"{_from(progress)}</div>"
    )


def _from(progress: Progress) -> str:
    """Where COPY takes its files from."""
    style = "margin-left: auto; padding-left: 16px; opacity: .7; font-size: 12px;"
    return f'<span style="{style}">context {_safe(progress.context)}</span>' if progress.context else ""


def _image(found: Portrait) -> str:
    return f'<div style="opacity: .75;">{_safe(found.heading)}</div>{found.body()}'


def _html_row(progress: Progress, row: Row) -> str:
    if not row.number:
        gap = f'<td style="{_CELL} opacity: .7;" colspan="2">{row.text}</td>'
        return f'<tr style="background: none;"><td></td><td></td>{gap}</tr>'
    sign, colour = _SIGNS[row.step.state] if row.step else ("", GREY)
    label = f' title="{row.step.state}"' if row.step else ""
    note = says(row.step) if row.step else "not needed" if progress.begins_unneeded(row.number) else ""
    strong = "font-weight: 600;" if row.step and row.step.state in ("running", "failed") else "opacity: .75;"
    return (
        f'<tr style="{_shade(progress, row)}"><td style="{_CELL} color: {colour};"{label}>{sign}</td>'
        f'<td style="{_CELL} text-align: right; opacity: .7;">{row.number}</td>'
        f'<td style="{_CELL} {_CODE}">{_safe(row.text[:_LONGEST]) or "&nbsp;"}{_below(row)}</td>'
        f'<td style="{_CELL} {_SAID} {strong}">{_safe(note)}</td></tr>'
    )


def _shade(progress: Progress, row: Row) -> str:
    """The line's ground: what failed and what runs stand out, what is not needed steps back."""
    if row.failure or (row.within and row.within.state == "failed"):
        return tint(RED, 16)
    if row.within and row.within.state == "running":
        return tint(BLUE, 12)
    if row.remarks:
        return tint(AMBER, 12)
    return "background: none;" if progress.is_needed(row.number) else "background: none; opacity: .7;"


def _below(row: Row) -> str:
    found = _output(row.output)
    if row.folded:
        count = f"{len(row.folded)} line{'s' * (len(row.folded) > 1)} of output"
        found += f'<details><summary style="{_SUMMARY}">{count}</summary>{_output(row.folded)}</details>'
    found += "".join(f'<div style="{_REMARK} color: {ink(AMBER)};">⚠ {_safe(line)}</div>' for line in row.remarks)
    for number, line in enumerate(row.failure):
        style = f"font-weight: 600; color: {ink(RED)};" if not number else ""
        found += f'<div style="{_REMARK} {style}">{_safe(line)}</div>'
    return found


def _output(lines: tuple[str, ...]) -> str:
    shown = "".join(f"<div>{_safe(line[:_LONGEST])}</div>" for line in lines)
    return f'<div style="{_OUTPUT}">{shown}</div>' if shown else ""


def _safe(words: str) -> str:
    """Names, lines and output are somebody's to choose: no markup, no control characters."""
    return safe(words[:2000])


_TABLE = (
    f"table-layout: auto; border-collapse: collapse; border: 0; border-color: {BORDER}; margin: 4px 0 0; "
    "font-size: 12px; width: 100%;"
)
_CELL = "padding: 1px 8px 1px 2px; border: 0; text-align: left; vertical-align: top; background: none;"
_CODE = f"font-family: {MONOSPACE}; white-space: pre-wrap; overflow-wrap: anywhere; width: 100%;"
_SAID = "text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums;"
_OUTPUT = "opacity: .75; padding-left: 12px; border-left: 2px solid rgba(128, 128, 128, .45); margin: 1px 0 2px 4px;"
_SUMMARY = "cursor: pointer; opacity: .7; font-family: var(--jp-ui-font-family, sans-serif); font-size: 11px;"
_REMARK = "font-family: var(--jp-ui-font-family, sans-serif); font-size: 12px; margin: 1px 0 2px 4px;"
_IMAGE = f"margin-top: 6px; padding-top: 6px; border-top: 1px solid {BORDER};"
