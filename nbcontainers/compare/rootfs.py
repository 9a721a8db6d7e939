"""The image's files for programs other than ours: as a folder, and as what of the host is mounted into it.

An image of layers is unpacked as a whole. Of `host` nothing is copied: the folder is empty but for links, and the
host's own folders are mounted read-only, where our own containers have an overlay over each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from nbcontainers.compare import programs
from nbcontainers.compare.target import Plan
from nbcontainers.errors import HostNotCapable
from nbcontainers.image import api as images
from nbcontainers.image import host
from nbcontainers.image.store import resolve

_FOLDERS = ("dev", "etc", "proc", "root", "run", "sys", "tmp", "var/tmp", "nbc-volume")
_SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the host's own programs are, whatever PATH the image has."""
_HOLD = (
    'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys" && '
    'mount --bind "$1" "$0/nbc-volume" && echo ready && exec cat'
)


class Root(NamedTuple):
    """A root file system: its folder, and the paths of the host that are to be mounted into it, read-only."""

    folder: Path
    binds: tuple[str, ...] = ()


def made(plan: Plan) -> Root:
    """In the plan's folder, once for all targets. Raises NotFound, HostNotCapable."""
    folder = plan.folder / "rootfs"
    fresh = not folder.exists()
    if fresh:
        folder.mkdir(mode=0o755)
    if plan.on_host:
        return Root(folder, tuple(_of_host(folder)))
    if fresh:
        _unpack(plan, folder)
        _add_folders(folder)
    return Root(folder)


def archive(plan: Plan) -> tuple[Path, tuple[str, ...]]:
    """The same as a tar, for programs that import one, and the paths to mount."""
    root, path = made(plan), plan.folder / "rootfs.tar"
    if not path.exists():
        programs.output("tar", "--numeric-owner", "-C", str(root.folder), "-cf", str(path), ".")
    return path, root.binds


def config(plan: Plan) -> dict[str, str]:
    """What the image wants in the environment of its programs."""
    found = host.config() if plan.on_host else resolve(plan.engine, plan.image).config
    entries = (found.get("config") or {}).get("Env") or []
    return dict(entry.partition("=")[::2] for entry in entries)


@contextmanager
def entered(plan: Plan) -> Iterator[list[str]]:
    """What comes before a command of the host that is to see the image's files. All enter the same mount namespace: none of
    them pays for the mounts."""
    if plan.on_host:
        yield []
        return
    root = str(made(plan).folder)
    words = [*programs.PRIVATE, "sh", "-c", _HOLD, root, str(plan.volume)]
    with programs.held(words, f"the files of {plan.image} cannot be shown to a program of the host") as enter:
        yield [*enter, shutil.which("chroot", path=_SYSTEM) or "chroot", root]


def _of_host(root: Path) -> Iterator[str]:
    _add_folders(root)
    shown: list[str] = []
    for path in [f"/{path}" for path in host.VISIBLE if os.path.exists(f"/{path}")] + sorted(host.python_folders()):
        if any(path == one or path.startswith(f"{one}/") for one in shown):
            continue
        place = root / path.lstrip("/")
        if os.path.islink(path):
            if not place.is_symlink():
                place.symlink_to(os.readlink(path))
            continue
        place.mkdir(parents=True, exist_ok=True)
        shown.append(path)
        yield path


def _add_folders(root: Path) -> None:
    for path in _FOLDERS:
        (root / path).mkdir(parents=True, exist_ok=True)
    os.chmod(root / "tmp", 0o1777)


def _unpack(plan: Plan, folder: Path) -> None:
    if plan.engine.rootless:
        raise HostNotCapable("only root can unpack an image for other programs", hint="write --image host")
    packed = plan.folder / "image.tar"
    images.export(plan.image, output=str(packed), engine=plan.engine)
    subprocess.run(["tar", "--numeric-owner", "-xpf", packed, "-C", folder], check=True, capture_output=True)
    packed.unlink()
