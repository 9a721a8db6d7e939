"""`vm fetch-kernel`: a Debian kernel package unpacked into our own folder; nothing is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.image import scratch
from nbcontainers.table import Column, Table, stored
from nbcontainers.vm import kernel
from nbcontainers.vm.initramfs import program

PACKAGE = "linux-image-cloud-amd64"
"""The smallest of Debian's: made for virtual machines."""
_PATIENCE_S = 600
_RELEASE = re.compile(r"\d+\.\d+[\w.+~-]*")
_AGAIN = "apt-get update, then try again; or take a package that is here: vm fetch-kernel --file FILE.deb"
_WHOLE = "name a linux-image-….deb that is whole; and is there room? system df shows what takes it"


def fetch(engine: Engine, package: str, file: str) -> Table:
    """Download and unpack it, unless that release is there; rows: release, path, origin, size."""
    if file and not Path(file).is_file():
        raise InvalidArgument(f"--file {file}: there is no such file", hint="name a linux-image-….deb")
    place = kernel.folder(engine)
    place.mkdir(mode=0o700, exist_ok=True)
    with scratch.folder(engine) as folder:
        deb = Path(file).absolute() if file else _download(package or PACKAGE, folder)
        unpacked = folder / "unpacked"
        command = [program("dpkg-deb", "dpkg"), "-x", str(deb), str(unpacked)]
        _run(command, folder, f"{deb.name} could not be unpacked", _WHOLE if file else _AGAIN)
        release = _keep(unpacked, place)
    return listing(engine, release)


def listing(engine: Engine, first: str = "") -> Table:
    """The fetched kernels, `first` first."""
    found = sorted(kernel.fetched(engine), key=lambda one: one.release != first)
    rows = [{"release": one.release, "path": str(one.path), "size": _size(one.path.parent)} for one in found]
    return Table(rows, [Column("release"), Column("path"), Column("size", format=stored)])


def _download(package: str, folder: Path) -> Path:
    """The package that a meta package depends on, or the package itself."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package):
        raise InvalidArgument(f"{package!r} is no name of a package", hint=f"type vm fetch-kernel {PACKAGE}")
    apt = program("apt-get", "apt")
    depends = subprocess.run(
        ["apt-cache", "depends", package], capture_output=True, text=True, check=False, timeout=_PATIENCE_S
    )
    real = re.search(r"Depends: (linux-image-\S+)", depends.stdout)
    name = real[1] if real else package
    _run([apt, "-q", "download", name], folder, f"{name} could not be downloaded", _AGAIN)
    found = list(folder.glob("*.deb"))
    if not found:
        raise HostNotCapable(f"apt-get download {name} brought no package", hint="apt-get update, then try again")
    return found[0]


def _run(command: list[str], folder: Path, problem: str, hint: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        raise HostNotCapable(f"{problem} within {_PATIENCE_S / 60:.0f} minutes", hint=hint) from None
    if done.returncode:
        raise HostNotCapable(f"{problem}: {done.stderr.strip()[-300:]}", hint=hint)


def _keep(unpacked: Path, place: Path) -> str:
    """Move kernel and modules to their place, at once; returns the release. A package may be anybody's: neither its names nor
    its links lead out of it."""
    unpacked = unpacked.resolve()
    images = [path for path in unpacked.glob("boot/vmlinuz-*") if path.resolve() == path and path.is_file()]
    release = images[0].name.partition("-")[2] if images else ""
    if not _RELEASE.fullmatch(release):
        raise InvalidArgument("there is no kernel in that package", hint=f"take one such as {PACKAGE}'s linux-image-…")
    kernel.release(images[0])  # for this kind of processor
    new = Path(tempfile.mkdtemp(dir=unpacked))
    os.rename(images[0], new / "vmlinuz")
    places = (unpacked / part / "modules" / release for part in ("lib", "usr/lib"))
    if modules := next((one for one in places if one.is_dir() and one.resolve() == one), None):
        os.rename(modules, new / "modules")
    for path in list(new.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            path.unlink()
    (new / "vmlinuz").touch()
    if (place / release).exists():
        shutil.rmtree(place / release)
    os.rename(new, place / release)
    return release


def _size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))
