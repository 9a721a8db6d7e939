"""`image push`: an image of the store to a registry, byte for byte.

Blobs first, several at a time, each only if the registry lacks it: it is asked (HEAD), then told of a repository of
its own that has it (mount), and only then sent. The manifest comes last: nobody sees half an image.
All of it is waiting and sendfile(2), so it is done by threads of the client's own process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument, NotFound
from nbcontainers.image import layout, lease
from nbcontainers.image.image import Image, on_host
from nbcontainers.image.progress import Listener
from nbcontainers.image.source import at_once
from nbcontainers.image.store import resolve
from nbcontainers.image.transfer import Report
from nbcontainers.monitor import events
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import FOREIGN_LAYERS, MANIFEST, Descriptor
from nbcontainers.oci.reference import Reference

if TYPE_CHECKING:
    from nbcontainers.registry.repository import Repository

_TELL_S = 0.1


def push(
    engine: Engine,
    text: str,
    destination: str = "",
    *,
    all_tags: bool = False,
    tls_verify: bool | None = None,
    progress: Listener | None = None,
) -> str:
    """Send the image (with `all_tags` every name of its repository); the digest of the manifest sent last.

    Raises RegistryError when the registry does not take it, NotFound when the store lacks a part of it.
    """
    digest = ""
    for image, reference in _wanted(engine, text, destination, all_tags=all_tags):
        digest = _send(engine, image, reference, tls_verify, progress)
        events.record(engine.root, "image", "push", digest, name=str(reference))
    return digest


def _wanted(engine: Engine, text: str, destination: str, *, all_tags: bool) -> list[tuple[Image, Reference]]:
    image = resolve(engine, text)
    if image.is_host:
        raise on_host(image, "cannot be sent")
    to = _destination(image, text, destination)
    if not all_tags:
        return [(image, to)]
    if not references.is_repository(destination.removeprefix("docker://") or text):
        raise InvalidArgument("--all-tags goes with a name without tag", hint=f"%image push -a {to.repository}")
    ours = references.parse(image.reference or text, default_domain=references.LOCAL).repository
    found = sorted(name for name in layout.read_index(engine).names if references.parse(name).repository == ours)
    return [(resolve(engine, name), to._replace(tag=references.parse(name).tag)) for name in found]


def _destination(image: Image, text: str, destination: str) -> Reference:
    to = references.parse(destination.removeprefix("docker://") or image.reference or text)
    if to.domain == references.LOCAL and not destination:
        raise InvalidArgument(
            f"{to.familiar} has no registry in its name, so it is not known where to send it",
            hint=f"%image push {to.familiar} REGISTRY/NAME:TAG",
        )
    return to


def _send(engine: Engine, image: Image, to: Reference, tls_verify: bool | None, progress: Listener | None) -> str:
    from nbcontainers.registry import settings
    from nbcontainers.registry.repository import Repository

    report = Report(progress)
    with layout.adding(engine):  # nobody sweeps what we read
        layers = _layers(engine, image, str(to))
        sizes = [{"digest": layer["digest"], "size": layer["size"]} for layer in image.layers]
        report(event="image", reference=str(to), verb="push", layers=sizes)
        content = layout.read_blob(engine, image.descriptor)
        with Repository(to, settings.load(engine), push=True, tls_verify=tls_verify) as target:
            origins = _origins(engine, to)
            _Sender(engine, target, report, origins).all([*layers, image.manifest["config"]], at_once(to.domain))
            digest = target.put_manifest(content, image.manifest.get("mediaType", MANIFEST), to.digest or to.tag)
        _remember(engine, image, to)
    report(event="done", digest=digest)
    return digest


def _layers(engine: Engine, image: Image, what: str) -> list[Descriptor]:
    """Each blob once. Raises ImageError for those that may not be pushed, NotFound for those that are not here."""
    layers = list({layer["digest"]: layer for layer in image.layers}.values())
    for layer in layers:
        if layer.get("mediaType") in FOREIGN_LAYERS:
            raise ImageError(
                f"{what} has a layer that may not be pushed ({layer['mediaType']})",
                hint="its licence forbids it; make an image without it",
            )
    _check_blobs(engine, [*layers, image.manifest["config"]], what)
    if image.base:
        raise on_host(image, "cannot be sent")
    return layers


def _origins(engine: Engine, to: Reference) -> dict[str, str]:
    """Another repository of that registry for each blob that is known to be in one: its image was pulled or pushed."""
    found: dict[str, str] = {}
    for one in layout.read_index(engine).manifests:
        known = one.get("annotations", {}).get(layout.ORIGIN_NOTE, "").split()
        paths = [name.partition("/")[2] for name in known if name.startswith(f"{to.domain}/") and name != to.repository]
        if paths:
            manifest = Image(engine, one["digest"], "", one["size"]).manifest
            found |= dict.fromkeys([part["digest"] for part in (*manifest["layers"], manifest["config"])], paths[0])
    return found


def _remember(engine: Engine, image: Image, to: Reference) -> None:
    """The repository has all of it now: a later push to another one of the same registry sends nothing."""
    with layout.update(engine) as manifests:
        for one in manifests:
            if one["digest"] == image.digest:
                notes = one.get("annotations", {})
                one["annotations"] = notes | layout.origin(notes, to.repository)


def _check_blobs(engine: Engine, blobs: Sequence[Descriptor], what: str) -> None:
    """And claims them: what was there before our lease would go with `image rm` otherwise."""
    for one in blobs:
        path = layout.blob(engine, one["digest"])
        if not lease.claim(engine, [path]):
            raise NotFound(f"blob {one['digest']} of {what} is not in the store", hint="pull or load the image again")
        if path.stat().st_size != one["size"]:
            raise ImageError(
                f"blob {one['digest']} of {what} is damaged", hint="%image rm -f, then pull or load it again"
            )


class _Sender:
    def __init__(self, engine: Engine, target: Repository, report: Report, origins: dict[str, str]) -> None:
        self._engine, self._target, self._report, self._origins = engine, target, report, origins

    def all(self, layers: Sequence[Descriptor], most: int) -> None:
        """The largest first; the first failure ends the others, whose connections are closed."""
        for layer in layers:
            self._report.layer(layer["digest"], "waiting")
        ordered = sorted(layers, key=lambda layer: -layer["size"])
        with ThreadPoolExecutor(most) as pool:
            sending = [pool.submit(self.send, layer) for layer in ordered]
            try:
                wait(sending, return_when=FIRST_EXCEPTION)
                for one in sending:
                    if one.done():
                        one.result()
            except BaseException:
                self._target.close()
                pool.shutdown(cancel_futures=True)
                raise

    def send(self, one: Descriptor) -> None:
        """In the cheapest way that works. A registry may know the blob and not let us mount it: then it is sent."""
        digest = one["digest"]
        if self._target.has_blob(digest):
            self._report.layer(digest, "exists", one["size"])
        elif digest in self._origins and self._target.mount_blob(digest, self._origins[digest]):
            self._report.layer(digest, "mounted", one["size"])
        else:
            with open(layout.blob(self._engine, digest), "rb", buffering=0) as file:
                self._target.upload_blob(one, file, on_bytes=self._teller(digest))
            self._report.layer(digest, "done", one["size"])

    def _teller(self, digest: str) -> Callable[[int], None]:
        next_time = 0.0

        def tell(sent: int) -> None:
            nonlocal next_time
            if (now := time.monotonic()) >= next_time:
                next_time = now + _TELL_S
                self._report.layer(digest, "uploading", sent)

        return tell
