"""`container commit`: an image of a container's image and one more layer, with what the container changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from nbcontainers.advice import Advice, advise, advise_left_out
from nbcontainers.container import parts
from nbcontainers.container.container import Container
from nbcontainers.container.stillness import frozen
from nbcontainers.errors import InvalidArgument, InvalidState, NotFound
from nbcontainers.image import change, host, layout, lease, removal, store
from nbcontainers.image.image import Image
from nbcontainers.image.making import Added, layer_of
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import (
    BASE,
    CONFIG,
    LAYER,
    MANIFEST,
    Descriptor,
    created,
    descriptor,
    encode,
    epoch,
    manifest,
    stacked,
)


def commit(
    container: Container, reference: str, *, author: str, message: str, changes: Sequence[str], pause: bool
) -> Image:
    """Add the image; `reference` may be "". While the files are read the container stands still if `pause`.

    Raises InvalidState where there is no image to build on; after any error the store is as it was.
    """
    name = _free_name(reference)
    with removal.unless_all_is_well(container.engine), lease.adding(container.engine):
        return _commit(container, name, author, message, changes, pause=pause)


def _free_name(reference: str) -> str:
    """The whole name, "" if none was given. Raises InvalidArgument for one that no image of ours can have."""
    if not reference:
        return ""
    wanted = references.parse(reference, default_domain=references.LOCAL)
    if wanted.digest or str(wanted) in layout.EMBEDDED:
        problem = "has a digest, which cannot be given" if wanted.digest else "is the name of an embedded image"
        raise InvalidArgument(f"{reference!r} {problem}", hint="give another NAME[:TAG]")
    return str(wanted)


def _commit(
    container: Container, name: str, author: str, message: str, changes: Sequence[str], *, pause: bool
) -> Image:
    engine, known = container.engine, parts.of(container)
    base = _base(container)
    config: dict[str, Any] = json.loads(json.dumps(base.config))
    settings = config.get("config") or {}
    change.apply(settings, changes)
    with parts.present(container), frozen(container) if pause else nullcontext(True) as still:
        moving = not still and container.status == "running"
        added = layer_of(engine, known, base.config["rootfs"]["diff_ids"], base.base, epoch=epoch())
    if moving:
        text = f"container {container.name} has no cgroup to hold it still by: its files were read while it ran"
        advise(Advice(text), stacklevel=4)
    advise_left_out(f"the image of container {container.name}", added, stacklevel=4)
    command = " ".join(container.record["command"])
    config |= _next(config, added, *map(_text, (command, author, message))) | {"config": settings}
    target = _put(container, base, config, added)
    with layout.update(engine, "commit") as manifests:
        if name:
            layout.set_name(manifests, name, target)
        layout.add_unnamed(manifests, target)
    return Image(engine, target["digest"], name, target["size"])


def _text(text: str) -> str:
    """As JSON can hold it: a command line may have any bytes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _base(container: Container) -> Image:
    """The image it was made of, leased."""
    if container.record["layers"][1:] == [host.ROOT]:  # with whichever Python it was made
        return host.image(container.engine)
    try:
        base = store.resolve(container.engine, container.record["image_digest"])
    except NotFound:
        raise InvalidState(
            f"the image of container {container.name} is no longer in the store",
            hint=f"type container export -o FILE {container.name}, then image import FILE NAME",
        ) from None
    wanted = [base.digest, base.id, *(layer["digest"] for layer in base.layers)]
    if not lease.claim(container.engine, [layout.blob(container.engine, digest) for digest in wanted]):
        raise NotFound(f"a part of image {base} is not in the store", hint="pull or load it again")
    return base


def _next(config: dict[str, Any], added: Added, command: str, author: str, message: str) -> dict[str, Any]:
    """What the layer changes in the image config, but for `config` itself."""
    now = created()
    step: dict[str, Any] = {"created": now, "created_by": command}
    step |= {"author": author} if author else {}
    step |= {"comment": message} if message else {}
    step |= {} if added["entries"] else {"empty_layer": True}
    before = config["rootfs"]
    diff_ids = [*before["diff_ids"], *([added["diff_id"]] if added["entries"] else [])]
    found = {
        "created": now, "rootfs": stacked(diff_ids, before.get(BASE, "")),
        "history": [*(config.get("history") or []), step],
    }  # fmt: skip
    return found | ({"author": author} if author else {})


def _put(container: Container, base: Image, config: dict[str, Any], added: Added) -> Descriptor:
    layers = [descriptor(oci_type(layer["mediaType"]), layer["digest"], layer["size"]) for layer in base.layers]
    layers += [added["descriptor"]] if added["entries"] else []
    settings = layout.put_document(container.engine, encode(config), CONFIG)
    return layout.put_document(container.engine, manifest(settings, layers), MANIFEST)


def oci_type(media_type: str) -> str:
    """Docker's media types of layers end in .tar and .tar.gzip, OCI's in .tar and .tar+gzip."""
    return LAYER + media_type.rpartition(".tar")[2].replace(".", "+")
