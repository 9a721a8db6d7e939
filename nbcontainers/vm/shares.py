"""Folders of the host that a guest sees: `-v`, and a root file system that the host shows (`--root shared`).

user-mode-linux mounts them by hostfs; for QEMU a virtiofsd(1) each serves them. Writes are the host's at once.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from nbcontainers.container import mounts
from nbcontainers.container.host import this_host
from nbcontainers.container.options import RunOptions
from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.vm import jail
from nbcontainers.vm.hardware import UML
from nbcontainers.vm.options import MachineOptions
from nbcontainers.vm.request import Root

MODULES = ("fuse", "virtiofs")
ROOT = "rootfs"
_PLACES = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/libexec/qemu/virtiofsd", "/usr/bin/virtiofsd")
Share = dict[str, Any]
"""`tag`, `source` (a folder of the host), `target` in the guest, `read_only`."""


def of(engine: Engine, options: MachineOptions, id: str) -> list[Share]:
    """What -v asks for. Raises InvalidArgument, NotFound as `container run` does."""
    asked = mounts.asked(cast(RunOptions, options), (), f"{engine.root}/volumes", id, this_host(engine.rootless))
    return [_share(engine, one, number) for number, one in enumerate(asked)]


def _share(engine: Engine, one: mounts.Mounted, number: int) -> Share:
    source = str(one.document["source"])
    if one.made:
        os.makedirs(one.made, exist_ok=True)
    if one.volume and not one.anonymous:
        source = _of_volume(engine, one.volume)
    if one.kind not in ("bind", "volume") or one.anonymous or not os.path.isdir(source):
        raise InvalidArgument(
            f"--volume: a virtual machine can be shown folders, not {source or one.target}",
            hint="write -v /FOLDER:/TARGET",
        )
    return {
        "tag": f"share{number}",
        "source": source,
        "target": one.target,
        "read_only": "ro" in one.document["options"],
    }


def _of_volume(engine: Engine, name: str) -> str:
    from nbcontainers.volume import creation, store

    creation.create(engine, name, driver="local", opt=None, label=None)
    if store.read(str(engine.root), name)["options"]:
        raise InvalidArgument(
            f"--volume: the volume {name} is made with options, which a virtual machine cannot be shown",
            hint="write -v /FOLDER:/TARGET",
        )
    return str(store.data(str(engine.root), name))


def root(kind: str) -> Root:
    """The root file system that is mounted at `place` of `ROOT`."""
    return Root("hostfs", "none", f"/{ROOT}") if kind == UML else Root("virtiofs", ROOT, "rw")


def lines(kind: str, shared: Sequence[Share]) -> list[str]:
    """What the guest's init mounts, in sh(1)."""
    found = []
    for one in shared:
        mode, target = "ro" if one["read_only"] else "rw", f"/root{one['target']}"
        how = ["-t", "hostfs", "-o", f"/{one['tag']},{mode}", "none"]
        if kind != UML:
            how = ["-t", "virtiofs", "-o", mode, one["tag"]]
        problem = shlex.quote(f"{one['source']} could not be mounted on {one['target']}")
        command = shlex.join(["mount", *how, target])
        found += [f"PROBLEM={problem}", f"mkdir -p {shlex.quote(target)} && {command} || return 1"]
    return found


def place(kind: str, folder: str, tag: str) -> str:
    """Where it is mounted on the host, seen by the keeper or by user-mode-linux alone."""
    return f"{jail.place(folder) if kind == UML else folder}/{tag}"


def steps(kind: str, folder: str, shared: Sequence[Share]) -> list[Any]:
    """What mounts them: a guest's root could undo a `ro` of its own."""
    return [
        {
            "step": "nbcontainers.monitor.steps:Bind",
            "args": {
                "source": one["source"], "target": place(kind, folder, one["tag"]), "recursive": True,
                "read_only": one["read_only"],
            },
        }
        for one in shared
    ]  # fmt: skip


def served(folder: str, tags: Sequence[str]) -> list[dict[str, Any]]:
    """For QEMU: of each tag the command of its server, which is also told of a socket that listens. Raises
    HostNotCapable."""
    if not tags:
        return []
    program = next((path for path in _PLACES if os.access(path, os.X_OK)), None)
    if not program:
        raise HostNotCapable(
            "virtiofsd is not installed here, which shows folders to a virtual machine",
            hint="apt-get install virtiofsd (or qemu-system-common), take --kind uml, or leave out -v and --root shared",
        )
    return [{"tag": tag, "command": _server(program, f"{folder}/{tag}")} for tag in tags]


def _server(program: str, source: str) -> list[str]:
    """Of QEMU's own, up to 7.2, or of the one written in Rust."""
    if Path(program).parent.name == "qemu":
        source = source.replace("\\", "\\\\").replace(",", "\\,")
        options = f"source={source},sandbox=chroot,xattr,flock,posix_lock,cache=auto,log_level=err"
        return [program, "-f", "--rlimit-nofile=0", "-o", options]
    words = ["--shared-dir", source, "--sandbox", "chroot", "--xattr", "--cache", "auto", "--log-level", "error"]
    return [program, "--rlimit-nofile=0", *words]
