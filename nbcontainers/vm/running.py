"""`vm run`: from options to a plan, a keeper, and a handle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from nbcontainers.container import parse, spec, store, users
from nbcontainers.container.host import this_host
from nbcontainers.container.options import RunOptions, value
from nbcontainers.container.session import Session, Streams
from nbcontainers.engine import Engine
from nbcontainers.errors import ContainerFailed, HostNotCapable, InvalidArgument
from nbcontainers.image import layout, rootfs, wanted
from nbcontainers.image import store as images
from nbcontainers.image.image import Image
from nbcontainers.launcher import client
from nbcontainers.option import duration
from nbcontainers.vm import choice, disk, initramfs, plans, shares
from nbcontainers.vm import options as words
from nbcontainers.vm.choice import Choice
from nbcontainers.vm.hardware import KVM, TCG, UML
from nbcontainers.vm.machine import Machine
from nbcontainers.vm.options import MachineOptions
from nbcontainers.vm.request import Process, Request, Root

MEMORY = 512 << 20
LEAST = {UML: 48 << 20, TCG: 128 << 20, KVM: 128 << 20}
"""Bytes with which a kernel was seen to come up."""
BOOT_S = {UML: 60.0, TCG: 120.0, KVM: 60.0}
_EXT4 = {UML: "/dev/ubda", TCG: "/dev/vda", KVM: "/dev/vda"}


def run(
    engine: Engine,
    image: str,
    command: Sequence[str],
    options: MachineOptions,
    streams: Streams,
    on_pull: Callable[[dict[str, Any]], None] | None,
    *,
    raise_error: bool,
) -> Machine:
    """Boot, run, power off; the handle."""
    words.check(options)
    streams.check()
    memory, cpus = _limits(options)
    image = wanted.ensure(engine, image, options.get("pull", "missing"), "", on_pull)
    chosen = choice.choose(engine, options.get("kind", "auto"), options.get("kernel", ""))
    check_size(chosen, memory, cpus)
    id = store.new_id()
    with layout.adding(engine):
        found = images.resolve(engine, image)
        process = _process(engine, found, command, options, id)
        plan = _plan(
            engine, id, found, chosen, process, options, reads=streams.stdin is not None, memory=memory, cpus=cpus
        )
    machine = Machine(
        id, image, tuple(process.args), chosen.kind, chosen.reason, chosen.kernel.release, memory, cpus
    )  # fmt: skip
    channel = client.spawn(plans.KEEPER, plan=plan)
    with Session(channel, streams, lambda session: streams.started(machine, session)) as session:
        ended = session.wait()
    machine = replace(
        machine, exit_code=ended["exit_code"], wall_s=ended["wall_s"], boot=ended["boot"], console=ended["console"]
    )
    if raise_error and machine.exit_code:
        raise _failed(machine, session.last_words)
    return machine


def _limits(options: MachineOptions) -> tuple[int, int]:
    """(bytes of memory, processors). Raises InvalidArgument."""
    given = cast(RunOptions, options)
    memory = value(given, "memory", parse.memory) or MEMORY
    cpus = value(given, "cpus", parse.cpus) or 1.0
    if cpus != int(cpus):
        raise InvalidArgument(
            f"--cpus {cpus:g}: a virtual machine has whole processors", hint="write --cpus 1", option="cpus"
        )
    return memory, int(cpus)


def check_size(chosen: Choice, memory: int, cpus: int) -> None:
    """Raises InvalidArgument for what this kind of machine cannot have, HostNotCapable for more than the host has."""
    kind, least = chosen.kind, LEAST[chosen.kind]
    if memory < least:
        raise InvalidArgument(
            f"{memory >> 20} MiB are too little memory for a virtual machine ({kind})",
            hint=f"write -m {least >> 20}m or more",
        )
    if kind == UML and cpus > 1:
        raise InvalidArgument(
            f"--cpus {cpus}: user-mode-linux has one processor", hint="leave --cpus out, or take --kind kvm or tcg"
        )
    free = _available()
    if memory > free:
        raise HostNotCapable(
            f"a machine of {memory >> 20} MiB does not fit into the {free >> 20} MiB that are free on this host",
            hint="give it less, as -m 256m, or end other programs",
        )


def _available() -> int:
    """MemAvailable in bytes: proc_meminfo(5)."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))


def _process(engine: Engine, image: Image, command: Sequence[str], options: MachineOptions, id: str) -> Process:
    """What a container of this image would be given, for a machine."""
    given = cast(RunOptions, options)
    config = image.config.get("config") or {}
    user = options.get("user")
    layers = rootfs.layers(engine, image)
    identity = users.resolve(str(user or config.get("User") or ""), layers, (), f"the image {image}")
    basis = spec.Basis(id, config, identity, this_host(engine.rootless))
    folder = value(given, "workdir", parse.path) or config.get("WorkingDir") or "/"
    return Process(
        spec.arguments(given, command, config), spec.environment(given, basis), folder, identity.uid, identity.gid,
        identity.groups, spec.hostname(given, id),
    )  # fmt: skip


def _plan(
    engine: Engine,
    id: str,
    image: Image,
    chosen: Choice,
    process: Process,
    options: MachineOptions,
    *,
    reads: bool,
    memory: int,
    cpus: int,
) -> dict[str, Any]:
    kind, folder = chosen.kind, plans.folder(engine, id)
    shared = shares.of(engine, options, id)
    on_disk = options.get("root", "shared" if image.base or image.is_host else "image") == "image"
    if on_disk and (image.base or image.is_host):
        raise InvalidArgument(f"{image} shows this host's folders, which no disk can hold", hint="write --root shared")
    root = Root("ext4", _EXT4[kind], "rw,noinit_itable") if on_disk else shares.root(kind, folder)
    steps = [] if on_disk else rootfs.steps(
        rootfs.layers(engine, image), f"{folder}/rootfs", rootless=engine.rootless, place=folder
    )  # fmt: skip
    tags = [*([] if on_disk else [shares.ROOT]), *(one["tag"] for one in shared)]
    servers = shares.served(folder, tags) if kind != UML else []
    files = plans.modules_of(
        chosen.kernel, [*plans.PORTS, *(["virtio_blk", "ext4"] if on_disk else []), *(shares.MODULES if tags else [])]
    )
    request = Request(
        process, root, "uml" if kind == UML else "virtio", [initramfs.name_of(path) for path in files], reads,
        shares.lines(kind, folder, shared),
    )  # fmt: skip
    limit = value(cast(RunOptions, options), "timeout", duration)
    return plans.plan(
        engine, id, kind=kind, program=chosen.program, kernel=chosen.kernel, files=files, request=request, memory=memory,
        cpus=cpus, boot_s=min(BOOT_S[kind], limit or BOOT_S[kind]), run_s=limit,
        disk=str(disk.ensure(engine, image)) if on_disk else "", steps=[*steps, *shares.steps(folder, shared)],
        places=[*([] if on_disk else [f"{folder}/rootfs"]), *(shares.place(folder, one) for one in shared)],
        servers=servers,  preload=chosen.preload,
    )  # fmt: skip


def _failed(machine: Machine, last_words: bytes) -> ContainerFailed:
    """The error for an exit status other than 0."""
    from nbcontainers.container.failure import cause, evidence

    what, why, advice = cause({"exit_code": machine.exit_code})
    error = ContainerFailed(
        f"the command in the virtual machine ({machine.kind}) {what}{why}{evidence(last_words)}", hint=advice,
        exit_code=machine.exit_code, signal=None, oom_killed=False, id=machine.id, name="",
    )  # fmt: skip
    error.container = machine
    return error
