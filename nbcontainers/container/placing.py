"""Where `container cp` puts things: Docker's rules for sources, destinations and the slash at their end.

The documentation of `docker cp` has them as a table; tests/system/test_cp.py runs it. A path is looked up in its tree
link by link, each step by openat2(2) with RESOLVE_IN_ROOT, and what is found is the folder, open, and a name in it:
from then on nobody can exchange anything on the way.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.layer.changes import Change, merged
from nbcontainers.layer.copy import Copy
from nbcontainers.linux import inroot

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_LINKS = 40
"""As many symbolic links as the kernel follows: path_resolution(7)."""


class Path(NamedTuple):
    """A path as it was typed. `label` is what messages call it, `text` begins with a slash."""

    label: str
    text: str

    @property
    def contents(self) -> bool:
        """`folder/.`: what is in it, not itself."""
        return self.text.endswith("/.") or self.text == "/"

    @property
    def a_folder(self) -> bool:
        return self.text.endswith(("/", "/."))

    @property
    def plain(self) -> str:
        return os.path.normpath(self.text).replace("//", "/")

    @property
    def name(self) -> bytes:
        """What it is called, b"" for the root."""
        return os.fsencode(os.path.basename(self.plain))


class Place(NamedTuple):
    """A name in an open folder, and what is there; None if nothing is. `name` is "." for the tree's root."""

    folder: int
    name: bytes
    status: os.stat_result | None

    @property
    def is_folder(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)

    def open(self) -> int:
        """The folder that is there."""
        return os.open(self.name, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder)


@contextmanager
def found(root: int, path: Path, *, follow: bool) -> Iterator[Place]:
    """What is at `path` in the tree `root`; with `follow` the last name may be a link too. Raises NotFound where the
    folder it would be in is not there."""
    place = _look_up(root, path, follow=follow)
    try:
        yield place
    finally:
        os.close(place.folder)


def _look_up(root: int, path: Path, *, follow: bool) -> Place:
    text = path.plain
    for _ in range(_LINKS):
        above, _, name = text.rpartition("/")
        folder = _open_folder(root, above or "/", path)
        if name in ("", ".", ".."):  # the root, or a link that ends so
            inside = _open_folder(root, text, path)
            os.close(folder)
            return Place(inside, b".", os.fstat(inside))
        try:
            status = os.lstat(name, dir_fd=folder)
            link = os.readlink(name, dir_fd=folder) if follow and stat.S_ISLNK(status.st_mode) else ""
        except FileNotFoundError:
            return Place(folder, os.fsencode(name), None)
        if not link:
            return Place(folder, os.fsencode(name), status)
        os.close(folder)
        text = link if link.startswith("/") else f"{above}/{link}"
        text = text.rstrip("/") or "/"
    raise InvalidArgument(f"{path.label}: too many symbolic links on the way", hint="give the path they lead to")


def _open_folder(root: int, folder: str, path: Path) -> int:
    try:
        return inroot.openat2(root, folder, _FOLDER)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise _nothing(path) from None
        raise


def _nothing(path: Path) -> NotFound:
    return NotFound(f"there is no {path.label}", hint="the folder it is in has to be there, and its name to be right")


def source(root: int, path: Path, *, follow: bool) -> Place:
    """What is to be copied; its folder is the caller's to close. Raises NotFound, InvalidArgument."""
    place = _look_up(root, path, follow=follow or path.a_folder)
    if place.status is None:
        os.close(place.folder)
        raise _nothing(path)
    if path.a_folder and not place.is_folder:
        os.close(place.folder)
        raise InvalidArgument(f"{path.label} is no folder", hint=f"type {path.label.rstrip('/.')}")
    return place


def changes(place: Place, unreadable: Callable[[bytes], None], under: bytes = b"") -> Iterator[Change]:
    """The source as what is to be copied: a folder with all that is in it, or one file."""
    assert place.status is not None
    if not place.is_folder:
        yield Change(under, "A", place.status, place.folder, place.name, ())
        return
    top = place.open()
    try:
        for change in merged([top], unreadable=unreadable):
            path = b"/".join(part for part in (under, change.path) if part)
            yield change._replace(path=path)
    finally:
        os.close(top)


def put(what: Place, source: Path, root: int, path: Path, owner: tuple[int, int] | None) -> dict[str, object]:
    """Copy `what`, which was `source`, to `path` in the tree `root`, as docker cp's table has it; what was left out."""
    with found(root, path, follow=True) as there:
        if what.is_folder:
            return _put_folder(what, source, there, path, owner)
        if there.is_folder:
            top = there.open()
            try:
                return _copy(what, top, source.name, owner)
            finally:
                os.close(top)
        if path.a_folder:
            raise _no_folder(path, there)
        return _copy(what, there.folder, there.name, owner)


def _put_folder(
    what: Place, source: Path, there: Place, path: Path, owner: tuple[int, int] | None
) -> dict[str, object]:
    if there.status is not None and not there.is_folder:
        raise InvalidArgument(
            f"{source.label} is a folder and {path.label} a file: it cannot be copied onto it",
            hint="remove the file first, or give another destination",
        )
    if there.status is None:  # it becomes the copy
        return _copy(what, there.folder, there.name, owner)
    top = there.open()
    try:
        return _copy(what, top, b"" if source.contents else source.name, owner)
    finally:
        os.close(top)


def _copy(what: Place, top: int, name: bytes, owner: tuple[int, int] | None) -> dict[str, object]:
    copy = Copy(top, owner)
    return copy.tree(changes(what, copy.unreadable, name))


def _no_folder(path: Path, there: Place) -> InvalidArgument | NotFound:
    if there.status is None:
        return NotFound(f"there is no folder {path.label}", hint="make it first, or leave the slash at the end out")
    return InvalidArgument(f"{path.label} is no folder", hint=f"type {path.label.rstrip('/.')} to replace that file")
