"""`image prune`: images that nobody needs.

Without -a those without a name, with it all that no container is made of. Left alone is what somebody may be about
to use: an image whose content was added or claimed since the oldest living lease (image/lease.py) began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidArgument
from nbcontainers.image import layout, lease, removal, snapshot
from nbcontainers.image.image import Image
from nbcontainers.image.listing import has_label, made
from nbcontainers.image.usage import Part, Usage
from nbcontainers.oci.image import Descriptor
from nbcontainers.option import moment
from nbcontainers.table import Column, Row, Table, digest, few, since, stored

Test = Callable[[Image], bool]
_FILTERS = "write until=24h, until=2026-01-31, label=KEY, label=KEY=VALUE, label!=KEY or label!=KEY=VALUE"


def prune(engine: Engine, *, all_: bool, filters: Sequence[str], dry_run: bool) -> Table:
    """Remove them, and what nothing reaches; one row for each, with the bytes its going gives back."""
    tests = [_test(text) for text in filters]
    if dry_run:
        return _table(_rows(Usage(engine), _chosen(engine, layout.read_index(engine).manifests, all_, tests)))
    with layout.update(engine) as manifests:
        going = _chosen(engine, manifests, all_, tests)
        rows = _rows(Usage(engine), going)
        manifests[:] = [one for one in manifests if one["digest"] not in going]
    removal.sweep(engine)
    return _table(rows)


def _chosen(engine: Engine, manifests: Sequence[Descriptor], all_: bool, tests: Sequence[Test]) -> set[str]:
    """Digests of the images that go."""
    users = removal.users(engine)
    with lease.lock(engine, "content.lock"):
        young = lease.oldest(engine)
        found = set()
        for one in manifests:
            image = Image(engine, one["digest"], "", one["size"])
            if (image.names and not all_) or image.digest in users or _is_young(image, young):
                continue
            if all(test(image) for test in tests):
                found.add(image.digest)
    return found


def _is_young(image: Image, young: float) -> bool:
    """Whether its manifest came or was claimed since, as in a pull, or all its layers were, as for a container."""

    def recent(path: Path) -> bool:
        try:
            return path.stat().st_mtime_ns >= young
        except FileNotFoundError:
            return False

    if recent(layout.blob(image.engine, image.digest)):
        return True
    try:
        layers = [snapshot.path(image.engine.snapshots, chain).parent for chain in image.chain_ids]
    except Error:
        return False
    return bool(layers) and all(map(recent, layers))


def _rows(usage: Usage, going: set[str]) -> list[Row]:
    """An image's `bytes` are those of what neither an image that stays nor one listed before needs."""
    stays = {part for digest, parts in usage.parts.items() if digest not in going for part in parts}
    stays |= {Part("snapshot", f"sha256:{chain}") for chain in removal.mounted(usage.engine)}
    rows: list[Row] = []
    for one in sorted(going & usage.images.keys(), key=lambda one: (usage.images[one].names, one)):
        image = usage.images[one]
        row: Row = {"reference": ", ".join(image.names) or "<none>", "digest": one, "id": None, "created": None}
        row["bytes"] = usage.size(usage.parts[one] - stays)
        stays |= usage.parts[one]
        try:
            row |= {"id": image.id, "created": image.created}
        except Error:
            pass  # damaged: it can go all the same
        rows.append(row)
    return rows


def _table(rows: list[Row]) -> Table:
    columns = [
        Column("reference", "IMAGE", few), Column("id", "IMAGE ID", digest), Column("created", format=since),
        Column("bytes", "RECLAIMED", stored),
    ]  # fmt: skip
    return Table(rows, columns)


def _test(text: str) -> Test:
    key, equals, value = str(text).partition("=")
    if key == "until" and value:
        latest = _latest(value)
        return lambda image: made(image) < latest
    if key in ("label", "label!") and equals and value:
        return lambda image: has_label(image, value) == (key == "label")
    raise InvalidArgument(f"{text!r} is no filter of prune", hint=_FILTERS)


def _latest(value: str) -> float:
    """Seconds since the epoch."""
    try:
        return moment(value).timestamp()
    except ValueError as error:
        raise InvalidArgument(f"--filter until: {str(error).partition(';')[0]}", hint=_FILTERS) from None
