"""What the layers below have at a path: overlayfs' merged view, without a mount.

Layers are unpacked in overlay form (Documentation/filesystems/overlayfs.rst): a whiteout is a character device 0:0,
an opaque folder bears the xattr trusted.overlay.opaque, or user.overlay.opaque in a user namespace.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


class Found(NamedTuple):
    """A path in one layer: its descriptor (the layer's own) and what is there."""

    layer: int
    path: bytes
    status: os.stat_result


def is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(layer: int, path: bytes) -> bool:
    place = f"/proc/self/fd/{layer}/".encode() + path
    for name in OPAQUE:
        try:
            if os.getxattr(place, name, follow_symlinks=False) == b"y":
                return True
        except OSError:  # ENODATA, ENOTSUP
            continue
    return False


def opened(stack: ExitStack, folders: Iterable[str]) -> list[int]:
    """Descriptors of the folders, to be read until the stack ends."""
    found = []
    for path in folders:
        found.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        stack.callback(os.close, found[-1])
    return found


def roots(layers: Sequence[int]) -> list[Found]:
    """The root folders that are seen together: none below an opaque one."""
    found = []
    for layer in layers:
        found.append(Found(layer, b"", os.fstat(layer)))
        if is_opaque(layer, b""):
            break
    return found


def child(places: Sequence[Found], name: bytes) -> list[Found]:
    """What the folders `places` (one path in several layers, top first) have of that name: nothing, one thing, or
    several folders that are seen as one."""
    found: list[Found] = []
    for place in places:
        path = place.path + b"/" + name if place.path else name
        try:
            status = os.lstat(path, dir_fd=place.layer)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(status) or (found and not stat.S_ISDIR(status.st_mode)):
            break
        found.append(Found(place.layer, path, status))
        if not stat.S_ISDIR(status.st_mode) or is_opaque(place.layer, path):
            break
    return found


def names(places: Sequence[Found]) -> set[bytes]:
    """Names in the folders `places`; whiteouts are among them."""
    found: set[bytes] = set()
    for place in places:
        descriptor = os.open(place.path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.layer)
        try:
            found.update(map(os.fsencode, os.listdir(descriptor)))
        finally:
            os.close(descriptor)
    return found


class View:
    """The layers (descriptors, top first) as they are seen together. Folders on the way are remembered, so that
    asking for the paths of a tree in their order costs one look each."""

    _MOST = 4096

    def __init__(self, layers: Sequence[int]) -> None:
        self._roots = roots(layers)
        self._known: dict[bytes, list[Found]] = {}

    def places(self, path: bytes) -> list[Found]:
        """All that is seen at a path, links not followed: nothing, one thing, or several folders seen as one."""
        missing = []
        found = self._roots
        while path:
            if (known := self._known.get(path)) is not None:
                found = known
                break
            path, _, name = path.rpartition(b"/")
            missing.append(name)
        while missing:
            name = missing.pop()
            found = child(found, name) if found else []
            path = path + b"/" + name if path else name
            if len(self._known) >= self._MOST:
                self._known.clear()
            self._known[path] = found
        return found

    def find(self, path: bytes) -> Found | None:
        """The topmost thing there; None if there is nothing, or something that a layer above hides."""
        return next(iter(self.places(path)), None)


def find(layers: Sequence[int], path: bytes) -> Found | None:
    """The topmost thing at `path` in the layers (descriptors, top first), links not followed; None if hidden."""
    return View(layers).find(path)


def follow(layers: Sequence[int], path: str) -> Found | None:
    """What a process in the merged tree would find at `path`, links followed, also from one layer into another, and
    never out of them; None if there is nothing. The path found has no link in it."""
    todo = os.fsencode(path).split(b"/")[::-1]
    real: list[bytes] = []
    found: Found | None = None
    view = View(layers)
    for _ in range(400):
        if not todo:
            break
        part = todo.pop()
        if part == b"..":
            real[-1:] = []
        elif part not in (b"", b"."):
            found = view.find(b"/".join([*real, part]))
            if found is None:
                return None
            if stat.S_ISLNK(found.status.st_mode):
                target = os.readlink(found.path, dir_fd=found.layer)
                real = [] if target.startswith(b"/") else real
                todo += target.split(b"/")[::-1]
            else:
                real.append(part)
    return None if todo else found
