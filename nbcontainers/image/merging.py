"""What layers put on each other: the files that are seen in the end, and the bytes that nobody sees any more.

One `Entry` is one thing a layer does to one path. `Merged.apply` takes the entries of layer after layer, bottom first.

    stored     bytes of all files in all layers
    wasted     bytes of copies that a later layer hides: of a path stored in N layers the N - 1 that are not seen, and all
               N where the last of them was removed in the end. A whiteout is no copy and counts nothing.
    efficiency (stored - wasted) / stored, 1 where nothing is stored: the part that a container can see

dive's score is the same for equal copies and for files that are removed. Where the copies differ in size it takes the
smallest one as needed, we the one that is seen; it counts the whiteout of a folder as a copy of all that was in it; and
its wasted bytes are those of all N copies (wagoodman/dive#684). A hard link is no copy: the bytes are its first name's,
and go to the next name when that one is hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

ADDED, CHANGED, ATTRIBUTES, AGAIN, REMOVED = "added", "changed", "attributes", "again", "removed"
CHANGES = (ADDED, CHANGED, ATTRIBUTES, AGAIN, REMOVED)
"""What a layer can do: bring something new, replace it by something else, store it with other attributes only, store it
without any difference, take it away."""
ON_HOST = 0
"""The number of what the host itself has below an image that was made of it; layers count from 1, the lowest."""


class Entry(NamedTuple):
    """One path in one layer."""

    path: str
    """Relative to the root; bytes that are no UTF-8 as os.fsdecode has them."""
    kind: str
    """f file, d folder, l symbolic link, c and b devices, p FIFO, s socket."""
    change: str
    size: int
    """Bytes a file has (for `removed`: had); 0 for all else, and for a further name of a file of the same layer."""
    mode: int
    uid: int
    gid: int
    link: str
    """Where a symbolic link points; the first name of a file with several; the numbers of a device."""
    first: int
    """The number of the layer in which this path came, `ON_HOST` for the host's own."""


class Node:
    """A path as it is seen: `entry` is what the layer `layer` says of it."""

    __slots__ = ("children", "entry", "layer")

    def __init__(self, entry: Entry, layer: int) -> None:
        self.entry = entry
        self.layer = layer
        self.children: dict[str, Node] = {}


class Waste(NamedTuple):
    """A path with bytes that nobody sees: how many copies are stored, the hidden bytes of them, whether it is there in the
    end. A folder that is gone stands for all that was in it."""

    path: str
    copies: int
    bytes: int
    there: bool


class Merged:
    """The layers so far."""

    def __init__(self) -> None:
        self.root = Node(Entry("", "d", "", 0, 0o755, 0, 0, "", 0), 0)
        self.stored = self.wasted = 0
        self._hidden: dict[str, list[int]] = {}  # path: copies, bytes
        self._names: dict[tuple[int, str], list[str]] = {}  # further names of a file, by its layer and first name

    def find(self, path: str) -> Node | None:
        """What is seen at a path; None for nothing."""
        node: Node | None = self.root
        for part in path.split("/") if path else ():
            node = node.children.get(part) if node else None
        return node

    def apply(self, number: int, entries: Iterable[Entry]) -> None:
        """Put layer `number` on what is there."""
        last, parent = "", self.find("")
        for entry in entries:
            above, _, name = entry.path.rpartition("/")
            if above != last or parent is None:  # what is in a folder comes together, and takes away nothing above it
                last, parent = above, self.find(above)
            if entry.change == REMOVED:
                if parent and (gone := parent.children.pop(name, None)):
                    self._hide_all(gone)
            else:
                self.stored += entry.size
                self._put(parent or self._folders(above, number), name, entry, number)

    def _put(self, parent: Node, name: str, entry: Entry, number: int) -> None:
        old = parent.children.get(name)
        if old is None:
            parent.children[name] = Node(entry, number)
        else:
            self._hide(old)
            old.entry, old.layer = entry, number
        if entry.kind == "f" and entry.link:
            self._names.setdefault((number, entry.link), []).append(entry.path)

    def _folders(self, path: str, number: int) -> Node:
        """A folder of which no layer speaks: it lies on the host."""
        node, done = self.root, ""
        for part in path.split("/") if path else ():
            done = f"{done}/{part}" if done else part
            node = node.children.setdefault(part, Node(Entry(done, "d", "", 0, 0o755, 0, 0, "", ON_HOST), number))
        return node

    def _hide_all(self, top: Node) -> None:
        for node in below(top):
            self._hide(node)

    def _hide(self, node: Node) -> None:
        """Its bytes are wasted, unless another name of the file is still seen."""
        size, path = node.entry.size, node.entry.path
        if not size:
            return
        others = self._names.pop((node.layer, path), [])
        while others:
            heir = self.find(others.pop(0))
            if heir and heir is not node and heir.layer == node.layer and heir.entry.link and not heir.entry.size:
                heir.entry = heir.entry._replace(size=size)
                self._names[node.layer, heir.entry.path] = others
                return
        self.wasted += size
        known = self._hidden.setdefault(path, [0, 0])
        known[0] += 1
        known[1] += size

    @property
    def efficiency(self) -> float:
        return efficiency(self.stored, self.wasted)

    def waste(self) -> list[Waste]:
        """The paths with hidden bytes, the most first."""
        found: dict[str, list[int]] = {}
        for path, (copies, hidden) in self._hidden.items():
            known = found.setdefault(self._outermost(path), [0, 0])
            known[0] += copies
            known[1] += hidden
        rows = []
        for path, (copies, hidden) in found.items():
            node = self.find(path)
            there = bool(node and node.entry.kind == "f")
            rows.append(Waste(path, copies + there, hidden, there))
        return sorted(rows, key=lambda one: (-one.bytes, one.path))

    def _outermost(self, path: str) -> str:
        """The path, or the highest folder on the way to it that is gone."""
        node, at = self.root, 0
        while (end := path.find("/", at)) >= 0:
            child = node.children.get(path[at:end])
            if child is None:
                return path[:end]
            node, at = child, end + 1
        return path

    def entries(self) -> Iterator[tuple[Entry, int]]:
        """All that is seen, and the layer each comes from; parents first."""
        return ((node.entry, node.layer) for node in below(self.root) if node is not self.root)


def below(top: Node) -> Iterator[Node]:
    """A node and all in it, parents first, by name."""
    todo = [top]
    while todo:
        node = todo.pop()
        yield node
        todo += [node.children[name] for name in sorted(node.children, reverse=True)]


def efficiency(stored: int, wasted: int) -> float:
    """The part of what is stored that is seen."""
    return (stored - wasted) / stored if stored else 1.0
