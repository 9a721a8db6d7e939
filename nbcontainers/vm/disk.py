"""An image's files as a file system on a disk: made once an image, by mke2fs(8), mksquashfs(1) or mkfs.erofs(1) from the very
layers a container has. Of the last two a guest writes into its memory, by an overlay."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable
from nbcontainers.image import rootfs, scratch, store
from nbcontainers.image.image import Image
from nbcontainers.launcher import client
from nbcontainers.linux import mounts, namespaces
from nbcontainers.monitor import recipe
from nbcontainers.monitor.steps import Step
from nbcontainers.vm.initramfs import program

EXT4 = "ext4"
FORMS = (EXT4, "squashfs", "erofs")
_MAKERS = {
    EXT4: ("mke2fs", "e2fsprogs"),
    "squashfs": ("mksquashfs", "squashfs-tools"),
    "erofs": ("mkfs.erofs", "erofs-utils"),
}
"""Of each the program that makes it, and Debian's package."""
ROOM = 1 << 30
"""Bytes a guest can write to ext4; the file is sparse."""
_BLOCK = 4096


def place(engine: Engine, image: Image, form: str = EXT4) -> Path:
    return engine.cache / "vm" / f"{image.digest.partition(':')[2][:32]}.{form}"


def ensure(engine: Engine, image: Image, form: str = EXT4) -> Path:
    """The file with the file system of that image; made if it is not there. Raises HostNotCapable, ImageError."""
    path = place(engine, image, form)
    if not path.exists():
        maker = program(*_MAKERS[form])
        path.parent.mkdir(mode=0o700, exist_ok=True)
        layers = rootfs.layers(engine, image)
        with scratch.folder(engine) as folder:
            steps = rootfs.steps(layers, f"{folder}/root", rootless=engine.rootless)
            client.call("nbcontainers.vm.disk:make", form=form, maker=maker, steps=list(steps), folder=str(folder))
            os.rename(folder / "image", path)
        sweep(engine)
    return path


def sweep(engine: Engine) -> list[str]:
    """Remove the disks of images that are gone; their names."""
    kept = {place(engine, image, form) for image in store.images(engine) for form in FORMS}
    gone = [path for form in FORMS for path in (engine.cache / "vm").glob(f"*.{form}") if path not in kept]
    for path in gone:
        path.unlink(missing_ok=True)
    return [path.stem for path in gone]


def make(form: str, maker: str, steps: Sequence[Step], folder: str) -> None:
    """In the launcher's child: mount the layers where nobody else sees it, and have their files written."""
    mount(steps, [f"{folder}/root"])
    command = [maker, *_WORDS[form](f"{folder}/root", f"{folder}/image")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise HostNotCapable(
            f"{os.path.basename(maker)} could not write the image's files: {done.stderr.strip()[-300:]}",
            hint="is there room? system df shows what takes it",
        )


def _ext4(root: str, image: str) -> list[str]:
    bytes_, files = size(root)
    inodes, blocks = files * 5 // 4 + (1 << 16), (bytes_ * 5 // 4 + ROOM) // _BLOCK
    lazy = "lazy_itable_init=1,lazy_journal_init=1"
    words = ["-q", "-F", "-t", "ext4", "-m", "0", "-N", str(inodes), "-E", lazy, "-b", str(_BLOCK)]
    return [*words, "-d", root, image, str(blocks)]


def _squashfs(root: str, image: str) -> list[str]:
    return [root, image, "-quiet", "-no-progress", "-noappend", "-comp", "zstd", "-Xcompression-level", "3"]


def _erofs(root: str, image: str) -> list[str]:
    return ["-d0", "-zlz4", image, root]


_WORDS: dict[str, Callable[[str, str], list[str]]] = {EXT4: _ext4, "squashfs": _squashfs, "erofs": _erofs}


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
