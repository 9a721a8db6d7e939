"""`container diff`: what a container changed in its image's files, in Docker's words."""

from __future__ import annotations

import os
import stat
from typing import Any

from nbcontainers.container import parts as roots
from nbcontainers.container.container import Container
from nbcontainers.image.parts import Parts, all_changes
from nbcontainers.table import Column, Table, stored


def diff(container: Container) -> Table:
    """Rows by path: kind (A new, C changed, D gone), path, size (bytes it has, or had; of a folder that is gone, all
    that was in it). Mount points and what the runtime makes (/etc/hosts, /dev) are none."""
    from nbcontainers.launcher.client import call

    with roots.present(container):
        found = call("nbcontainers.container.difference:look", parts=roots.of(container))
    rows = [{"kind": kind, "path": path, "size": size} for kind, path, size in found]
    return Table(rows, [Column("kind"), Column("path"), Column("size", format=stored)])


def look(parts: Parts) -> list[tuple[str, str, int]]:
    """In the launcher's child: (kind, path, size), sorted by path."""
    found: dict[bytes, tuple[str, int]] = {}
    for change in all_changes(parts):
        if change.path:
            found[change.path] = change.kind, _size(change)
            _tell_of_folders(parts, change.path, found)
    return [(kind, "/" + os.fsdecode(path), size) for path, (kind, size) in sorted(found.items(), key=_by_parts)]


def _by_parts(item: tuple[bytes, Any]) -> list[bytes]:
    return item[0].split(b"/")


def _tell_of_folders(parts: Parts, path: bytes, found: dict[bytes, tuple[str, int]]) -> None:
    """The folder that an overlay of its own begins at, and those above it, are not told by its walk."""
    for part in parts["overlays"]:
        name = os.fsencode(part["name"])
        if name and path.startswith(name + b"/"):
            above = name.split(b"/")
            for count in range(1, len(above) + 1):
                found.setdefault(b"/".join(above[:count]), ("C", 0))


def _size(change: Any) -> int:
    from nbcontainers.layer.changes import total

    if change.kind == "D" and stat.S_ISDIR(change.status.st_mode):
        return total(change.below)[1]
    return int(change.size)
