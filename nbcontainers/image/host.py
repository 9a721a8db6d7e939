"""The embedded image `host`: the host's own system folders, read-only below an overlay each; nothing is copied.

Shown are the folders programs live in (/usr, /etc, /opt, /nix/store, …) and the package manager's data bases; every
other folder of the root is empty (/home, /root, /run, /tmp, /var/…, /mnt) or not there at all, until `-v` brings it
in. So home directories, sockets, logs, data bases and other users' data are hidden without a list of them; in /etc
and /opt a mask (`image/mask.py`) hides secrets. One overlay a folder works for root and for ordinary users alike
(in a user namespace / itself cannot be a layer), and changes land in the container.

The notebook's own Python works inside wherever it lives: its prefixes and the folders of packages on sys.path are
mounted read-only at their own place, but never a home directory as a whole. The folders on the way there (/root,
/home/NAME) are new ones that everybody may pass, so `-u 1000` finds it as well.

Limits: a folder with file systems of its own mounted below is shown piece by piece. What the host changes while a
container runs may or may not show in it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.image import mask
from nbcontainers.image.image import HOST, Image
from nbcontainers.monitor.steps import Step
from nbcontainers.oci import digest
from nbcontainers.oci.image import ImageConfig, architecture, encode

VISIBLE = (
    "usr", "etc", "opt", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix/store", "gnu/store",
    "var/lib/dpkg", "var/lib/apt", "var/lib/rpm", "var/lib/pacman", "var/lib/ghc", "var/lib/gems", "var/lib/texmf",
    "var/cache/fontconfig",
)  # fmt: skip
FOLDERS = {
    "boot": 0o755, "dev": 0o755, "home": 0o755, "media": 0o755, "mnt": 0o755, "proc": 0o555, "root": 0o755,
    "run": 0o755, "run/lock": 0o1777, "srv": 0o755, "sys": 0o555, "tmp": 0o1777, "var": 0o755, "var/cache": 0o755,
    "var/cache/apt": 0o755, "var/cache/apt/archives": 0o755, "var/cache/apt/archives/partial": 0o700,
    "var/lib": 0o755, "var/local": 0o755, "var/log": 0o755, "var/mail": 0o755, "var/opt": 0o755, "var/spool": 0o755,
    "var/tmp": 0o1777,
}  # fmt: skip
LINKS = {"var/run": "/run", "var/lock": "/run/lock"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SMALL = 1 << 20


def image(engine: Engine) -> Image:
    return Image(engine, _digest(), HOST)


@cache
def _digest() -> str:
    return digest.of(encode(config()))


@cache
def config() -> ImageConfig:
    """PATH begins with the notebook's own bin folder; there are no layers."""
    folder = os.path.dirname(sys.executable) or "/usr/bin"
    path = _PATH if folder in _PATH.split(":") else f"{folder}:{_PATH}"
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    environment = [f"PATH={path}", f"LANG={os.environ.get('LANG') or 'C.UTF-8'}"]
    return {
        "architecture": architecture(), "os": "linux",
        "config": {"Env": environment, "Cmd": [shell], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [{"created_by": "the root file system of this host", "empty_layer": True}],
    }  # fmt: skip


def steps(engine: Engine, container: Path) -> list[Step]:
    """A skeleton of folders, an overlay for each visible one, a read-only mount for each place of Python."""
    plan = Plan(_mount_points(engine.rootless))
    for path in VISIBLE:
        plan.show(path)
    for path in python_folders():
        plan.bind(path.lstrip("/"))
    skeleton = {"root": f"{container}/upper", "folders": plan.folders, "links": plan.links, "copies": plan.copies,
                "files": plan.files, "work": f"{container}/work", "overlays": plan.overlays}  # fmt: skip
    bind = {"source": f"{container}/upper", "target": f"{container}/rootfs"}
    return [
        _step("Skeleton", skeleton),
        _step("Bind", bind),
        *(_overlay(engine, container, path) for path in plan.overlays),
        *(_bind(container, path) for path in plan.binds),
    ]


def _step(name: str, arguments: dict[str, Any]) -> Step:
    return {"step": f"nbcontainers.monitor.steps:{name}", "args": arguments}


def _overlay(engine: Engine, container: Path, path: str) -> Step:
    from nbcontainers.image import rootfs

    masked = mask.of(engine, path)
    return rootfs.overlay(engine, [masked, f"/{path}"] if masked else [f"/{path}"], container, path)


def _bind(container: Path, path: str) -> Step:
    target = f"{container}/rootfs/{path}"
    return _step("Bind", {"source": f"/{path}", "target": target, "read_only": True, "recursive": True})


class Plan:
    """What a root directory is put together from; paths are relative to it."""

    def __init__(self, mount_points: Iterable[str]) -> None:
        self._mount_points = [path.lstrip("/") for path in mount_points]
        self.folders: dict[str, int] = dict(FOLDERS)
        self.links: dict[str, str] = dict(LINKS)
        self.copies: list[str] = []
        self.files: list[str] = []
        self.overlays: list[str] = []
        self.binds: list[str] = []

    def show(self, path: str) -> None:
        """Let the folder be seen as it is on the host, if it is there: whole, or piece by piece around mounts."""
        try:
            status = os.lstat(f"/{path}")
        except OSError:
            return
        self._above(path)
        if stat.S_ISLNK(status.st_mode):
            self.links[path] = os.readlink(f"/{path}")
        elif stat.S_ISDIR(status.st_mode):
            self.folders.setdefault(path, stat.S_IMODE(status.st_mode))
            if any(point.startswith(f"{path}/") for point in self._mount_points):
                self._pieces(path)
            else:
                self.overlays.append(path)
        elif stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IROTH:
            self._file(path, status.st_size)

    def _pieces(self, path: str) -> None:
        top, _, below = path.partition("/")
        for entry in sorted(mask.entries(f"/{path}"), key=lambda entry: entry.name):
            inner = f"{below}/{entry.name}" if below else entry.name
            if not mask.is_secret(top, inner, entry.stat(follow_symlinks=False).st_mode):
                self.show(f"{path}/{entry.name}")

    def _file(self, path: str, size: int) -> None:
        if size <= _SMALL:
            self.copies.append(path)
        else:
            self.files.append(path)
            self.binds.append(path)

    def bind(self, path: str) -> None:
        """Mount a folder read-only at its own place, unless it is seen already."""
        if any(_within(path, shown) for shown in (*self.overlays, *self.binds)):
            return
        self._above(path)
        self.folders.setdefault(path, 0o755)
        self.binds.append(path)

    def _above(self, path: str) -> None:
        """The folders on the way to `path`."""
        for folder in Path(path).parents:
            if str(folder) != ".":
                self.folders.setdefault(str(folder), 0o755)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _mount_points(rootless: bool) -> list[str]:
    """Where something is mounted. Root's overlays simply leave out mounted files (a container's /etc/hosts); in a
    user namespace a folder with any mount below cannot be a layer: they are locked, mount_namespaces(7)."""
    found = []
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            point = os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
            if rootless or os.path.isdir(point):
                found.append(point)
    return found


def python_folders() -> list[str]:
    """The folders this Python needs, parents first: prefixes, and what is on sys.path for packages."""
    wanted = dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix))
    wanted |= dict.fromkeys(_real_prefixes())
    wanted |= dict.fromkeys(_package_folders())
    folders = sorted(path for path in wanted if os.path.isdir(path) and not _too_wide(path))
    return [path for path in folders if not any(_within(path, other) for other in folders if other != path)]


def _real_prefixes() -> Iterator[str]:
    """Where the interpreter's file really is, when a prefix is reached through links."""
    for prefix in (sys.prefix, sys.base_prefix):
        yield os.path.realpath(prefix)
    yield os.path.dirname(os.path.dirname(os.path.realpath(sys.executable)))


def _package_folders() -> Iterator[str]:
    """site-packages, what .pth files and PYTHONPATH add, and editable installs; not the folder a script or notebook
    is run in, which is somebody's data."""
    run_in = {"", os.getcwd(), os.path.dirname(os.path.abspath(sys.argv[0] if sys.argv else ""))}
    named = set(os.environ.get("PYTHONPATH", "").split(":"))
    for path in sys.path:
        if path not in run_in or (path and path in named):
            yield path
    for finder in sys.meta_path:  # setuptools' and hatchling's editable finders keep a MAPPING of names to places
        mapping = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        if isinstance(mapping, dict):
            yield from (str(place) for place in mapping.values())
    yield str(Path(__file__).parent.parent)  # nbcontainers itself


def _too_wide(path: str) -> bool:
    """Whether mounting it would show a whole home directory, or more."""
    homes = {os.path.expanduser("~"), os.path.realpath(os.path.expanduser("~"))}
    everybodys = path == "/" or path.lstrip("/") in FOLDERS or os.path.dirname(path) == "/home"
    return everybodys or any(_within(home, path) for home in homes)
