"""The step that publishes an ordinary user's ports: a process of our own carries them to where his networks are."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from typing import Any, NoReturn

from nbcontainers.linux import process
from nbcontainers.monitor.files import Files
from nbcontainers.network import forwarder, publish, state, userhost
from nbcontainers.network.firewall import Forward
from nbcontainers.runtime.middle import close_others

Arguments = dict[str, Any]


class Forwards:
    """`root`, `run`, `id`, `ports`: the same as `publish.Publish`, where the host's own packets cannot be led."""

    @staticmethod
    def do(args: Arguments) -> None:
        files = Files(args["root"], args["run"], args["id"])
        held: list[socket.socket] = []
        try:
            forwards = publish.reserve(args["ports"], publish.targets_of(state.read(files)), held, files)
            for one in held:
                if one.type == socket.SOCK_STREAM:
                    one.listen(128)
            with state.changed(files) as made:
                made["ports"] = [one._asdict() for one in forwards]
            userhost.there(files.run, lambda: publish.lead(forwards, made["networks"]))
            pid = _start(files, held, forwards)
            with state.changed(files) as made:
                made["processes"].append({"pid": pid, "start_time": process.start_time(pid)})
        finally:
            for one in held:
                one.close()

    @staticmethod
    def undo(args: Arguments) -> None:
        end(Files(args["root"], args["run"], args["id"]))
        userhost.there(args["run"], lambda: publish.Publish.undo(args))

    @staticmethod
    def describe(args: Arguments) -> str:
        words = [f"{port['protocol']} {port['first'] or 'any'} to {port['target']}" for port in args["ports"]]
        return f"forward {', '.join(words)} to {args['id'][:12]}"


def _start(files: Files, held: Sequence[socket.socket], forwards: Sequence[Forward]) -> int:
    """A child of the monitor's that dies with it; returns its pid."""
    pairs = list(zip(forwards, held, strict=True))
    pid = os.fork()
    if pid:
        return pid
    try:
        process.set_pdeathsig(signal.SIGKILL)
        _forward(files, pairs)
    finally:
        os._exit(1)


def _forward(files: Files, forwards: list[tuple[Forward, socket.socket]]) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    close_others({listener.fileno() for _, listener in forwards})
    userhost.enter(files.run)
    forwarder.run(files, forwards)


def end(files: Files) -> None:
    """Kill the processes that were started for the network of a container, and reap those that are ours."""
    for one in state.read(files)["processes"]:
        if process.alive(one["pid"], one["start_time"]):
            os.kill(one["pid"], signal.SIGKILL)
        try:
            os.waitpid(one["pid"], 0)
        except ChildProcessError:  # the monitor was killed, and they with it
            continue
