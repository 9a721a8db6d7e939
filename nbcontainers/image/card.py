"""What is shown of a transfer: a bar a layer while it works, a summary when it has ended.

The same facts as text and as HTML (inline styles, no script, no address; it reads in order with every style
stripped). Text and background are inherited and bars are half transparent or the front end's own colours, so that
light and dark need no switch.
"""

from __future__ import annotations

from collections.abc import Iterator

from nbcontainers.image.progress import Layer, Progress
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
    plain,
    safe,
    stored,
)

_COLOURS = {"downloading": BLUE, "uploading": BLUE, "verifying": AMBER, "extracting": AMBER, "retrying": RED,
            "done": GREEN}  # fmt: skip
ENDS = {"": BLUE, "done": GREEN, "failed": RED, "interrupted": AMBER}
MOST_ROWS = 24
"""Rows shown at once: those at work first; the others are counted."""


def bundle(progress: Progress) -> dict[str, str]:
    return {"text/plain": text(progress), "text/html": html(progress)}


def text(progress: Progress) -> str:
    """The head, and below it the facts: of each layer while it works, of the whole when it has ended."""
    if progress.outcome:
        lines = [heading(progress), *(f"  {label:<8}{value}" for label, value in facts(progress))]
    else:
        lines = [heading(progress), *(f"  {line_of(layer)}" for layer in shown(progress)[0])]
    return "\n".join(map(plain, lines))


def heading(progress: Progress) -> str:
    """`pulling nginx:1.21 · 12 MiB of 45.6 MiB · 8 MiB/s · 4 s left`, `pulled nginx:1.21 in 3.2 s`."""
    start = f"{progress.doing} {progress.name}".rstrip()
    if progress.outcome:
        return f"{start} {'in' if progress.outcome == 'done' else 'after'} {duration(progress.elapsed)}"
    return " · ".join([start, *totals(progress)])


def totals(progress: Progress) -> Iterator[str]:
    """What is said of the whole while it works."""
    if progress.to_travel:
        yield f"{amount(progress.travelled, stored)} of {amount(progress.to_travel, stored)}"
    if progress.travelled and progress.part < 1:
        yield f"{amount(progress.speed, stored)}/s"
    if (left := progress.left) is not None:
        yield f"{duration(max(1, round(left)))} left"
    elif seconds := int(progress.elapsed):
        yield duration(seconds)


def facts(progress: Progress) -> Iterator[tuple[str, str]]:
    """What is worth keeping of a transfer that has ended."""
    for reference, digest in progress.images:
        if digest:
            yield "digest", digest if len(progress.images) == 1 else f"{digest} {reference}"
    for reference, before in progress.moved.items():
        yield "moved", f"from {before}{f' {reference}' if len(progress.images) > 1 else ''}"
    if progress.layers:
        counts = ", ".join(f"{number} {label}" for number, label in progress.counts())
        yield "layers", f"{len(progress.layers)}: {counts}"
    if progress.travelled:
        yield "bytes", f"{amount(progress.travelled, stored)}, {amount(progress.speed, stored)}/s"


def line_of(layer: Layer) -> str:
    """`4f2a1b3c4d5e  downloading  12 MiB of 45.6 MiB`."""
    return f"{short(layer.digest)}  {layer.label:<14} {detail(layer)}".rstrip()


def detail(layer: Layer) -> str:
    """How far the layer is, and its note."""
    at_work = layer.bytes and not layer.settled
    size = f"{amount(layer.bytes, stored)} of {amount(layer.size, stored)}" if at_work else amount(layer.size, stored)
    return " · ".join(part for part in (size, layer.note) if part)


def short(digest: str) -> str:
    return digest.rpartition(":")[2][:12]


def shown(progress: Progress, most: int = MOST_ROWS) -> tuple[list[Layer], str]:
    """At most so many layers, those at work before those that wait or are done; and words for the others."""
    rows = progress.rows
    if len(rows) <= most:
        return rows, ""
    ranked = sorted(rows, key=lambda layer: 2 if layer.settled else layer.state == "waiting")
    kept = {id(layer) for layer in ranked[:most]}
    left = [layer for layer in rows if id(layer) not in kept]
    done = sum(layer.settled for layer in left)
    words = ", ".join(f"{number} {word}" for number, word in ((done, "done"), (len(left) - done, "waiting")) if number)
    return [layer for layer in rows if id(layer) in kept], f"and {words}"


def html(progress: Progress) -> str:
    return f'<div {AS_IT_IS} style="{BOX} {_WIDTH}">{_head(progress)}{_ended(progress) if progress.outcome else _working(progress)}</div>'


def _head(progress: Progress) -> str:
    colour = ENDS[progress.outcome]
    elapsed = f'<span style="{_ELAPSED}">{safe(duration(progress.elapsed))}</span>' if progress.outcome else ""
    return (
        f'<div style="{HEAD}"><span style="color: {colour}; font-size: 15px;" aria-hidden="true">●</span> '
        f'<span style="opacity: .75;">{safe(progress.doing)}</span> '
        f'<b style="font-weight: 600; overflow-wrap: anywhere;">{safe(progress.name)}</b> {elapsed}</div>'
    )


def _working(progress: Progress) -> str:
    rows, more = shown(progress)
    figures = f'<div style="{_FIGURES}">{safe(" · ".join(totals(progress)) or "…")}</div>'
    bar = _bar(progress.part, BLUE, "100%") if rows else ""  # nothing that one could be a part of is known
    return f"{figures}{bar}{_rows(rows)}{_note(more)}"


def _ended(progress: Progress) -> str:
    lines = "".join(
        f'<div><span style="{_LABEL}">{label} </span><span style="{_VALUE}">{safe(value)}</span></div>'
        for label, value in facts(progress)
    )
    rows, more = shown(progress, 200)
    details = f'<details style="margin-top: 3px;"><summary style="{_SUMMARY}">each layer</summary>{_rows(rows)}'
    return f'<div style="margin-top: 3px;">{lines}</div>' + (f"{details}{_note(more)}</details>" if rows else "")


def _rows(rows: list[Layer]) -> str:
    body = "".join(
        f'<tr style="background: none;"><td style="{_CELL} font-family: {MONOSPACE}; font-size: 12px;">'
        f'{safe(short(layer.digest))}</td><td style="{_CELL}">{_bar(layer.part, _colour(layer), "150px")}</td>'
        f'<td style="{_CELL} min-width: 95px;">{layer.label}</td>'
        f'<td style="{_CELL} white-space: normal; opacity: .75; font-variant-numeric: tabular-nums;">{safe(detail(layer))}</td></tr>'
        for layer in rows
    )
    return f'<table style="{_TABLE}"><tbody>{body}</tbody></table>' if rows else ""


def _colour(layer: Layer) -> str:
    return _COLOURS.get(layer.state, GREY)


def _bar(part: float, colour: str, width: str) -> str:
    fill = f"width: {part:.1%}; height: 6px; border-radius: 3px; background: {colour};"
    return f'<div style="{_TRACK} width: {width};" title="{part:.0%}"><div style="{fill}"></div></div>'


def _note(words: str) -> str:
    return f'<div style="opacity: .75; font-size: 12px;">{safe(words)}</div>' if words else ""


_WIDTH = "width: 660px; max-width: 100%;"  # the same whatever the figures: nothing moves while it works
_FIGURES = "opacity: .75; font-variant-numeric: tabular-nums;"
_ELAPSED = f"margin-left: auto; padding-left: 20px; {_FIGURES}"
_LABEL = "display: inline-block; min-width: 52px; padding-right: 8px; opacity: .75;"
_VALUE = f"font-family: {MONOSPACE}; font-size: 12px; overflow-wrap: anywhere;"
_SUMMARY = "cursor: pointer; opacity: .75; font-size: 12px;"
_TRACK = "height: 6px; margin: 4px 0; border-radius: 3px; overflow: hidden; background: rgba(128, 128, 128, .28);"
_TABLE = f"border-collapse: collapse; border: 0; border-color: {BORDER}; margin: 2px 0 0; font-size: 13px;"
_CELL = "padding: 1px 14px 1px 0; border: 0; line-height: 1.3; text-align: left; vertical-align: middle; white-space: nowrap; background: none;"
