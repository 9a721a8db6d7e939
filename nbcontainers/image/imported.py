"""`image import`: a root file system's tar becomes an image of one layer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError
from nbcontainers.image import change, layout, snapshot, work
from nbcontainers.image.image import Image
from nbcontainers.image.members import naming, open_file
from nbcontainers.layer import codec
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import (
    CONFIG,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
    MANIFEST,
    ImageConfig,
    architecture,
    descriptor,
    encode,
    manifest,
)

_MEDIA_TYPES = {"": LAYER, "gzip": LAYER_GZIP, "zstd": LAYER_ZSTD}


def import_(engine: Engine, file: str, reference: str, changes: Sequence[str], message: str) -> Image:
    """Add the image; `reference` may be "". Raises ImageError for a bad tar, and then nothing was added."""
    name = str(references.parse(reference, default_domain=references.LOCAL)) if reference else ""
    settings: dict[str, Any] = {}
    change.apply(settings, changes)
    hint = "give the tar of a root file system, plain or compressed by gzip, zstd, xz or bzip2"
    with naming(file, hint), layout.adding(engine):
        with open_file(file) as tar:
            media_type, digest, size, diff_id = _add_layer(engine, tar)
        work.unpack(engine, [digest], [diff_id])
        _refuse_archive(engine, diff_id, file)
        config = layout.put_document(engine, encode(_config(settings, diff_id, message)), CONFIG)
        target = layout.put_document(engine, manifest(config, [descriptor(media_type, digest, size)]), MANIFEST)
        with layout.update(engine, "import") as manifests:
            if name:
                layout.set_name(manifests, name, target)
            layout.add_unnamed(manifests, target)
    return Image(engine, target["digest"], name, target["size"])


def _config(settings: dict[str, Any], diff_id: str, message: str) -> ImageConfig:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    created = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    history = {"created": created, "created_by": "nbcontainers image import", "comment": message or "imported"}
    return {
        "created": created, "architecture": architecture(), "os": "linux", "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]}, "history": [history],
    }  # fmt: skip


def _add_layer(engine: Engine, tar: Any) -> tuple[str, str, int, str]:
    """Store the tar as it is where an image may hold its compression, else plain: (media type, digest, size, DiffID)."""
    head = tar.read(16)
    kind = codec.detect(head)
    file = codec.Headed(head, tar)
    hashed = hashlib.sha256()
    if kind not in _MEDIA_TYPES:
        digest, size = layout.put(engine, codec.chunks(file, codec=kind))
        return LAYER, digest, size, digest
    digest, size = layout.put(engine, codec.pieces(file))
    if not kind:
        return LAYER, digest, size, digest
    with open(layout.blob(engine, digest), "rb") as blob:
        for piece in codec.chunks(blob):
            hashed.update(piece)
    return _MEDIA_TYPES[kind], digest, size, f"sha256:{hashed.hexdigest()}"


def _refuse_archive(engine: Engine, diff_id: str, file: str) -> None:
    """An image's archive is a tar as well, but no root file system."""
    root = snapshot.path(engine.snapshots, diff_id)
    if (root / "manifest.json").exists() or (root / "oci-layout").exists():
        if not (root / "bin").exists() and not (root / "usr").exists():
            raise ImageError(
                f"{file} is the archive of an image, not of a root file system", hint=f"%image load {file}"
            )
