"""A build as text and as HTML: the numbered Dockerfile with the state of each instruction (styles as image/card.py)."""

from __future__ import annotations

from html import escape

from nbcontainers.builder.progress import Progress, Step
from nbcontainers.table import BORDER, BOX, HEAD, MONOSPACE, amount, duration, plain, stored

_BLUE, _GREEN = "var(--jp-brand-color1, #4493f8)", "var(--jp-success-color1, #2da44e)"
_AMBER, _RED, _GREY = "var(--jp-warn-color1, #d68f00)", "var(--jp-error-color1, #e5484d)", "#8b949e"
_ENDS = {"": _BLUE, "done": _GREEN, "failed": _RED, "interrupted": _AMBER}
_SIGNS = {"running": ("▶", _BLUE), "cached": ("●", _GREY), "done": ("✓", _GREEN), "failed": ("✗", _RED),
          "cancelled": ("–", _AMBER)}  # fmt: skip
_PAST = {"": "building", "done": "built", "failed": "build failed", "interrupted": "build interrupted"}
_SHOWN = 5
_LONGEST = 200


def bundle(progress: Progress) -> dict[str, str]:
    return {"text/plain": text(progress), "text/html": html(progress)}


def heading(progress: Progress) -> str:
    """`building mine · 3 of 9 steps · 2.1 s`, `built mine in 4 s · 9 steps, 7 cached`."""
    names = ", ".join(
        name.removeprefix("localhost/").removesuffix(":latest") for name in progress.built.get("names") or ()
    )
    start = f"{_PAST[progress.outcome]} {names or progress.subject}".rstrip()
    if progress.outcome == "done":
        cached = f", {progress.cached} cached" if progress.cached else ""
        return f"{start} in {duration(progress.elapsed)} · {progress.count} steps{cached}"
    parts = [start, f"{progress.done} of {progress.count} steps" if progress.count else "", duration(progress.elapsed)]
    if progress.pulling and not progress.outcome:
        parts.insert(1, f"pulling {progress.pulling}")
    return " · ".join(filter(None, parts))


def says(step: Step) -> str:
    """`cached`, `1.2 s · 3 files, 4 kB`."""
    if step.state == "running":
        return "running"
    parts = (
        ["cached"]
        if step.state == "cached"
        else [duration(step.seconds)]
        if step.seconds is not None and step.seconds >= 0.001
        else []
    )
    if step.entries:
        parts.append(f"{step.entries} files, {amount(step.size, stored)}")
    if step.state in ("failed", "cancelled"):
        parts.insert(0, step.state)
    return " · ".join(parts)


def text(progress: Progress) -> str:
    lines = [heading(progress)]
    width = len(str(len(progress.lines)))
    for number, line in enumerate(progress.lines, 1):
        step = progress.at(number)
        sign = _SIGNS[step.state][0] if step else " "
        note = f"   # {says(step)}" if step and says(step) else ""
        lines.append(f"{sign} {number:>{width}} | {line[:_LONGEST]}{note}")
        lines += [f"  {'':>{width}} |    {one}" for one in _output(step)]
    return "\n".join(map(plain, lines + _ending(progress)))


def _output(step: Step | None) -> list[str]:
    return [line[:_LONGEST] for line in step.last(_SHOWN)] if step and step.state in ("running", "failed") else []


def _ending(progress: Progress) -> list[str]:
    found = [f"warning: line {one['lines'][0]}: {one['rule']}: {one['message']}" for one in progress.warnings]
    return found + ([f"image {progress.built['id']}"] if progress.built else [])


def html(progress: Progress) -> str:
    body = "".join(_row(progress, number, line) for number, line in enumerate(progress.lines, 1))
    table = f'<table style="{_TABLE}"><tbody>{body}</tbody></table>' if body else ""
    notes = "".join(f'<div style="{_NOTE}">{_safe(line)}</div>' for line in _ending(progress))
    colour = _ENDS[progress.outcome]
    head = (
        f'<div style="{HEAD}"><span style="color: {colour}; font-size: 15px;" aria-hidden="true">●</span> '
        f"<span>{_safe(heading(progress))}</span></div>"
    )
    return f'<div style="{BOX} width: 860px; max-width: 100%;">{head}{table}{notes}</div>'


def _row(progress: Progress, number: int, line: str) -> str:
    step = progress.at(number)
    sign, colour = _SIGNS[step.state] if step else ("", _GREY)
    failed = step is not None and step.state == "failed"
    shade = "background: rgba(229, 72, 77, .16);" if failed else "background: none;"
    faint = "" if progress.is_needed(number) else "opacity: .45;"
    output = "".join(f"<div>{_safe(one)}</div>" for one in _output(step))
    below = f'<div style="{_OUTPUT}">{output}</div>' if output else ""
    note = _safe(says(step)) if step else ""
    label = f' aria-label="{step.state}"' if step else ""
    return (
        f'<tr style="{shade} {faint}"><td style="{_CELL} color: {colour}; width: 16px;"{label}>{sign}</td>'
        f'<td style="{_CELL} text-align: right; opacity: .55;">{number}</td>'
        f'<td style="{_CELL} {_CODE}">{_safe(line) or "&nbsp;"}{below}</td>'
        f'<td style="{_CELL} opacity: .75; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;">{note}</td></tr>'
    )


def _safe(words: str) -> str:
    """Names, lines and output are somebody's to choose: no markup, no control characters."""
    return escape(plain(words[:2000]))


_TABLE = f"border-collapse: collapse; border: 0; border-color: {BORDER}; margin: 3px 0 0; font-size: 12px; width: 100%;"
_CELL = "padding: 1px 8px 1px 0; border: 0; line-height: 1.35; text-align: left; vertical-align: top; background: none;"
_CODE = f"font-family: {MONOSPACE}; white-space: pre-wrap; overflow-wrap: anywhere; width: 100%;"
_OUTPUT = "opacity: .75; padding-left: 16px; border-left: 2px solid rgba(128, 128, 128, .35); margin: 1px 0 2px;"
_NOTE = "opacity: .75; font-size: 12px; overflow-wrap: anywhere;"
