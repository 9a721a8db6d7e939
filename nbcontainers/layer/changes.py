"""What a container changed: overlayfs' upper folder compared with the layers below it; and the merged view of layers.

Both walk folder by folder with one descriptor a layer, however deep the tree is, and never follow a link. Order: a
folder, what went from it, its files by name, then its folders by name. The kernel's form of an upper folder is
described in Documentation/filesystems/overlayfs.rst; `A`, `C` and `D` are Docker's words (docker diff).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from nbcontainers.errors import ImageError
from nbcontainers.layer import holes, lower, xattrs
from nbcontainers.layer.lower import Found
from nbcontainers.layer.tree import lstat, show
from nbcontainers.linux import inroot

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL)
"""What a running program's quickness looks like: gone, or something else by now."""
_FOREIGN = ("redirect", "metacopy")


class Change(NamedTuple):
    """One path that is new (A), different (C) or gone (D)."""

    path: bytes
    """Relative to the root, which is b""."""
    kind: str
    status: os.stat_result
    """Of what is there now; for D of what was."""
    folder: int
    """A descriptor of the folder it is in, of a folder itself; good until the next change is asked for. -1 for D."""
    name: bytes
    """Its name in `folder`; b"" for a folder itself."""
    below: Sequence[Found]
    """What the layers below have there, top first."""

    @property
    def place(self) -> int | bytes:
        """What the functions for extended attributes take."""
        return f"/proc/self/fd/{self.folder}/".encode() + self.name if self.name else self.folder

    @property
    def size(self) -> int:
        """Bytes of a regular file, as it is now or as it was; 0 for everything else."""
        return self.status.st_size if stat.S_ISREG(self.status.st_mode) else 0


class _Folder:
    """A folder of the upper tree on the way. `kind` "" means: as below, so far."""

    __slots__ = ("above", "below", "kind", "path", "replaced", "shown")

    def __init__(self, path: bytes, above: _Folder | None, below: list[Found], *, replaced: bool) -> None:
        self.path = path
        self.above = above
        self.below = below
        self.replaced = replaced
        self.kind = ""
        self.shown = False


def changes(
    upper: int,
    lowers: Sequence[int],
    *,
    userxattr: bool = False,
    skip: Collection[bytes] = (),
) -> Iterator[Change]:
    """What is in the folder `upper` (a descriptor) and not in `lowers` (descriptors, top first).

    A folder is a change if its owner, mode or attributes differ or something in it changed; new times alone are none.
    An opaque folder is told by what is missing in it. `skip`: paths where something was mounted; the empty files and
    folders made for that do not count. Raises ImageError for an upper folder that another engine's mount made.
    """
    return _Comparison(upper, lowers, userxattr, skip).walk()


class _Comparison:
    def __init__(
        self,
        upper: int,
        lowers: Sequence[int],
        userxattr: bool,
        skip: Collection[bytes],
    ) -> None:
        self._upper = upper
        self._prefix = "user.overlay." if userxattr else "trusted.overlay."
        self._root = lower.roots(lowers)
        self._skip = frozenset(skip)
        parts = [path.split(b"/") for path in skip]
        self._on_the_way = {b"/".join(some[:count]) for some in parts for count in range(1, len(some) + 1)}

    def walk(self) -> Iterator[Change]:
        todo = [_Folder(b"", None, self._root, replaced=False)]
        while todo:
            folder = todo.pop()
            descriptor = _unless_gone(self._upper, folder.path)
            if descriptor is None:
                continue
            try:
                inner: list[_Folder] = []
                yield from self._compare(folder, descriptor, inner)
                todo += reversed(inner)
            finally:
                os.close(descriptor)

    def _compare(self, folder: _Folder, descriptor: int, inner: list[_Folder]) -> Iterator[Change]:
        status = os.fstat(descriptor)
        self._refuse_foreign(descriptor, folder.path)
        folder.replaced |= self._is_marked(descriptor, "opaque", b"y")
        folder.kind = self._kind(folder, status, descriptor)
        if folder.kind:
            yield self._show(folder, status, descriptor)
        entries = _entries(descriptor)
        for change in self._gone(folder, entries):
            yield from self._with_folders(folder, change)
        for name, entry in entries.items():
            path = folder.path + b"/" + name if folder.path else name
            if stat.S_ISDIR(entry.st_mode):
                below = lower.child(folder.below, name)
                inner.append(_Folder(path, folder, below, replaced=folder.replaced))
            elif not lower.is_whiteout(entry):
                if changed := self._file(folder, descriptor, path, name, entry):
                    yield from self._with_folders(folder, changed)

    def _kind(self, folder: _Folder, status: os.stat_result, descriptor: int) -> str:
        below = folder.below[0] if folder.below else None
        if not folder.path:
            return self._kind_of_root(below, status, descriptor)
        if below is None:
            for_a_mount = folder.path in self._on_the_way and _is_plain(status, descriptor)
            return "" if for_a_mount else "A"
        return "C" if _differs(below, status, descriptor) else ""

    def _kind_of_root(self, below: Found | None, status: os.stat_result, descriptor: int) -> str:
        """A container's root begins as 0755 root:root whatever the image's is: that is no change."""
        if _is_plain(status, descriptor):
            return ""
        return "C" if below is None or _differs(below, status, descriptor) else ""

    def _gone(self, folder: _Folder, entries: dict[bytes, os.stat_result]) -> Iterator[Change]:
        there = {name for name, status in entries.items() if not lower.is_whiteout(status)}
        if not (folder.below and stat.S_ISDIR(folder.below[0].status.st_mode)):
            return
        if folder.replaced:
            missing = sorted(lower.names(folder.below) - there)
        else:
            missing = [name for name in entries if name not in there]
        for name in missing:
            path = folder.path + b"/" + name if folder.path else name
            if (below := lower.child(folder.below, name)) and path not in self._skip:
                yield Change(path, "D", below[0].status, -1, name, below)

    def _file(
        self, folder: _Folder, descriptor: int, path: bytes, name: bytes, status: os.stat_result
    ) -> Change | None:
        below = lower.child(folder.below, name)
        if not below and path in self._skip and status.st_size == 0:
            return None
        change = Change(path, "C" if below else "A", status, descriptor, name, below)
        if stat.S_ISREG(status.st_mode) and status.st_size and not status.st_blocks:  # as one without its data looks
            self._refuse_foreign(change.place, path)
        try:
            is_linked = stat.S_ISREG(status.st_mode) and status.st_nlink > 1  # a new name of it came up with it
            return change if not below or is_linked or _differs(below[0], status, change.place, change) else None
        except OSError as error:
            if error.errno not in _VANISHED:
                raise
            return None

    def _with_folders(self, folder: _Folder, change: Change) -> Iterator[Change]:
        """The change, after the folders it is in that were not told of yet."""
        above: list[_Folder] = []
        one: _Folder | None = folder
        while one is not None and one.path and not one.shown:
            above.append(one)
            one = one.above
        for one in reversed(above):
            descriptor = _unless_gone(self._upper, one.path)
            if descriptor is None:
                return
            try:
                status = os.fstat(descriptor)
                one.kind = one.kind or ("C" if one.below else "A")
                yield self._show(one, status, descriptor)
            finally:
                os.close(descriptor)
        yield change

    def _show(self, folder: _Folder, status: os.stat_result, descriptor: int) -> Change:
        folder.shown = True
        return Change(folder.path, folder.kind, status, descriptor, b"", folder.below)

    def _is_marked(self, place: int | bytes, name: str, value: bytes | None = None) -> bool:
        follow = {} if isinstance(place, int) else {"follow_symlinks": False}
        try:
            found = os.getxattr(place, self._prefix + name, **follow)
        except OSError:  # ENODATA, ENOTSUP
            return False
        return value is None or found == value

    def _refuse_foreign(self, place: int | bytes, path: bytes) -> None:
        """Our mounts make neither: renamed folders that only point elsewhere, files without their data."""
        for name in _FOREIGN:
            if self._is_marked(place, name):
                raise ImageError(
                    f"{show(path)} bears overlayfs' {name!r}, which no layer can express",
                    hint="use `container export` instead", path=show(path),
                )  # fmt: skip


def merged(layers: Sequence[int], *, unreadable: Callable[[bytes], None] | None = None) -> Iterator[Change]:
    """Everything a mount of `layers` (descriptors, top first) would show, the root folder first; all of kind A.

    `unreadable` is told the folders that may not be read; without it they are an error. The topmost may be the upper
    folder of a container that runs: what goes while we look is passed over.
    """
    todo = [(b"", lower.roots(layers))]
    while todo:
        path, places = todo.pop()
        with ExitStack() as stack:
            try:
                opened = [one for place in places if (one := _kept_open(stack, place)) is not None]
            except PermissionError:
                if unreadable is None:
                    raise
                unreadable(path)
                continue
            if not opened:
                continue
            yield Change(path, "A", os.fstat(opened[0]), opened[0], b"", places[1:])
            inner = []
            for name, descriptor in sorted(_topmost(opened).items()):
                status = lstat(name, descriptor)
                if status is None:
                    continue
                inside = path + b"/" + name if path else name
                if stat.S_ISDIR(status.st_mode):
                    inner.append((inside, lower.child(places, name)))
                elif not lower.is_whiteout(status):
                    yield Change(inside, "A", status, descriptor, name, ())
            todo += reversed(inner)


def joined(layers: Sequence[int], base: Sequence[int]) -> Iterator[Change]:
    """What `layers` (descriptors, top first) as one layer would be over those of `base`."""
    mine = set(layers)
    todo = [(b"", lower.roots([*layers, *base]), lower.roots(base))]
    while todo:
        path, places, below = todo.pop()
        with ExitStack() as stack:
            opened = [one for place in places if (one := _kept_open(stack, place)) is not None]
            if path or _differs_from(below, opened[0]):
                yield Change(path, "C" if below else "A", os.fstat(opened[0]), opened[0], b"", below)
            found = {name: child for name in sorted(lower.names(places)) if (child := lower.child(places, name))}
            there = lower.names(below) if below and stat.S_ISDIR(below[0].status.st_mode) else set()
            for name in sorted(there - found.keys()):
                if old := lower.child(below, name):
                    yield Change(path + b"/" + name if path else name, "D", old[0].status, -1, name, old)
            inner = []
            for name, child in found.items():
                if child[0].layer not in mine:
                    continue
                inside, old = child[0].path, lower.child(below, name) if there else []
                if stat.S_ISDIR(child[0].status.st_mode):
                    inner.append((inside, child, old))
                else:
                    folder = opened[[place.layer for place in places].index(child[0].layer)]
                    yield Change(inside, "C" if old else "A", child[0].status, folder, name, old)
            todo += reversed(inner)


def _differs_from(below: Sequence[Found], folder: int) -> bool:
    return not below or _differs(below[0], os.fstat(folder), folder)


def _kept_open(stack: ExitStack, place: Found) -> int | None:
    """A folder, open until the stack ends; None if it is none any more."""
    descriptor = _unless_gone(place.layer, place.path)
    if descriptor is not None:
        stack.callback(os.close, descriptor)
    return descriptor


def total(places: Sequence[Found]) -> tuple[int, int]:
    """How many files are in a folder, which is `places` in several layers (top first), and their bytes."""
    count = size = 0
    todo = [list(places)]
    while todo:
        inner = todo.pop()
        for name in lower.names(inner):
            if there := lower.child(inner, name):
                mode = there[0].status.st_mode
                if stat.S_ISDIR(mode):
                    todo.append(there)
                else:
                    count += 1
                    size += there[0].status.st_size if stat.S_ISREG(mode) else 0
    return count, size


def _topmost(folders: Sequence[int]) -> dict[bytes, int]:
    """name: the first of the folders that has it."""
    found: dict[bytes, int] = {}
    for descriptor in reversed(folders):
        found |= dict.fromkeys(map(os.fsencode, os.listdir(descriptor)), descriptor)
    return found


def open_folder(root: int, path: bytes) -> int:
    """The folder `path` in the folder `root`, no link followed; ImageError where the path is longer than Linux's."""
    try:
        return inroot.openat2(root, os.fsdecode(path), _FOLDER, inroot.RESOLVE_IN_ROOT | inroot.RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise ImageError(
            f"{show(path)[:200]}… lies deeper than the 4096 bytes of a path", hint="remove it in the container first"
        ) from None


def _unless_gone(root: int, path: bytes) -> int | None:
    """`open_folder`, and None where a running program was quicker: it is gone, or a file or a link now."""
    try:
        return open_folder(root, path)
    except OSError as error:
        if error.errno not in _VANISHED:
            raise
        return None


def _entries(folder: int) -> dict[bytes, os.stat_result]:
    names = sorted(map(os.fsencode, os.listdir(folder)))
    return {name: status for name in names if (status := lstat(name, folder))}


def _is_plain(status: os.stat_result, folder: int) -> bool:
    """Whether a folder is as the runtime makes them."""
    return (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o755, 0, 0) and not xattrs.packed(folder)


def _differs(below: Found, status: os.stat_result, place: int | bytes, change: Change | None = None) -> bool:
    """Whether it is another file, or the same one changed. Equal times are not believed: contents are compared."""
    old = below.status
    if (old.st_mode, old.st_uid, old.st_gid) != (status.st_mode, status.st_uid, status.st_gid):
        return True
    if change is not None:
        if (old.st_mtime_ns, old.st_size, old.st_rdev) != (status.st_mtime_ns, status.st_size, status.st_rdev):
            return True
        if contents_differ(below, change):
            return True
    return xattrs.packed(place) != xattrs.packed(f"/proc/self/fd/{below.layer}/".encode() + below.path)


def contents_differ(below: Found, change: Change) -> bool:
    """Whether a changed file has other bytes than the one below, or a link another target."""
    if stat.S_ISLNK(change.status.st_mode):
        old = os.readlink(below.path, dir_fd=below.layer)
        return old != os.readlink(change.name, dir_fd=change.folder)
    if not stat.S_ISREG(change.status.st_mode):
        return False
    one = os.open(below.path, _FILE, dir_fd=below.layer)
    try:
        other = os.open(change.name, _FILE, dir_fd=change.folder)
        try:
            return not holes.same(one, other)
        finally:
            os.close(other)
    finally:
        os.close(one)
