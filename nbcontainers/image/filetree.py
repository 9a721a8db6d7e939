"""A tree of files (image/growing.py) with what was done to each, drawn: size, sign and path a line, folders with what is in
them, a folder of one thing in one line with it, and how much is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from nbcontainers.image.growing import Branch
from nbcontainers.image.merging import CHANGES
from nbcontainers.table import AMBER, AS_IT_IS, BLUE, GREEN, GREY, HEAD, MONOSPACE, RED, ink, plain, safe, stored
from nbcontainers.view import View

SIGNS = dict(zip(CHANGES, "+~@=-", strict=True))
COLOURS = dict(zip(CHANGES, map(ink, (GREEN, AMBER, BLUE, GREY, RED)), strict=True))
LEGEND = "+ added  ~ changed  @ other attributes only  = stored again, the same  - removed"
_LONGEST = 120


class Line(NamedTuple):
    """One line: `guide` is the drawing before the name, `size` its bytes, `note` what else is said."""

    guide: str
    name: str
    change: str
    size: str
    note: str


def lines(root: Branch) -> Iterator[Line]:
    """The tree below its root, a path a line."""
    todo: list[tuple[Branch | None, Branch, str, str]] = _below(root, "")
    while todo:
        branch, parent, first, rest = todo.pop()
        if branch is None:
            count, held, gone, *counts = parent.left
            yield Line(first, f"… {count} more", "", _size(held, gone), _counts(counts))
            continue
        name = branch.name
        while len(branch.children) == 1 and not branch.left and branch.change in ("", branch.children[0].change):
            branch = branch.children[0]
            name = f"{name}/{branch.name}"
        mark = "/" if branch.kind == "d" else ""
        yield Line(first, f"{name}{mark}", branch.change, _size(branch.held, branch.gone), _note(branch))
        todo += _below(branch, rest)


def _below(branch: Branch, rest: str) -> list[tuple[Branch | None, Branch, str, str]]:
    """What is to be drawn of its children, the last one first."""
    inner: list[Branch | None] = [*branch.children, *([None] if branch.left else [])]
    found = []
    for child in reversed(inner):
        last = child is inner[-1]
        found.append((child, branch, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")))
    return found


def _size(held: int, gone: int) -> str:
    return f"-{stored(gone)}" if gone and not held else stored(held)


def _note(branch: Branch) -> str:
    if branch.kind != "d":
        return branch.note
    gone = f"-{stored(branch.gone)}" if branch.gone and branch.held else ""
    return "  ".join(filter(None, (_counts(branch.counts), gone, branch.note)))


def _counts(counts: Sequence[int]) -> str:
    """`+12 ~3`, the files below; `12 files` of what has no change."""
    *changed, rest = counts
    words = [f"{sign}{count:,}" for sign, count in zip(SIGNS.values(), changed, strict=True) if count]
    return " ".join([*words, *([f"{rest:,} file{'s' * (rest != 1)}"] if rest else [])])


class FileTree(View):
    """A tree with its heading."""

    def __init__(self, heading: str, root: Branch) -> None:
        self.heading = heading
        self.root = root

    def text(self) -> str:
        """The heading; then size, sign and path of each."""
        return "\n".join([plain(self.heading), *drawn(self.root)])

    def html(self) -> str:
        head = f'<div style="{HEAD}">{safe(self.heading)}</div>'
        return f'<div {AS_IT_IS} style="margin: 4px 0; font-size: 13px;">{head}{pre(self.root)}{legend()}</div>'


def drawn(root: Branch) -> Iterator[str]:
    """The lines as text."""
    for line in lines(root):
        sign = SIGNS.get(line.change, " ")
        yield f"{line.size:>8} {sign} {line.guide}{_cut(plain(line.name))}{_said(line)}"


def pre(root: Branch) -> str:
    """The lines as HTML, coloured; the same text when its styles are stripped."""
    shown = "\n".join(map(_coloured, lines(root)))
    return f'<pre style="{PRE}">{shown}</pre>'


def legend() -> str:
    """What the signs mean, in their colours."""
    words = "".join(
        f'<span style="color: {COLOURS[change]};">{escape(one)}</span>  '
        for change, one in zip(CHANGES, LEGEND.split("  "), strict=True)
    )
    return f'<div style="font-size: 12px; white-space: pre-wrap;">{words.rstrip()}</div>'


def _coloured(line: Line) -> str:
    sign = SIGNS.get(line.change, " ")
    shown = f"{sign} {line.guide}{escape(_cut(plain(line.name)))}"
    shown = f'<span style="color: {COLOURS[line.change]};">{shown}</span>' if line.change else shown
    faint = f'<span style="opacity: .7;">{escape(_said(line))}</span>' if line.note else ""
    return f"{line.size:>8} {shown}{faint}"


def _said(line: Line) -> str:
    return f"  {_cut(plain(line.note))}" if line.note else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 + 1 :]}"


PRE = (
    f"margin: 2px 0; padding: 0; border: 0; background: none; color: inherit; font-family: {MONOSPACE}; "
    "font-size: 12px; line-height: 1.35; overflow-x: auto; white-space: pre;"
)
