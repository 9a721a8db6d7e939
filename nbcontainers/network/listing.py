"""`network ls` and `inspect`: what the disk says of networks."""

from __future__ import annotations

from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.network import members, store
from nbcontainers.network.network import name_of
from nbcontainers.table import Column, Table, digest

_COLUMNS = [
    Column("id", "NETWORK ID", digest), Column("name"), Column("driver"), Column("subnet"), Column("containers"),
    Column("internal"),
]  # fmt: skip


def ls(engine: Engine) -> Table:
    """Rows: id, name, driver, subnet, containers (how many were made for it), internal; the built-in ones last."""
    used = members.users(str(engine.root))
    rows = [_row(record, len(used.get(record["name"], ()))) for record in _all(engine)]
    return Table(rows, _COLUMNS)


def _all(engine: Engine) -> list[dict[str, Any]]:
    root = str(engine.root)
    names = store.names(root)
    found = [store.read(root, name) for name in names]
    if store.DEFAULT not in names:
        found.insert(0, {"id": "", "name": store.DEFAULT, "driver": "bridge", "internal": False, "subnets": []})
    return found + [_built_in(name) for name in store.BUILT_IN]


def _built_in(name: str) -> dict[str, Any]:
    return {"id": "", "name": name, "driver": name, "internal": name == "none", "subnets": []}


def _row(record: dict[str, Any], containers: int) -> dict[str, Any]:
    return {
        "id": record["id"], "name": record["name"], "driver": record["driver"], "containers": containers,
        "subnet": ", ".join(entry["subnet"] for entry in record["subnets"]), "internal": record["internal"],
    }  # fmt: skip


def inspect(engine: Engine, network: Any) -> dict[str, Any]:
    """network.json and `containers`: the addresses of each that runs on it. Raises NotFound."""
    name = name_of(network)
    if name in store.BUILT_IN:
        return _built_in(name)
    record = store.read(str(engine.root), name)
    return {**record, "containers": members.addresses(str(engine.root), str(engine.run), name)}
