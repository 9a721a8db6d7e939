"""`vm run`: from options to a plan, a keeper, and a handle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from nbcontainers.container import parse, store
from nbcontainers.container.options import RunOptions, value
from nbcontainers.container.session import Session, Streams
from nbcontainers.engine import Engine
from nbcontainers.errors import ContainerFailed, HostNotCapable, InvalidArgument
from nbcontainers.image import layout, wanted
from nbcontainers.image import store as images
from nbcontainers.launcher import client
from nbcontainers.vm import choice, finding, network, planning, plans
from nbcontainers.vm import options as words
from nbcontainers.vm.choice import Choice
from nbcontainers.vm.hardware import KVM, TCG, UML
from nbcontainers.vm.machine import Machine
from nbcontainers.vm.options import MachineOptions

MEMORY = 512 << 20
LEAST = {UML: 48 << 20, TCG: 128 << 20, KVM: 128 << 20}
"""Bytes with which a kernel was seen to come up."""


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
    chosen = choice.choose(
        engine, options.get("kind", "auto"), options.get("kernel", ""), network=network.translated(options)
    )
    check_size(chosen, memory, cpus)
    detach, tty = bool(options.get("detach")), bool(options.get("tty"))
    with layout.adding(engine):
        asked = planning.Asked(
            engine, store.new_id(), images.resolve(engine, image), chosen, options, memory, cpus,
            reads=_reads(streams, command, detach=detach), size=_size(streams) if tty else None,
            forwards=network.forwards(options),
        )  # fmt: skip
        process = planning.process(asked, command)
        name = finding.name(engine, options)
        record = planning.record(asked, process, name, image, remove=not detach or bool(options.get("rm")))
        plan = planning.plan(replace(asked, record=record), process)
    machine = Machine.of(engine, record)
    with Session(client.spawn(plans.KEEPER, plan=plan), streams.unheard() if detach else streams) as session:
        session.on_start = lambda session: streams.started(machine, session)
        if detach:
            session.wait_start()
            session.detach()
            return machine
        ended = session.wait()
    machine = machine.ended_as(ended)
    if raise_error and machine.exit_code:
        raise _failed(machine, session.last_words)
    return machine


def _reads(streams: Streams, command: Sequence[str], *, detach: bool) -> str:
    """What input its command has. One that stays, and was given no command, waits for `vm exec`: the image's own shell
    would end for lack of input."""
    if detach:
        return "" if command else "never"
    return "yes" if streams.stdin is not None else ""


def _size(streams: Streams) -> tuple[int, int]:
    size = streams.console_size()
    return size["height"], size["width"]


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
