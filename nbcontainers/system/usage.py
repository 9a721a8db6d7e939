"""`system df`: how much room everything takes. Sizes are bytes on the disk (st_blocks), each file counted once."""

from __future__ import annotations

import os
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.launcher import client
from nbcontainers.table import Column, Table, bytes_

_COLUMNS = [
    Column("type"),
    Column("total"),
    Column("active"),
    Column("size", format=bytes_),
    Column("reclaimable", format=bytes_),
]


def df(engine: Engine) -> Table:
    """One row a kind of thing; what `rm` and `system prune --containers` would give back is reclaimable."""
    from nbcontainers.container import store
    from nbcontainers.container.container import Container
    from nbcontainers.image import api as images

    folders = {name: str(engine.root / name) for name in ("images", "snapshots", "containers", "volumes")}
    sizes: dict[str, dict[str, int]] = client.call("nbcontainers.system.usage:sizes", folders=folders)
    listed = [Container(engine, id) for id in store.ids(engine)]
    running = {handle.id for handle in listed if handle.running}
    ended = sum(size for id, size in sizes["containers"].items() if id not in running)
    stored = {**sizes["images"], **sizes["snapshots"]}
    return Table(
        [
            _row("images", len(images.ls(engine=engine)), len({handle.image for handle in listed}), stored, 0),
            _row("containers", len(listed), len(running), sizes["containers"], ended),
            _row("volumes", len(sizes["volumes"]), len(sizes["volumes"]), sizes["volumes"], 0),
        ],
        _COLUMNS,
    )


def _row(kind: str, total: int, active: int, sizes: dict[str, int], reclaimable: int) -> dict[str, Any]:
    size = sum(sizes.values())
    return {"type": kind, "total": total, "active": active, "size": size, "reclaimable": reclaimable}


def sizes(folders: dict[str, str]) -> dict[str, dict[str, int]]:
    """In a process of the launcher: by kind, the size of each entry of a folder."""
    found: dict[str, dict[str, int]] = {}
    for kind, path in folders.items():
        names = os.listdir(path) if os.path.isdir(path) else []
        found[kind] = {name: size(f"{path}/{name}") for name in names}
    return found


def size(path: str) -> int:
    """Bytes a tree takes on its own file system; a file with several links counts once."""
    top = os.lstat(path)
    seen = {top.st_ino}
    total = top.st_blocks * 512
    waiting = [path] if os.path.isdir(path) and not os.path.islink(path) else []
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except FileNotFoundError:
            continue
        for entry in entries:
            total += _size(entry, top.st_dev, seen, waiting)
    return total


def _size(entry: os.DirEntry[str], device: int, seen: set[int], waiting: list[str]) -> int:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    if status.st_dev != device or status.st_ino in seen:
        return 0
    seen.add(status.st_ino)
    if entry.is_dir(follow_symlinks=False):
        waiting.append(entry.path)
    return status.st_blocks * 512
