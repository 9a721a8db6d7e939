"""A directory that nothing written into it can leave.

Every name is made relative to a descriptor of its folder, and folders are found by openat2(2) with RESOLVE_IN_ROOT,
so a layer's own links, `..` and absolute names end inside. Names are bytes, as tar has them.
"""

from __future__ import annotations

import errno
import os
import stat

from nbcontainers.errors import ImageError
from nbcontainers.layer.tar import Budget
from nbcontainers.linux import inroot, tree

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_STEP = _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FOLDERS = 256
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def clean(name: bytes) -> bytes:
    """A member's path in its normal form: no leading or double slash, no `.` or `..`; b"" is the root itself.

    As every other implementation has it, `..` ends at the root.
    """
    if name[:2] == b"./":
        name = name[2:]
    name = name.rstrip(b"/")
    if b"/." not in name and b"//" not in name and name[:1] not in (b"/", b"."):
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            parts[-1:] = []
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


class Tree:
    """Folders below the descriptor `root`, kept open. `implicit` are those made because something is in them."""

    def __init__(self, root: int, budget: Budget) -> None:
        self.root = root
        self.implicit: dict[bytes, None] = {}
        self._folders = 0
        self._names = 0
        self._budget = budget
        self._open: dict[bytes, int] = {}

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def folder(self, path: bytes, *, make: bool = True) -> int:
        """A descriptor of the folder, which stays ours. FileNotFoundError if it is missing and not to be made.

        It is good while no 200 other folders are asked for: those that were not used for longest are closed.
        """
        descriptor = self._used(path)
        if descriptor is not None:
            return descriptor
        descriptor = self._step(path)
        if descriptor is None:
            try:
                descriptor = self._find(path)
            except FileNotFoundError:
                if not make:
                    raise
                descriptor = self._make(path)
        if len(self._open) >= _OPEN_FOLDERS:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[path] = descriptor
        return descriptor

    def _used(self, path: bytes) -> int | None:
        """The descriptor if it is open; it is now the last one to be closed."""
        descriptor = self._open.pop(path, None)
        if descriptor is not None:
            self._open[path] = descriptor
        return descriptor

    def _step(self, path: bytes) -> int | None:
        """From the folder above, if that is open; None if there is no folder of that name (but a link, perhaps)."""
        above, _, name = path.rpartition(b"/")
        parent = self._used(above) if above else self.root
        if parent is None or not name:
            return None
        try:
            return os.open(name, _STEP, dir_fd=parent)
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            return None

    def existing(self, path: bytes) -> int | None:
        """The folder if it is there and no link, open for reading; a new descriptor, the caller's to close."""
        try:
            above, _, name = path.rpartition(b"/")
            parent = self.folder(above, make=False) if path else self.root
            return os.open(name or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            return None

    def _find(self, path: bytes) -> int:
        return inroot.openat2(self.root, os.fsdecode(path), _DIRECTORY)

    def _make(self, path: bytes) -> int:
        """Walk as a process chrooted here would, and make what is missing: 0755, owned by root."""
        real: list[bytes] = []
        left = path.split(b"/")[::-1]
        links = 0
        here = self._find(b"")
        try:
            while left:
                name = left.pop()
                if name == b"..":
                    real[-1:] = []
                    here = self._replaced(here, b"/".join(real))
                elif name not in (b"", b"."):
                    target = self._enter(here, real, name)
                    if target is None:
                        here = self._replaced(here, name, step=True)
                        real.append(name)
                        continue
                    links += 1
                    if links > 40:
                        raise ImageError(f"too many symbolic links on the way to {show(path)}")
                    left += target.split(b"/")[::-1]
                    if target.startswith(b"/"):
                        real = []
                        here = self._replaced(here, b"")
            return os.dup(here)
        finally:
            os.close(here)

    def _replaced(self, here: int, path: bytes, *, step: bool = False) -> int:
        """The next folder of a walk, instead of this one: one step below it, or anywhere."""
        found = os.open(path, _STEP, dir_fd=here) if step else self._find(path)
        os.close(here)
        return found

    def _enter(self, parent: int, above: list[bytes], name: bytes) -> bytes | None:
        """Make sure that there is a folder `name` in the real folder `parent`; the target if it is a link."""
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            mode = os.lstat(name, dir_fd=parent).st_mode
            if stat.S_ISLNK(mode):
                return os.readlink(name, dir_fd=parent)
            if not stat.S_ISDIR(mode):
                where = show(b"/".join([*above, name]))
                raise ImageError(f"{where} is a file, and the layer puts something into it") from None
        else:
            path = b"/".join([*above, name])
            self.implicit[path] = None
            self.count_folder(path)
        return None

    def count_folder(self, path: bytes) -> None:
        """One more folder. Raises ImageError beyond the budget."""
        self._folders += 1
        if self._folders > self._budget.directories:
            raise ImageError(f"more than {self._budget.directories} folders in one layer")
        self.count_name(path)

    def count_name(self, path: bytes) -> None:
        """One more path that is remembered until the end. Raises ImageError beyond the budget."""
        self._names += len(path)
        if self._names > self._budget.names:
            raise ImageError(
                f"the paths of the layer's folders and whiteouts have more than {self._budget.names} bytes"
            )

    def remove(self, parent: int, name: bytes) -> None:
        """Make place for a new member of that name; the last one of a name wins."""
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            tree.remove(f"/proc/self/fd/{parent}/{os.fsdecode(name)}")
        self.close()  # a folder or a link on the way to one may have gone


def lstat(name: bytes, parent: int) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return None


def show(path: bytes) -> str:
    return "/" + os.fsdecode(path).encode("utf-8", "backslashreplace").decode()
