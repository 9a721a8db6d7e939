"""`volume rm` and `prune`. In a user namespace files may belong to ids that only the launcher's children have."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound
from nbcontainers.linux import process, tree
from nbcontainers.table import Column, Table, stored
from nbcontainers.volume import listing, store


def remove(engine: Engine, names: Sequence[str], *, force: bool) -> list[str]:
    """All of them or none; returns their names. Raises NotFound (but with `force`), InvalidState while one is in use."""
    root, gone = str(engine.root), []
    with store.removing(root) as users:
        there = []
        for name in dict.fromkeys(names):
            try:
                store.read(root, name)
                there.append(name)
            except NotFound:
                if not force:
                    raise
        for name in there:
            store.refuse_in_use(name, users.get(name, []))
        gone = [store.withdraw(root, name) for name in there]
    _discard(engine, gone)
    return there


def prune(engine: Engine, filters: Sequence[str], *, everything: bool) -> Table:
    """Remove the volumes no container names: the anonymous ones, or all. Rows: name, size (bytes on the disk)."""
    root = str(engine.root)
    found = [row["name"] for row in listing.chosen(engine, filters) if everything or row["anonymous"]]
    sizes = listing.sizes(engine, found) if found else {}
    gone, rows = [], []
    with store.removing(root) as users:
        for name in found:
            if name not in users and (trash := store.withdraw(root, name)):
                gone.append(trash)
                rows.append({"name": name, "size": sizes[name]})
    _discard(engine, gone)
    return Table(rows, [Column("name", "VOLUME NAME"), Column("size", format=stored)])


def _discard(engine: Engine, gone: Sequence[str]) -> None:
    trash = [path for path in gone if path]
    if not engine.rootless:
        discard(trash)
    elif trash:
        from nbcontainers.launcher import client

        client.call("nbcontainers.volume.removal:discard", trash=trash)


def discard(trash: list[str]) -> None:
    """In a process that may remove the files."""
    for path in trash:
        tree.remove(path)


def tidy(root: str) -> list[tuple[str, str]]:
    """What killed makers and removers of volumes left: (what, name) of each thing that went."""
    found: list[tuple[str, str]] = []
    entries: list[Any] = os.listdir(f"{root}/volumes") if os.path.isdir(f"{root}/volumes") else []
    for entry in entries:
        _, _, rest = entry.partition(".")
        pid, _, kind = rest.partition(".")
        if entry.startswith(".") and pid.isdigit() and process.start_time(int(pid)) is None:
            tree.remove(f"{root}/volumes/{entry}")
            what = "half-made volume" if kind.endswith("new") else "half-removed volume"
            found.append((what, entry.split(".")[2]))
    return found
