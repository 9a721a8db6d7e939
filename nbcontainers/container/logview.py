"""What a cell shows of a log: its beginning and its end, and in between how many lines were left out.

Bounded whatever the log has: in lines, in the length of each, and in all. What the program wrote cannot leave its place:
see ansi.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from nbcontainers.container import ansi
from nbcontainers.table import AMBER, AS_IT_IS, BORDER, MONOSPACE, ink, plain, safe

if TYPE_CHECKING:
    from nbcontainers.container.log import Line, Log

HEAD, TAIL = 20, 480
"""Lines shown of the beginning and of the end."""
_LONGEST = 500
_HTML, _TEXT = 160_000, 80_000
"""Bytes; both are in every saved notebook."""


class Shown(NamedTuple):
    """The lines of a view and the number left out after the first `head` of them, which may be a rough one."""

    lines: Sequence[Line]
    head: int
    left: int
    roughly: bool = False

    @property
    def mixed(self) -> bool:
        """Whether it must be said which lines are of stderr."""
        return len({line["stream"] for line in self.lines}) > 1


def shown(log: Log) -> Shown:
    """What fits, joined where a line came in pieces."""
    if ends := log.ends():
        head, tail = map(joined, ends[:2])
        return Shown([*head, *tail], len(head), ends[2], roughly=True)
    count = len(log)
    if count <= HEAD + TAIL:
        return Shown(joined(log), 0, 0)
    head = joined(log[:HEAD])
    return Shown([*head, *joined(log[count - TAIL :])], len(head), count - HEAD - TAIL)


def joined(lines: Iterable[Line]) -> list[Line]:
    """Lines without their ends; pieces that follow each other in a stream are one."""
    found: list[Line] = []
    whole = True
    for line in lines:
        text = line["log"]
        ended, text = text.endswith("\n"), text.removesuffix("\n").removesuffix("\r")
        last = found[-1] if found and not whole else None
        if last and last["stream"] == line["stream"] and last.get("container") == line.get("container"):
            last["log"] += text
        else:
            found.append({**line, "log": text})
        whole = ended
    return found


class Told(NamedTuple):
    """The same lines as text and as HTML: the head, a note of what was left out, and of the rest as many as fit."""

    texts: Sequence[str]
    rows: Sequence[str]

    def text(self) -> str:
        """For a terminal: colours stay, other control characters are escaped."""
        return "\n".join(self.texts)

    def html(self) -> str:
        """A block of its own; lines of stderr have a bar at their left."""
        return f'<div {AS_IT_IS} style="{_BLOCK}">{"".join(self.rows) or _EMPTY}</div>'


def look(log: Log) -> Told:
    """What is shown of a log, read once."""
    view = shown(log)
    mixed = view.mixed
    texts = [_text(line, log, mixed=mixed) for line in view.lines]
    rows = [_html(line, log, mixed=mixed) for line in view.lines]
    first = max(_first(texts, view.head, _TEXT), _first(rows, view.head, _HTML))
    if left := view.left + first - view.head:
        note = _left_out(left, roughly=view.roughly)
        texts[view.head : first] = [note]
        rows[view.head : first] = [f'<div style="{_NOTE}">{escape(note)}</div>']
    return Told(texts, rows)


def _first(rows: Sequence[str], head: int, room: int) -> int:
    """From which row on there is room for all, besides the head."""
    sizes = [len(row.encode("utf-8", "surrogatepass")) + 1 for row in rows]
    room -= sum(sizes[:head])
    first = len(rows)
    while first > head and room >= sizes[first - 1]:
        first -= 1
        room -= sizes[first]
    return first


def _left_out(count: int, *, roughly: bool) -> str:
    about = "about " if roughly else ""
    return f"… {about}{count} lines left out: --tail N and --grep choose, str() and to_pandas() have all"


def _text(line: Line, log: Log, *, mixed: bool) -> str:
    mark = "stderr | " if mixed and line["stream"] == "stderr" else ""
    return f"{plain(_before(line, log))}{mark}{ansi.text(_cut(line['log']))}"


def _html(line: Line, log: Log, *, mixed: bool) -> str:
    marked = mixed and line["stream"] == "stderr"
    before = _before(line, log)
    whose = f'<span style="opacity: .75;">{safe(before)}</span>' if before else ""
    mark = f'<span style="color: {ink(AMBER)};">stderr | </span>' if marked else ""
    style = f' style="{_MARKED}"' if marked else ""
    return f"<div{style}>{whose}{mark}{ansi.html(_cut(line['log']))}</div>"


def _before(line: Line, log: Log) -> str:
    when = f"{line['time']} " if log.timestamps else ""
    return f"{line['container']} | {when}" if "container" in line else when


def _cut(line: str) -> str:
    left = len(line) - _LONGEST
    return line if left <= 0 else f"{line[:_LONGEST]} … {left} characters left out"


_BLOCK = (
    f"font-family: {MONOSPACE}; font-size: 12px; line-height: 1.4; white-space: pre-wrap; overflow-wrap: anywhere; "
    f"max-height: 420px; overflow-y: auto; border: 1px solid {BORDER}; border-radius: 6px; padding: 6px 10px;"
)
_MARKED = f"border-left: 2px solid {AMBER}; padding-left: 6px; margin-left: -8px;"
_NOTE = (
    f"opacity: .75; border-top: 1px dashed {BORDER}; border-bottom: 1px dashed {BORDER}; margin: 4px 0; padding: 2px 0;"
)
_EMPTY = '<span style="opacity: .75;">no lines</span>'
