"""Taking images away: names, and what nothing reaches any more.

Reachable is what a descriptor of the index leads to, and every snapshot that a container's recipe mounts; a sweep
removes the rest, but for what is leased (image/lease.py): that is left to a later one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidState, NotFound
from nbcontainers.image import kept, layout, lease, work
from nbcontainers.image.image import Image, of_descriptor
from nbcontainers.image.store import alike, resolve, short
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import REF_NAME


def remove(engine: Engine, text: str, *, force: bool) -> list[str]:
    """Take the name away, and with its last name the image: what was untagged and deleted, as Docker reports it.

    Given by id, an image with several names needs `force`. Raises InvalidState while a container needs the image:
    with `force` it goes, but the container keeps its unpacked layers. Raises NotFound, but with `force`.
    """
    try:
        image = resolve(engine, text)
    except NotFound:
        if force:
            return []
        raise
    if image.is_host:
        raise InvalidState(
            "host is this machine's own root file system: there is nothing to remove",
            hint="%image ls shows what can go",
        )
    images = [image] if names_it(text, image) else alike(engine, text, image)
    names = [name for one in images for name in one.names]
    going = [image.reference] if names_it(text, image) else names
    if len(going) > 1 and not force:
        some = ", ".join(map(short, names))
        raise InvalidState(
            f"image {image.id[7:19]} has several names: {some}", hint=f"give one of them, or %image rm -f {text}"
        )
    last = set(names) <= set(going)
    if last and not force:
        for one in images:
            _refuse_in_use(engine, one)
    with layout.update(engine) as manifests:
        for name in going:
            layout.remove_name(manifests, name)
        if last:
            digests = {image.digest for image in images}
            manifests[:] = [one for one in manifests if one["digest"] not in digests]
    report = [f"Untagged: {name}" for name in going]
    return report + ([f"Deleted: {image.id}"] if last else [])


def names_it(text: str, image: Image) -> bool:
    """Whether the image was given by a name of its own, not by an id."""
    try:
        wanted = references.candidates(text)
    except Error:
        return False
    return bool(image.reference) and image.reference in map(str, wanted)


def _refuse_in_use(engine: Engine, image: Image) -> None:
    users = users_of(engine, image)
    if users:
        some = ", ".join(users[:3]) + (" …" if len(users) > 3 else "")
        plural = "containers" if len(users) > 1 else "container"
        raise InvalidState(
            f"image {short(image.reference) or image.id[7:19]} is used by {plural} {some}",
            hint=f"%container rm {' '.join(users[:3])} first, or %image rm -f",
            containers=users,
        )


def users_of(engine: Engine, image: Image) -> list[str]:
    """Names of the containers, running or not, whose root file system is this image's."""
    return users(engine).get(image.digest, [])


def users(engine: Engine) -> dict[str, list[str]]:
    """The same for every image that has containers, by its digest."""
    found: dict[str, list[str]] = {}
    for record, _ in _containers(engine):
        found.setdefault(record.get("image_digest", ""), []).append(record.get("name") or record["id"][:12])
    return {digest: sorted(names) for digest, names in found.items()}


def mounted(engine: Engine) -> set[str]:
    """Hex ChainIDs of the layers that containers are made of."""
    folders = {path for _, paths in _containers(engine) for path in paths}
    return {path.parent.name for path in folders if path.name == "fs"}


def _containers(engine: Engine) -> Iterator[tuple[dict[str, Any], list[Path]]]:
    """Each container's record, and the folders that are lower layers of its root file system.

    Hidden are those half made, whose layers are leased, and half removed, which need none any more.
    """
    for folder in engine.containers.glob("[!.]*"):
        try:
            recipe = json.loads((folder / "recipe.json").read_bytes())
            record = json.loads((folder / "container.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            continue  # being made, or being removed
        except ValueError:
            raise Error(
                f"the record of container {folder.name[:12]} is damaged, so its layers are unknown",
                hint=f"rm -r {folder}, then %system prune",
                path=str(folder),
            ) from None
        steps = recipe.get("steps", [])
        yield record, [Path(path).resolve() for step in steps for path in step["args"].get("lower", [])]


def sweep(engine: Engine) -> dict[str, int]:
    """Remove what nothing reaches and nobody can be about to name: {"blobs", "snapshots", "bytes"} (bytes of blobs)."""
    with lease.lock(engine, "content.lock"):
        young = lease.oldest(engine)
        blobs, chains = reachable(engine)
        going = [path for path in _unreachable_blobs(engine, blobs) if path.stat().st_mtime_ns < young]
        freed = sum(path.stat().st_size for path in going)
        for path in (*going, *layout.abandoned(engine)):
            path.unlink()
        gone = list(_unreachable_snapshots(engine, chains, young))
        _drop_dangling(engine.snapshots / "l")
    work.discard(gone)
    return {"blobs": len(going), "snapshots": len(gone), "bytes": freed}


@contextmanager
def unless_all_is_well(engine: Engine) -> Generator[None]:
    """What the block added in vain goes when it raises, and the store is as it was; the block's own error is what counts."""
    try:
        yield
    except BaseException as error:
        try:
            sweep(engine)
        except (OSError, Error) as failed:
            error.add_note(f"what was added in vain is still there: {failed}")
        raise


def _unreachable_blobs(engine: Engine, blobs: set[str]) -> Iterator[Path]:
    for path in (engine.images / "blobs").glob("*/*"):
        if f"{path.parent.name}:{path.name}" not in blobs:
            yield path


def reachable(engine: Engine) -> tuple[set[str], set[str]]:
    """Digests of blobs, and hex ChainIDs, that an image or a container needs. A damaged manifest keeps itself only.

    The index is read first: what a container is being made of is leased until its own record is there.
    """
    blobs: set[str] = set()
    chains: set[str] = set()
    for one in layout.read_index(engine).manifests:
        blobs.add(one["digest"])
        image = of_descriptor(engine, one, one.get("annotations", {}).get(REF_NAME, ""))
        try:
            manifest = image.manifest
            blobs.update(layer["digest"] for layer in [*manifest["layers"], manifest["config"]])
            chains.update(chain.rpartition(":")[2] for chain in image.chain_ids)
        except Error:
            continue
    steps, made = kept.reachable(engine)
    return blobs | steps, chains | made | mounted(engine)


def _unreachable_snapshots(engine: Engine, chains: set[str], young: float) -> Iterator[Path]:
    """Folders to delete, each renamed first: a snapshot is there as a whole or not at all. Also dead makers' parts."""
    for path in list(engine.snapshots.iterdir()):
        name = path.name
        if name == "l":
            continue
        if name.endswith(".lock"):
            with _without_owner(path):
                pass  # its file goes
        elif name.endswith(".partial"):
            if "-" in name:
                yield path
            elif gone := _taken_from_dead(path):
                yield gone
        elif name not in chains and path.stat().st_mtime_ns < young:
            yield path.rename(path.with_name(f"{name}-{os.urandom(4).hex()}.partial"))


def _taken_from_dead(partial: Path) -> Path | None:
    """A half-made snapshot under a name of its own, unless its maker lives."""
    with _without_owner(partial.with_suffix(".lock")) as dead:
        if dead and partial.exists():
            return partial.rename(partial.with_name(f"{partial.stem}-{os.urandom(4).hex()}.partial"))
    return None


@contextmanager
def _without_owner(lock: Path) -> Iterator[bool]:
    """Hold a lock that nobody holds, and remove its file at the end; False where somebody does.

    Whoever waits for it meanwhile finds the file gone, and begins again with a new one (unpacking.hold).
    """
    with open(lock, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.stat(lock).st_ino == os.fstat(file.fileno()).st_ino
        except (BlockingIOError, FileNotFoundError):
            ours = False
        try:
            yield ours
        finally:
            if ours:
                lock.unlink(missing_ok=True)


def _drop_dangling(links: Path) -> None:
    for link in links.glob("*"):
        if not link.exists():
            link.unlink()
