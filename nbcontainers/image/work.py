"""The seam to the launcher: what touches files of other owners runs in a process of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbcontainers.engine import Engine
from nbcontainers.image import layout, lease
from nbcontainers.image.image import Image, missing
from nbcontainers.image.snapshot import path
from nbcontainers.oci.image import chain_ids

if TYPE_CHECKING:
    from nbcontainers.image.unpacking import Job

CODECS = ("isal", "zstandard")


def ensure_unpacked(image: Image) -> list[str]:
    """Unpack what is missing of the image; the overlay lower folders, top first.

    Raises ImageError for a layer that is damaged or hostile; then nothing of it is kept.
    """
    folders = [path(image.engine.snapshots, chain) for chain in image.chain_ids]
    if not lease.claim(image.engine, [folder.parent for folder in folders]):
        blobs = [layer["digest"] for layer in image.layers]
        if not lease.claim(image.engine, [layout.blob(image.engine, digest) for digest in blobs]):
            raise missing(str(image), [])
        unpack(image.engine, blobs, image.config["rootfs"]["diff_ids"], image.base)
    return [str(folder) for folder in reversed(folders)]


def unpack(engine: Engine, blobs: Sequence[str], diff_ids: Sequence[str], base: str = "") -> None:
    """Unpack the layers (blobs of the store, bottom first, on `base`) whose snapshots do not exist."""
    chain = [chain_id.rpartition(":")[2] for chain_id in chain_ids(diff_ids, base)]
    jobs: list[Job] = []
    for number, (digest, diff_id) in enumerate(zip(blobs, diff_ids, strict=True)):
        if not lease.claim(engine, [path(engine.snapshots, chain[number]).parent]):
            blob, below = str(layout.blob(engine, digest)), chain[:number][::-1]
            jobs.append({"blob": blob, "diff_id": diff_id, "chain": chain[number], "below": below, "base": []})
    if jobs:
        if base:
            from nbcontainers.image import host

            lowest = host.lowers(engine)
            jobs = [{**job, "base": lowest} for job in jobs]
        with lease.adding(engine):
            call("unpacking:make", snapshots=str(engine.snapshots), jobs=jobs, userxattr=engine.rootless)


def discard(folders: Sequence[Path]) -> None:
    """Remove folders of unpacked layers."""
    if folders:
        call("snapshot:discard", folders=[str(folder) for folder in folders])


def place(engine: Engine) -> dict[str, Any]:
    """An engine as JSON, for `at` in the child."""
    return {"root": str(engine.root), "run": str(engine.run), "rootless": engine.rootless}


def at(place: dict[str, Any]) -> Engine:
    return Engine(Path(place["root"]), Path(place["run"]), place["rootless"])


def call(
    target: str,
    *,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    fds: Sequence[int] = (),
    **arguments: Any,
) -> Any:
    """Call `nbcontainers.image.TARGET`, or `nbcontainers.NOUN.MODULE:NAME`, in a process of the launcher, which finds
    the fast codecs where we do."""
    from nbcontainers.launcher import client

    return client.call(
        "nbcontainers.image.work:inside", on_event=on_event, fds=fds, target=target, paths=codec_paths(),
        arguments=arguments,
    )  # fmt: skip


def inside(
    target: str,
    paths: list[str],
    arguments: dict[str, Any],
    on_event: Callable[[dict[str, Any]], None] | None = None,
    fds: list[int] | None = None,
) -> Any:
    """The launcher's side of `call`: it runs without site-packages, so it is told where the codecs are."""
    from importlib import import_module

    sys.path += [path for path in paths if path not in sys.path]
    module, _, name = target.partition(":")
    given = ({"on_event": on_event} if on_event else {}) | ({"fds": fds} if fds else {})
    full = module if module.startswith("nbcontainers.") else f"nbcontainers.image.{module}"
    return getattr(import_module(full), name)(**arguments, **given)


@cache
def codec_paths() -> list[str]:
    """The folders that the fast codecs are in."""
    specs = [find_spec(name) for name in CODECS]
    return list(dict.fromkeys(str(Path(spec.origin).parent.parent) for spec in specs if spec and spec.origin))
