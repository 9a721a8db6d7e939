"""What one unpacked layer does to the layers below it: every file in its folder, compared with what was seen there.

Other than `layer/changes.py`, which says what a container changed, this says what a layer stores: also a file that is
stored again without any difference, and one of which only owner, mode or attributes differ. Times make no difference.
In a process of the launcher, where files of all owners can be read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from nbcontainers.image.merging import ADDED, AGAIN, ATTRIBUTES, CHANGED, ON_HOST, REMOVED, Entry, Merged, Node, below
from nbcontainers.layer import holes, lower, xattrs
from nbcontainers.layer.changes import open_folder, total
from nbcontainers.layer.lower import Found

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFCHR: "c", stat.S_IFBLK: "b",
          stat.S_IFIFO: "p", stat.S_IFSOCK: "s"}  # fmt: skip
_EVERY = 2000


class Reading:
    """The layers (descriptors, bottom first), of which `merged` has those that were read; `base`: folders of the host
    below them all, top first. `told` is called now and then with the files of the layer so far."""

    def __init__(self, layers: Sequence[int], merged: Merged, base: Sequence[int], told: Callable[[int], None]) -> None:
        self._layers = layers
        self._merged = merged
        self._host = lower.View(base) if base else None
        self._told = told

    def entries(self, number: int) -> Iterator[Entry]:
        """Of layer `number`, whose lower layers are merged: folders before what is in them, what goes first."""
        self._number = number
        self._layer = self._layers[number - 1]
        self._first_names: dict[int, str] = {}
        count = told = 0
        todo: list[tuple[str, Node | None, bool]] = [("", self._merged.root, False)]
        while todo:
            path, old, replaced = todo.pop()
            inner: list[tuple[str, Node | None, bool]] = []
            if self._host is None and not (old and old.children):
                found = self._new_folder(path, inner)
            else:
                found = list(self._folder(path, old, replaced, inner))
            count += len(found)
            if count - told >= _EVERY:
                self._told(told := count)
            yield from found
            todo += reversed(inner)

    def _new_folder(self, path: str, inner: list[tuple[str, Node | None, bool]]) -> list[Entry]:
        """What is in one folder where nothing was before: most of an image is that, so this is quick."""
        descriptor, number = open_folder(self._layer, os.fsencode(path)), self._number
        try:
            with os.scandir(descriptor) as listed:
                here = sorted((one.name, one.stat(follow_symlinks=False)) for one in listed)
            above, found = f"{path}/" if path else "", []
            for name, status in here:
                mode, _, _, names, uid, gid, size, _, _, _ = status
                if names == 1 and stat.S_ISREG(mode):
                    facts = above + name, "f", ADDED, size, mode & 0o7777, uid, gid, "", number
                    found.append(tuple.__new__(Entry, facts))
                elif not lower.is_whiteout(status):
                    if stat.S_ISDIR(mode):
                        inner.append((above + name, None, False))
                    found.append(self._new(above + name, status, descriptor, name))
            return found
        finally:
            os.close(descriptor)

    def _folder(
        self, path: str, old: Node | None, replaced: bool, inner: list[tuple[str, Node | None, bool]]
    ) -> Iterator[Entry]:
        """What is in one folder; its folders, which come later, are put into `inner`."""
        descriptor = open_folder(self._layer, os.fsencode(path))
        try:
            replaced = replaced or lower.is_opaque(self._layer, os.fsencode(path))
            known = old.children if old else {}
            with os.scandir(descriptor) as found:
                here = {one.name: one.stat(follow_symlinks=False) for one in found}
            if replaced:
                for name in sorted(known.keys() - here.keys()):
                    yield from _gone(known[name])
            for name, status in sorted(here.items()):
                inside = f"{path}/{name}" if path else name
                if lower.is_whiteout(status):
                    yield from self._whiteout(inside, known.get(name))
                    continue
                before = known.get(name) or self._on_host(inside, replaced)
                if stat.S_ISDIR(status.st_mode):
                    inner.append((inside, before if before and before.entry.kind == "d" else None, replaced))
                elif before:
                    yield from _gone(before, itself=False)
                if entry := self._entry(inside, status, before, descriptor, name):
                    yield entry
        finally:
            os.close(descriptor)

    def _whiteout(self, path: str, old: Node | None) -> Iterator[Entry]:
        if old:
            yield from _gone(old)
        elif self._host and (found := self._host.places(os.fsencode(path))):
            is_folder, size = stat.S_ISDIR(found[0].status.st_mode), 0
            with suppress(PermissionError):
                size = total(found)[1] if is_folder else size_of(found[0].status)
            yield entry_of(path, found[0].status, REMOVED, ON_HOST)._replace(size=size)

    def _on_host(self, path: str, replaced: bool) -> Node | None:
        """What the host has there, as a node of no layer."""
        if replaced or self._host is None:
            return None
        found = self._host.find(os.fsencode(path))
        if found is None:
            return None
        entry = entry_of(path, found.status, "", ON_HOST)
        if entry.kind == "l":
            entry = entry._replace(link=os.readlink(os.fsdecode(found.path), dir_fd=found.layer))
        return Node(entry, ON_HOST)

    def _entry(self, path: str, status: os.stat_result, old: Node | None, folder: int, name: str) -> Entry | None:
        """None for a folder that is as it was: it only holds what changed."""
        entry = self._new(path, status, folder, name)
        if old is None:
            return entry
        change = self._compare(path, entry, status, old)
        return entry._replace(change=change, first=old.entry.first) if change else None

    def _new(self, path: str, status: os.stat_result, folder: int, name: str) -> Entry:
        """As if nothing was there before."""
        entry = entry_of(path, status, ADDED, self._number)
        if entry.kind == "l":
            entry = entry._replace(link=os.readlink(name, dir_fd=folder))
        elif entry.kind == "f" and status.st_nlink > 1:
            first = self._first_names.setdefault(status.st_ino, path)
            entry = entry if first == path else entry._replace(link=first, size=0)
        return entry

    def _compare(self, path: str, entry: Entry, status: os.stat_result, old: Node) -> str:
        was = old.entry
        if entry.kind != was.kind or not self._same_content(path, entry, status, old):
            return CHANGED
        if (entry.mode, entry.uid, entry.gid) != (was.mode, was.uid, was.gid) or self._other_xattrs(path, old):
            return ATTRIBUTES
        return "" if entry.kind == "d" else AGAIN

    def _same_content(self, path: str, entry: Entry, status: os.stat_result, old: Node) -> bool:
        if entry.kind != "f":
            return entry.kind == "d" or entry.link == old.entry.link
        below = self._below(path, old)
        if below is None or below.status.st_size != status.st_size:
            return False
        if not status.st_size:
            return True
        one = os.open(path, _FILE, dir_fd=self._layer)
        try:
            other = os.open(below.path, _FILE, dir_fd=below.layer)
            try:
                return holes.same(one, other)
            finally:
                os.close(other)
        finally:
            os.close(one)

    def _below(self, path: str, old: Node) -> Found | None:
        """The file itself that was seen there."""
        encoded = os.fsencode(path)
        if old.layer == ON_HOST:
            return self._host.find(encoded) if self._host else None
        layer = self._layers[old.layer - 1]
        return Found(layer, encoded, os.lstat(encoded, dir_fd=layer))

    def _other_xattrs(self, path: str, old: Node) -> bool:
        below = self._below(path, old)
        return below is not None and xattrs.packed(_place(self._layer, path)) != xattrs.packed(
            _place(below.layer, path)
        )


def _gone(top: Node, *, itself: bool = True) -> Iterator[Entry]:
    """A path that is no longer seen, and all in it."""
    for node in below(top):
        if itself or node is not top:
            yield node.entry._replace(change=REMOVED)


def entry_of(path: str, status: os.stat_result, change: str, first: int) -> Entry:
    """An entry of what stat(2) says; without the target of a link."""
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    device = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if kind in "cb" else ""
    mode = stat.S_IMODE(status.st_mode)
    return Entry(path, kind, change, size_of(status), mode, status.st_uid, status.st_gid, device, first)


def size_of(status: os.stat_result) -> int:
    """Bytes of a regular file; 0 of all else."""
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _place(layer: int, path: str) -> bytes:
    return f"/proc/self/fd/{layer}/".encode() + os.fsencode(path)
