"""`image import`: a root file system's tar becomes an image of one layer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypedDict

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError
from nbcontainers.image import change, download, layout, making, work
from nbcontainers.image.image import Image
from nbcontainers.image.members import naming, open_file
from nbcontainers.layer import codec, unpack
from nbcontainers.layer.ahead import Ahead, Aside
from nbcontainers.layer.tar import Budget
from nbcontainers.oci import platform as platforms
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import (
    CONFIG,
    LAYER,
    LAYER_BY_CODEC,
    MANIFEST,
    Descriptor,
    ImageConfig,
    architecture,
    created,
    descriptor,
    encode,
    manifest,
)
from nbcontainers.oci.platform import Platform

_KEPT = frozenset(LAYER_BY_CODEC) - {""}
"""Compressions that a layer may have."""


class Layer(TypedDict):
    """What was added."""

    descriptor: Descriptor
    diff_id: str


def import_(
    engine: Engine, file: str, reference: str, changes: Sequence[str], message: str, platform: str = ""
) -> Image:
    """Add the image; `reference` may be "". Raises ImageError for a bad tar, and then nothing was added.

    `file` is a path, `-` or a URL; `platform` whose programs are in it, by default this machine's.
    """
    wanted = platforms.parse(platform) if platform else None
    name = str(references.parse(reference, default_domain=references.LOCAL)) if reference else ""
    settings: dict[str, Any] = {}
    change.apply(settings, changes)
    hint = "give the tar of a root file system, plain or compressed by gzip, zstd, xz or bzip2"
    with naming(file, hint), layout.adding(engine):
        with _opened(engine, file) as tar:
            layer: Layer = work.call("imported:add", fds=[tar.fileno()], place=work.place(engine), file=file)
        config = layout.put_document(engine, encode(_config(settings, layer["diff_id"], message, wanted)), CONFIG)
        target = layout.put_document(engine, manifest(config, [layer["descriptor"]]), MANIFEST)
        with layout.update(engine, "import") as manifests:
            if name:
                layout.set_name(manifests, name, target)
            layout.add_unnamed(manifests, target)
    return Image(engine, target["digest"], name, target["size"])


@contextmanager
def _opened(engine: Engine, file: str) -> Iterator[Any]:
    """The tar; one from the web is first all here: it comes in as a whole or not at all."""
    if not download.is_url(file):
        with open_file(file) as tar:
            yield tar
        return
    with layout.partial(engine) as here:
        download.fetch(file, here.write)
        here.flush()
        with open(here.name, "rb") as tar:
            yield tar


def _config(settings: dict[str, Any], diff_id: str, message: str, platform: Platform | None) -> ImageConfig:
    now = created()
    history = {"created": now, "created_by": "nbcontainers image import", "comment": message or "imported"}
    config: ImageConfig = {
        "created": now, "architecture": platform.architecture if platform else architecture(),
        "os": platform.os if platform else "linux", "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]}, "history": [history],
    }  # fmt: skip
    return config | {"variant": platform.variant} if platform and platform.variant else config


# The launcher's side.


def add(fds: list[int], place: dict[str, Any], file: str) -> Layer:
    """Read the tar once: store it as it is where an image may hold its compression, else plain, and unpack it."""
    os.umask(0)
    engine = work.at(place)
    with layout.adding(engine), making.partial(engine.snapshots) as folder, open(fds[0], "rb", buffering=0) as tar:
        root = os.open(folder / "fs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            unpacked = unpack.Layer(root, userxattr=engine.rootless, squash=unpack.squashes())
            kind, stored, diff_id = _read(engine, tar, unpacked)
            facts = unpacked.finish([]) | {"diff_id": diff_id}
        finally:
            os.close(root)
        _refuse_archive(folder / "fs", file)
        making.take_place(engine, folder, diff_id.rpartition(":")[2], facts)
    return {"descriptor": descriptor(LAYER_BY_CODEC.get(kind, LAYER), *stored), "diff_id": diff_id}


def _read(engine: Engine, tar: Any, unpacked: unpack.Layer) -> tuple[str, tuple[str, int], str]:
    """The compression found, (digest, size) of the blob, and the DiffID."""
    head, hashed = tar.read(16), hashlib.sha256()
    kind = codec.detect(head)
    blob = Aside(lambda pieces: layout.put(engine, pieces))
    source = _Tee(codec.Headed(head, tar), blob.give if kind in _KEPT else None)
    use = hashed.update if kind in _KEPT else blob.give
    try:
        with closing(Ahead(_pieces(source, kind, use))) as pieces:
            unpacked.extract(pieces)
        stored = blob.result()
    except BaseException:
        blob.close()
        raise
    return kind, stored, f"sha256:{hashed.hexdigest()}" if kind in _KEPT else stored[0]


class _Tee:
    """A file that hands on what is read from it, and counts it."""

    def __init__(self, file: Any, give: Callable[[bytes], None] | None) -> None:
        self._file, self._give = file, give
        self.at = 0

    def read(self, size: int, /) -> bytes:
        data: bytes = self._file.read(size)
        self.at += len(data)
        if self._give and data:
            self._give(data)
        return data


def _pieces(source: _Tee, kind: str, use: Callable[[bytes], object]) -> Iterator[bytes]:
    count, budget = 0, Budget()
    for piece in codec.chunks(source, codec=kind):
        count += len(piece)
        budget.check_bytes(count, source.at)
        use(piece)
        yield piece


def _refuse_archive(root: Path, file: str) -> None:
    """An image's archive is a tar as well, but no root file system."""
    if (root / "manifest.json").exists() or (root / "oci-layout").exists():
        if not (root / "bin").exists() and not (root / "usr").exists():
            raise ImageError(
                f"{file} is the archive of an image, not of a root file system", hint=f"%image load {file}"
            )
