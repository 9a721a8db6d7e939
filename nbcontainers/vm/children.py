"""The programs a keeper starts: the machine itself, and the servers of what is shared with it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from nbcontainers.errors import Error
from nbcontainers.linux import namespaces, process
from nbcontainers.vm import hardware, jail, pinning


def machine(plan: Mapping[str, Any], ports: Sequence[int], servers: Sequence[int], console: int) -> tuple[int, int]:
    """Start it in a process group of its own; (pid, pidfd). The descriptors are its ports, sockets to the servers, and where
    its kernel's own words go."""
    initrd = os.memfd_create("initrd", os.MFD_CLOEXEC)
    try:
        os.write(initrd, _initrd(plan))
        command = hardware.command(plan, initrd, ports, servers)
        pid, descriptor = namespaces.clone3(jail.NAMESPACES if plan["kind"] == hardware.UML else 0)
        if pid == 0:
            _become(plan, command, [initrd, *ports, *servers, *plan.get("wires", ())], console)
    finally:
        os.close(initrd)
    return pid, descriptor


def _initrd(plan: Mapping[str, Any]) -> bytes:
    """The initramfs that many runs share, this one's request, and what its network gave it."""
    with open(plan["base"], "rb") as base:
        return base.read() + bytes.fromhex(plan["request"]) + bytes.fromhex(plan.get("files", ""))


def _become(plan: Mapping[str, Any], command: list[str], inherited: list[int], console: int) -> NoReturn:
    environment: dict[str, str] = {}
    try:
        os.setpgid(0, 0)
        if chosen := plan.get("pinned"):
            os.sched_setaffinity(0, chosen if plan["kind"] == hardware.UML else pinning.others(chosen))
        if plan["kind"] == hardware.UML:
            environment = jail.enter(plan, _initrd(plan))
    except (OSError, Error, ValueError) as error:
        os.write(console, f"{error}\n".encode())
        os._exit(127)
    _execute(command, inherited, console, environment)


@contextmanager
def served(plan: Mapping[str, Any]) -> Iterator[list[int]]:
    """Start a virtiofsd for each folder QEMU is to be shown; a socket to each."""
    started = [_serve(one["command"], plan) for one in plan["servers"]]
    try:
        yield [descriptor for _, descriptor in started]
    finally:
        for pid, _ in started:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _serve(command: list[str], plan: Mapping[str, Any]) -> tuple[int, int]:
    """(pid of the server, a socket that is connected to it)."""
    place = os.open(plan["folder"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    path = f"/proc/self/fd/{place}/socket"  # of any length
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        os.unlink(path)
        os.close(place)
        pid = os.fork()
        if pid == 0:
            if chosen := plan.get("pinned"):
                os.sched_setaffinity(0, pinning.others(chosen))
            _execute([*command, f"--fd={listener.fileno()}"], [listener.fileno()], 2, {})
    return pid, connection.detach()


def _execute(command: list[str], inherited: list[int], output: int, environment: dict[str, str]) -> NoReturn:
    """In a child that is to die with us: become the program."""
    try:
        process.set_pdeathsig()
        process.reset_signals()
        null = (
            os.open(os.devnull, os.O_RDONLY) if os.path.exists(os.devnull) else os.pipe()[0]
        )  # there is none in a jail
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)
        os.execvpe(command[0], command, {**os.environ, "HOME": "/", **environment})
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    finally:
        os._exit(127)
