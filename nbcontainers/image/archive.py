"""`image load`: images out of docker-archive, oci-archive and OCI layout folders, into the store.

An archive is read in place: its members are found once and then read by offset, so that a manifest at the end and a
layer used twice cost nothing. A compressed archive is unpacked beside the store first. Every blob is held to its
digest, every layer to its DiffID (it is unpacked at once), and names are set last: a bad archive leaves the store
as it was.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument, NotFound
from nbcontainers.image import layout, work
from nbcontainers.image.image import Image
from nbcontainers.layer import codec, tar
from nbcontainers.layer.tree import clean
from nbcontainers.oci import digest as digests
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import (
    CONFIG,
    INDEXES,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
    MANIFEST,
    MANIFESTS,
    MAX_DOCUMENT,
    REF_NAME,
    Descriptor,
    Manifest,
    architecture,
    descriptor,
    is_texts,
    manifest,
    read_config,
    read_descriptor,
    read_document,
    read_manifest,
)

CONTAINERD_NAME = "io.containerd.image.name"  # Docker 25 and later: ref.name is the tag alone there
_NESTED = 3


class _File(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Source(Protocol):
    """Named files: an archive or a folder. `open` raises ImageError for a name that is not there."""

    stem: str

    def has(self, name: str) -> bool: ...
    def open(self, name: str) -> _File: ...
    def size(self, name: str) -> int: ...


class Loaded(NamedTuple):
    """One image whose blobs are in the store: its manifest, and the names it is to get."""

    manifest: Descriptor
    names: list[str]
    layers: list[str]
    diff_ids: list[str]


def load(engine: Engine, file: str) -> list[Image]:
    """Load every image of the archive or layout folder `file`. Raises ImageError; then nothing was loaded."""
    hint = "give what docker save, podman save or skopeo copy wrote, or an OCI layout folder"
    with naming(file, hint), layout.adding(engine), _source(engine, file) as source:
        found = list(_read(engine, source))
        if not found:
            raise ImageError(f"it holds no image for this machine ({architecture()})")
        for one in found:
            work.unpack(engine, one.layers, one.diff_ids)
        with layout.update(engine, "load") as manifests:
            for one in found:
                for name in one.names:
                    layout.set_name(manifests, name, one.manifest)
                layout.add_unnamed(manifests, one.manifest)
    return [Image(engine, m["digest"], names[0] if names else "", m["size"]) for m, names, *_ in found]


def _read(engine: Engine, source: Source) -> Iterator[Loaded]:
    if source.has("oci-layout") and source.has("index.json"):
        return _oci(engine, source)
    if source.has("manifest.json"):
        return _docker(engine, source)
    raise ImageError(
        "it is neither a docker-archive nor an oci-archive",
        hint="a plain tar of a root file system comes in with %image import",
    )


# Docker's form: manifest.json, configs and layers as files.


def _docker(engine: Engine, source: Source) -> Iterator[Loaded]:
    listing = read_document(b'{"images":' + _document(source, "manifest.json") + b"}", "manifest.json")["images"]
    if not isinstance(listing, list):
        raise ImageError("manifest.json is no list of images")
    for item in listing:
        if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
            raise ImageError("manifest.json has an image without a config")
        yield _docker_image(engine, source, item)


def _docker_image(engine: Engine, source: Source, item: dict[str, Any]) -> Loaded:
    paths, tags = item.get("Layers") or [], item.get("RepoTags") or []
    if not is_texts(paths) or not is_texts(tags):
        raise ImageError("manifest.json has Layers or RepoTags that are no list of texts")
    content = _document(source, item["Config"])
    config = read_config(content, len(paths), item["Config"])
    diff_ids = config["rootfs"]["diff_ids"]
    layers = [_docker_layer(engine, source, path, diff_id) for path, diff_id in zip(paths, diff_ids, strict=True)]
    written = layout.put_document(engine, content, CONFIG)
    target = layout.put_document(engine, manifest(written, layers), MANIFEST)
    names = [str(references.parse(name)) for name in tags]
    return Loaded(target, names, [layer["digest"] for layer in layers], diff_ids)


def _docker_layer(engine: Engine, source: Source, path: str, diff_id: str) -> Descriptor:
    """An uncompressed layer's digest is its DiffID; a compressed one is held to it when it is unpacked."""
    kind = codec.detect(source.open(path).read(16))
    media_type = {"": LAYER, "gzip": LAYER_GZIP, "zstd": LAYER_ZSTD}.get(kind)
    if media_type is None:
        raise ImageError(f"layer {path} is compressed with {kind}, which no image may be")
    expected = None if kind else descriptor(LAYER, diff_id, source.size(path))
    digest, size = layout.put(engine, codec.pieces(source.open(path)), expected)
    return descriptor(media_type, digest, size)


# The OCI's form: index.json and blobs.


def _oci(engine: Engine, source: Source) -> Iterator[Loaded]:
    index = read_document(_document(source, "index.json"), "index.json")
    by_digest: dict[str, list[str]] = {}
    chosen: dict[str, Descriptor] = {}
    for entry in _manifests(index, "index.json"):
        one = _choose(source, entry)
        if one is None:
            continue
        chosen[one["digest"]] = one
        by_digest.setdefault(one["digest"], []).extend(_oci_names(source, entry))
    for digest, one in chosen.items():
        yield _oci_image(engine, source, one, by_digest[digest])


def _manifests(index: dict[str, Any], what: str) -> list[Descriptor]:
    listed = index.get("manifests") or []
    if not isinstance(listed, list):
        raise ImageError(f"{what} has no list of manifests")
    return [read_descriptor(one, f"an entry of {what}") for one in listed]


def _choose(source: Source, entry: Descriptor, depth: int = 0) -> Descriptor | None:
    """The manifest for this machine behind an entry; None for attestations and other machines' images."""
    kind = entry.get("mediaType", MANIFEST)
    if kind in MANIFESTS:
        return entry if depth == 0 or _fits(entry) else None
    if kind not in INDEXES or depth >= _NESTED:
        return None
    nested = read_document(_blob(source, entry), f"index {entry['digest']}")
    return next((found for one in _manifests(nested, "an index") if (found := _choose(source, one, depth + 1))), None)


def _fits(entry: Descriptor) -> bool:
    platform = entry.get("platform") or {}
    return platform.get("os", "linux") == "linux" and platform.get("architecture", architecture()) == architecture()


def _oci_image(engine: Engine, source: Source, entry: Descriptor, names: list[str]) -> Loaded:
    content = _blob(source, entry)
    document: Manifest = read_manifest(content, f"manifest {entry['digest']}")
    config = read_config(_blob(source, document["config"]), len(document["layers"]), "the image config")
    for one in [*document["layers"], document["config"]]:
        name = _blob_name(one)
        if source.size(name) != one["size"]:
            raise ImageError(f"blob {one['digest']} has {source.size(name)} bytes and should have {one['size']}")
        layout.put(engine, codec.pieces(source.open(name)), one)
    target = layout.put_document(engine, content, document.get("mediaType", MANIFEST))
    layers = [layer["digest"] for layer in document["layers"]]
    return Loaded(target, names, layers, config["rootfs"]["diff_ids"])


def _oci_names(source: Source, entry: Descriptor) -> list[str]:
    """containerd's annotation, or ref.name: a whole reference, or a tag alone (then the file's name comes before)."""
    notes = entry.get("annotations") or {}
    text = notes.get(CONTAINERD_NAME) or notes.get(REF_NAME) or ""
    if not text:
        return []
    if not set(text) & {"/", ":"} and re.fullmatch(r"latest|v?\d.*", text):
        text = f"{source.stem}:{text}"
    try:
        return [str(references.parse(text, default_domain=references.LOCAL))]
    except InvalidArgument:
        return []


def _blob_name(one: Descriptor) -> str:
    return "blobs/" + "/".join(digests.split(one["digest"]))


def _blob(source: Source, one: Descriptor) -> bytes:
    content = _document(source, _blob_name(one))
    hashed = digests.hasher(one["digest"])
    hashed.update(content)
    if not one["digest"].endswith(hashed.hexdigest()) or len(content) != one["size"]:
        raise ImageError(f"blob {one['digest']} of {source.stem} is not what its name says")
    return content


def _document(source: Source, name: str) -> bytes:
    content = source.open(name).read(MAX_DOCUMENT + 1)
    if len(content) > MAX_DOCUMENT:
        raise ImageError(f"{name} is larger than {MAX_DOCUMENT} bytes")
    return content


# Where the files are.


@contextmanager
def _source(engine: Engine, file: str) -> Iterator[Source]:
    with ExitStack() as stack:
        if os.path.isdir(file):
            yield Folder(Path(file))
            return
        archive = stack.enter_context(open_file(file))
        if codec.detect(archive.read(16)) or not archive.seekable():
            plain = stack.enter_context(layout.partial(engine))
            archive = stack.enter_context(open_file(file)) if archive.seekable() else archive
            for piece in codec.chunks(archive):
                plain.write(piece)
            plain.flush()
            archive = stack.enter_context(open(plain.name, "rb"))
        stem = re.sub(r"(\.oci|\.docker)?\.(tar|tgz|tzst)?(\.\w+)?$", "", Path(file).name.lower())
        yield Archive(archive.fileno(), stem)


@contextmanager
def naming(file: str, hint: str) -> Iterator[None]:
    """Say which file an ImageError is about, and what to give instead."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{file}: {error.message}", hint=error.hint or hint, **error.details) from None


def open_file(file: str) -> Any:
    """The user's file, `-` for standard input. NotFound says what is wrong with the path."""
    try:
        return open(0 if file == "-" else os.path.expanduser(file), "rb", closefd=file != "-")
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}", hint="give the path of a tar archive") from None
    except OSError as error:
        raise InvalidArgument(f"cannot read {file}: {error.strerror}", hint="give the path of a tar archive") from None


class Folder:
    """An OCI layout as a folder. Its links are not followed out of it: names are ours, blobs/ALGORITHM/HEX."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.stem = path.resolve().name

    def has(self, name: str) -> bool:
        return (self._path / name).is_file()

    def open(self, name: str) -> _File:
        try:
            return open(self._path / name, "rb")
        except OSError as error:
            raise ImageError(f"{self._path / name} cannot be read: {error.strerror}") from None

    def size(self, name: str) -> int:
        return os.path.getsize(self._path / name)


class Archive:
    """The members of an uncompressed tar file, by name; links between members are followed."""

    def __init__(self, descriptor: int, stem: str) -> None:
        self._descriptor = descriptor
        self.stem = stem or "archive"
        self._members: dict[bytes, tuple[int, int]] = {}
        self._links: dict[bytes, bytes] = {}
        self._index()

    def _index(self) -> None:
        """Where each member's data lies; the data itself is jumped over."""
        for entry, offset in tar.members(self._descriptor):
            name = clean(entry.name)
            if entry.type == tar.REGULAR and entry.map is None:
                self._members[name] = (offset, entry.size)
            elif entry.type == tar.SYMLINK:
                self._links[name] = clean(name.rpartition(b"/")[0] + b"/" + entry.link)
            elif entry.type == tar.LINK:
                self._links[name] = clean(entry.link)

    def _member(self, name: str) -> tuple[int, int]:
        key = clean(os.fsencode(name))
        for _ in range(10):
            if found := self._members.get(key):
                return found
            key = self._links.get(key, b"")
        raise ImageError(f"{self.stem} lacks {name}, which it says it has")

    def has(self, name: str) -> bool:
        return os.fsencode(name) in self._members

    def open(self, name: str) -> _File:
        return Slice(self._descriptor, *self._member(name))

    def size(self, name: str) -> int:
        return self._member(name)[1]


class Slice:
    """A part of a file, read without moving anybody's position."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._at = offset
        self._end = offset + size

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        data = os.pread(self._descriptor, left if size < 0 else min(size, left), self._at)
        self._at += len(data)
        return data
