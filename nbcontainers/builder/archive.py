"""Archives that ADD unpacks, and that are contexts: as tar would, over whatever is there.

A member replaces what has its name, but a folder that is there stays and takes its attributes; links on the way are
followed inside the folder it is unpacked in, as if that were the root, which is what Docker and buildah do; names that
mean something in a layer are names like all others.
"""

from __future__ import annotations

import os

from nbcontainers.errors import ImageError
from nbcontainers.layer import codec, tar
from nbcontainers.layer.unpack import Layer

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class _Archive(Layer):
    """Goes into a folder that may have files already."""

    def __init__(self, folder: int, *, userxattr: bool, squash: bool) -> None:
        super().__init__(folder, userxattr=userxattr, squash=squash)
        self.tree.implicit.clear()

    def _member(self, reader: tar.Reader, entry: tar.Entry, path: bytes) -> None:
        if path:  # the folder itself is not the archive's
            self._put(reader, entry, path)

    def finish_here(self) -> None:
        """There is nothing below: what was made on the way stays as it is."""
        self.tree.implicit.clear()
        self.finish([])


def unpack(path: str, name: str, folder: int, *, userxattr: bool, squash: bool) -> None:
    """The archive's members into a folder, a descriptor, with their owners. The umask must be 0. ImageError, which calls
    it `name`, for a bad one."""
    archive = _Archive(folder, userxattr=userxattr, squash=squash)
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
        unpack(path, path, root, userxattr=True, squash=True)
    finally:
        os.close(root)
