"""`system df`: how much room everything takes, each file counted once."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound
from nbcontainers.launcher import client
from nbcontainers.table import Column, Table, bytes_

if TYPE_CHECKING:
    from nbcontainers.container.container import Container

_COLUMNS = [
    Column("type"),
    Column("total"),
    Column("active"),
    Column("size", format=bytes_),
    Column("reclaimable", format=bytes_),
]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def df(engine: Engine) -> Table:
    """One row a kind of thing; reclaimable is what `image prune -a`, `container rm` and removing volumes give back.

    Images are counted as `image df` does, builds (kept steps and cache mounts, which `builder prune -a` removes) by what
    no image needs as well; containers and volumes by their blocks on the disk.
    """
    from nbcontainers.container import store
    from nbcontainers.container.container import Container
    from nbcontainers.image import kept
    from nbcontainers.image.usage import Usage

    folders = {name: str(engine.root / name) for name in ("containers", "volumes", "cache/mounts")}
    found: dict[str, dict[str, int]] = client.call("nbcontainers.system.usage:sizes", folders=folders)
    listed = [Container(engine, id) for id in store.ids(engine)]
    running = {handle.id for handle in listed if handle.running}
    mounted = {name for handle in listed for name in _volumes(handle)}
    images, containers, volumes = Usage(engine), found["containers"], found["volumes"]
    caches = {name: size for name, size in found["cache/mounts"].items() if not name.endswith(".lock")}
    of_builds = images.size(images.builds) + sum(caches.values())
    steps = sum(1 for _ in kept.every(engine))
    active = len(images.users.keys() & images.images.keys())
    return Table(
        [
            _row("images", len(images.images), active, images.total, images.reclaimable),
            _row("builds", steps + len(caches), 0, of_builds, of_builds),
            _row("containers", len(listed), len(running), *_sums(containers, running)),
            _row("volumes", len(volumes), len(volumes.keys() & mounted), *_sums(volumes, mounted)),
        ],
        _COLUMNS,
    )


def _volumes(container: Container) -> list[str]:
    """Names of the volumes it mounts, running or not."""
    try:
        record = container.record
        return [*(record.get("volumes") or ()), *(record.get("anonymous_volumes") or ())]
    except NotFound:  # removed while we looked
        return []


def _sums(sizes: dict[str, int], active: set[str]) -> tuple[int, int]:
    """Bytes of all, and of those that are not active."""
    return sum(sizes.values()), sum(size for name, size in sizes.items() if name not in active)


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> dict[str, Any]:
    return {"type": kind, "total": total, "active": active, "size": size, "reclaimable": reclaimable}


def sizes(folders: dict[str, str]) -> dict[str, dict[str, int]]:
    """In a process of the launcher: by kind, the size of each entry of a folder."""
    found: dict[str, dict[str, int]] = {}
    for kind, path in folders.items():
        names = os.listdir(path) if os.path.isdir(path) else []
        found[kind] = {name: size(f"{path}/{name}") for name in names}
    return found


def size(path: str) -> int:
    """Bytes a tree takes on its own file system; a file with several links counts once.

    One folder is open at a time, and names are relative to it: a tree can be deeper than a path is long.
    """
    top = os.lstat(path)
    seen, total = {top.st_ino}, top.st_blocks * 512
    if not stat.S_ISDIR(top.st_mode):
        return total
    here = os.open(path, _FOLDER)
    try:
        found, folders = _entries(here, top.st_dev, seen)
        total, way = total + found, [(top.st_ino, folders)]  # the inode of each folder, and what is to be seen in it
        while way:
            if way[-1][1]:
                here, inode = _enter(here, way[-1][1].pop())
                if inode:
                    found, folders = _entries(here, top.st_dev, seen)
                    total += found
                    way.append((inode, folders))
                continue
            way.pop()
            if way:
                here, inode = _enter(here, "..")
                if inode != way[-1][0]:  # somebody moves folders: what lies above is not ours
                    break
    finally:
        os.close(here)
    return total


def _enter(folder: int, name: str) -> tuple[int, int]:
    """The folder `name` in place of `folder`, and its inode; the same folder and 0 if it has just gone."""
    try:
        there = os.open(name, _FOLDER, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return folder, 0
    os.close(folder)
    return there, os.fstat(there).st_ino


def _entries(folder: int, device: int, seen: set[int]) -> tuple[int, list[str]]:
    """Bytes of what is in a folder and was not `seen`, and the names of its folders."""
    total, folders = 0, []
    for name in os.listdir(folder):
        try:
            status = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:
            continue
        if status.st_dev != device or status.st_ino in seen:
            continue
        seen.add(status.st_ino)
        total += status.st_blocks * 512
        if stat.S_ISDIR(status.st_mode):
            folders.append(name)
    return total, folders
