"""From the files and the config of a stage to an image of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbcontainers.builder.files import Result
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import layout
from nbcontainers.image.image import Image
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import CONFIG, MANIFEST, Descriptor, encode, manifest, stacked

if TYPE_CHECKING:
    from nbcontainers.builder.building import Build

_BASE = "org.opencontainers.image.base"


def name(tag: str) -> str:
    """The whole name of `-t`. InvalidArgument for one that no image of ours can have."""
    wanted = references.parse(tag, default_domain=references.LOCAL)
    if wanted.digest or str(wanted) in layout.EMBEDDED:
        problem = "has a digest, which cannot be given" if wanted.digest else "is the name of an embedded image"
        raise InvalidArgument(f"{tag!r} {problem}", hint="write -t NAME[:TAG]")
    return str(wanted)


def put(build: Build, end: Result, names: Sequence[str]) -> Image:
    """The image of the target stage, with its names."""
    target = _documents(build, end, build.request.labels, build.request.annotations)
    with layout.update(build.engine, "build") as manifests:
        for one in names:
            layout.set_name(manifests, one, target)
        if not names:
            layout.add_unnamed(manifests, target)
    return Image(build.engine, target["digest"], names[0] if names else "", target["size"])


def offer(build: Build, now: Result, name: str) -> str:
    """The files as they are, under a name that is free for it. It starts the shell of RUN, whatever it was to start."""
    config = {**now.state.config, "Entrypoint": None, "Cmd": list(now.state.shell[:1])}
    target = _documents(build, replace(now, state=replace(now.state, config=config)), {}, {})
    with layout.update(build.engine, "build") as manifests:
        layout.remove_name(manifests, name)
        layout.set_name(manifests, name, target)
    return references.parse(name).familiar.removesuffix(":latest")


def _documents(build: Build, end: Result, labels: Mapping[str, str], notes: Mapping[str, str]) -> Descriptor:
    settings = {key: value for key, value in end.state.config.items() if value not in (None, {}, [], "")}
    if labels:
        settings["Labels"] = {**(settings.get("Labels") or {}), **labels}
    created = end.created if build.request.epoch is None and end.created else build.moment()
    begun = next((one["created"] for one in end.history if one.get("created")), created)
    config: dict[str, Any] = {
        **end.machine, "created": created,
        "config": settings,
        "rootfs": stacked(end.files.diff_ids, end.files.base),
        "history": [{**one, "created": one.get("created") or begun} for one in end.history],
    }  # fmt: skip
    if end.state.author:
        config["author"] = end.state.author
    document: dict[str, Any] = dict(manifest(_put(build, config, CONFIG), [one.descriptor for one in end.files.blobs]))
    base, digest = end.base
    annotations = {**({f"{_BASE}.name": base, f"{_BASE}.digest": digest} if digest else {}), **notes}
    if annotations:
        document["annotations"] = annotations
    return _put(build, document, MANIFEST)


def _put(build: Build, document: Mapping[str, Any], media_type: str) -> Descriptor:
    return layout.put_document(build.engine, encode(readable(document)), media_type)


def readable(value: Any) -> Any:
    """As JSON can hold it: a Dockerfile may have any bytes, and what is no UTF-8 becomes U+FFFD, as in Docker."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {readable(key): readable(one) for key, one in value.items()}
    return [readable(one) for one in value] if isinstance(value, (list, tuple)) else value
