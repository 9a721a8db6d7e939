"""The end of machines: `vm stop`, `vm kill`, `vm wait`, `vm rm`."""

from __future__ import annotations

import json
import signal as signals
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from nbcontainers.container import parse
from nbcontainers.container.options import bad
from nbcontainers.container.selection import each
from nbcontainers.errors import Error, InvalidState, LauncherDied
from nbcontainers.launcher.channel import Channel
from nbcontainers.monitor import protocol
from nbcontainers.vm.executing import attached, not_running, opened
from nbcontainers.vm.machine import ALIVE, Machine

STOP_S = 10.0
_PAUSE_S = 0.01
_PATIENCE_S = 10.0


def stop(machines: Sequence[Machine], timeout: float | None, signal: str | int | None) -> list[str]:
    """All at once; those that have ended are fine."""
    number = _number("TERM" if signal is None else signal)
    document = {"do": "stop", "signal": number, "time": STOP_S if timeout is None else timeout}
    asked = [(machine, _ask(machine, document)) for machine in machines if machine.status in ALIVE]
    each(asked, lambda one: _end(*one))
    return [machine.name for machine in machines]


def kill(machine: Machine, signal: str | int) -> str:
    """SIGKILL is the machine's, another signal its command's."""
    number = _number(signal)
    if number != signals.SIGKILL:
        with opened(machine) as channel:
            channel.send(protocol.REQUEST, {"do": "signal", "signal": number})
            _answer(machine, channel)
    elif (status := machine.status) in ALIVE:
        _end(machine, _ask(machine, {"do": "kill"}))
    else:
        raise not_running(machine, status)
    return machine.name


def wait(machine: Machine) -> int:
    """Its command's exit status. Raises InvalidState for one that is dead."""
    if machine.status in ALIVE:
        ended = _end(machine, _ask(machine, {"do": "wait"}))
    else:
        ended = dict(machine.ended)
    if not ended:
        why = "it was removed" if machine.status == "removed" else "its keeper was killed"
        raise InvalidState(f"the virtual machine {machine.name} has no end that is known: {why}", hint="system prune")
    if ended.get("exit_code") is None:
        raise Error.from_json(ended["error"])
    return int(ended["exit_code"])


def remove(machines: Sequence[Machine], *, force: bool) -> list[str]:
    """Of one that runs only by force."""
    return each(machines, lambda machine: _remove(machine, force=force))


def _remove(machine: Machine, *, force: bool) -> str:
    if machine.status in ALIVE:
        if not force:
            raise InvalidState(
                f"the virtual machine {machine.name} is running",
                hint=f"vm stop {machine.name}, or vm rm -f {machine.name} to kill it",
            )
        _end(machine, _ask(machine, {"do": "kill"}))
    machine.places.forget()
    return machine.name


def _ask(machine: Machine, document: Mapping[str, Any]) -> Channel | None:
    """None where its keeper listens no more: then it is ending."""
    deadline = time.monotonic() + _PATIENCE_S
    while not (channel := attached(machine)) and machine.status == "booting" and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)  # it does not listen yet
    if channel:
        try:
            channel.send(protocol.REQUEST, dict(document))
        except OSError:  # since just now
            channel.close()
            return None
    return channel


def _answer(machine: Machine, channel: Channel) -> dict[str, Any]:
    """Raises what the keeper says went wrong."""
    answer = channel.receive()
    if answer is None:
        raise LauncherDied(f"the keeper of the virtual machine {machine.name} vanished", hint="system prune tidies up")
    kind, payload = answer
    if kind == protocol.FAILED:
        raise Error.from_json(json.loads(payload))
    return json.loads(payload) or {}


def _end(machine: Machine, channel: Channel | None) -> dict[str, Any]:
    """Until it has ended and nothing of it is left; how, {} where nobody said it and nothing is kept."""
    ended: dict[str, Any] = {}
    if channel:
        with channel, suppress(LauncherDied):  # we stood in line when it stopped listening
            ended = _answer(machine, channel)
    deadline = time.monotonic() + _PATIENCE_S
    while machine.status in ALIVE:
        if time.monotonic() >= deadline:
            if ended:
                break
            hint = "try again in a moment; vm ls shows how it is"
            raise InvalidState(f"the virtual machine {machine.name} is still ending", hint=hint)
        time.sleep(_PAUSE_S)
    return ended or dict(machine.ended)


def _number(signal: str | int) -> int:
    try:
        return parse.signal(signal)
    except ValueError as error:
        raise bad("signal", str(error)) from None
