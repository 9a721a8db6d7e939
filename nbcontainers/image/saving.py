"""`image save`: images out of the store, as a docker-archive, an oci-archive or an OCI layout folder.

All three are the same files: blobs/ALGORITHM/HEX once each, index.json and oci-layout. A docker-archive has
manifest.json and `repositories` besides, which is what Docker 25 and later write: older Dockers and podman read
those, newer ones and everything else for OCI the index. Layers go as they are, but for zstd in a docker-archive:
those are unpacked. The same images make the same bytes (SOURCE_DATE_EPOCH).
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol, cast

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument
from nbcontainers.image import layout, lease, output
from nbcontainers.image.archive import CONTAINERD_NAME
from nbcontainers.image.image import Image, missing, on_host
from nbcontainers.image.members import blob_name
from nbcontainers.image.removal import names_it
from nbcontainers.image.store import resolve
from nbcontainers.layer import codec
from nbcontainers.layer.ahead import Aside
from nbcontainers.oci import digest as digests
from nbcontainers.oci.image import (
    CONFIG,
    DOCKER_MANIFEST,
    INDEX,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
    MANIFEST,
    REF_NAME,
    Descriptor,
    Manifest,
    descriptor,
    encode,
    epoch,
)

FORMATS = ("docker-archive", "oci-archive", "oci-dir")
COMPRESSIONS = ("gzip", "zstd")

_DOCKER_TYPES = {
    DOCKER_MANIFEST: MANIFEST,
    "application/vnd.docker.container.image.v1+json": CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": LAYER_ZSTD,
}


class _Writer(Protocol):
    """Takes named files. A folder's name ends in /."""

    def add(self, name: str, size: int, chunks: Iterable[bytes]) -> None: ...


class _Saved(NamedTuple):
    """An image as it was written."""

    manifest: Descriptor
    config: Descriptor
    layers: list[Descriptor]
    names: list[str]


def save(
    engine: Engine, references: Sequence[str], path: str, form: str, *, uncompressed: bool, compress: str = ""
) -> None:
    """Write the images to `path`. Raises ImageError for one that is damaged; then nothing was written.

    `uncompressed`: layers as plain tars. `compress`: the archive as a whole, by gzip or zstd.
    """
    if form not in FORMATS:
        raise InvalidArgument(f"{form!r} is no format of archives", hint=f"write one of {', '.join(FORMATS)}")
    if compress not in ("", *COMPRESSIONS):
        raise InvalidArgument(f"{compress!r} is no compression", hint=f"write one of {', '.join(COMPRESSIONS)}")
    if form == "oci-dir" and (path in ("", "-") or compress):
        raise InvalidArgument("an OCI layout is a folder", hint="write -o FOLDER, without --compress")
    with lease.adding(engine):
        wanted = _chosen(engine, references)
        with _writer(path, form, compress) as writer:
            copier = _Copier(engine, writer, uncompressed, oci=form != "docker-archive")
            saved = [copier.image(image, names) for image, names in wanted.items()]
            writer.add("oci-layout", *_whole(b'{"imageLayoutVersion":"1.0.0"}'))
            writer.add("index.json", *_whole(encode(_index(saved))))
            if form == "docker-archive":
                writer.add("manifest.json", *_whole(encode(_manifest_json(saved))))
                writer.add("repositories", *_whole(encode(_repositories(saved))))


def _chosen(engine: Engine, references: Sequence[str]) -> dict[Image, list[str]]:
    """The images, each with the names it was asked for by; what is given by id goes without a name."""
    found: dict[Image, list[str]] = {}
    for text in references:
        image = resolve(engine, text)
        if image.is_host:
            raise on_host(image, "cannot be saved")
        blobs = [image.digest, *(one["digest"] for one in (image.manifest["config"], *image.layers))]
        if not lease.claim(engine, [layout.blob(engine, digest) for digest in blobs]):
            raise missing(text, [])
        if image.base:
            raise on_host(image, "cannot be saved")
        names = found.setdefault(Image(engine, image.digest, "", image.manifest_size), [])
        if names_it(text, image) and image.reference not in names:
            names.append(image.reference)
    return found


class _Copier:
    """Copies images blob by blob; each is held to its digest on the way, and written once."""

    def __init__(self, engine: Engine, writer: _Writer, uncompressed: bool, *, oci: bool) -> None:
        self._engine, self._writer, self._uncompressed, self._oci = engine, writer, uncompressed, oci
        self._written: dict[str, Descriptor] = {}

    def image(self, image: Image, names: list[str]) -> _Saved:
        document = cast(Manifest, dict(image.manifest))
        diff_ids = image.config["rootfs"]["diff_ids"]
        layers = [self._layer(layer, diff_id) for layer, diff_id in zip(image.layers, diff_ids, strict=True)]
        config = self._typed(document["config"])
        self._blob(config)
        media_type = document.get("mediaType", MANIFEST)
        if layers == image.layers and config == document["config"] and not self._converts(media_type):
            target = descriptor(media_type, image.digest, image.manifest_size)
            self._blob(target)
        else:
            media_type = _DOCKER_TYPES.get(media_type, media_type) if self._oci else media_type
            content = encode(document | {"mediaType": media_type, "config": config, "layers": layers})
            target = descriptor(media_type, digests.of(content), len(content))
            self._add(target, [content])
        return _Saved(target, config, layers, names)

    def _converts(self, media_type: str) -> bool:
        return self._oci and media_type in _DOCKER_TYPES

    def _typed(self, one: Descriptor) -> Descriptor:
        """An OCI archive has the OCI's media types: umoci and others know no other ones."""
        kind = one.get("mediaType", "")
        return one | {"mediaType": _DOCKER_TYPES[kind]} if self._converts(kind) else one

    def _layer(self, one: Descriptor, diff_id: str) -> Descriptor:
        if one["digest"] == diff_id or not (self._uncompressed or self._foreign(one)):
            self._blob(one)
            return self._typed(one)
        if diff_id not in self._written:
            with layout.partial(self._engine) as plain, open(layout.blob(self._engine, one["digest"]), "rb") as blob:
                size = sum(map(plain.write, codec.chunks(blob)))
                plain.flush()
                with open(plain.name, "rb") as again:
                    self._add(descriptor(LAYER, diff_id, size), codec.pieces(again))
        return self._written[diff_id]

    def _foreign(self, one: Descriptor) -> bool:
        """Whether a docker-archive cannot have this layer as it is: Docker before 23 reads no zstd."""
        with open(layout.blob(self._engine, one["digest"]), "rb") as file:
            return not self._oci and codec.detect(file.read(16)) == "zstd"

    def _blob(self, one: Descriptor) -> None:
        with open(layout.blob(self._engine, one["digest"]), "rb") as file:
            self._add(one, codec.pieces(file))

    def _add(self, one: Descriptor, chunks: Iterable[bytes]) -> None:
        if one["digest"] not in self._written:
            self._writer.add(blob_name(one), one["size"], _checked(chunks, one))
            self._written[one["digest"]] = one


def _checked(chunks: Iterable[bytes], one: Descriptor) -> Iterator[bytes]:
    """The chunks, and ImageError at their end if they are not what the descriptor says."""
    hashed, size = digests.hasher(one["digest"]), 0
    for chunk in chunks:
        hashed.update(chunk)
        size += len(chunk)
        yield chunk
    if size != one["size"] or not one["digest"].endswith(hashed.hexdigest()):
        raise ImageError(
            f"blob {one['digest']} is damaged", hint="%image verify names all that is; pull or load it again"
        )


def _whole(content: bytes) -> tuple[int, list[bytes]]:
    return len(content), [content]


def _index(saved: Sequence[_Saved]) -> dict[str, Any]:
    """A descriptor a name; the annotations are skopeo's and podman's, and containerd's and Docker's."""
    manifests: list[Descriptor] = []
    for one in saved:
        for name in one.names:
            manifests.append(one.manifest | {"annotations": {CONTAINERD_NAME: name, REF_NAME: name}})
        if not one.names:
            manifests.append(one.manifest)
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}


def _manifest_json(saved: Sequence[_Saved]) -> list[dict[str, Any]]:
    return [
        {
            "Config": blob_name(one.config),
            "RepoTags": one.names or None,
            "Layers": [blob_name(layer) for layer in one.layers],
        }
        for one in saved
    ]


def _repositories(saved: Sequence[_Saved]) -> dict[str, dict[str, str]]:
    """What Docker before 1.10 looked at, and what others still expect."""
    found: dict[str, dict[str, str]] = {}
    for one in saved:
        for name in one.names:
            repository, _, tag = name.rpartition(":")
            top = one.layers[-1]["digest"] if one.layers else one.config["digest"]
            found.setdefault(repository, {})[tag] = digests.split(top)[1]
    return found


# Where the files go.


@contextmanager
def _writer(path: str, form: str, compress: str) -> Iterator[_Writer]:
    if form == "oci-dir":
        with output.folder(path) as folder:
            yield _Folder(folder)
        return
    with output.archive(path) as file, _compressed(file, compress) as target:
        tar = _Tar(target)
        yield tar
        tar.end()


@contextmanager
def _compressed(file: Any, compress: str) -> Iterator[Any]:
    """What is written goes to `file`, compressed in a thread of its own."""
    if not compress:
        yield file
        return

    def write_all(pieces: Iterator[bytes]) -> None:
        for piece in codec.compress(pieces, compress):
            file.write(piece)

    aside = Aside(write_all)
    try:
        yield SimpleNamespace(write=aside.give)
        aside.result()
    except BaseException:
        aside.close()
        raise


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, name: str, size: int, chunks: Iterable[bytes]) -> None:
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


class _Tar:
    """A plain tar of files and their folders, owned by root and of one time."""

    def __init__(self, file: Any) -> None:
        self._file, self._mtime = file, epoch() or 0
        self._folders: set[str] = set()

    def add(self, name: str, size: int, chunks: Iterable[bytes]) -> None:
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            self._folder("/".join(parts[:depth]))
        self._header(name, size, 0o644, tarfile.REGTYPE)
        for chunk in chunks:
            self._file.write(chunk)
        self._file.write(bytes(-size % tarfile.BLOCKSIZE))

    def _folder(self, name: str) -> None:
        if name not in self._folders:
            self._folders.add(name)
            self._header(f"{name}/", 0, 0o755, tarfile.DIRTYPE)

    def _header(self, name: str, size: int, mode: int, kind: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.type, info.mtime = size, mode, kind, self._mtime
        self._file.write(info.tobuf(tarfile.PAX_FORMAT))

    def end(self) -> None:
        self._file.write(bytes(2 * tarfile.BLOCKSIZE))
