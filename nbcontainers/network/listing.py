"""`network ls` and `inspect`: what the disk says of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.launcher import client
from nbcontainers.network import filtering, inspection, members, store
from nbcontainers.network.network import name_of
from nbcontainers.table import Column, Table, digest

_COLUMNS = [
    Column("id", "NETWORK ID", digest), Column("name"), Column("driver"), Column("subnet"), Column("containers"),
    Column("internal"),
]  # fmt: skip


def ls(engine: Engine, filters: Sequence[str] | str | None) -> Table:
    """Rows: id, name, driver, subnet, containers (how many were made for it), internal; the built-in ones last."""
    wanted = filtering.tests(filters)
    used = members.users(str(engine.root), str(engine.run))
    rows = [{**record, "containers": used.get(record["name"], [])} for record in _all(engine)]
    return Table([_row(row) for row in rows if filtering.passes(row, wanted)], _COLUMNS)


def _all(engine: Engine) -> list[dict[str, Any]]:
    root = str(engine.root)
    names = store.names(root)
    found = [store.read(root, name) for name in names]
    if store.DEFAULT not in names:
        found.insert(0, {"id": "", "name": store.DEFAULT, "driver": "bridge", "internal": False, "subnets": []})
    return found + [_built_in(name) for name in store.BUILT_IN]


def _built_in(name: str) -> dict[str, Any]:
    return {"id": "", "name": name, "driver": name, "internal": name == "none", "subnets": []}


def _row(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": record["id"], "name": record["name"], "driver": record["driver"], "internal": record["internal"],
        "subnet": ", ".join(entry["subnet"] for entry in record["subnets"]), "containers": len(record["containers"]),
    }  # fmt: skip


def inspect(engine: Engine, network: Any) -> dict[str, Any]:
    """In Docker's words: see `inspection`. Raises NotFound."""
    name = name_of(network)
    if name in store.BUILT_IN:
        return inspection.document(_built_in(name))
    root, run = str(engine.root), str(engine.run)
    return dict(client.call("nbcontainers.network.inspection:inspect", root=root, run=run, name=name))
