"""Images made for a test: busybox below, whatever the test wants on top, loaded from a docker-archive."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from nbcontainers.errors import NotFound
from nbcontainers.image import api as image_api
from tests import peers

APPLETS = "sh cat echo env false head id kill ln ls mkdir mv readlink rm sleep stat true touch wc".split()


def entry(name: str, data: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One member of a layer: a file, or what `type`, `linkname`, `devmajor`, … make of it."""
    info = tarfile.TarInfo(name)
    info.mode = 0o755
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def folder(name: str, **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, **attributes)


def layer(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@cache
def base() -> bytes:
    """Busybox, and a passwd with users that are easy to mistake."""
    busybox = Path(peers.program("busybox")).read_bytes()
    applets = [link(f"bin/{name}", "busybox") for name in APPLETS]
    return layer([folder("bin"), entry("bin/busybox", busybox), *applets, folder("tmp", mode=0o1777), folder("etc")])


def archive(path: Path, name: str, layers: list[bytes], config: dict[str, Any]) -> Path:
    """A docker-archive (`docker save`)."""
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in layers]
    document = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine], "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["true"]} | config,
        "rootfs": {"type": "layers", "diff_ids": digests}, "history": [],
    }  # fmt: skip
    files = {f"layer{index}.tar": data for index, data in enumerate(layers)}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": list(files)}]
    files |= {"config.json": json.dumps(document).encode(), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as tar:
        for member, data in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


class Images:
    """Loads crafted images and removes them at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[str] = []

    def __call__(
        self, *entries: tuple[tarfile.TarInfo, bytes], config: dict[str, Any] | None = None, name: str = ""
    ) -> str:
        name = name or f"crafted-{os.getpid()}-{len(self.made)}:latest"
        layers = [base(), layer(entries)] if entries else [base()]
        file = archive(self.folder / f"image{len(self.made)}.tar", name, layers, config or {})
        self.made += [image.reference or image.id for image in image_api.load(str(file))]
        file.unlink()
        return name

    def remove(self) -> None:
        for name in self.made:
            with contextlib.suppress(NotFound):  # equal images without a name are one
                image_api.rm(name, force=True)


class Canary:
    """A folder of the host that must stay as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/passwd", "null", "file"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"canary {name}\n")
        self.before = self.picture()

    def picture(self) -> list[tuple[str, int, int, int, bytes]]:
        found = []
        for path in sorted(self.folder.rglob("*")):
            status = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            found.append((str(path), status.st_mode, status.st_uid, status.st_mtime_ns, data))
        return found

    def check(self) -> None:
        assert self.picture() == self.before
