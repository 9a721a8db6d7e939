"""The programs a keeper starts: the machine itself, and the servers of what is shared with it."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from nbcontainers.linux import namespaces, process
from nbcontainers.vm import hardware, jail, pinning


def machine(plan: Mapping[str, Any], ports: Sequence[int], servers: Sequence[int], console: int) -> tuple[int, int]:
    """Start it in a process group of its own, which both of us make, as either may need it first; (pid, pidfd). The
    descriptors are its ports, sockets to the servers, and where its kernel's own words go."""
    initrd, keeper = os.memfd_create("initrd", os.MFD_CLOEXEC), process.pidfd_open(os.getpid())
    try:
        os.write(initrd, _initrd(plan))
        command = hardware.command(plan, initrd, ports, servers)
        pid, descriptor = namespaces.clone3(jail.NAMESPACES if plan["kind"] == hardware.UML else 0)
        if pid == 0:
            inherited = [initrd, *ports, *servers, *plan.get("wires", ())]
            _become(keeper, command, inherited, console, lambda: _prepare(plan))
    finally:
        os.close(initrd)
        os.close(keeper)
    with suppress(OSError):  # it has done so itself, or has ended
        os.setpgid(pid, pid)
    return pid, descriptor


def _initrd(plan: Mapping[str, Any]) -> bytes:
    """The initramfs that many runs share, this one's request, and what its network gave it."""
    with open(plan["base"], "rb") as base:
        return base.read() + bytes.fromhex(plan["request"]) + bytes.fromhex(plan.get("files", ""))


def _prepare(plan: Mapping[str, Any]) -> dict[str, str]:
    """In the machine's process, before it becomes the program; variables that are to be added."""
    os.setpgid(0, 0)
    if chosen := plan.get("pinned"):
        os.sched_setaffinity(0, chosen if plan["kind"] == hardware.UML else pinning.others(chosen))
    if plan["kind"] == hardware.UML:
        return jail.enter(plan, _initrd(plan))
    jail.confine(plan)
    return {"TMPDIR": plan["folder"]}  # for what a guest writes to its disk: another may be closed to us now, or small


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
        keeper = process.pidfd_open(os.getpid())
        pid = os.fork()
        if pid == 0:
            _become(keeper, [*command, f"--fd={listener.fileno()}"], [listener.fileno()], 2, lambda: _beside(plan))
        os.close(keeper)
    return pid, connection.detach()


def _beside(plan: Mapping[str, Any]) -> dict[str, str]:
    """In a server's process: not on the machine's processors."""
    if chosen := plan.get("pinned"):
        os.sched_setaffinity(0, pinning.others(chosen))
    return {}


def _become(
    keeper: int, command: list[str], inherited: list[int], output: int, prepare: Callable[[], dict[str, str]]
) -> NoReturn:
    """In a child that is to die with the keeper (its pidfd): become the program. Nothing else leaves: what is above us on
    the stack is the keeper's."""
    try:
        process.set_pdeathsig()
        if select.select([keeper], [], [], 0)[0]:  # it died before
            os._exit(127)
        environment = prepare()
        process.set_pdeathsig()  # a change of credentials may clear it: prctl(2)
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
    except BaseException as error:  # noqa: BLE001 - whatever it is, it must not go on as the keeper
        os.write(output, f"{command[0]}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(127)
