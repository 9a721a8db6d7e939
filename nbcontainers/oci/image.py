"""The image-spec 1.1 as typed words: media types, descriptors, manifests, configs, DiffIDs and ChainIDs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NotRequired, TypedDict, cast

from nbcontainers.errors import ImageError
from nbcontainers.oci.digest import is_digest

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = f"{LAYER}+gzip"
LAYER_ZSTD = f"{LAYER}+zstd"
LAYER_BY_CODEC = {"": LAYER, "gzip": LAYER_GZIP, "zstd": LAYER_ZSTD}
"""By the compression; a layer may have no other."""
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
BASE: Final = "io.nbcontainers.base"
"""Of a config's `rootfs`: what lies below its layers, `ON_HOST` for the folders of the machine it was made on."""
ON_HOST: Final = "host"

INDEXES = (INDEX, DOCKER_INDEX)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
SCHEMA_1 = tuple(f"application/vnd.docker.distribution.manifest.v1+{form}" for form in ("json", "prettyjws"))
_NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs"
FOREIGN_LAYERS = (
    _NONDISTRIBUTABLE, f"{_NONDISTRIBUTABLE}+gzip", f"{_NONDISTRIBUTABLE}+zstd",
    f"{_DOCKER_LAYER}.foreign.diff.tar", f"{_DOCKER_LAYER}.foreign.diff.tar.gzip",
)  # fmt: skip
"""Layers that may be pulled and must not be pushed (layer.md, "Non-Distributable Layers")."""
LAYERS = (
    LAYER, LAYER_GZIP, LAYER_ZSTD, f"{_DOCKER_LAYER}.diff.tar", f"{_DOCKER_LAYER}.diff.tar.gzip",
    f"{_DOCKER_LAYER}.diff.tar.zstd", *FOREIGN_LAYERS,
)  # fmt: skip
MAX_LAYERS = 500
"""fs/overlayfs/params.h, OVL_MAX_STACK."""
MAX_DOCUMENT = 4 << 20
"""Bytes of the largest manifest, index or config we read: what registries accept as well."""

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


class Descriptor(TypedDict, total=False):
    """descriptor.md."""

    mediaType: str
    digest: str
    size: int
    annotations: dict[str, str]
    platform: dict[str, str]


class Manifest(TypedDict, total=False):
    """manifest.md."""

    schemaVersion: int
    mediaType: str
    config: Descriptor
    layers: list[Descriptor]
    annotations: dict[str, str]


RootFS = TypedDict("RootFS", {"type": str, "diff_ids": list[str], "io.nbcontainers.base": NotRequired[str]})


class ImageConfig(TypedDict, total=False):
    """config.md. `config` holds what a container starts with (Env, Cmd, Entrypoint, User, …)."""

    created: str
    author: str
    architecture: str
    os: str
    variant: str
    config: dict[str, Any]
    rootfs: RootFS
    history: list[dict[str, Any]]


def architecture() -> str:
    """This machine's, by its Go name."""
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


def epoch() -> int | None:
    """Seconds of the time that SOURCE_DATE_EPOCH sets for what is to come out the same again; None where it is not set."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(text) if text.isdecimal() and len(text) < 12 else None


def created(seconds: float | None = None) -> str:
    """When something was made, as configs have it (RFC 3339): SOURCE_DATE_EPOCH, else `seconds` since 1970, else now."""
    if (fixed := epoch()) is not None:
        seconds = fixed
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def encode(document: Any) -> bytes:
    """A document in one deterministic form."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()


def descriptor(media_type: str, digest: str, size: int) -> Descriptor:
    return {"mediaType": media_type, "digest": digest, "size": size}


def manifest(config: Descriptor, layers: Sequence[Descriptor]) -> Manifest:
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": list(layers)}


def stacked(diff_ids: Sequence[str], base: str = "") -> RootFS:
    """The part of a config that names its layers, bottom first, and what is below them."""
    found: RootFS = {"type": "layers", "diff_ids": list(diff_ids)}
    return {**found, BASE: base} if base else found


def chain_ids(diff_ids: Sequence[str], base: str = "") -> list[str]:
    """The ChainID of each layer, bottom first (config.md, Layer ChainID). What a layer is when it is unpacked depends on
    what is below, so that on a `base` of ours it has another one."""
    chain: list[str] = []
    for diff_id in diff_ids:
        below = chain[-1] if chain else base
        chain.append(f"sha256:{sha256(f'{below} {diff_id}'.encode()).hexdigest()}" if below else diff_id)
    return chain


def check_whole(config: ImageConfig, what: str) -> None:
    """ImageError for the config of an image that comes from elsewhere and lies on the folders of a machine."""
    if config["rootfs"].get(BASE):
        raise ImageError(
            f"{what} is of an image built FROM host: the folders below its layers are another machine's",
            hint="where it was made, copy what is needed out of it: FROM mini, COPY --from=IMAGE /PATH /PATH",
        )


def read_document(content: bytes, what: str) -> dict[str, Any]:
    """A JSON object, or ImageError."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ImageError(f"{what} is not a JSON object")
    return document


def read_descriptor(value: Any, what: str) -> Descriptor:
    """A descriptor with a known digest and a size that is not negative, or ImageError."""
    if not isinstance(value, dict) or not is_digest(value.get("digest")):
        raise ImageError(f"{what} has no digest that can be checked")
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ImageError(f"{what} has the impossible size {size!r}")
    if not isinstance(value.get("mediaType", ""), str):
        raise ImageError(f"{what} has a media type that is no text")
    if not is_text_map(value.get("annotations") or {}) or not isinstance(value.get("platform") or {}, dict):
        raise ImageError(f"{what} has annotations or a platform of another form than descriptor.md's")
    return cast(Descriptor, value)


def read_index(document: dict[str, Any], what: str) -> list[Descriptor]:
    """The descriptors of an index, each held to its form, or ImageError. A document that also claims to be a manifest
    is refused (CVE-2021-41190)."""
    listed = document.get("manifests") or []
    if not isinstance(listed, list) or "layers" in document or "config" in document:
        raise ImageError(f"{what} is of another form than image-index.md's")
    return [read_descriptor(one, f"an entry of {what}") for one in listed]


def read_manifest(content: bytes, what: str = "the manifest") -> Manifest:
    """A manifest whose descriptors hold, or ImageError. A document that also claims to be an index is refused
    (CVE-2021-41190)."""
    document = read_document(content, what)
    if document.get("mediaType", MANIFEST) not in MANIFESTS or "manifests" in document:
        raise ImageError(f"{what} is no image manifest but {document.get('mediaType') or 'an index'}")
    layers = document.get("layers") or []
    if not isinstance(layers, list):
        raise ImageError(f"{what} has no list of layers")
    _check_count(len(layers), what)
    read_descriptor(document.get("config"), f"the config in {what}")
    for number, layer in enumerate(layers, 1):
        read_descriptor(layer, f"layer {number} in {what}")
    document["layers"] = layers
    return cast(Manifest, document)


def read_config(content: bytes, layers: int, what: str = "the image config") -> ImageConfig:
    """An image config with one DiffID a layer, or ImageError."""
    document = read_document(content, what)
    rootfs = document.get("rootfs")
    diff_ids = (rootfs.get("diff_ids") or []) if isinstance(rootfs, dict) else None
    if not isinstance(rootfs, dict) or not isinstance(diff_ids, list) or not all(map(is_digest, diff_ids)):
        raise ImageError(f"{what} has no list of DiffIDs")
    _check_count(layers, what)
    if len(diff_ids) != layers:
        raise ImageError(f"{what} has {len(diff_ids)} DiffIDs for {layers} layers")
    if not isinstance(document.get("config") or {}, dict):
        raise ImageError(f"{what} has a `config` that is no object")
    history = document.get("history") or []
    if not isinstance(history, list) or not all(isinstance(step, dict) for step in history):
        raise ImageError(f"{what} has a history that is no list of objects")
    rootfs["diff_ids"] = diff_ids
    _check_defaults(document.get("config") or {}, what)
    return cast(ImageConfig, document)


def _check_count(layers: int, what: str) -> None:
    if layers > MAX_LAYERS:
        raise ImageError(f"{what} has {layers} layers; overlayfs takes {MAX_LAYERS}", hint="squash the image")


def _check_defaults(config: dict[str, Any], what: str) -> None:
    """What a container starts with has the types of config.md, or ImageError: everybody else may rely on them."""
    for key, value in config.items():
        if value is not None and key in _TYPES and not _TYPES[key][0](value):
            raise ImageError(f"{what} has a `config.{key}` that is no {_TYPES[key][1]}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def is_texts(value: object) -> bool:
    """Whether it is a list of texts without NUL."""
    return isinstance(value, list) and all(map(_is_text, value))


def is_text_map(value: object) -> bool:
    """Whether it is an object whose values are texts."""
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("User", "WorkingDir", "StopSignal"), (_is_text, "text")),
    **dict.fromkeys(("Env", "Cmd", "Entrypoint"), (is_texts, "list of texts")),
    **dict.fromkeys(("Volumes", "ExposedPorts"), (lambda value: isinstance(value, dict), "object")),
    "Labels": (is_text_map, "object of texts"),
}
