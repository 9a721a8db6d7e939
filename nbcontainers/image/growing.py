"""Trees of what is done to files: folders with the sum of what is in them, whose files are made one by one only where
somebody looks.

`grow` and `standing` make one, `cut` keeps so many paths, `dump` and `load` are its form as JSON; `FileTree` shows it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from nbcontainers.image.merging import CHANGES, REMOVED, Entry, Node

_COUNTED = (*CHANGES, "")
_PLACES = {change: place for place, change in enumerate(_COUNTED)}
_EMPTY = 6
"""Where not all can be shown, so many things of a folder are before those without bytes (links, empty files) are counted."""
_T = TypeVar("_T")


class Branch:
    """A path and all in it. `counts`: the files below (or itself) by change, as in CHANGES, and those without
    one; `held` and `gone`: their bytes, of those that are removed apart; `left`: children that were cut off, with what they add to these."""

    __slots__ = (
        "_children", "_leaf", "_leaves", "change", "counts", "fits", "gone", "held", "kind", "left", "name", "note"
    )  # fmt: skip

    def __init__(self, name: str, kind: str = "d", change: str = "", note: str = "") -> None:
        self.name = name
        self.kind = kind
        self.change = change
        self.note = note
        self.fits = False
        self.held = self.gone = 0
        self.counts = [0] * len(_COUNTED)
        self.left: list[int] = []
        self._children: list[Branch] = []
        self._leaves: Sequence[Any] = ()
        self._leaf: Callable[[Any], Branch] | None = None

    @property
    def children(self) -> list[Branch]:
        """The files of a folder are branches once somebody looks into it: most of ten thousands are only counted."""
        if self._leaf:
            self._children += map(self._leaf, self._leaves)
            self._leaves, self._leaf = (), None
            self.sort()
        return self._children

    def bear(
        self, leaves: Sequence[_T], leaf: Callable[[_T], Branch], changes: Sequence[str], sizes: Sequence[int]
    ) -> None:
        """Have such children, with the change and the size of each; `leaf` makes one when it is asked for."""
        kinds = set(changes)
        for kind in kinds:
            alike = (
                sizes if len(kinds) == 1 else [size for one, size in zip(changes, sizes, strict=True) if one == kind]
            )
            self.counts[_PLACES[kind]] += len(alike)
            self.gone += sum(alike) if kind == REMOVED else 0
            self.held += sum(alike) if kind != REMOVED else 0
        self._leaves, self._leaf = leaves, leaf if leaves else None

    def hold(self, child: Branch) -> None:
        """One more of its folders."""
        self._children.append(child)
        self.add(child)

    def sort(self) -> None:
        self._children.sort(key=heaviest)

    def take(self, size: int) -> None:
        """What it is itself: a file of so many bytes."""
        if self.change == REMOVED:
            self.gone += size
        else:
            self.held += size
        if self.kind != "d":
            self.counts[_PLACES[self.change]] += 1

    def add(self, other: Branch) -> None:
        self.held += other.held
        self.gone += other.gone
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]

    @property
    def weight(self) -> tuple[int, int]:
        """What decides which are shown: bytes, then files."""
        return self.held + self.gone, sum(self.counts)


def heaviest(one: Branch) -> tuple[int, int, str]:
    """The order of what is in a folder."""
    size, files = one.weight
    return -size, -files, one.name


def grow(items: Iterable[_T], entry: Callable[[_T], Entry], note: Callable[[_T], str]) -> Branch:
    """The tree of items: what each does to which path, and what is said of that."""
    inside: dict[str, list[_T]] = {}
    for item in items:
        above = entry(item).path.rpartition("/")[0]
        if above in inside:
            inside[above].append(item)
        else:
            inside[above] = [item]
    folders = {"": Branch("")}
    for path in inside:
        _plant(path, folders)

    def leaf(item: _T) -> Branch:
        one = entry(item)
        return _leaf(one, one.change, note(item))

    for path, there in inside.items():
        leaves, changes, sizes = [], [], []
        for item in there:
            place, kind, change, size, *_ = entry(item)
            if kind != "d" and place not in folders:
                leaves.append(item)
                changes.append(change)
                sizes.append(size)
                continue
            branch = _plant(place, folders)
            branch.kind, branch.change, branch.note = kind, change, note(item)
            branch.take(size)
        folders[path].bear(leaves, leaf, changes, sizes)
    _join([(folders[path], folders[path.rpartition("/")[0]]) for path in sorted(folders) if path])
    return folders[""]


def _plant(path: str, folders: dict[str, Branch]) -> Branch:
    """The branch of a folder, and those on the way to it."""
    missing = path
    while missing not in folders:
        folders[missing] = Branch(missing.rpartition("/")[2])
        missing = missing.rpartition("/")[0]
    return folders[path]


def standing(top: Node, note: Callable[[Node], str]) -> Branch:
    """The tree of what is there in the end."""
    root = Branch("")
    todo: list[tuple[Node, Branch]] = [(top, root)]
    order: list[tuple[Branch, Branch]] = []

    def leaf(node: Node) -> Branch:
        return _leaf(node.entry, "", note(node))

    while todo:
        node, branch = todo.pop()
        leaves = []
        for child in node.children.values():
            if child.entry.kind != "d" and not child.children:
                leaves.append(child)
                continue
            inner = leaf(child)
            order.append((inner, branch))
            todo.append((child, inner))
        branch.bear(leaves, leaf, [""] * len(leaves), [one.entry.size for one in leaves])
    _join(order)
    return root


def _leaf(entry: Entry, change: str, note: str) -> Branch:
    made = Branch(entry.path.rpartition("/")[2], entry.kind, change, note)
    made.take(entry.size)
    return made


def _join(order: Sequence[tuple[Branch, Branch]]) -> None:
    """Put folders into those they are in; these come first."""
    for branch, parent in reversed(order):
        branch.sort()
        parent.hold(branch)
    if order:
        order[0][1].sort()


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
