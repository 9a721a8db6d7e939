"""`image diff`: the files in which two images differ, read from their unpacked layers. Nothing is mounted.

Both trees are walked at once; a folder that comes from the same layers in both is passed over without a look.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from nbcontainers.errors import InvalidArgument
from nbcontainers.image import lease, rootfs, work
from nbcontainers.image.image import Image
from nbcontainers.image.store import short
from nbcontainers.layer import holes, lower, xattrs
from nbcontainers.layer.lower import Found
from nbcontainers.table import Column, Table, stored


def diff(one: Image, other: Image) -> Table:
    """Rows by path: kind (A only in `other`, D only in `one`, C in both), path, `before` and `after` (bytes).

    Times alone make no difference: the same file made twice is the same. Of what lies on the host only layers are looked
    at; raises InvalidArgument where one of the two does and the other does not.
    """
    if one.base != other.base:
        image = one if one.base else other
        raise InvalidArgument(
            f"{short(str(image))} lies on this machine's folders, and the other image does not: they have all files in which they differ",
            hint="compare two images that were made of host, or two that were not",
        )
    with lease.adding(one.engine):
        folders = [rootfs.layers(image.engine, image) for image in (one, other)]
        found = work.call("difference:look", one=folders[0], other=folders[1])
    rows = [{"kind": kind, "path": path, "before": before, "after": after} for kind, path, before, after in found]
    return Table(rows, [
        Column("kind"), Column("path"), Column("before", format=stored), Column("after", format=stored),
    ])  # fmt: skip


def look(one: list[str], other: list[str]) -> list[tuple[Any, ...]]:
    """In the launcher's child: (kind, path, before, after)."""
    with ExitStack() as stack:
        places = list({*one, *other})
        layers = dict(zip(places, lower.opened(stack, places), strict=True))
        before, after = ([layers[path] for path in folders] for folders in (one, other))
        found = sorted(_walk(lower.roots(before), lower.roots(after)), key=lambda row: row[1].split(b"/"))
        return [(kind, "/" + os.fsdecode(path), *sizes) for kind, path, *sizes in found]


def _walk(before: list[Found], after: list[Found]) -> Iterator[tuple[str, bytes, int | None, int | None]]:
    todo = [(b"", before, after)]
    while todo:
        path, before, after = todo.pop()
        for name in lower.names(before) | lower.names(after):
            old, new = lower.child(before, name), lower.child(after, name)
            if not _same_places(old, new):
                inside = path + b"/" + name if path else name
                kind = "C" if old and new else "D" if old else "A"
                if kind != "C" or _differ(old[0], new[0]):
                    yield kind, inside, _size(old), _size(new)
                if _is_folder(old) or _is_folder(new):
                    todo.append((inside, old if _is_folder(old) else [], new if _is_folder(new) else []))


def _same_places(old: list[Found], new: list[Found]) -> bool:
    """Whether the very same files of the same layers are seen; also true where nothing is."""
    return [(one.layer, one.path) for one in old] == [(one.layer, one.path) for one in new]


def _is_folder(places: list[Found]) -> bool:
    return bool(places) and stat.S_ISDIR(places[0].status.st_mode)


def _size(places: list[Found]) -> int | None:
    if not places:
        return None
    return places[0].status.st_size if stat.S_ISREG(places[0].status.st_mode) else 0


def _differ(old: Found, new: Found) -> bool:
    one, other = old.status, new.status
    if (one.st_mode, one.st_uid, one.st_gid, one.st_rdev) != (other.st_mode, other.st_uid, other.st_gid, other.st_rdev):
        return True
    if stat.S_ISREG(one.st_mode) and (one.st_size != other.st_size or not _same_content(old, new)):
        return True
    if stat.S_ISLNK(one.st_mode):
        return os.readlink(old.path, dir_fd=old.layer) != os.readlink(new.path, dir_fd=new.layer)
    return xattrs.packed(_place(old)) != xattrs.packed(_place(new))


def _place(found: Found) -> bytes:
    return f"/proc/self/fd/{found.layer}/".encode() + found.path


def _same_content(old: Found, new: Found) -> bool:
    if (old.status.st_dev, old.status.st_ino) == (new.status.st_dev, new.status.st_ino):
        return True
    with open(_place(old), "rb", buffering=0) as one, open(_place(new), "rb", buffering=0) as other:
        return holes.same(one.fileno(), other.fileno())
