"""The store on disk: a plain OCI image layout (image-layout.md) that skopeo, umoci and crane read as it stands.

Every image has a descriptor in index.json; its name is the annotation org.opencontainers.image.ref.name, always the
whole normalised reference (`docker.io/library/nginx:1.21`, `localhost/mini:latest`), so that

    skopeo inspect oci:/var/lib/nbcontainers/images:localhost/mini:latest

finds it. An image with several names has several descriptors, one without a name has one without annotation.
Files are written beside the layout (`partial/`, each locked while it is being written), synced and renamed in.
Locks, leases and what a sweep may take: image/lease.py.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument, NotFound
from nbcontainers.image.lease import adding as adding
from nbcontainers.image.lease import claim, lock
from nbcontainers.oci import digest as digests
from nbcontainers.oci.image import (
    INDEX,
    MAX_DOCUMENT,
    REF_NAME,
    Descriptor,
    descriptor,
    encode,
    read_descriptor,
    read_document,
)


class Index:
    """One version of index.json: descriptors, and names to descriptors. `memo` is for whoever resolves."""

    def __init__(self, manifests: list[Descriptor]) -> None:
        self.manifests = manifests
        self.names = {name: one for one in manifests if (name := one.get("annotations", {}).get(REF_NAME))}
        self.memo: dict[str, Any] = {}


_indexes: dict[Path, tuple[tuple[int, int, int], Index]] = {}
_SETTLED_NS = 50_000_000
"""A file younger than this may change once more and keep its inode's number, time and size."""


def read_index(engine: Engine) -> Index:
    """What index.json says now; parsed only when the file changed (its inode does, with every change)."""
    path = engine.images / "index.json"
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Index([])
    version = (status.st_ino, status.st_mtime_ns, status.st_size)
    known = _indexes.get(path)
    if known and known[0] == version:
        return known[1]
    index = Index(_descriptors(path))
    if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
        _indexes[path] = (version, index)
    return index


def _descriptors(path: Path) -> list[Descriptor]:
    """What the file holds: other tools may write to the layout as well. ImageError for one that is damaged."""
    try:
        listed = read_document(path.read_bytes(), "its index.json").get("manifests") or []
        if not isinstance(listed, list):
            raise ImageError("its index.json has no list of manifests")
        found = [read_descriptor(one, "an entry of its index.json") for one in listed]
    except ImageError as error:
        hint = f"put a copy of {path} back, or move it away and pull or load the images again"
        raise ImageError(f"the store is damaged: {error.message}", hint=hint, path=str(path)) from None
    for one in found:
        if one.get("annotations", {}) is None:
            del one["annotations"]
    return found


@contextmanager
def update(engine: Engine, why: str = "") -> Generator[list[Descriptor]]:
    """Change the descriptors of the index, alone. Nothing is written if the block raises or changes nothing.

    `why` (pull, load, tag, …) goes to the history of the names that move (image/moved.py).
    """
    from nbcontainers.image import moved

    with lock(engine, "images.lock"):
        make(engine)
        before = read_index(engine).manifests
        manifests = cast(list[Descriptor], json.loads(json.dumps(before)))
        yield manifests
        if manifests != before:
            document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
            with moved.recording(engine, before, manifests, why):
                write(engine, engine.images / "index.json", [encode(document)])
            moved.tell(engine, before, manifests, why)


def make(engine: Engine) -> None:
    """The folders and files that make a folder an image layout; whoever makes them first, makes them for all."""
    (engine.images / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    empty = encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": []})
    for name, content in (("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", empty)):
        if not (engine.images / name).exists():
            with partial(engine) as file:
                file.write(content)
                _publish(file, engine.images / name, os.link)


INDEX_NOTE = "io.nbcontainers.index"
"""Annotation in index.json: the digest of the index that a manifest was chosen from."""
ORIGIN_NOTE = "io.nbcontainers.origin"
"""Annotation in index.json: repositories, with spaces between, that are known to have all blobs of the image."""

_ORIGINS = 8


def origin(notes: dict[str, str], repository: str) -> dict[str, str]:
    """The note of where an image's blobs are, with one more repository, the last ones kept."""
    known = notes.get(ORIGIN_NOTE, "").split()
    return {ORIGIN_NOTE: " ".join(list(dict.fromkeys([repository, *known]))[:_ORIGINS])}


def digests_of(one: Descriptor) -> set[str]:
    """What a registry may call the image: its manifest, and the index it was chosen from."""
    return {one["digest"], one.get("annotations", {}).get(INDEX_NOTE, "")} - {""}


def known_as(one: Descriptor) -> str:
    """What its tag meant at the registry when it came: the index it was chosen from, or its manifest."""
    return str(one.get("annotations", {}).get(INDEX_NOTE) or one["digest"])


EMBEDDED = ("localhost/host:latest", "localhost/mini:latest")
"""Names that always mean our own images: no archive may take their place."""


def set_name(manifests: list[Descriptor], name: str, target: Descriptor, *, embedded: bool = False) -> None:
    """Let `name` mean `target`; an image that loses its last name keeps a descriptor without one.

    Raises InvalidArgument for the name of an embedded image, but for the image itself.
    """
    previous = next((one for one in manifests if one.get("annotations", {}).get(REF_NAME) == name), None)
    if previous and previous["digest"] == target["digest"]:
        previous["annotations"] = previous["annotations"] | _named(target, name)["annotations"]
        return
    if name in EMBEDDED and not embedded:
        raise InvalidArgument(f"{name} is the name of an embedded image", hint="give the image another name")
    manifests[:] = [
        one for one in manifests
        if one is not previous and (one["digest"] != target["digest"] or REF_NAME in one.get("annotations", {}))
    ]  # fmt: skip
    if previous and not any(one["digest"] == previous["digest"] for one in manifests):
        manifests.append(_named(previous, None))
    manifests.append(_named(target, name))


def add_unnamed(manifests: list[Descriptor], target: Descriptor) -> None:
    if not any(one["digest"] == target["digest"] for one in manifests):
        manifests.append(_named(target, None))


def remove_name(manifests: list[Descriptor], name: str) -> None:
    manifests[:] = [one for one in manifests if one.get("annotations", {}).get(REF_NAME) != name]


def _named(target: Descriptor, name: str | None) -> Descriptor:
    rest = {key: value for key, value in target.get("annotations", {}).items() if key != REF_NAME}
    annotations = rest | ({REF_NAME: name} if name else {})
    plain = descriptor(target["mediaType"], target["digest"], target["size"])
    return plain | {"annotations": annotations} if annotations else plain


def blob(engine: Engine, digest: str) -> Path:
    """Where a blob lies, whether it is there or not."""
    algorithm, value = digests.split(digest)
    return engine.images / "blobs" / algorithm / value


def read_blob(engine: Engine, wanted: Descriptor) -> bytes:
    """A small blob (manifest, config), checked. ImageError if it is damaged, NotFound if it is not there."""
    path = blob(engine, wanted["digest"])
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_DOCUMENT + 1)
    except FileNotFoundError:
        raise NotFound(f"blob {wanted['digest']} is not in the store", hint="load or import the image again") from None
    if digests.of(content, wanted["digest"]) != wanted["digest"]:
        raise ImageError(
            f"blob {wanted['digest']} is damaged", hint="remove the image with %image rm -f and load it again"
        )
    return content


def put(engine: Engine, chunks: Iterable[bytes], expected: Descriptor | None = None) -> tuple[str, int]:
    """Add a blob; (digest, size). With `expected` its digest and size are held to it, and a blob that is there
    already is not written again. ImageError if it lies; then nothing was added."""
    if expected and claim(engine, [blob(engine, expected["digest"])]):
        _check_size(blob(engine, expected["digest"]), expected)
        return expected["digest"], expected["size"]
    make(engine)
    with partial(engine) as file:
        digest, size = _copy(chunks, file, expected)
        target = blob(engine, digest)
        target.parent.mkdir(exist_ok=True)
        _publish(file, target)
    return digest, size


def _check_size(path: Path, expected: Descriptor) -> None:
    if (size := path.stat().st_size) != expected["size"]:
        raise ImageError(f"blob {expected['digest']} has {size} bytes and should have {expected['size']}")


def put_document(engine: Engine, document: Any, media_type: str) -> Descriptor:
    """Add a JSON document; its descriptor."""
    content = document if isinstance(document, bytes) else encode(document)
    wanted = descriptor(media_type, digests.of(content), len(content))
    put(engine, [content], wanted)
    return wanted


def _copy(chunks: Iterable[bytes], file: Any, expected: Descriptor | None) -> tuple[str, int]:
    hashed = digests.hasher(expected["digest"] if expected else "")
    limit = expected["size"] if expected else None
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if limit is not None and size > limit:
            raise ImageError(f"blob {expected and expected['digest']} is larger than the {limit} bytes it should have")
        hashed.update(chunk)
        file.write(chunk)
    digest = f"{expected['digest'].partition(':')[0] if expected else 'sha256'}:{hashed.hexdigest()}"
    if expected and (digest != expected["digest"] or size != limit):
        raise ImageError(f"blob {expected['digest']} ({limit} bytes) turned out to be {digest} ({size} bytes)")
    return digest, size


def write(engine: Engine, path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that is either there as a whole or not at all, also after a power cut."""
    with partial(engine) as file:
        for chunk in chunks:
            file.write(chunk)
        _publish(file, path)


@contextmanager
def partial(engine: Engine) -> Generator[Any]:
    """A new locked file in `root/partial`, gone at the end unless it was renamed."""
    folder = engine.root / "partial"
    folder.mkdir(mode=0o700, exist_ok=True)
    with lock(engine, "content.lock", shared=True):
        file = open(folder / os.urandom(8).hex(), "xb")  # noqa: SIM115 - locked before anybody can sweep it
        fcntl.flock(file, fcntl.LOCK_EX)
    with file:
        try:
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)  # missing: renamed


def _publish(file: Any, target: Path, put: Callable[[str, Path], None] = os.rename) -> None:
    settle(file)
    try:
        put(file.name, target)
    except FileExistsError:
        return  # os.link: somebody else was first
    sync_folder(target.parent)


def settle(file: Any) -> None:
    """It is whole: on the disk, and readable as blobs are; not secret among our own, as the root folder is closed."""
    file.flush()
    os.fchmod(file.fileno(), 0o644)
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """What was renamed into it stays, also after a power cut."""
    folder = os.open(path, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def abandoned(engine: Engine) -> list[Path]:
    """Files in `partial/` whose writer is dead: their lock is free. For who holds the gate alone."""
    found = []
    for path in (engine.root / "partial").glob("*"):
        try:
            with open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                found.append(path)
        except (BlockingIOError, FileNotFoundError):
            continue
    return found
