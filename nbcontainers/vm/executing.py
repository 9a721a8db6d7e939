"""`vm exec`: one more command in a machine that runs."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from nbcontainers.container import parse, spec, users
from nbcontainers.container.execution import Executed
from nbcontainers.container.host import this_host
from nbcontainers.container.options import RunOptions, check_words, value
from nbcontainers.container.session import Session, Streams
from nbcontainers.errors import ContainerFailed, InvalidArgument, InvalidState
from nbcontainers.launcher import client
from nbcontainers.launcher.channel import Channel
from nbcontainers.monitor import protocol
from nbcontainers.vm.machine import ALIVE, Machine
from nbcontainers.vm.options import CommandOptions
from nbcontainers.vm.request import Command, Process

__all__ = ["Executed", "opened", "run"]


def run(
    machine: Machine, command: Sequence[str], options: CommandOptions, streams: Streams, *, raise_error: bool
) -> Executed:
    """Have it run the command, and follow it to its end. Raises InvalidState, ContainerFailed."""
    if not command:
        raise InvalidArgument("exec needs a command", hint=f"type vm exec {machine.name} sh", option="command")
    check_words(tuple(command))
    streams.check()
    tty = bool(options.get("tty"))

    def made() -> Command:
        size = streams.console_size() if tty else None
        return Command(
            process(machine, command, options, tty=tty), "yes" if streams.stdin is not None else "",
            (size["height"], size["width"]) if size else None,
        )  # fmt: skip

    return carry(machine, made, streams, raise_error=raise_error)


def carry(machine: Machine, made: Callable[[], Command], streams: Streams, *, raise_error: bool) -> Executed:
    """Follow one command to its end, made once the machine is known to run. Raises InvalidState, ContainerFailed."""
    started = time.monotonic()
    channel = opened(machine)
    try:
        carried, token = made(), secrets.token_hex(16)
        reads, tty = carried.reads == "yes", carried.size is not None
        asked = {"do": "exec", "script": carried.script(token), "token": token, "reads": reads, "terminal": tty}
        channel.send(protocol.REQUEST, _whole(asked))
    except BaseException:
        channel.close()
        raise
    with Session(channel, streams, lambda session: streams.started(machine, session)) as session:
        ended = session.wait()
    done = Executed(machine.name, tuple(carried.process.args), ended.get("exit_code"), time.monotonic() - started)
    if raise_error and done.exit_code:
        raise _failed(machine, done.exit_code, session.last_words)
    return done


def _whole(asked: Mapping[str, Any]) -> bytes:
    """As the keeper takes it. Raises InvalidArgument."""
    payload = json.dumps(asked).encode()
    if len(payload) > protocol.MAX_PAYLOAD:
        raise InvalidArgument(
            f"a command of {len(payload)} bytes, with its variables, is too long for vm exec: at most "
            f"{protocol.MAX_PAYLOAD} can be sent",
            hint="give it what is long as its input, or by a file: vm cp",
        )
    return payload


def process(machine: Machine, command: Sequence[str], options: CommandOptions, *, tty: bool) -> Process:
    """The command as the machine's own was made, but for what is asked."""
    record, given = machine.record, cast(RunOptions, options)
    user = str(options.get("user") or record["user"])
    identity = users.resolve(user, record["layers"], (), f"the image {record['image']}")
    config = {"Env": record["env"]}
    basis = spec.Basis(machine.id, config, identity, this_host(machine.engine.rootless if machine.engine else False))
    folder = value(given, "workdir", parse.path) or record["workdir"]
    environment = spec.environment(cast(RunOptions, {**options, "tty": tty}), basis)
    return Process(list(command), environment, folder, identity.uid, identity.gid, identity.groups)


def opened(machine: Machine) -> Channel:
    """A channel to its keeper. Raises InvalidState, which says how it is."""
    status = machine.status
    if status in ALIVE:
        if channel := attached(machine):
            return channel
        status = "ending"
    raise not_running(machine, status)


def attached(machine: Machine) -> Channel | None:
    """The same; None where its keeper listens no more."""
    try:
        return client.attach(f"{machine.places.run}/.vm", machine.places.id[:12])
    except InvalidState:
        return None


def not_running(machine: Machine, status: str) -> InvalidState:
    hint = f"vm run -d {machine.image} starts another one" if status != "booting" else "try again in a moment"
    return InvalidState(f"the virtual machine {machine.name} is not running: it is {status}", hint=hint)


def _failed(machine: Machine, status: int, last_words: bytes) -> ContainerFailed:
    from nbcontainers.container.failure import cause, evidence

    what, why, advice = cause({"exit_code": status})
    return ContainerFailed(
        f"the command in the virtual machine {machine.name} {what}{why}{evidence(last_words)}", hint=advice,
        exit_code=status, signal=None, oom_killed=False, id=machine.id, name=machine.name,
    )  # fmt: skip
