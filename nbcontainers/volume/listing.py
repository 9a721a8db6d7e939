"""`volume ls` and `inspect`: what the disk says of volumes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.linux import room
from nbcontainers.table import Column, Table, since, stored
from nbcontainers.volume import store
from nbcontainers.volume.volume import Volume, name_of

Row = dict[str, Any]
FILTERS = ("name", "label", "dangling", "driver", "anonymous")
_MOMENT_S = 0.25
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def ls(engine: Engine, filters: Sequence[str], *, size: bool) -> Table:
    """Rows: driver, name, created, containers (names), labels, and with `size` the bytes on the disk."""
    rows = chosen(engine, filters)
    if size:
        found = sizes(engine, [row["name"] for row in rows])
        rows = [{**row, "size": found[row["name"]]} for row in rows]
    columns = [Column("driver"), Column("name", "VOLUME NAME"), Column("created", format=since)]
    columns += [Column("size", format=stored)] if size else []
    return Table(rows, [*columns, Column("containers", format=lambda names: ", ".join(names) or "none")])


def chosen(engine: Engine, filters: Sequence[str]) -> list[Row]:
    """The volumes that pass every kind of filter (one of each kind is enough, but all labels), with their users."""
    root = str(engine.root)
    wanted = [_filter(text) for text in filters]
    users = store.users(root)
    rows = []
    for name in store.names(root):
        try:
            record = store.read(root, name)
        except NotFound:  # removed while we looked
            continue
        row = {**record, "containers": [container for _, container in users.get(name, ())]}
        if _passes(row, wanted):
            rows.append(row)
    return rows


def _filter(text: str) -> tuple[str, str]:
    key, equals, value = str(text).partition("=")
    if not equals or key not in FILTERS or (key in ("dangling", "anonymous") and value not in _TRUTHS):
        known = "name=TEXT, label=KEY[=VALUE], dangling=true, anonymous=false, driver=local"
        raise InvalidArgument(f"--filter: {text!r} is no filter", hint=f"write one of {known}")
    return key, value


def _passes(row: Row, wanted: Sequence[tuple[str, str]]) -> bool:
    labels = [_labelled(row["labels"], value) for key, value in wanted if key == "label"]
    others = {key: False for key, _ in wanted if key != "label"}
    for key, value in wanted:
        if key in others:
            others[key] |= _matches(row, key, value)
    return all(labels) and all(others.values())


def _matches(row: Row, key: str, value: str) -> bool:
    if key == "name":
        return value in row["name"]
    if key == "dangling":
        return _TRUTHS[value] is not bool(row["containers"])
    return _TRUTHS[value] is row["anonymous"] if key == "anonymous" else bool(row["driver"] == value)


def _labelled(labels: Mapping[str, str], value: str) -> bool:
    key, equals, text = value.partition("=")
    return key in labels and (not equals or labels[key] == text)


def inspect(engine: Engine, volume: str | Volume) -> Row:
    """In Docker's words: volume.json, and where the files are; besides, the containers by name and the size in bytes."""
    root, name = str(engine.root), name_of(volume)
    record = store.read(root, name)
    return {
        "Name": name, "Driver": record["driver"], "Mountpoint": store.data(root, name), "CreatedAt": record["created"],
        "Labels": record["labels"], "Options": record["options"], "Scope": "local", "Anonymous": record["anonymous"],
        "Containers": [container for _, container in store.users(root).get(name, ())],
        "Size": sizes(engine, [name])[name],
    }  # fmt: skip


def sizes(engine: Engine, names: Sequence[str]) -> dict[str, int]:
    """Bytes on the disk of each volume's files; those of a mounted one are not its own."""
    if not engine.rootless:
        return measure(str(engine.root), list(names))
    from nbcontainers.launcher import client

    found: dict[str, int] = client.call("nbcontainers.volume.listing:measure", root=str(engine.root), names=list(names))
    return found


def glance(engine: Engine, name: str) -> tuple[int, bool]:
    """What `sizes` says as far as it can be seen in a moment, and whether that is all: a cell shows it."""
    asked: dict[str, Any] = {"root": str(engine.root), "name": name, "seconds": _MOMENT_S}
    if not engine.rootless:
        return glance_here(**asked)
    from nbcontainers.launcher import client

    found, whole = client.call("nbcontainers.volume.listing:glance_here", **asked)
    return int(found), bool(whole)


def glance_here(root: str, name: str, seconds: float) -> tuple[int, bool]:
    """`glance`, in a process that may read the files; (0, True) for a volume that has gone."""
    path = store.data(root, name)
    return room.size_within(path, seconds) if os.path.isdir(path) else (0, True)


def measure(root: str, names: list[str]) -> dict[str, int]:
    """`sizes`, in a process that may read the files; 0 for a volume that has gone."""
    return {name: room.size(path) if os.path.isdir(path := store.data(root, name)) else 0 for name in names}
