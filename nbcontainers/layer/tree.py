"""A directory that nothing written into it can leave.

Every name is made relative to a descriptor of its folder, and folders are found by openat2(2) with RESOLVE_IN_ROOT,
so a layer's own links, `..` and absolute names end inside. Names are bytes, as tar has them.
"""

from __future__ import annotations

import os
import stat

from nbcontainers.errors import ImageError
from nbcontainers.linux import inroot, tree

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_OPEN_FOLDERS = 256


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

    def __init__(self, root: int) -> None:
        self.root = root
        self.implicit: dict[bytes, None] = {}
        self._open: dict[bytes, int] = {}

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def folder(self, path: bytes, *, make: bool = True) -> int:
        """A descriptor of the folder, which stays ours. FileNotFoundError if it is missing and not to be made."""
        descriptor = self._open.get(path)
        if descriptor is not None:
            return descriptor
        try:
            descriptor = self._find(path)
        except FileNotFoundError:
            if not make:
                raise
            descriptor = self._make(path)
        if len(self._open) >= _OPEN_FOLDERS:
            self.close()
        self._open[path] = descriptor
        return descriptor

    def existing(self, path: bytes) -> int | None:
        """The folder if it is there and no link; a new descriptor, the caller's to close."""
        try:
            return inroot.openat2(self.root, os.fsdecode(path), _DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return None

    def _find(self, path: bytes) -> int:
        return inroot.openat2(self.root, os.fsdecode(path), _DIRECTORY)

    def _make(self, path: bytes) -> int:
        """Walk as a process chrooted here would, and make what is missing: 0755, owned by root."""
        real: list[bytes] = []
        left = path.split(b"/")[::-1]
        links = 0
        while left:
            name = left.pop()
            if name == b"..":
                real[-1:] = []
            elif name not in (b"", b"."):
                target = self._enter(b"/".join(real), name)
                if target is None:
                    real.append(name)
                    continue
                links += 1
                if links > 40:
                    raise ImageError(f"too many symbolic links on the way to {show(path)}")
                real = [] if target.startswith(b"/") else real
                left += target.split(b"/")[::-1]
        return self._find(b"/".join(real))

    def _enter(self, above: bytes, name: bytes) -> bytes | None:
        """Step from the real folder `above` into `name`, making it; the target if it is a link."""
        parent = self._find(above)
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
            self.implicit[above + b"/" + name if above else name] = None
        except FileExistsError:
            mode = os.lstat(name, dir_fd=parent).st_mode
            if stat.S_ISLNK(mode):
                return os.readlink(name, dir_fd=parent)
            if not stat.S_ISDIR(mode):
                raise ImageError(
                    f"{show(above + b'/' + name)} is a file, and the layer puts something into it"
                ) from None
        finally:
            os.close(parent)
        return None

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
