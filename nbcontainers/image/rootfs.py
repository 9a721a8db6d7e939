"""From an image to the steps that make a container's root file system.

A usual image is one overlay of its unpacked layers. `host` is put together from the host's own folders, see
`image/host.py`. Mounts are `volatile`: what a container wrote is not synced when it ends (a sync costs more than the
whole container), so after a power cut its changes may be incomplete.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.image import lease, snapshot, work
from nbcontainers.image.image import Image
from nbcontainers.monitor.steps import Step
from nbcontainers.oci.image import chain_ids

OVERLAY = "nbcontainers.monitor.steps:Overlay"
VOLATILE = "volatile"
PLAIN = "redirect_dir=off,metacopy=off"
"""Whatever this kernel's defaults are: a layer can express neither. In a user namespace there are none."""
OF_ROOT = ".root"
"""What lies on the host has its changes folder by folder below `place`/upper, and those of the root itself here, out of
the container's reach."""
_MANY = 40
"""More layers than this are named by short links, so that all fit mount(2)'s one page."""

_known: dict[tuple[Path, str], list[str]] = {}


def layers(engine: Engine, image: Image) -> list[str]:
    """The folders the image's files are in, the top one first; unpacks what is missing.

    The last two of an image on the host are the skeleton and "/" (image/host.py): good for reading what is not hidden
    (passwd, group); to see it as a container does, mount what `steps` says. Raises ImageError for bad layers.
    """
    if image.base:
        return stack(
            engine, [one["digest"] for one in image.layers], image.config["rootfs"]["diff_ids"], image.base
        )  # fmt: skip
    known = _known.get((engine.root, image.digest))
    if known is None or not lease.claim(engine, [f"{folder}/.." for folder in known]):
        known = _mountable(engine, work.ensure_unpacked(image), image.chain_ids)
        _known[engine.root, image.digest] = known
    return list(known)


def stack(engine: Engine, blobs: Sequence[str], diff_ids: Sequence[str], base: str = "") -> list[str]:
    """The same of layers that are no image yet: blobs of the store (digests), bottom first, on `base`. [] for none."""
    chain = chain_ids(diff_ids, base)
    folders = [snapshot.path(engine.snapshots, one) for one in chain]
    if not lease.claim(engine, [folder.parent for folder in folders]):
        work.unpack(engine, blobs, diff_ids, base)
    return _mountable(engine, [str(folder) for folder in reversed(folders)], chain, base)


def steps(lowers: Sequence[str], target: str, *, rootless: bool, place: str = "") -> list[Step]:
    """What makes the folder `target` show the folders `lowers` (top first); what is written there goes to `place`/upper
    with `place`/work beside it, and without a `place` nothing can be.

    Everything slow (unpacking, hiding the host's secrets) was done by whoever found the folders; the steps only mount.
    """
    if lowers[-1] == "/":
        from nbcontainers.image import host

        return host.steps(lowers, target, rootless=rootless, place=place)
    return [overlay(list(lowers), target, rootless=rootless, place=place)]


def overlay(lower: list[str], target: str, *, rootless: bool, place: str = "", name: str = "") -> Step:
    """One overlay; its changes go to `place`/upper/NAME, with `place`/work/NAME."""
    arguments: dict[str, Any] = {"lower": lower, "target": target, "userxattr": rootless}
    if place:
        below = f"/{name}" if name else ""
        arguments |= {
            "upper": f"{place}/upper{below}", "work": f"{place}/work{below}",
            "options": VOLATILE if rootless else f"{VOLATILE},{PLAIN}",
        }  # fmt: skip
    elif len(lower) == 1:  # overlayfs wants two where nothing is written
        bind = {"source": lower[0], "target": target, "read_only": True}
        return {"step": "nbcontainers.monitor.steps:Bind", "args": bind}
    return {"step": OVERLAY, "args": arguments}


def _mountable(engine: Engine, folders: list[str], chain_ids: list[str], base: str = "") -> list[str]:
    visible, whole = _visible(engine, chain_ids, folders)
    found = _shortened(engine, visible) if (base and visible) or len(visible) > _MANY else visible
    if not (base and whole):
        return found
    from nbcontainers.image import host

    return [*found, *host.lowers(engine)]


def _visible(engine: Engine, chain_ids: list[str], folders: list[str]) -> tuple[list[str], bool]:
    """overlayfs does not look at opaque root folders, so layers below one are left out here; whether there was none."""
    for number, chain in enumerate(reversed(chain_ids)):
        if snapshot.facts(engine.snapshots, chain)["opaque_root"]:
            return folders[: number + 1], False
    return folders, True


def _shortened(engine: Engine, folders: list[str]) -> list[str]:
    """Links snapshots/l/DIGITS to the layers; their digits are as few as tell them apart from all others."""
    links = engine.snapshots / "l"
    links.mkdir(mode=0o700, exist_ok=True)
    return [str(_link(links, Path(folder))) for folder in folders]


def _link(links: Path, folder: Path) -> Path:
    target = f"../{folder.parent.name}/fs"
    for length in range(6, 65):
        link = links / folder.parent.name[:length]
        try:
            link.symlink_to(target)
        except FileExistsError:
            if os.readlink(link) != target:
                continue
        return link
    raise AssertionError("a digest is 64 digits")
