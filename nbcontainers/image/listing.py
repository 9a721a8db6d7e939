"""What `image ls`, `inspect` and `history` show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.errors import Error
from nbcontainers.image import snapshot
from nbcontainers.image.image import MINI, Image
from nbcontainers.image.store import images, short
from nbcontainers.oci.reference import parse
from nbcontainers.table import Column, Row, Table, bytes_, digest, since

FIRST_USE = "made at its first use"


def table(engine: Engine, name: str, *, all_: bool) -> Table:
    rows = [_row(image) for image in images(engine) if image.reference or all_]
    if not any(row["reference"] == MINI for row in rows):
        rows.append(_empty(MINI) | {"created": FIRST_USE})
    wanted = [row for row in rows if _begins(row["reference"], name)]
    wanted.sort(key=lambda row: row["reference"] or "~")
    columns = [
        Column("repository"), Column("tag"), Column("id", "IMAGE ID", digest), Column("created", format=since),
        Column("size", format=bytes_),
    ]  # fmt: skip
    return Table(wanted, columns)


def _begins(reference: str, name: str) -> bool:
    return not name or (bool(reference) and (reference.startswith(name) or short(reference).startswith(name)))


def _empty(reference: str) -> Row:
    repository, _, tag = reference.rpartition(":") if reference else ("<none>", "", "<none>")
    return {
        "repository": repository, "tag": tag, "reference": reference, "id": None, "digest": None, "created": None,
        "size": None, "content_size": None,
    }  # fmt: skip


def _row(image: Image) -> Row:
    """A damaged image keeps its row, so that it can be removed."""
    row = _empty(image.reference) | {"digest": image.digest}
    try:
        row |= {
            "id": image.id, "created": image.created, "size": None if image.is_host else image.size,
            "content_size": image.content_size,
        }  # fmt: skip
    except Error as error:
        row["created"] = f"damaged: {error.message}"
    return row


def details(image: Image) -> dict[str, Any]:
    """Docker's form (moby api/types/image, InspectResponse), with what an OCI store has besides."""
    config = image.config
    history = config.get("history") or []
    return {
        "Id": image.id,
        "RepoTags": image.names,
        "RepoDigests": [] if image.is_host else _repository_digests(image),
        "Comment": history[-1].get("comment", "") if history else "",
        "Created": config.get("created"),
        "Author": config.get("author", ""),
        "Config": config.get("config") or {},
        "Architecture": config.get("architecture"),
        "Variant": config.get("variant", ""),
        "Os": config.get("os"),
        "Size": image.size,
        "GraphDriver": {"Name": "overlay", "Data": _folders(image)},
        "RootFS": {"Type": "layers", "Layers": config["rootfs"]["diff_ids"]},
        "Descriptor": None if image.is_host else image.descriptor,
        "Layers": image.layers,
    }


def _repository_digests(image: Image) -> list[str]:
    return sorted({f"{parse(name).repository}@{image.digest}" for name in image.names})


def _folders(image: Image) -> dict[str, str]:
    """Where the unpacked layers are, top first; nothing before they are unpacked."""
    folders = [snapshot.path(image.engine.snapshots, chain) for chain in reversed(image.chain_ids)]
    if image.is_host:
        return {"LowerDir": "/"}
    return {"LowerDir": ":".join(map(str, folders))} if all(folder.exists() for folder in folders) else {}


def history(image: Image) -> Table:
    columns = [
        Column("created", format=since), Column("created_by", "CREATED BY", cut), Column("size", format=bytes_),
        Column("comment"),
    ]  # fmt: skip
    return Table(list(_steps(image))[::-1], columns)


def cut(value: object) -> str:
    text = str(value or "")
    return text if len(text) <= 45 else text[:44] + "…"


def _steps(image: Image) -> Iterator[Row]:
    layers = iter(zip(image.chain_ids, image.layers, strict=True))
    for step in image.config.get("history") or []:
        row: Row = {key: step.get(key) for key in ("created", "created_by", "comment")}
        chain, layer = (None, None) if step.get("empty_layer") else next(layers, (None, None))
        yield row | {"size": _size(image, chain) if chain else 0, "digest": layer and layer["digest"]}


def _size(image: Image, chain: str) -> int | None:
    try:
        return int(snapshot.facts(image.engine.snapshots, chain)["size"])
    except FileNotFoundError:
        return None
