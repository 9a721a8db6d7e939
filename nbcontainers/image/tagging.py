"""`image tag`: one more name for an image."""

from __future__ import annotations

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import layout
from nbcontainers.image.image import Image, missing
from nbcontainers.image.store import resolve
from nbcontainers.oci import reference as references


def tag(engine: Engine, image: str, reference: str) -> Image:
    """Let `reference` mean the image. Raises InvalidArgument for what cannot be given, NotFound for what is gone."""
    found = resolve(engine, image)
    if found.is_host:
        raise InvalidArgument("host is this machine itself and has no other name", hint="use `host`")
    wanted = references.parse(reference, default_domain=references.LOCAL)
    if wanted.digest:
        raise InvalidArgument(f"{reference!r} has a digest, which cannot be given", hint="write NAME:TAG")
    with layout.update(engine, "tag") as manifests:
        if not any(one["digest"] == found.digest for one in manifests):
            raise missing(image, [])
        layout.set_name(manifests, str(wanted), found.descriptor)
    return Image(engine, found.digest, str(wanted), found.manifest_size)
