"""`system df`: how much room everything takes, each file counted once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound
from nbcontainers.launcher import client
from nbcontainers.linux.room import size
from nbcontainers.system.room import Room
from nbcontainers.table import Column, Table, stored

if TYPE_CHECKING:
    from nbcontainers.container.container import Container

_COLUMNS = [
    Column("type"),
    Column("total"),
    Column("active"),
    Column("size", format=stored),
    Column("reclaimable", format=stored),
]


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
    return Room(
        [
            _row("images", len(images.images), active, images.total, images.reclaimable),
            _row("builds", steps + len(caches), 0, of_builds, of_builds),
            _row("containers", len(listed), len(running), *_sums(containers, running)),
            _row("volumes", len(volumes), len(volumes.keys() & mounted), *_sums(volumes, mounted)),
        ],
        _COLUMNS,
    )


def df_of_each(engine: Engine) -> Table:
    """One row a thing: type, name, size (bytes it has for itself alone), used_by (names of containers); large ones first."""
    from nbcontainers.container import store
    from nbcontainers.container.container import Container
    from nbcontainers.image.usage import Usage
    from nbcontainers.image.usage import images as of_images
    from nbcontainers.volume.store import users

    users_of_images, users_of_volumes = Usage(engine).users, users(str(engine.root))
    folders = {"containers": str(engine.root / "containers"), "volumes": str(engine.root / "volumes")}
    found: dict[str, dict[str, int]] = client.call("nbcontainers.system.usage:sizes", folders=folders)
    rows = [_each("image", row["reference"] or row["digest"][7:19], row["unique"], users_of_images.get(row["digest"], []))
            for row in of_images(engine)]  # fmt: skip
    names = {id: _name(Container(engine, id)) for id in store.ids(engine)}
    rows += [_each("container", names.get(id, id[:12]), taken, []) for id, taken in found["containers"].items()]
    for name, taken in found["volumes"].items():
        rows.append(_each("volume", name, taken, [user for _, user in users_of_volumes.get(name, ())]))
    columns = [Column("type"), Column("name"), Column("size", format=stored), Column("used_by", format=", ".join)]
    return Table(sorted(rows, key=lambda row: (row["type"], -row["size"], row["name"])), columns)


def _each(kind: str, name: str, size: int, used_by: list[str]) -> dict[str, Any]:
    return {"type": kind, "name": name, "size": size, "used_by": used_by}


def _name(container: Container) -> str:
    try:
        return container.name
    except NotFound:  # removed while we looked
        return container.short_id


def _volumes(container: Container) -> list[str]:
    """Names of the volumes it mounts, running or not."""
    from nbcontainers.volume.store import volumes_of

    try:
        return volumes_of(container.record)
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
        names = [name for name in os.listdir(path) if not name.startswith(".")] if os.path.isdir(path) else []
        found[kind] = {name: size(f"{path}/{name}") for name in names}
    return found
