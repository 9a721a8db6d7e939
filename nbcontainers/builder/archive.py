"""Archives that ADD unpacks, and that are contexts: as tar would, over whatever is there.

A member replaces what has its name, but a folder that is there stays and takes its attributes; links on the way are
followed inside the root; names that mean something in a layer are names like all others.
"""

from __future__ import annotations

import os

from nbcontainers.errors import ImageError
from nbcontainers.layer import codec, tar
from nbcontainers.layer.tree import clean
from nbcontainers.layer.unpack import Layer

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class _Archive(Layer):
    """Goes into the folder `prefix` of the root, which may have files already."""

    def __init__(self, root: int, prefix: bytes, *, userxattr: bool, squash: bool) -> None:
        super().__init__(root, userxattr=userxattr, squash=squash)
        self.tree.implicit.clear()
        self._prefix = prefix

    def _member(self, reader: tar.Reader, entry: tar.Entry, path: bytes) -> None:
        if entry.type == tar.LINK:
            entry.link = self._below(clean(entry.link))
        if path:  # the folder itself is not the archive's
            self._put(reader, entry, self._below(path))

    def _below(self, path: bytes) -> bytes:
        return b"/".join(filter(None, (self._prefix, path)))

    def finish_here(self) -> None:
        """There is nothing below: what was made on the way stays as it is."""
        self.tree.implicit.clear()
        self.finish([])


def unpack(path: str, name: str, root: int, folder: str, *, userxattr: bool, squash: bool) -> None:
    """The archive's members into a folder of the root, with their owners. The umask must be 0. ImageError, which calls it
    `name`, for a bad one."""
    archive = _Archive(root, clean(os.fsencode(folder)), userxattr=userxattr, squash=squash)
    try:
        with open(path, "rb") as file:
            archive.extract(codec.chunks(file))
        archive.finish_here()
    except ImageError as error:
        raise ImageError(f"the archive {os.path.basename(name)} cannot be unpacked: {error.message}") from None
    finally:
        archive.tree.close()


def unpack_all(path: str, folder: str) -> None:
    """An archive's files into an empty folder of the host, all of them ours; in a process of the launcher."""
    os.umask(0)
    root = os.open(folder, _FOLDER)
    try:
        unpack(path, path, root, "", userxattr=True, squash=True)
    finally:
        os.close(root)
