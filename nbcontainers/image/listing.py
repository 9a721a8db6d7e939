"""What `image ls`, `inspect` and `history` show."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidArgument
from nbcontainers.image import layout, moved, snapshot
from nbcontainers.image.image import MINI, Image
from nbcontainers.image.store import images, resolve, short
from nbcontainers.oci.reference import parse
from nbcontainers.table import Column, Row, Table, digest, since, stored, text, timestamp

FIRST_USE = "made at its first use"
_FILTERS = "write dangling=true, label=KEY[=VALUE], before=IMAGE, since=IMAGE or reference=PATTERN"


def table(
    engine: Engine,
    name: str,
    *,
    all_: bool,
    filters: Sequence[str] = (),
    digests: bool = False,
    whole: bool = False,
) -> Table:
    """Rows: repository, tag, reference, digest, id, created, size, content_size. Only named images without `all_`.

    The digest is what the name meant at its registry: an index's, if the image was chosen from one, else its manifest's.
    """
    tests = [_test(engine, one) for one in filters]
    all_ = all_ or any(one.partition("=")[0] == "dangling" for one in filters)
    known = [image for image in images(engine) if image.reference or all_]
    rows = [_row(image) for image in known if all(test(image) for test in tests)]
    if not filters and not any(image.reference == MINI for image in known):
        rows.append(_empty(MINI) | {"created": FIRST_USE})
    wanted = [row for row in rows if _begins(row["reference"], name)]
    wanted.sort(key=lambda row: row["reference"] or "~")
    shown = text if whole else digest
    columns = [
        Column("repository"), Column("tag"), *([Column("digest", format=shown)] if digests else []),
        Column("id", "IMAGE ID", shown), Column("created", format=since), Column("size", format=stored),
    ]  # fmt: skip
    return Table(wanted, columns)


def _test(engine: Engine, one: str) -> Callable[[Image], bool]:
    """A filter of Docker's. InvalidArgument for another, NotFound for an image to compare with that is not here."""
    key, _, value = str(one).partition("=")
    if key == "dangling" and value.lower() in ("true", "false", "1", "0"):
        return lambda image: (not image.reference) == (value.lower() in ("true", "1"))
    if key == "label" and value:
        return lambda image: has_label(image, value)
    if key == "reference" and value:
        return lambda image: any(fnmatch.fnmatchcase(name, value) for name in _spellings(image.reference))
    if key in ("before", "since") and value:
        moment = made(resolve(engine, value))
        return lambda image: made(image) < moment if key == "before" else made(image) > moment
    raise InvalidArgument(f"--filter: {one!r} is no filter", hint=_FILTERS)


def _spellings(reference: str) -> list[str]:
    """How a person may write a name, with the tag and without."""
    names = [reference, short(reference), parse(reference).familiar] if reference else []
    return [*names, *(name.rpartition(":")[0] for name in names)]


def has_label(image: Image, wanted: str) -> bool:
    """Whether its config has the label KEY or KEY=VALUE."""
    key, equals, value = wanted.partition("=")
    try:
        labels = (image.config.get("config") or {}).get("Labels") or {}
    except Error:
        return False
    return key in labels and (not equals or labels[key] == value)


def made(image: Image) -> float:
    """When, in seconds since the epoch; one that does not say it is old."""
    try:
        return timestamp(image.created) or 0.0
    except Error:
        return 0.0


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
    one = layout.read_index(image.engine).names.get(image.reference)
    row = _empty(image.reference) | {"digest": layout.known_as(one) if one else image.digest}
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
        "RootFS": {"Type": "layers", "Layers": config["rootfs"]["diff_ids"], "Base": image.base},
        "Descriptor": None if image.is_host else image.descriptor,
        "Layers": image.layers,
        "History": list(steps(image))[::-1],
        "NameHistory": {name: moved.read(image.engine, name) for name in image.names},
    }


def _repository_digests(image: Image) -> list[str]:
    """What each name meant at its registry: the index that the image was chosen from, as Docker has it, or its manifest."""
    known = layout.read_index(image.engine).names
    return sorted({f"{parse(name).repository}@{layout.known_as(known[name])}" for name in image.names if name in known})


def _folders(image: Image) -> dict[str, str]:
    """Where the unpacked layers are, top first; nothing before they are unpacked."""
    folders = [snapshot.path(image.engine.snapshots, chain) for chain in reversed(image.chain_ids)]
    folders += [Path("/")] if image.base else []
    return {"LowerDir": ":".join(map(str, folders))} if all(folder.exists() for folder in folders) else {}


def history(image: Image, *, whole: bool = False) -> Table:
    """The steps, last first, as `docker history` has them: the id stands with the last one, the others are lost."""
    last_first = list(steps(image))[::-1]
    rows = [{"id": "<missing>" if number else image.id, **step} for number, step in enumerate(last_first)]
    columns = [
        Column("id", "IMAGE", text if whole else _short), Column("created", format=since),
        Column("created_by", "CREATED BY", text if whole else cut), Column("size", format=stored), Column("comment"),
    ]  # fmt: skip
    return Table(rows, columns)


def moves(image: Image) -> Table:
    """What the image's name has meant, the present first."""
    names = [image.reference] if image.reference else image.names
    rows = [row for name in names for row in moved.read(image.engine, name)]
    columns = [
        Column("reference"), Column("digest", format=digest), Column("when", "SINCE", since), Column("why", "BY"),
        Column("here", format=lambda here: "yes" if here else "removed"),
    ]  # fmt: skip
    return Table(rows, columns)


def _short(value: object) -> str:
    return digest(value) if str(value).startswith("sha") else str(value)


def cut(value: object) -> str:
    text = str(value or "")
    return text if len(text) <= 45 else text[:44] + "…"


def steps(image: Image) -> Iterator[Row]:
    """The history, first step first: created, created_by, comment, size; `digest` is that of its layer, or None."""
    layers = iter(zip(image.chain_ids, image.layers, strict=True))
    for step in image.config.get("history") or []:
        row: Row = {key: step.get(key) for key in ("created", "created_by", "comment")}
        chain, layer = (None, None) if step.get("empty_layer") else next(layers, (None, None))
        yield row | {"size": unpacked(image, chain) if chain else 0, "digest": layer and layer["digest"]}


def unpacked(image: Image, chain: str) -> int | None:
    """Bytes of the files of one of its layers; None where that is not unpacked."""
    try:
        return int(snapshot.facts(image.engine.snapshots, chain)["size"])
    except FileNotFoundError:
        return None
