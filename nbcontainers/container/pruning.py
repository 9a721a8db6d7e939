"""`container prune`: the containers that do not run go."""

from __future__ import annotations

from collections.abc import Sequence

from nbcontainers.container import lifecycle, listing
from nbcontainers.container.container import ENDED
from nbcontainers.container.filtering import Filters
from nbcontainers.container.selection import each, known
from nbcontainers.engine import Engine
from nbcontainers.table import Column, Table, digest, since, stored


def prune(engine: Engine, filters: Sequence[str] | None) -> Table:
    """Rows: id, name, image, created, size (bytes its going gives back; None where they are not ours to see)."""
    chosen = Filters(engine, filters)
    going = [
        (container, record)
        for container, record in known(engine)
        if container.status in ENDED and chosen.passes(container, record)
    ]
    rows = {
        container: {
            "id": container.id, "name": record["name"], "image": record["image"], "created": record["created"],
            "size": listing.written(container),
        }
        for container, record in going
    }  # fmt: skip
    each(rows, lambda container: lifecycle.remove(container, force=False, volumes=False))
    columns = [
        Column("id", "CONTAINER ID", digest), Column("name", "NAMES"), Column("image"), Column("created", format=since),
        Column("size", "FREED", stored),
    ]  # fmt: skip
    return Table(list(rows.values()), columns)
