"""An image's files as an ext4 file system: made once an image, by mke2fs(8) from the very layers a container has."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable
from nbcontainers.image import rootfs, store
from nbcontainers.image.image import Image
from nbcontainers.launcher import client
from nbcontainers.linux import mounts, namespaces
from nbcontainers.monitor import recipe
from nbcontainers.monitor.steps import Step
from nbcontainers.vm.initramfs import program

ROOM = 1 << 30
"""Bytes a guest can write; the file is sparse."""
_BLOCK = 4096


def place(engine: Engine, image: Image) -> Path:
    return engine.cache / "vm" / f"{image.digest.partition(':')[2][:32]}.ext4"


def ensure(engine: Engine, image: Image) -> Path:
    """The file with the file system of that image; made if it is not there. Raises HostNotCapable, ImageError."""
    path = place(engine, image)
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        layers = rootfs.layers(engine, image)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as folder:
            steps = rootfs.steps(layers, f"{folder}/root", rootless=engine.rootless)
            mke2fs = program("mke2fs", "e2fsprogs")
            client.call("nbcontainers.vm.disk:make", mke2fs=mke2fs, steps=list(steps), folder=folder)
            os.rename(f"{folder}/image", path)
        sweep(engine)
    return path


def sweep(engine: Engine) -> list[str]:
    """Remove the disks of images that are gone; their names."""
    kept = {place(engine, image) for image in store.images(engine)}
    gone = [path for path in (engine.cache / "vm").glob("*.ext4") if path not in kept]
    for path in gone:
        path.unlink(missing_ok=True)
    return [path.stem for path in gone]


def make(mke2fs: str, steps: Sequence[Step], folder: str) -> None:
    """In the launcher's child: mount the layers where nobody else sees it, and have their files written."""
    mount(steps, [f"{folder}/root"])
    bytes_, files = size(f"{folder}/root")
    inodes = str(files * 5 // 4 + (1 << 16))
    command = [
        mke2fs,
        "-q",
        "-F",
        "-t",
        "ext4",
        "-m",
        "0",
        "-N",
        inodes,
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1",
    ]
    blocks = (bytes_ * 5 // 4 + ROOM) // _BLOCK
    done = subprocess.run(
        [*command, "-b", str(_BLOCK), "-d", f"{folder}/root", f"{folder}/image", str(blocks)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise HostNotCapable(
            f"mke2fs could not write the image's files: {done.stderr.strip()[-300:]}",
            hint="is there room? system df shows what takes it",
        )


def mount(steps: Sequence[Step], places: Sequence[str]) -> None:
    """Make the folders `places` and carry out steps on them in a mount namespace of this process: it ends with it."""
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.make_slave()
    for place in places:
        os.makedirs(place, exist_ok=True)
    recipe.perform(steps)


def size(root: str) -> tuple[int, int]:
    """(bytes in whole blocks, number of files) of a tree."""
    total = count = 0
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            count += 1
            total += -(-os.lstat(f"{folder}/{name}").st_size // _BLOCK) * _BLOCK
    return total, count
