"""`image verify`: whether the store is whole. Every blob is hashed, every unpacked layer compared with its tar."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, ImageError, NotFound
from nbcontainers.image import layout, lease, snapshot, store, work
from nbcontainers.image.image import Image
from nbcontainers.layer import codec, lower, tar
from nbcontainers.layer.tree import clean, show
from nbcontainers.oci import digest as digests
from nbcontainers.table import Column, Row, Table, digest, few

_PIECE = 1 << 20


class Pair(TypedDict):
    """A layer's blob and its unpacked folder."""

    blob: str
    fs: str


def verify(engine: Engine, references: Sequence[str] = ()) -> Table:
    """Check these images, or the whole store; one row an image. Raises ImageError that names all that is damaged.

    Nothing is changed, and others may work meanwhile.
    """
    with lease.adding(engine):
        images = _images(engine, references)
        damaged: dict[str, str] = {}
        blobs = sorted({path for image in images for path in _claimed(engine, image, damaged)})
        if not references:
            blobs = sorted({*blobs, *(engine.images / "blobs").glob("*/*")})
        damaged |= _hashed(blobs)
        pairs = [pair for image in images for pair in _pairs(image)]
        damaged |= work.call("verifying:compare", pairs=list({pair["fs"]: pair for pair in pairs}.values()))
    rows = [_row(image, damaged) for image in images]
    if damaged:
        raise _failure(rows, damaged)
    columns = [Column("reference", "IMAGE", few), Column("id", "IMAGE ID", digest), Column("layers"), Column("state")]
    return Table(rows, columns)


def _images(engine: Engine, references: Sequence[str]) -> list[Image]:
    if references:
        return [image for text in references if not (image := store.resolve(engine, text)).is_host]
    index = layout.read_index(engine).manifests
    return list({one["digest"]: Image(engine, one["digest"], "", one["size"]) for one in index}.values())


def _claimed(engine: Engine, image: Image, damaged: dict[str, str]) -> list[Path]:
    """The image's blobs; one that is missing, or a document that cannot be read, is noted."""
    try:
        content = [image.descriptor, image.manifest["config"], *image.layers]
        lease.claim(engine, [snapshot.path(engine.snapshots, chain).parent for chain in image.chain_ids])
    except (ImageError, NotFound) as error:
        if _listed(engine, image):
            damaged[image.digest] = error.message
        return []
    found = [layout.blob(engine, one["digest"]) for one in content]
    for path, one in zip(found, content, strict=True):
        if not lease.claim(engine, [path]):
            if _listed(engine, image):
                damaged[one["digest"]] = f"blob {one['digest']} is missing"
        elif path.stat().st_size != one["size"]:
            damaged[one["digest"]] = (
                f"blob {one['digest']} has {path.stat().st_size} bytes and should have {one['size']}"
            )
    return found


def _listed(engine: Engine, image: Image) -> bool:
    """Whether nobody removed it in the meantime."""
    return any(one["digest"] == image.digest for one in layout.read_index(engine).manifests)


def _hashed(paths: Sequence[Path]) -> dict[str, str]:
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return {key: text for found in pool.map(_hash, paths) if found for key, text in [found]}


def _hash(path: Path) -> tuple[str, str] | None:
    """What is wrong with a blob; nothing when somebody swept it meanwhile."""
    wanted = f"{path.parent.name}:{path.name}"
    if not digests.is_digest(wanted):
        return str(path), f"{path} is no blob"
    hashed = digests.hasher(wanted)
    try:
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                hashed.update(piece)
    except FileNotFoundError:
        return None
    return None if wanted.endswith(hashed.hexdigest()) else (wanted, f"blob {wanted} is damaged")


def _pairs(image: Image) -> Iterator[Pair]:
    """The layers that are unpacked and whose blobs are there."""
    try:
        listed = list(zip(image.layers, image.chain_ids, strict=True))
    except (ImageError, NotFound):
        return
    for layer, chain in listed:
        blob, fs = layout.blob(image.engine, layer["digest"]), snapshot.path(image.engine.snapshots, chain)
        if blob.exists() and fs.exists():
            yield {"blob": str(blob), "fs": str(fs)}


def _row(image: Image, damaged: dict[str, str]) -> Row:
    row: Row = {"reference": ", ".join(image.names) or "<none>", "digest": image.digest, "id": None, "layers": None}
    try:
        parts = {image.digest, image.id, *image.chain_ids, *(layer["digest"] for layer in image.layers)}
        row |= {"id": image.id, "layers": len(image.layers)}
    except Error:
        parts = {image.digest}
    return row | {"state": "; ".join(damaged[part] for part in sorted(parts) if part in damaged) or "whole"}


def _failure(rows: list[Row], damaged: dict[str, str]) -> ImageError:
    names = [row["reference"].replace(",", "") if row["reference"] != "<none>" else row["digest"][7:19] for row in rows
             if row["state"] != "whole"]  # fmt: skip
    what = "; ".join(list(damaged.values())[:5]) + (f"; and {len(damaged) - 5} more" if len(damaged) > 5 else "")
    hint = (
        f"%image rm -f {' '.join(names)}, and pull or load again"
        if names
        else "%system prune removes what nothing needs"
    )
    return ImageError(f"the store is damaged: {what}", hint=hint, damaged=damaged, images=names)


# The launcher's side: unpacked layers have files of many owners.


def compare(pairs: list[Pair]) -> dict[str, str]:
    """What is wrong with the unpacked layers, by ChainID: each member of the tar has to be there with its content."""
    found = {}
    for pair in pairs:
        chain = f"sha256:{Path(pair['fs']).parent.name}"
        try:
            _compare(pair)
        except FileNotFoundError as error:
            if os.path.exists(pair["fs"]):  # else it was swept
                found[chain] = f"layer {chain} lacks {error.filename}"
        except (ImageError, ValueError) as error:
            found[chain] = f"layer {chain} is not whole: {error}"
    return found


def _compare(pair: Pair) -> None:
    facts = json.loads((Path(pair["fs"]).parent / "layer.json").read_bytes())
    root = os.open(pair["fs"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(pair["blob"], "rb") as blob:
            sums, entries = _members(codec.chunks(blob)), 0
            last: dict[bytes, tuple[bytes, bytes]] = {}
            for path, kind, content in sums:
                entries += 1
                last[path] = kind, content
        if entries != facts["entries"]:
            raise ImageError(f"it was made of {facts['entries']} entries, its tar has {entries}")
        for path, (kind, content) in last.items():
            _check(root, path, kind, content, last)
    finally:
        os.close(root)


def _members(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Path, type and hash of the data of each member; b"" for the hash of what has none of its own."""
    reader = tar.Reader(pieces)
    for entry in reader:
        hashed = digests.hasher()
        plain = entry.type == tar.REGULAR and entry.map is None
        for view in reader.data() if plain else ():
            hashed.update(view)
        yield clean(entry.name), entry.type, hashed.hexdigest().encode() if plain else b""


def _check(root: int, path: bytes, kind: bytes, content: bytes, last: dict[bytes, Any]) -> None:
    name = path.rpartition(b"/")[2]
    above = path.split(b"/")[:-1]
    if name.startswith(b".wh.") or kind in (tar.CHARACTER, tar.DEVICE):
        return  # not there as such, or left out for an ordinary user
    if any(
        last.get(b"/".join(above[:count]), (tar.DIRECTORY,))[0] != tar.DIRECTORY for count in range(1, len(above) + 1)
    ):
        return  # through a link of this layer, or replaced later on
    found = lower.find([root], path)
    if found is None:
        raise ImageError(f"{show(path)} is missing")
    if kind == tar.REGULAR and not stat.S_ISREG(found.status.st_mode):
        raise ImageError(f"{show(path)} is no file")
    if content and stat.S_ISREG(found.status.st_mode) and _sum(root, path) != content:
        raise ImageError(f"{show(path)} has another content")


def _sum(root: int, path: bytes) -> bytes:
    hashed = digests.hasher()
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root), "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            hashed.update(piece)
    return hashed.hexdigest().encode()
