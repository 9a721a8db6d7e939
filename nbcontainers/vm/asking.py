"""What a client may ask of the keeper of a machine that runs, over the socket monitor.sock: one frame Q with JSON.

{"do": "exec", "script", "token", "reads", "terminal"}   one more command; then frames as of a container's exec
{"do": "stop", "signal", "time"}                in order; answered by X when the machine has ended
{"do": "kill"}                                  at once; answered the same way
{"do": "signal", "signal"}                      to its own command; answered by R at once
{"do": "wait"}                                  answered by X when the machine has ended
"""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from nbcontainers.errors import Error, InvalidState
from nbcontainers.monitor import protocol
from nbcontainers.monitor.peers import Peer
from nbcontainers.vm import hardware

if TYPE_CHECKING:
    from nbcontainers.vm.keeper import Keeper
    from nbcontainers.vm.lanes import Lane


class Wish(NamedTuple):
    """A command that is to be run, and what its client has said since."""

    peer: Peer
    asked: dict[str, Any]
    frames: list[tuple[bytes, bytes]]


def listener(folder: str) -> socket.socket:
    """The socket in that folder, of a path of any length."""
    found = socket.socket(socket.AF_UNIX)
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found.bind(f"/proc/self/fd/{place}/monitor.sock")
    finally:
        os.close(place)
    found.listen(16)
    found.setblocking(False)
    return found


def answer(keeper: Keeper, peer: Peer, payload: bytes) -> None:
    """Do what a client asks, or say why not."""
    try:
        asked = json.loads(payload)
        _VERBS[asked["do"]](keeper, peer, asked)
    except Error as error:
        peer.send(_failed(error))
    except (ValueError, KeyError, TypeError) as error:
        peer.send(_failed(Error(f"the virtual machine's keeper was asked what it does not know: {error!r}")))


def _execute(keeper: Keeper, peer: Peer, asked: dict[str, Any]) -> None:
    if "started" not in keeper.times:
        raise InvalidState("the virtual machine is still booting", hint="try again in a moment; vm ls shows how it is")
    if keeper.exit_code is not None or keeper.ending:
        raise InvalidState("the virtual machine is ending", hint="vm run -d starts another one")
    if all(lane.busy and lane.exit_code is None for lane in keeper.lanes[1:]):
        raise InvalidState(
            f"{hardware.LANES - 1} commands are run in the virtual machine already", hint="wait for the end of one"
        )
    keeper.wishes.append(Wish(peer, asked, []))
    begin(keeper)


def begin(keeper: Keeper) -> None:
    """Start the commands that were asked for, as lanes become free: soon after the end of the one before."""
    while keeper.wishes and (free := next((lane for lane in keeper.lanes[1:] if not lane.busy), None)):
        peer, asked, frames = keeper.wishes.pop(0)
        free.begin(peer, asked["token"], reads=asked["reads"], terminal=asked["terminal"])
        free.script = asked["script"].encode("utf-8", "surrogateescape")
        keeper.guest.ask(free)
        for kind, payload in frames:
            keeper.heed(peer, kind, payload)


def ended(lane: Lane) -> None:
    """A command of `vm exec` has ended, and all its output has been queued; or the machine has, which cut it short."""
    if not lane.peer:
        return
    if lane.exit_code is None:
        error = InvalidState("the virtual machine ended before the command did", hint="vm ls -a shows how")
        lane.peer.send(_failed(error))
    else:
        record = {"exit_code": lane.exit_code, "signal": None}
        lane.peer.send(protocol.frame(protocol.EXIT, json.dumps(record).encode()))
    lane.peer = None


def _stop(keeper: Keeper, peer: Peer, asked: dict[str, Any]) -> None:
    keeper.waiting.append(peer)
    keeper.stop(int(asked["signal"]), float(asked["time"]))


def _kill(keeper: Keeper, peer: Peer, asked: dict[str, Any]) -> None:
    keeper.waiting.append(peer)
    keeper.ending = signal.SIGKILL
    keeper.kill()


def _signal(keeper: Keeper, peer: Peer, asked: dict[str, Any]) -> None:
    if "started" not in keeper.times:
        raise InvalidState("the virtual machine is still booting", hint="vm kill without -s ends it")
    keeper.guest.order(f"signal 0 {int(asked['signal'])}")
    peer.send(protocol.frame(protocol.RESULT, b"null"))


def _wait(keeper: Keeper, peer: Peer, asked: dict[str, Any]) -> None:
    keeper.waiting.append(peer)


def _failed(error: Error) -> bytes:
    return protocol.frame(protocol.FAILED, json.dumps(error.to_json()).encode())


_VERBS = {"exec": _execute, "stop": _stop, "kill": _kill, "signal": _signal, "wait": _wait}
