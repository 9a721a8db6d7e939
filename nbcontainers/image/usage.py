"""`image df`: how much room images take, what they share, and what removing one would give back.

An image is its parts: blobs (manifest, config, layers as they travel) and snapshots (layers unpacked). Sizes are
bytes of content; a part that several images need counts once in a total.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from nbcontainers.engine import Engine
from nbcontainers.errors import Error
from nbcontainers.image import kept, layout, removal, snapshot, store
from nbcontainers.image.image import Image, of_descriptor
from nbcontainers.table import Column, Row, Table, digest, since, stored


class Part(NamedTuple):
    """`kind` is blob or snapshot; `digest` that of the blob, or the ChainID."""

    kind: str
    digest: str


class Usage:
    """The store at one moment. Images are told apart by their manifest's digest; names do not matter."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.images: dict[str, Image] = {
            one["digest"]: of_descriptor(engine, one) for one in layout.read_index(engine).manifests
        }
        self.sizes = _sizes(engine)
        self.parts: dict[str, set[Part]] = {digest: self._parts(image) for digest, image in self.images.items()}
        self.counts = Counter(part for parts in self.parts.values() for part in parts)

    def _parts(self, image: Image) -> set[Part]:
        """Only what is there: a damaged image has less, one that is not unpacked no snapshots."""
        found = {Part("blob", image.digest)}
        try:
            found |= {Part("blob", one["digest"]) for one in (image.manifest["config"], *image.layers)}
            found |= {Part("snapshot", chain) for chain in image.chain_ids}
        except Error:
            pass
        return found & self.sizes.keys()

    @cached_property
    def users(self) -> dict[str, list[str]]:
        """Names of the containers of each image."""
        return removal.users(self.engine)

    def size(self, parts: Iterable[Part], kind: str = "") -> int:
        return sum(self.sizes[part] for part in parts if not kind or part.kind == kind)

    def unique(self, digest: str) -> set[Part]:
        """What no other image needs."""
        return {part for part in self.parts[digest] if self.counts[part] == 1}

    @cached_property
    def builds(self) -> set[Part]:
        """What only kept results of build steps need."""
        blobs, chains = kept.reachable(self.engine)
        found = {Part("blob", one) for one in blobs} | {Part("snapshot", f"sha256:{one}") for one in chains}
        return (found & self.sizes.keys()) - self.counts.keys()

    @property
    def total(self) -> int:
        """Everything in the store but what only builds need; what nothing reaches any more too."""
        return sum(self.sizes.values()) - self.size(self.builds)

    @property
    def reclaimable(self) -> int:
        """What removing all images without a container would give back, and what nothing reaches."""
        needed = {part for digest in self.users for part in self.parts.get(digest, ())}
        mounted = {Part("snapshot", f"sha256:{chain}") for chain in removal.mounted(self.engine)}
        return self.total - self.size((needed | mounted) & self.sizes.keys() - self.builds)


def _sizes(engine: Engine) -> dict[Part, int]:
    """Every blob, and every snapshot that is whole."""
    found: dict[Part, int] = {}
    for path in (engine.images / "blobs").glob("*/*"):
        try:
            found[Part("blob", f"{path.parent.name}:{path.name}")] = path.stat().st_size
        except FileNotFoundError:
            continue  # swept just now
    for path in engine.snapshots.iterdir():
        if len(path.name) in (64, 128) and "." not in path.name:
            try:
                found[Part("snapshot", f"sha256:{path.name}")] = int(
                    snapshot.facts(engine.snapshots, path.name)["size"]
                )
            except FileNotFoundError:
                continue
    return found


def images(engine: Engine) -> Table:
    """One row an image: SIZE is that of `image ls`; size + content_size = shared + unique, each counted once."""
    usage = Usage(engine)
    rows = [_row(usage, digest, image) for digest, image in usage.images.items()]
    rows.sort(key=lambda row: (-row["unique"], row["reference"]))
    columns = [
        Column("repository"), Column("tag"), Column("id", "IMAGE ID", digest), Column("created", format=since),
        Column("size", format=stored), Column("content_size", format=stored), Column("shared", "SHARED SIZE", stored),
        Column("unique", "UNIQUE SIZE", stored), Column("containers"),
    ]  # fmt: skip
    return Table(rows, columns)


def _row(usage: Usage, digest: str, image: Image) -> Row:
    names = image.names
    repository, _, tag = names[0].rpartition(":") if names else ("<none>", "", "<none>")
    parts, unique = usage.parts[digest], usage.unique(digest)
    row: Row = {
        "repository": repository, "tag": tag, "reference": names[0] if names else "", "names": names, "digest": digest,
        "size": usage.size(parts, "snapshot"), "content_size": usage.size(parts, "blob"),
        "shared": usage.size(parts - unique), "unique": usage.size(unique),
        "containers": len(usage.users.get(digest, ())),
    }  # fmt: skip
    try:
        return row | {"id": image.id, "created": image.created}
    except Error as error:
        return row | {"id": None, "created": f"damaged: {error.message}"}


def layers(engine: Engine) -> Table:
    """One row a layer: the largest first, with the images that need it."""
    usage = Usage(engine)
    found: dict[str, Row] = {}
    for image in usage.images.values():
        try:
            pairs = list(zip(image.chain_ids, image.layers, strict=True))
        except Error:
            continue
        for chain, layer in pairs:
            row = found.setdefault(chain, {
                "digest": layer["digest"], "chain_id": chain, "content_size": usage.sizes.get(Part("blob", layer["digest"])),
                "size": usage.sizes.get(Part("snapshot", chain)), "images": 0, "used_by": [],
            })  # fmt: skip
            row["images"] += 1
            row["used_by"] += [store.short(name) for name in image.names] or [image.id[7:19]]
    rows = sorted(found.values(), key=lambda row: (-(row["size"] or 0), row["chain_id"]))
    columns = [
        Column("digest", "LAYER", digest), Column("size", format=stored), Column("content_size", format=stored),
        Column("images"), Column("used_by"),
    ]  # fmt: skip
    return Table(rows, columns)
