"""The embedded image `host`: the host's own system folders, read-only below an overlay each; nothing is copied.

Shown are the folders programs live in (/usr, /etc, /opt, /nix/store, …) and the package manager's data bases; every
other folder of the root is empty (/home, /root, /run, /tmp, /var/…, /mnt) or not there at all, until `-v` brings it
in. So home directories, sockets, logs, data bases and other users' data are hidden without a list of them; in /etc
and /opt a mask (`image/mask.py`) hides secrets. One overlay a folder works for root and for ordinary users alike
(in a user namespace / itself cannot be a layer), and changes land in the container.

The notebook's own Python is there as well wherever it lives: its prefixes and the folders of packages on sys.path, but
never a home directory as a whole. The folders on the way there (/root, /home/NAME) are new ones that everybody may
pass, so `-u 1000` finds it too.

What all this is mounted on is the *skeleton*: a folder of our cache with empty folders, links and small files, the
lowest layer of an overlay for the root. An image built FROM host, or committed, has layers of its own above it all.
Its folders are [its layers, top first, the skeleton, "/"]; from these `steps` tells the mounts: layers count in each of
the host's folders, and where they remove or replace one it is not shown.

Limits: a folder with file systems of its own mounted below is shown piece by piece, a place of Python like that is
read-only. What the host changes while a container runs may or may not show in it.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.image import mask
from nbcontainers.image.image import HOST, Image
from nbcontainers.layer.lower import Found, View, opened
from nbcontainers.monitor.steps import Step
from nbcontainers.oci import digest
from nbcontainers.oci.image import ON_HOST, ImageConfig, architecture, encode, stacked

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
ROOT = "/"
"""The lowest folder of every stack of layers that lies on the host."""
_PLAN = "plan.json"


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
        "rootfs": stacked([], ON_HOST),
        "history": [{"created_by": "the root file system of this host", "empty_layer": True}],
    }  # fmt: skip


def lowers(engine: Engine) -> list[str]:
    """What lies below the layers of an image on the host: the skeleton, made if it is another one now, and `ROOT`."""
    plan = Plan(_mount_points(engine.rootless))
    for path in VISIBLE:
        plan.show(path)
    for path in python_folders():
        plan.place(path.lstrip("/"))
    return [str(_skeleton(engine, plan) / "fs"), ROOT]


def _skeleton(engine: Engine, plan: Plan) -> Path:
    """The folder of the skeleton with that plan: `fs`, and what is mounted on it as plan.json."""
    overlays = {path: mask.of(engine, path) for path in plan.overlays}
    text = encode({"overlays": overlays, "binds": plan.binds})
    copies = [
        (path, now.st_mode, now.st_size, now.st_mtime_ns) for path in plan.copies for now in (os.stat(f"/{path}"),)
    ]

    def fill(folder: Path) -> None:
        plan.make(folder / "fs")
        (folder / _PLAN).write_bytes(text)

    content = repr((text, plan.folders, plan.links, plan.files, copies))
    return mask.made_once(engine, "host", content, fill)


def steps(lowers: Sequence[str], target: str, *, rootless: bool, place: str) -> list[Step]:
    """`rootfs.steps` of a stack of layers on the host: an overlay for the root, and one for each of the host's folders
    that the layers leave."""
    from nbcontainers.image import rootfs

    *layers, skeleton, _ = lowers
    plan: dict[str, Any] = json.loads((Path(skeleton).parent / _PLAN).read_bytes())
    found = [rootfs.overlay([*layers, skeleton], target, rootless=rootless, place=place, name=rootfs.OF_ROOT)]
    with ExitStack() as stack:
        view = _View(stack, [*layers, skeleton])
        for path, masked in plan["overlays"].items():
            if (above := view.above(path)) is not None:
                below = [*above, *([masked] if masked else []), f"/{path}"]
                found.append(rootfs.overlay(below, f"{target}/{path}", rootless=rootless, place=place, name=path))
        found += [_bind(path, target) for path in plan["binds"] if view.above(path) is not None]
    return found


class _View:
    """The layers over a skeleton."""

    def __init__(self, stack: ExitStack, folders: Sequence[str]) -> None:
        self._names = dict(zip(opened(stack, folders), folders, strict=True))
        self._view = View(list(self._names))
        self._skeleton = folders[-1]

    def above(self, path: str) -> list[str] | None:
        """What the layers have in a folder of the skeleton, top first; None where one of them removes or replaces it, or
        a folder on the way."""
        parts = os.fsencode(path).split(b"/")
        found: list[Found] = []
        for count in range(1, len(parts) + 1):  # nothing is looked for behind a link
            if count > 1 and not stat.S_ISDIR(found[0].status.st_mode):
                return None
            found = self._view.places(b"/".join(parts[:count]))
            if not found or self._names[found[-1].layer] != self._skeleton:
                return None
        return [f"{self._names[one.layer]}/{path}" for one in found[:-1]]


def _bind(path: str, target: str) -> Step:
    args = {"source": f"/{path}", "target": f"{target}/{path}", "read_only": True, "recursive": True}
    return {"step": "nbcontainers.monitor.steps:Bind", "args": args}


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

    def place(self, path: str) -> None:
        """A folder to be seen at its own place, unless it is already; nothing in it is hidden. With mounts below it is
        no layer and therefore read-only."""
        if any(_within(path, shown) for shown in (*self.overlays, *self.binds)):
            return
        self._above(path)
        self.folders.setdefault(path, 0o755)
        has_mounts = any(point.startswith(f"{path}/") for point in self._mount_points)
        (self.binds if has_mounts else self.overlays).append(path)

    def make(self, root: Path) -> None:
        """The folders, links and files in the new folder `root`."""
        for path, mode in [("", 0o755), *sorted(self.folders.items())]:
            (root / path).mkdir()
            (root / path).chmod(mode)
        for path, target in self.links.items():
            if path not in self.folders:
                (root / path).symlink_to(target)
        for path in self.files:
            (root / path).touch()
            (root / path).chmod(0o644)
        for path in self.copies:
            shutil.copy(f"/{path}", root / path)

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
