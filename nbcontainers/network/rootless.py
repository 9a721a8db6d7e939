"""The networks of an ordinary user, who may make no interface on the host: the steps that do what can be done.

Published ports are forwarded by a process of our own. The way outside is another program's, where it is installed.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import namespaces, process
from nbcontainers.monitor.files import Files
from nbcontainers.network import forwarder, publish, state
from nbcontainers.network.firewall import Forward
from nbcontainers.runtime.middle import close_others

Arguments = dict[str, Any]


_TARGETS = {4: "127.0.0.1"}


class Forwards:
    """`root`, `run`, `id`, `path` (the namespace), `ports`: a process that carries each into the container."""

    @staticmethod
    def do(args: Arguments) -> None:
        files = Files(args["root"], args["run"], args["id"])
        held: list[socket.socket] = []
        try:
            forwards = publish.reserve(args["ports"], _TARGETS, held, files)
            for one in held:
                if one.type == socket.SOCK_STREAM:
                    one.listen(128)
            namespace = os.open(args["path"], os.O_RDONLY | os.O_CLOEXEC)
            pairs = list(zip(forwards, held, strict=True))
            pid = _start(lambda: _forward(namespace, pairs))
            os.close(namespace)
            with state.changed(files) as made:
                made["ports"] = [one._asdict() for one in forwards]
                made["processes"].append({"pid": pid, "start_time": process.start_time(pid)})
        finally:
            for one in held:
                one.close()

    @staticmethod
    def undo(args: Arguments) -> None:
        end(Files(args["root"], args["run"], args["id"]))

    @staticmethod
    def describe(args: Arguments) -> str:
        words = [f"{port['protocol']} {port['first'] or 'any'} to {port['target']}" for port in args["ports"]]
        return f"forward {', '.join(words)} into {args['path']}"


class Outside:
    """`root`, `run`, `id`, `path`, `program` (slirp4netns): the way outside, through the user's own sockets."""

    @staticmethod
    def do(args: Arguments) -> None:
        files = Files(args["root"], args["run"], args["id"])
        ready, theirs = os.pipe2(os.O_CLOEXEC)
        words = [args["program"], "--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={theirs}",
                 "--netns-type=path", args["path"], "tap0"]  # fmt: skip
        pid = _start(lambda: _execute(words, theirs))
        os.close(theirs)
        said = os.read(ready, 1)
        os.close(ready)
        if said != b"1":
            os.waitpid(pid, 0)
            raise CreateFailed(
                f"{args['program']} could not connect the container with the outside", exit_code=125, stage="network",
                hint="check that /dev/net/tun is there, or type --network none",
            )  # fmt: skip
        with state.changed(files) as made:
            made["processes"].append({"pid": pid, "start_time": process.start_time(pid)})

    @staticmethod
    def undo(args: Arguments) -> None:
        end(Files(args["root"], args["run"], args["id"]))

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"{args['program']} --configure --netns-type=path {args['path']} tap0"


class Closed:
    """Says that there is no way outside, and what would make one."""

    @staticmethod
    def do(args: Arguments) -> None:
        """There is nothing to make."""

    @staticmethod
    def undo(args: Arguments) -> None:
        """Nothing was made."""

    @staticmethod
    def notes(args: Arguments) -> list[str]:
        return [
            "the container cannot reach the outside; slirp4netns (apt install slirp4netns) and access to "
            "/dev/net/tun make a way"
        ]

    @staticmethod
    def describe(args: Arguments) -> str:
        return ": no way outside"


def _start(main: Callable[[], NoReturn]) -> int:
    """A child of the monitor's that dies with it; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        process.set_pdeathsig(signal.SIGKILL)
        main()
    finally:
        os._exit(1)


def _forward(namespace: int, forwards: list[tuple[Forward, socket.socket]]) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    close_others({namespace, *(listener.fileno() for _, listener in forwards)})
    namespaces.setns(namespace, namespaces.CLONE_NEWNET)
    os.close(namespace)
    forwarder.run(forwards)


def _execute(words: list[str], ready: int) -> NoReturn:
    os.set_inheritable(ready, True)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.execv(words[0], words)


def end(files: Files) -> None:
    """Kill the processes that were started for the network of a container, and reap those that are ours."""
    for one in state.read(files)["processes"]:
        if process.alive(one["pid"], one["start_time"]):
            os.kill(one["pid"], signal.SIGKILL)
        try:
            os.waitpid(one["pid"], 0)
        except ChildProcessError:  # the monitor was killed, and they with it
            continue
