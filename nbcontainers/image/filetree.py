"""A tree of files with what was done to each, cut to the lines that matter: the largest, and how much is left out.

`grow` makes it of entries, `cut` keeps so many paths, `dump` and `load` are its form as JSON, and `FileTree` shows it:
size, sign and path a line, folders with what is in them, a folder of one thing in one line with it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import islice
from typing import Any, NamedTuple

from nbcontainers.image.merging import CHANGES, REMOVED, Entry
from nbcontainers.table import AMBER, AS_IT_IS, BLUE, GREEN, GREY, HEAD, MONOSPACE, RED, ink, plain, safe, stored
from nbcontainers.view import View

SIGNS = dict(zip(CHANGES, "+~@=-", strict=True))
COLOURS = dict(zip(CHANGES, map(ink, (GREEN, AMBER, BLUE, GREY, RED)), strict=True))
LEGEND = "+ added  ~ changed  @ other attributes only  = stored again, the same  - removed"
_COUNTED = (*CHANGES, "")
_LONGEST = 120
_EMPTY = 6
"""Where not all can be shown, so many things of a folder are before those without bytes (links, empty files) are counted."""


class Branch:
    """A path and all in it. `counts`: the files below (or itself) by change, as in CHANGES, and those without
    one; `held` and `gone`: their bytes, of those that are removed apart; `left`: children that were cut off, with what they add to these."""

    __slots__ = ("change", "children", "counts", "fits", "gone", "held", "kind", "left", "name", "note")

    def __init__(self, name: str, kind: str = "d", change: str = "", note: str = "") -> None:
        self.name = name
        self.kind = kind
        self.change = change
        self.note = note
        self.fits = False
        self.held = self.gone = 0
        self.counts = [0] * len(_COUNTED)
        self.left: list[int] = []
        self.children: list[Branch] = []

    def take(self, size: int) -> None:
        """What it is itself: a file of so many bytes."""
        if self.change == REMOVED:
            self.gone += size
        else:
            self.held += size
        if self.kind != "d":
            self.counts[_COUNTED.index(self.change)] += 1

    def add(self, other: Branch) -> None:
        self.held += other.held
        self.gone += other.gone
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]

    @property
    def weight(self) -> tuple[int, int]:
        """What decides which are shown: bytes, then files."""
        return self.held + self.gone, sum(self.counts)


def grow(entries: Iterable[tuple[Entry, str]]) -> Branch:
    """The tree of entries, each with a note."""
    root = Branch("")
    known = {"": root}
    order: list[tuple[Branch, Branch]] = []  # child, parent; parents first
    for entry, note in entries:
        branch = known.get(entry.path) or _planted(entry.path, known, order)
        branch.kind, branch.change, branch.note = entry.kind, entry.change, note
        branch.take(entry.size)
    for branch, parent in reversed(order):
        parent.add(branch)
    for branch in known.values():
        if branch.children:
            branch.children.sort(key=lambda one: (-one.weight[0], -one.weight[1], one.name))
    return root


def _planted(path: str, known: dict[str, Branch], order: list[tuple[Branch, Branch]]) -> Branch:
    """A new branch, with the folders on the way to it."""
    missing = []
    while path not in known:
        missing.append(path)
        path = path.rpartition("/")[0]
    parent = known[path]
    for path in reversed(missing):
        branch = known[path] = Branch(path.rpartition("/")[2])
        parent.children.append(branch)
        order.append((branch, parent))
        parent = branch
    return parent


def cut(root: Branch, most: int) -> Branch:
    """The `most` heaviest paths of a tree, those above them among these; the others are counted in `left`."""
    heap: list[tuple[tuple[int, int], int, Branch, Branch]] = []
    number = 0
    top = bare(root)

    def offer(children: Sequence[Branch], parent: Branch) -> None:
        nonlocal number
        for child in children:
            number += 1
            heapq.heappush(heap, ((-child.weight[0], -child.weight[1]), number, child, parent))

    offer(root.children, top)
    shown, crowded = 0, sum(1 for _ in islice(_walk(root), most + 2)) > most + 1
    while heap:
        _, _, branch, parent = heapq.heappop(heap)
        if shown == most or (crowded and not branch.weight[0] and len(parent.children) >= _EMPTY):
            parent.left = _more(parent.left, [1, branch.held, branch.gone, *branch.counts])
            continue
        shown += 1
        copy = bare(branch)
        parent.children.append(copy)
        offer(branch.children, copy)
    return top


def bare(branch: Branch) -> Branch:
    """The same without its children."""
    copy = Branch(branch.name, branch.kind, branch.change, branch.note)
    copy.held, copy.gone, copy.counts, copy.left = branch.held, branch.gone, branch.counts, list(branch.left)
    return copy


def _more(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)] if one else list(other)


def dump(root: Branch) -> list[list[Any]]:
    """Rows, parents first: depth and all of a branch."""
    return [
        [depth, one.name, one.kind, one.change, one.note, one.held, one.gone, one.counts, one.left]
        for depth, one in _walk(root)
    ]


def load(rows: Sequence[Sequence[Any]]) -> Branch:
    """What `dump` wrote."""
    way: list[Branch] = []
    for depth, name, kind, change, note, held, gone, counts, left in rows:
        branch = Branch(name, kind, change, note)
        branch.held, branch.gone, branch.counts, branch.left = held, gone, counts, left
        del way[depth:]
        if way:
            way[-1].children.append(branch)
        way.append(branch)
    return way[0]


def _walk(root: Branch) -> Iterator[tuple[int, Branch]]:
    todo = [(0, root)]
    while todo:
        depth, branch = todo.pop()
        yield depth, branch
        todo += [(depth + 1, child) for child in reversed(branch.children)]


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
