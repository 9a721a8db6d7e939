"""Looking around in the files of an image: the rows of a tree that somebody has opened here and there, a piece at a time.

A tree of a hundred thousand paths is never sent: `Browser.rows` gives those of a window, at most `LARGEST` bytes of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from nbcontainers.image import growing, indexing
from nbcontainers.image.growing import Branch
from nbcontainers.image.layerview import Layers
from nbcontainers.image.merging import CHANGES, REMOVED, Entry, Merged
from nbcontainers.table import plain

LARGEST = 80_000
"""Bytes of JSON in one piece."""
_MOST_FOUND = 20_000
UNCHANGED = "unchanged"
SHOWN = (*CHANGES, UNCHANGED)
SORTS: dict[str, Callable[[Branch], Any]] = {
    "size": lambda one: (-one.weight[0], -one.weight[1], one.name),
    "name": lambda one: one.name,
    "files": lambda one: (-one.weight[1], one.name),
}
BY_LAYER, TOGETHER = "layer", "together"


Listed = tuple[Branch, int, str, str, bool | None]
"""A row: what it is, its depth, path and name, whether it is open."""


class Wanted(NamedTuple):
    """What is looked at: `layer` (1 the lowest) alone or with all below it, the changes that are shown, a part of the path
    (small and capital letters are one), and how what is in a folder is sorted."""

    layer: int
    mode: str = BY_LAYER
    shown: tuple[str, ...] = SHOWN
    path: str = ""
    sort: str = "size"


class Browser:
    """The trees of one image. What was looked at last is kept; call from one thread at a time."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self._whole: tuple[tuple[int, str], Branch] | None = None
        self._pruned: tuple[Wanted, Branch] | None = None
        self._listed: tuple[tuple[Wanted, frozenset[str]], list[Listed]] | None = None

    def rows(self, wanted: Wanted, opened: Collection[str], start: int, count: int) -> dict[str, Any]:
        """`total` rows there would be, and from `start` on `count` of them or as many as fit: [depth, path, name, kind,
        change, held, gone, counts, note, whether it is open (null: nothing is in it)].

        A search opens every folder on the way to what it found.
        """
        tree = self._tree(wanted)
        key = wanted, frozenset(opened)
        if not self._listed or self._listed[0] != key:
            everything = bool(wanted.path) and sum(tree.counts) <= _MOST_FOUND
            self._listed = key, list(_flat(tree, SORTS[wanted.sort], opened, everything=everything))
        found: list[list[Any]] = []
        size = 0
        for line in self._listed[1][start : start + count]:
            found.append(_row(*line))
            size += len(json.dumps(found[-1]))
            if size > LARGEST:
                break
        total = len(self._listed[1])
        return {
            "total": total,
            "start": start,
            "rows": found,
            "files": sum(tree.counts),
            "held": tree.held,
            "gone": tree.gone,
        }

    def _tree(self, wanted: Wanted) -> Branch:
        if self._pruned and self._pruned[0] == wanted._replace(sort=self._pruned[0].sort):
            return self._pruned[1]
        key = wanted.layer, wanted.mode
        if not self._whole or self._whole[0] != key:
            self._whole = key, self._grown(*key)
        whole = self._whole[1]
        plain = set(wanted.shown) >= set(SHOWN) and not wanted.path
        self._pruned = wanted, whole if plain else pruned(whole, set(wanted.shown), wanted.path.lower())
        return self._pruned[1]

    def _grown(self, layer: int, mode: str) -> Branch:
        own = self.layers.entries(layer)
        return indexing.changed(own) if mode == BY_LAYER else self._together(layer, own)

    def _together(self, layer: int, own: list[Entry]) -> Branch:
        """All that is seen with this layer on top, what it changed marked, and what it took away."""
        merged = Merged()
        for number in range(1, layer):
            merged.apply(number, self.layers.entries(number))
        merged.apply(layer, own)
        found = [(one if number == layer else one._replace(change=""), number) for one, number in merged.entries()]
        found += [(one, layer) for one in own if one.change == REMOVED]
        return growing.grow(
            found, lambda one: one[0], lambda one: indexing.note(one[0]) if one[0].change else indexing.origin(*one)
        )


def pruned(root: Branch, shown: Collection[str], path: str) -> Branch:
    """The tree with only those things (and the folders on the way) whose change is `shown` and whose path holds `path`."""
    top = Branch("")
    kept: list[tuple[Branch, Branch]] = []  # a copy and the one above it; parents first
    todo = [(child, top, "") for child in root.children]
    while todo:
        branch, parent, above = todo.pop()
        inside = f"{above}/{branch.name}"
        copy = Branch(branch.name, branch.kind, branch.change, branch.note)
        fits = (branch.change or UNCHANGED) in shown and path in inside.lower()
        if fits and (branch.kind != "d" or branch.change):
            own = (
                branch.held - sum(one.held for one in branch.children),
                branch.gone - sum(one.gone for one in branch.children),
            )
            copy.take(max(own))
            copy.fits = True
        kept.append((copy, parent))
        todo += [(child, copy, inside) for child in branch.children]
    for copy, parent in reversed(kept):
        if copy.children or copy.fits:
            parent.children.append(copy)
            parent.add(copy)
    return top


def _flat(root: Branch, key: Callable[[Branch], Any], opened: Collection[str], *, everything: bool) -> Iterator[Listed]:
    """The rows, a folder of one folder in one row with it."""
    todo = [(child, 0, "") for child in sorted(root.children, key=key, reverse=True)]
    while todo:
        branch, depth, above = todo.pop()
        name = _text(branch.name)
        while len(branch.children) == 1 and _is_way(branch, branch.children[0]):
            branch = branch.children[0]
            name = f"{name}/{_text(branch.name)}"
        path = f"{above}/{name}"
        is_open = (everything or path in opened) if branch.children else None
        yield branch, depth, path, name, is_open
        if is_open:
            todo += [(child, depth + 1, path) for child in sorted(branch.children, key=key, reverse=True)]


def _row(branch: Branch, depth: int, path: str, name: str, is_open: bool | None) -> list[Any]:
    short = name if len(name) <= 300 else f"{name[:150]}…{name[-149:]}"
    return [
        depth,
        path,
        short,
        branch.kind,
        branch.change,
        branch.held,
        branch.gone,
        branch.counts,
        branch.note,
        is_open,
    ]


def _is_way(branch: Branch, child: Branch) -> bool:
    return child.kind == "d" and branch.change in ("", child.change)


def _text(name: str) -> str:
    """A name that can be encoded, in one line."""
    return (
        name if name.isascii() and name.isprintable() else plain(os.fsencode(name).decode("utf-8", "backslashreplace"))
    )
