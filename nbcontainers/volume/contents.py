"""What an empty volume gets from the image (Docker's copy-up): all of it or nothing, once, whoever is killed when.

The files are copied beside the volume (`_incoming`), that folder is renamed when it is complete (`_complete`), and only
then its entries move in, one rename each. The next start drops what was incomplete and goes on with what was moving.
The caller holds the volume's lock.
"""

from __future__ import annotations

import os
from typing import Any

from nbcontainers.layer import xattrs
from nbcontainers.layer.changes import merged
from nbcontainers.layer.copy import Copy
from nbcontainers.linux import inroot, tree
from nbcontainers.volume.store import COMPLETE, INCOMING, is_empty

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
Facts = dict[str, Any]


def settle(data: str, beside: str) -> None:
    """Finish what a killed start left: `beside` is the folder that `_incoming` and `_complete` are in."""
    tree.remove(f"{beside}/{INCOMING}")
    if os.path.isdir(f"{beside}/{COMPLETE}"):
        _move_in(data, f"{beside}/{COMPLETE}")


def fill(data: str, beside: str, rootfs: str, target: str) -> Facts:
    """Copy what the root file system `rootfs` has at `target` into `data` if that is empty; what could not be copied.

    Owners, modes, times, extended attributes, links and holes are kept, those of the folder itself too.
    """
    if not is_empty(data) or (source := _source(rootfs, target)) < 0:
        return {"left_out": 0, "notes": []}
    incoming = f"{beside}/{INCOMING}"
    try:
        os.mkdir(incoming, 0o700)
        top = os.open(incoming, _FOLDER)
        try:
            copy = Copy(top)
            facts = copy.tree(merged([source], unreadable=copy.unreadable), top=True)
        finally:
            os.close(top)
    except BaseException:
        tree.remove(incoming)
        raise
    finally:
        os.close(source)
    os.rename(incoming, f"{beside}/{COMPLETE}")
    _move_in(data, f"{beside}/{COMPLETE}")
    return facts


def _source(rootfs: str, target: str) -> int:
    """The image's folder there, links followed as in the container; -1 if it has none."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return inroot.openat2(root, target, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    finally:
        os.close(root)


def _move_in(data: str, complete: str) -> None:
    """Each entry by a rename; what has come to be there meanwhile wins."""
    source, target = os.open(complete, _FOLDER), os.open(data, _FOLDER)
    try:
        for name in os.listdir(source):
            if not _is_there(name, target):
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        status = os.fstat(source)
        os.fchown(target, status.st_uid, status.st_gid)
        os.fchmod(target, status.st_mode & 0o7777)
        for attribute, value in xattrs.packed(source).items():
            os.setxattr(target, attribute, value)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(source)
        os.close(target)
    tree.remove(complete)


def _is_there(name: str, folder: int) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True
