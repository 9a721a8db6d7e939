"""From an image and options to the plan of a machine: its root file system, its devices, its command."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from nbcontainers.container import parse, spec, users
from nbcontainers.container.host import this_host
from nbcontainers.container.options import RunOptions, value
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import rootfs
from nbcontainers.image.image import Image
from nbcontainers.monitor.files import rfc3339
from nbcontainers.option import duration
from nbcontainers.vm import disk, initramfs, network, pinning, plans, shares
from nbcontainers.vm.choice import Choice
from nbcontainers.vm.hardware import KVM, TCG, UML
from nbcontainers.vm.network import Forward
from nbcontainers.vm.options import MachineOptions
from nbcontainers.vm.request import Command, Process, Request, Root

BOOT_S = {UML: 60.0, TCG: 120.0, KVM: 60.0}
"""How long a boot may take before it is given up."""
_DISK = {UML: "/dev/ubda", TCG: "/dev/vda", KVM: "/dev/vda"}


@dataclass(frozen=True)
class Asked:
    """One machine. `reads` and `size` are its command's (see vm/request.py), `forwards` the ports that lead to it, chosen
    once; `record` is what lasts of it."""

    engine: Engine
    id: str
    image: Image
    chosen: Choice
    options: MachineOptions
    memory: int
    cpus: int
    reads: str = ""
    size: tuple[int, int] | None = None
    forwards: Sequence[Forward] = field(default=())
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.chosen.kind

    @property
    def folder(self) -> str:
        return plans.folder(self.engine, self.id)

    @property
    def run_options(self) -> RunOptions:
        """What is read as a container's options are."""
        return cast(RunOptions, self.options)

    @property
    def on_disk(self) -> bool:
        """Whether the root is a disk of its own. Raises InvalidArgument where it cannot be one."""
        of_the_host = bool(self.image.base) or self.image.is_host
        wanted = self.options.get("root", "shared" if of_the_host else "image")
        if wanted != "shared" and of_the_host:
            message = f"{self.image} shows this host's folders, which no disk can hold"
            raise InvalidArgument(message, hint="write --root shared", option="root")
        return wanted != "shared"

    @property
    def form(self) -> str:
        """Of the file system on that disk."""
        root = self.options.get("root", "image")
        return disk.EXT4 if root == "image" else root


def process(asked: Asked, command: Sequence[str]) -> Process:
    """What a container of this image would be given, for a machine."""
    config, options = asked.image.config.get("config") or {}, asked.run_options
    user = str(asked.options.get("user") or config.get("User") or "")
    layers = rootfs.layers(asked.engine, asked.image)
    identity = users.resolve(user, layers, (), f"the image {asked.image}")
    basis = spec.Basis(asked.id, config, identity, this_host(asked.engine.rootless))
    folder = value(options, "workdir", parse.path) or config.get("WorkingDir") or "/"
    return Process(
        spec.arguments(options, command, config), spec.environment(options, basis), folder, identity.uid, identity.gid,
        identity.groups, spec.hostname(options, asked.id),
    )  # fmt: skip


def record(asked: Asked, process: Process, name: str, image: str, *, remove: bool) -> dict[str, Any]:
    """machine.json: what it is, and what a later command in it starts from."""
    chosen, layers = asked.chosen, rootfs.layers(asked.engine, asked.image)
    return {
        "id": asked.id, "name": name, "image": image, "image_digest": asked.image.digest, "command": list(process.args),
        "kind": chosen.kind, "reason": chosen.reason, "kernel": chosen.kernel.release, "memory": asked.memory,
        "cpus": asked.cpus, "ports": [dict(one) for one in asked.forwards], "created": rfc3339(time.time_ns()),
        "remove": remove, "hostname": process.hostname, "env": list(process.env), "workdir": process.cwd,
        "user": asked.options.get("user") or (asked.image.config.get("config") or {}).get("User") or "",
        "layers": list(layers), "tty": asked.size is not None,
    }  # fmt: skip


def plan(asked: Asked, process: Process) -> dict[str, Any]:
    """What the keeper is given."""
    kind, folder = asked.kind, asked.folder
    shared = shares.of(asked.engine, asked.options, asked.id)
    online = network.wanted(asked.options)
    config = asked.image.config.get("config") or {}
    attached = network.attached(asked.engine, asked.options, config, asked.id, process.hostname, kind)
    root, steps, places = _root(asked)
    tags = [*([] if asked.on_disk else [shares.ROOT]), *(one["tag"] for one in shared)]
    names = [*_modules(asked, tags, online=online), *network.modules(attached)]
    files = plans.modules_of(asked.chosen.kernel, names)
    lines = [*shares.lines(kind, shared), *(network.lines(own=attached is not None) if online else [])]
    names = [initramfs.name_of(path) for path in files]
    ports = "uml" if kind == UML else "virtio"
    command = Command(process, asked.reads, asked.size)
    request = Request(command, root, ports, names, lines, stays=not asked.record.get("remove"))
    limit = value(asked.run_options, "timeout", duration)
    pinned = pinning.wanted(asked.run_options)
    made = plans.plan(
        asked.engine, asked.id, kind=kind, program=asked.chosen.program, kernel=asked.chosen.kernel, files=files,
        request=request, memory=asked.memory, cpus=asked.cpus, boot_s=min(BOOT_S[kind], limit or BOOT_S[kind]), run_s=limit,
        disk=str(disk.ensure(asked.engine, asked.image, asked.form)) if asked.on_disk else "",
        steps=[*steps, *shares.steps(kind, folder, shared)],
        places=[*places, *(shares.place(kind, folder, one["tag"]) for one in shared)],
        servers=shares.served(folder, tags) if kind != UML else [],
        devices=[*(pinning.NAMED if pinned else ()), *(network.devices(asked.forwards) if network.translated(asked.options) else ())],
        preload=asked.chosen.preload, record=asked.record,
    )  # fmt: skip
    return {**made, "writes": not root.overlay, "pinned": pinned, "network": attached}


def _root(asked: Asked) -> tuple[Root, list[Any], list[str]]:
    """What the guest mounts, the steps that show it there, and the folder they need."""
    if asked.on_disk and asked.form == disk.EXT4:  # nothing is to be initialised behind the command's back
        return Root("ext4", _DISK[asked.kind], "rw,noinit_itable"), [], []
    if asked.on_disk:
        return Root(asked.form, _DISK[asked.kind], "ro", overlay=True), [], []
    target, layers = shares.place(asked.kind, asked.folder, shares.ROOT), rootfs.layers(asked.engine, asked.image)
    steps = rootfs.steps(layers, target, rootless=asked.engine.rootless, place=asked.folder)
    return shares.root(asked.kind), list(steps), [target]


def _modules(asked: Asked, tags: Sequence[str], *, online: bool) -> list[str]:
    """Of its kernel; that of user-mode-linux has most of it built in."""
    root = ("ext4",) if asked.form == disk.EXT4 else (asked.form, "overlay")
    if asked.kind == UML:
        return list(root) if asked.on_disk else []
    return [
        *plans.PORTS, *(("virtio_blk", *root) if asked.on_disk else ()), *(shares.MODULES if tags else ()),
        *(network.MODULES if online else ()),
    ]  # fmt: skip
