"""`image pull`: images from a registry or an OCI layout into the store.

The client finds out what is meant and names the result; everything in between (`inside`) runs in a process of the
launcher: the kernel's process stays free for its cell. A name appears only when all of its image is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument, NotFound, RegistryError
from nbcontainers.image import choice, layout, lease, transfer, work
from nbcontainers.image.fetch import Fetch, Manner, Source
from nbcontainers.image.image import Image
from nbcontainers.image.progress import Listener
from nbcontainers.image.source import Where, of_registry, open_source, repository
from nbcontainers.image.transfer import Report
from nbcontainers.launcher import client
from nbcontainers.oci import platform as platforms
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import (
    CONFIG,
    DOCKER_CONFIG,
    INDEXES,
    LAYERS,
    MAX_DOCUMENT,
    SCHEMA_1,
    Descriptor,
    ImageConfig,
    Manifest,
    check_whole,
    descriptor,
    read_config,
    read_document,
    read_manifest,
)
from nbcontainers.oci.platform import Platform
from nbcontainers.oci.reference import Reference
from nbcontainers.registry import names, settings
from nbcontainers.registry.failure import clean

_CHILD = (
    "nbcontainers.image.pulling", "nbcontainers.image.crew", "nbcontainers.registry.repository", "isal.igzip_lib",
    "zstandard",
)  # fmt: skip
"""What every child needs: 30 ms that only the first pull takes."""


class Request(TypedDict):
    """One image to bring: `tag` is its tag or digest at the source, `name` what it will be called here ("": nothing)."""

    where: Where
    tag: str
    name: str
    platform: str


class Found(TypedDict):
    """What came: the manifest, and the digest of the index it was chosen from ("" if from none)."""

    manifest: Descriptor
    index: str


def pull(
    engine: Engine,
    text: str,
    *,
    platform: str = "",
    all_tags: bool = False,
    tls_verify: bool | None = None,
    progress: Listener | None = None,
) -> list[Image]:
    """Bring in the image, or all that have a tag. `text`: a reference, oci:DIR[:TAG], oci-archive: or docker-archive:FILE.

    Raises RegistryError, ImageError or NotFound; the images brought in before stay.
    """
    transport, colon, rest = text.partition(":")
    place = os.path.expanduser(rest)
    if colon and transport in ("oci-archive", "docker-archive"):
        from nbcontainers.image import archive

        return archive.load(engine, place, platform, progress)
    wanted = str(platforms.parse(platform)) if platform else ""
    if colon and transport == "oci":
        return [_bring(engine, _of_layout(place, wanted), progress)]
    requests = _of_registry(engine, text.removeprefix("docker://"), wanted, tls_verify, all_tags=all_tags)
    return [_bring(engine, request, progress) for request in requests]


def _of_registry(
    engine: Engine, text: str, platform: str, tls_verify: bool | None, *, all_tags: bool
) -> Iterator[Request]:
    """From the first registry that has it, of those that a short name can mean."""
    candidates = names.candidates(text, settings.load(engine))
    if all_tags and not references.is_repository(text):
        hint = f"%image pull -a {candidates[0].repository}"
        raise InvalidArgument("--all-tags goes with a name without tag", hint=hint)
    for reference in candidates:
        where = of_registry(engine, reference, tls_verify)
        tag = reference.digest or reference.tag
        try:
            if all_tags:
                found: list[str] = work.call("pulling:tags", where=where)
            else:
                found = [tag] if len(candidates) == 1 or work.call("pulling:has", where=where, tag=tag) else []
        except RegistryError as error:
            if error.details.get("status") not in names.ELSEWHERE or reference is candidates[-1]:
                raise
            continue
        if found:
            yield from (_request(where, reference, tag, platform) for tag in found)
            return
    searched = ", ".join(reference.domain for reference in candidates)
    raise NotFound(f"no image {text!r} at {searched}", hint="check its name and tag: %image tags NAME")


def _request(where: Where, reference: Reference, tag: str, platform: str) -> Request:
    """A digest names the image as it is, whatever tag stands beside it."""
    name = Reference(*reference[:2], digest=tag) if reference.digest else Reference(*reference[:2], tag)
    return {"where": where, "tag": tag, "name": str(name), "platform": platform}


def _of_layout(text: str, platform: str) -> Request:
    """DIR or DIR:TAG; the name is the layout's own where that is a whole reference, else DIR's last part and TAG."""
    from nbcontainers.image.source import Layout

    parts = text.split(":")
    places = [(":".join(parts[:count]), ":".join(parts[count:])) for count in range(len(parts), 0, -1)]
    folder, tag = next(((folder, tag) for folder, tag in places if os.path.isdir(folder)), ("", ""))
    if not folder:
        raise NotFound(f"there is no folder {text}", hint="give the path of an OCI layout: oci:DIR[:TAG]")
    path = Path(folder).absolute()
    if not tag and len(known := Layout(path).names()) == 1:
        tag = known[0]
    return {"where": {"layout": str(path)}, "tag": tag, "name": _name_of(tag, path.name), "platform": platform}


def _name_of(tag: str, stem: str) -> str:
    for text in (tag if set(tag) & {"/", ":"} else "", f"{stem.lower()}:{tag}" if tag else stem.lower()):
        try:
            return str(references.parse(text, default_domain=references.LOCAL))
        except InvalidArgument:
            continue
    return ""


def _bring(engine: Engine, request: Request, progress: Listener | None) -> Image:
    with layout.adding(engine):
        target, previous = _transfer(engine, request, progress), None
        name = request["name"]
        with layout.update(engine, "pull") as manifests:
            previous = layout.read_index(engine).names.get(name)
            if name:
                layout.set_name(manifests, name, target)
            layout.add_unnamed(manifests, target)
    if progress and previous and previous["digest"] != target["digest"]:
        progress({"event": "moved", "reference": name, "from": previous["digest"], "to": target["digest"]})
    if progress:
        progress({"event": "done", "digest": target["digest"]})
    return Image(engine, target["digest"], name, target["size"])


def _transfer(engine: Engine, request: Request, progress: Listener | None) -> Descriptor:
    """The manifest's descriptor, with notes of where it came from: a later pull or push asks less for knowing them."""
    try:
        found = _call(engine, request, progress)
    except (ImageError, RegistryError) as error:  # a mirror that lies is no reason to do without the registry's own
        told = error.details.get("retry") or error.details.get("status")
        if told or not any(one["mirrors"] for one in request["where"].get("settings", {}).get("registries", [])):
            raise
        found = _call(engine, _past_mirrors(request), progress)
    notes = {layout.INDEX_NOTE: found["index"]} if found["index"] else {}
    if registry := request["where"].get("registry"):
        known = layout.read_index(engine).names.get(request["name"], {}).get("annotations", {})
        notes |= layout.origin(known, Reference(*registry).repository)
    return found["manifest"] | ({"annotations": notes} if notes else {})


def _call(engine: Engine, request: Request, progress: Listener | None) -> Found:
    client.preload(*(path for path in work.codec_paths() if "," not in path), *_CHILD)
    listener = progress or (lambda event: None)  # an event that nobody takes tells the child that we are gone
    found: Found = work.call("pulling:inside", on_event=listener, engine=work.place(engine), request=request)
    return found


def _past_mirrors(request: Request) -> Request:
    settings = request["where"]["settings"]
    plain = [{**one, "mirrors": []} for one in settings["registries"]]
    return {**request, "where": {**request["where"], "settings": {**settings, "registries": plain}}}


# The launcher's side.


def tags(where: Where) -> list[str]:
    """All tags of a repository."""
    with repository(where) as source:
        return list(source.tags())


def has(where: Where, tag: str) -> bool:
    """Whether a repository has a tag or digest."""
    with repository(where) as source:
        return source.head(tag) is not None


def inside(engine: dict[str, Any], request: Request, on_event: Listener | None = None) -> Found:
    """Bring the image's content into the store; what it is. Raises as `pull` does, and then nothing was added."""
    here = work.at(engine)
    source, manner = open_source(request["where"])
    try:
        with layout.adding(here):
            return _content(here, source, manner, request, Report(on_event))
    finally:
        source.close()


def _content(engine: Engine, source: Source, manner: Manner, request: Request, report: Report) -> Found:
    what = request["name"] or request["tag"] or "the image"
    wanted = platforms.parse(request["platform"]) if request["platform"] else platforms.host()
    one, content, index = _known(engine, source, request, wanted) or _choose(source, request["tag"], wanted, what)
    manifest = read_image(content, what)
    config = _config(engine, source, manner, manifest, what)
    document = read_config(config, len(manifest["layers"]), f"the config of {what}")
    check_whole(document, f"the config of {what}")
    _check_platform(document, request, what)
    sizes = [{"digest": layer["digest"], "size": layer["size"]} for layer in manifest["layers"]]
    report(event="image", reference=request["name"], verb="pull", layers=sizes)
    transfer.layers(engine, source, manifest["layers"], document["rootfs"]["diff_ids"], report, manner)
    layout.put(engine, [config], manifest["config"])
    layout.put(engine, [content], one)
    return {"manifest": descriptor(one["mediaType"], one["digest"], one["size"]), "index": index}


def _known(engine: Engine, source: Source, request: Request, wanted: Platform) -> tuple[Descriptor, bytes, str] | None:
    """What the name means here, if the source still means the same: a HEAD is enough then, and costs no pull."""
    ours = layout.read_index(engine).names.get(request["name"])
    theirs = source.head(request["tag"]) if ours else None
    if not ours or not theirs:
        return None
    index = ours.get("annotations", {}).get(layout.INDEX_NOTE, "")
    if theirs["digest"] not in (ours["digest"], index):
        return None
    try:
        image = Image(engine, ours["digest"], request["name"], ours["size"])
        same = theirs["digest"] == ours["digest"] or platforms.of(image.config) in platforms.accepted(wanted)[:1]
        content = layout.read_blob(engine, ours)
    except (ImageError, NotFound):
        return None
    blob = [layout.blob(engine, ours["digest"])]
    return (ours, content, index) if same and lease.claim(engine, blob) else None


def _choose(source: Source, tag: str, wanted: Platform, what: str) -> tuple[Descriptor, bytes, str]:
    """The manifest for the platform: its descriptor, its bytes, the digest of the index it was chosen from ("": none)."""
    one, content = source.manifest(tag)
    if one["mediaType"] not in INDEXES:
        return one, content, ""
    listed = choice.entries(content, what)
    walk = choice.Choice(lambda entry: source.manifest(entry["digest"], entry)[1], wanted, what)
    for fitting in walk.manifests(content):
        try:
            return *source.manifest(fitting["digest"], fitting), one["digest"]
        except NotFound:
            if len(listed) == 1:
                raise
    raise _no_platform(walk.offered, wanted, what)


def _no_platform(offered: Sequence[Platform], wanted: Platform, what: str) -> NotFound:
    some = list(dict.fromkeys(map(str, offered)))
    hint = f"%image pull --platform {some[0]} …" if some else "it may be no image at all"
    there = f"; there are {', '.join(some)}" if some else ""
    return NotFound(f"{what} has no image for {wanted}{there}", hint=hint, platforms=some)


def read_image(content: bytes, what: str) -> Manifest:
    """A manifest that is an image's, with layers of kinds we know. Raises ImageError that names what it is instead."""
    document = read_document(content, f"the manifest of {what}")
    if document.get("schemaVersion") == 1 or document.get("mediaType") in SCHEMA_1:
        raise ImageError(
            f"{what} is in Docker's schema 1, given up in 2017", hint="have it pushed again by a newer tool"
        )
    manifest = read_manifest(content, f"the manifest of {what}")
    kind = manifest["config"].get("mediaType", CONFIG)
    if document.get("artifactType") or kind not in (CONFIG, DOCKER_CONFIG):
        kind = document.get("artifactType") or kind
        raise ImageError(
            f"{what} is no image but an artifact of type {clean(str(kind))}", hint="fetch it with the tool that made it"
        )
    for layer in manifest["layers"]:
        if layer.get("mediaType") not in LAYERS:
            raise ImageError(
                f"{what} has a layer of the unknown type {layer.get('mediaType')!r}",
                hint="ask its maker for another form",
            )
    return manifest


def _config(engine: Engine, source: Source, manner: Manner, manifest: Manifest, what: str) -> bytes:
    one = manifest["config"]
    if one["size"] > MAX_DOCUMENT:
        raise ImageError(f"the config of {what} would have {one['size']} bytes; {MAX_DOCUMENT} are allowed")
    if lease.claim(engine, [layout.blob(engine, one["digest"])]):
        return layout.read_blob(engine, one)
    with open(os.memfd_create("config"), "w+b", buffering=0) as file:
        fetch = Fetch(source, manner, one, file, lambda state, count, note: None)
        fetch.run()
        if fetch.error:
            raise fetch.error
        file.seek(0)
        return file.read()


def _check_platform(config: ImageConfig, request: Request, what: str) -> None:
    """Asked for by name, another one will not do; else it is the business of whoever runs it."""
    if request["platform"] and config.get("architecture"):
        wanted, found = platforms.parse(request["platform"]), platforms.of(config)
        if platforms.rank(wanted, found) is None:
            raise NotFound(f"{what} is for {found} only, not for {wanted}", hint=f"%image pull --platform {found} …")
