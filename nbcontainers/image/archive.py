"""`image load`: images out of docker-archive, oci-archive and OCI layout folders, into the store.

An archive is read in place (image/members.py), so that a manifest at the end and a layer used twice cost nothing.
Every blob is held to its digest, every layer to its DiffID (it is unpacked at once), and names are set last: a bad
archive leaves the store as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from nbcontainers.advice import Advice, advise
from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument
from nbcontainers.image import layout, work
from nbcontainers.image.choice import Choice, offered
from nbcontainers.image.image import Image
from nbcontainers.image.members import Members, blob, blob_name, document, naming, opened
from nbcontainers.image.progress import Listener
from nbcontainers.layer import codec
from nbcontainers.oci import platform as platforms
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import (
    CONFIG,
    INDEXES,
    LAYER,
    LAYER_BY_CODEC,
    MANIFEST,
    MANIFESTS,
    REF_NAME,
    Descriptor,
    ImageConfig,
    Manifest,
    check_whole,
    descriptor,
    is_texts,
    manifest,
    read_config,
    read_document,
    read_index,
    read_manifest,
)
from nbcontainers.oci.platform import Platform

CONTAINERD_NAME = "io.containerd.image.name"
"""Annotation of Docker 25 and later, and of containerd: the whole name; ref.name is the tag alone there."""


class Loaded(NamedTuple):
    """One image whose blobs are in the store: its manifest, and the names it is to get."""

    manifest: Descriptor
    names: list[str]
    layers: list[Descriptor]
    diff_ids: list[str]


def load(engine: Engine, file: str, platform: str = "", progress: Listener | None = None) -> list[Image]:
    """Load every image of the archive or layout folder `file`, of indexes that for `platform` (default: this machine).

    Raises ImageError; then nothing was loaded. A name that is none is told in a warning, and its image comes without.
    """
    wanted = platforms.parse(platform) if platform else platforms.host()
    hint = "give what docker save, podman save or skopeo copy wrote, or an OCI layout folder"
    with naming(file, hint), layout.adding(engine), opened(engine, file) as members:
        found = list(_Loading(engine, members, wanted, exact=bool(platform)).images())
        for one in found:
            _unpack(engine, one, progress)
        with layout.update(engine, "load") as manifests:
            for one in found:
                for name in one.names:
                    layout.set_name(manifests, name, one.manifest)
                layout.add_unnamed(manifests, one.manifest)
    return [Image(engine, one.manifest["digest"], (one.names or [""])[0], one.manifest["size"]) for one in found]


def _unpack(engine: Engine, one: Loaded, progress: Listener | None) -> None:
    tell = progress or (lambda event: None)
    sizes = [{"digest": layer["digest"], "size": layer["size"]} for layer in one.layers]
    tell({"event": "image", "reference": (one.names or [""])[0], "verb": "load", "layers": sizes})
    for size in sizes:
        tell({"event": "layer", "state": "extracting", "bytes": size["size"], "note": "", "digest": size["digest"]})
    work.unpack(engine, [layer["digest"] for layer in one.layers], one.diff_ids)
    for size in sizes:
        tell({"event": "layer", "state": "done", "bytes": size["size"], "note": "", "digest": size["digest"]})
    tell({"event": "done", "digest": one.manifest["digest"]})


class _Loading:
    """Brings the blobs of an archive's images into the store."""

    def __init__(self, engine: Engine, members: Members, wanted: Platform, *, exact: bool) -> None:
        self._engine, self._members, self._wanted, self._exact = engine, members, wanted, exact
        self._others: list[Platform] = []
        self._walk = Choice(lambda entry: blob(members, entry), wanted, members.stem)

    def images(self) -> Iterator[Loaded]:
        """Raises ImageError where there is none, or none for the platform."""
        count = 0
        for one in filter(None, self._all()):
            count += 1
            yield one
        if not count:
            raise self._none(self._others)

    def _left_out(self, config: ImageConfig) -> bool:
        """Whether an image is not for the platform that was asked for; without one every image is taken."""
        platform = platforms.of(config)
        if not self._exact or platforms.rank(self._wanted, platform) is not None:
            return False
        self._others.append(platform)
        return True

    def _all(self) -> Iterator[Loaded | None]:
        if self._members.has("oci-layout") and self._members.has("index.json"):
            return self._oci()
        if self._members.has("manifest.json"):
            return self._docker()
        if self._members.has("repositories"):
            from nbcontainers.image import legacy

            return (self._made(*parts) for parts in legacy.read(self._engine, self._members, self._left_out))
        raise ImageError(
            "it is neither a docker-archive nor an oci-archive",
            hint="a plain tar of a root file system comes in with %image import",
        )

    def _none(self, offered: Sequence[Platform]) -> ImageError:
        where = f"{self._wanted}" if self._exact else f"this machine ({self._wanted})"
        there = ", ".join(dict.fromkeys(map(str, offered)))
        hint = f"--platform {offered[0]} brings in what it holds" if offered else ""
        return ImageError(f"it holds no image for {where}" + (f"; there is {there}" if there else ""), hint=hint)

    def _names(self, texts: Sequence[str], default_domain: str = references.HUB) -> list[str]:
        """Whole references; what can be none is told."""
        found = []
        for text in texts:
            try:
                one = references.parse(text, default_domain=default_domain)
                found.append(str(one._replace(digest="") if one.tag else one))
            except InvalidArgument as error:
                advise(Advice(f"an image comes without its name: {error.message}"), stacklevel=2)
        return list(dict.fromkeys(found))

    # Docker's form: manifest.json, configs and layers as files.

    def _docker(self) -> Iterator[Loaded | None]:
        content = b'{"images":' + document(self._members, "manifest.json") + b"}"
        listing = read_document(content, "manifest.json")["images"]
        if not isinstance(listing, list):
            raise ImageError("manifest.json is no list of images")
        for item in listing:
            if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
                raise ImageError("manifest.json has an image without a config")
            yield self._docker_image(item)

    def _docker_image(self, item: dict[str, Any]) -> Loaded | None:
        paths, tags = item.get("Layers") or [], item.get("RepoTags") or []
        if not is_texts(paths) or not is_texts(tags):
            raise ImageError("manifest.json has Layers or RepoTags that are no list of texts")
        content = document(self._members, item["Config"])
        config = read_config(content, len(paths), item["Config"])
        check_whole(config, item["Config"])
        if self._left_out(config):
            return None
        diff_ids = config["rootfs"]["diff_ids"]
        layers = [self._docker_layer(path, diff_id) for path, diff_id in zip(paths, diff_ids, strict=True)]
        return self._made(content, config, layers, tags)

    def _made(self, content: bytes, config: ImageConfig, layers: list[Descriptor], tags: Sequence[str]) -> Loaded:
        """With a manifest of our own, which these forms do not have."""
        written = layout.put_document(self._engine, content, CONFIG)
        target = layout.put_document(self._engine, manifest(written, layers), MANIFEST)
        return Loaded(target, self._names(tags), layers, config["rootfs"]["diff_ids"])

    def _docker_layer(self, path: str, diff_id: str) -> Descriptor:
        """An uncompressed layer's digest is its DiffID; a compressed one is held to it when it is unpacked."""
        kind = codec.detect(self._members.open(path).read(16))
        media_type = LAYER_BY_CODEC.get(kind)
        if media_type is None:
            raise ImageError(f"layer {path} is compressed with {kind}, which no image may be")
        expected = None if kind else descriptor(LAYER, diff_id, self._members.size(path))
        digest, size = layout.put(self._engine, codec.pieces(self._members.open(path)), expected)
        return descriptor(media_type, digest, size)

    # The OCI's form: index.json and blobs.

    def _oci(self) -> Iterator[Loaded | None]:
        """Several descriptors may name one image, or one name stand for several platforms."""
        index = read_document(document(self._members, "index.json"), "index.json")
        by_name: dict[str, list[Descriptor]] = {}
        listed = read_index(index, "index.json")
        for entry in listed:
            by_name.setdefault(self._oci_name(entry) or entry["digest"], []).append(entry)
        chosen: dict[str, Descriptor] = {}
        names: dict[str, list[str]] = {}
        for name, entries in by_name.items():
            several = len(entries) > 1 and all(entry.get("platform") for entry in entries)
            for entry in platforms.choose(entries, self._wanted)[:1] if several else entries:
                if one := self._choose(entry):
                    chosen[one["digest"]] = one
                    names.setdefault(one["digest"], []).extend([name] if name != entry["digest"] else [])
        if not chosen:
            raise self._none([*offered(listed), *self._walk.offered])
        for digest, one in chosen.items():
            yield self._oci_image(one, self._names(names[digest], references.LOCAL))

    def _choose(self, entry: Descriptor) -> Descriptor | None:
        """The manifest for the platform behind an entry; None for attestations and other machines' images."""
        kind = entry.get("mediaType", MANIFEST)
        if kind in MANIFESTS:
            return None if platforms.is_attestation(entry) else entry
        if kind not in INDEXES or entry["digest"] in self._walk.seen:
            return None
        self._walk.seen.add(entry["digest"])
        return next(self._walk.manifests(blob(self._members, entry)), None)

    def _oci_image(self, entry: Descriptor, names: list[str]) -> Loaded | None:
        content = blob(self._members, entry)
        what: Manifest = read_manifest(content, f"manifest {entry['digest']}")
        config = read_config(blob(self._members, what["config"]), len(what["layers"]), "the image config")
        check_whole(config, "the image config")
        if self._left_out(config):
            return None
        for one in [*what["layers"], what["config"]]:
            size = self._members.size(blob_name(one))
            if size != one["size"]:
                raise ImageError(f"blob {one['digest']} has {size} bytes and should have {one['size']}")
            layout.put(self._engine, codec.pieces(self._members.open(blob_name(one))), one)
        kind = what.get("mediaType") or entry.get("mediaType") or MANIFEST
        target = descriptor(kind, entry["digest"], entry["size"])
        layout.put(self._engine, [content], target)
        return Loaded(target, names, what["layers"], config["rootfs"]["diff_ids"])

    def _oci_name(self, entry: Descriptor) -> str:
        """containerd's annotation, or ref.name: a whole reference, or a tag alone (then the file's name comes before)."""
        notes = entry.get("annotations") or {}
        text = notes.get(CONTAINERD_NAME) or notes.get(REF_NAME) or ""
        if text and not set(text) & {"/", ":"} and re.fullmatch(r"latest|v?\d.*", text):
            return f"{self._members.stem}:{text}"
        return text
