"""The launcher's own process: it imports what its client names, then forks one child a request.

It runs by `python -I -S -c …`, single-threaded, and ends with its client: the end of the control socket is the
end of the launcher, however the client died. A request is one packet on that socket: the names of modules to
have ready, and as SCM_RIGHTS the request's own socket and the caller's descriptors (unix(7)).
"""

from __future__ import annotations

import array
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from nbcontainers.errors import Error, HostNotCapable, of_the_host
from nbcontainers.linux import memory, process
from nbcontainers.monitor import protocol

SEALED = "NBCONTAINERS_SEALED"
_MAX_FDS = 253  # SCM_MAX_FD, unix(7)
#: A foreground container of a short program is through in this time; its start is not to be disturbed.
_START_MS = 25
_INT = array.array("i").itemsize
_ANCILLARY = socket.CMSG_SPACE(_MAX_FDS * _INT)


def main(control_fd: int, run: str, rootless: bool, modules: str) -> NoReturn:
    """Serve until the client goes. `run` is the engine's run folder, `modules` a comma-separated list."""
    try:
        refusal = None
        enter(run, rootless)
    except Error as error:
        refusal = error
    except OSError as error:
        refusal = HostNotCapable.from_oserror(error, "the launcher could not start")
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    preload(modules.split(","))
    Server(control, refusal).serve()


def enter(run: str, rootless: bool) -> None:
    """Join the namespaces of the pause process where there are any, then run from a sealed interpreter."""
    if rootless and SEALED not in os.environ:
        from nbcontainers.launcher.pause import join

        join(run)
    process.seal_interpreter(SEALED)


def preload(modules: list[str]) -> bool:
    """Import before forking, once for all; whether anything was new. A module's function `ready` is called then; an
    absolute path is a folder that later ones may be in.

    What cannot be imported is reported by the child that needs it.
    """
    missing = [name for name in modules if name and name not in sys.modules and name not in sys.path]
    for name in missing:
        if name.startswith("/"):
            sys.path.append(name)
            continue
        try:
            ready = getattr(import_module(name), "ready", None)
        except ImportError:
            continue
        if ready:
            ready()
    if missing:
        gc.collect()
        gc.freeze()
    return bool(missing)


class Spare(NamedTuple):
    """A child that waits, and where it waits."""

    pid: int
    connection: socket.socket


class Server:
    """The loop. A spare child is forked ahead, in a quiet moment, and takes its page faults before it is needed."""

    def __init__(self, control: socket.socket, refusal: Error | None) -> None:
        self.control = control
        self.refusal = refusal
        self.spare: Spare | None = None
        self.busy = -1
        """A pidfd of the child that got the last request."""

    def serve(self) -> NoReturn:
        """Until the client goes."""
        while True:
            if self.spare is None and quiet(self.control, self.busy):
                self.spare = self.make_spare()
            packet, fds = receive(self.control)
            if not packet and not fds:
                os._exit(0)
            if preload(packet.decode().split("\n")) and self.spare:
                self.spare.connection.close()  # it does not know the newest modules
                self.spare = None
            pid = self.hand_over(fds) if fds else 0
            if self.busy >= 0:
                os.close(self.busy)
            self.busy = open_quickly(pid) if pid else -1
            for descriptor in fds:
                os.close(descriptor)

    def hand_over(self, fds: list[int]) -> int:
        """Give a request to the spare, or to a new child if there is none or it was killed; returns the pid."""
        spare, self.spare = self.spare, None
        if spare is not None:
            with spare.connection:
                try:
                    socket.send_fds(spare.connection, [b"r"], fds)
                    return spare.pid
                except OSError:
                    pass
        pid = os.fork()
        if pid == 0:
            self.forget()
            child(fds[0], fds[1:], self.refusal)
        return pid

    def forget(self) -> None:
        """In a child: close what is the launcher's alone."""
        self.control.close()
        if self.busy >= 0:
            os.close(self.busy)

    def make_spare(self) -> Spare:
        """Fork a child that waits for a request; it ends with us, when the socket does."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pid = os.fork()
            if pid == 0:
                self.forget()
                ours.close()
                wait_as_spare(theirs, self.refusal)
        return Spare(pid, ours)


def open_quickly(pid: int) -> int:
    """A pidfd of our child; -1 if it has ended already."""
    try:
        return process.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def quiet(control: socket.socket, busy: int) -> bool:
    """Wait for a good moment to make a spare: the last child has ended, or works on and has had its start.

    False if a request comes before.
    """
    poll = select.poll()
    poll.register(control, select.POLLIN)
    if busy >= 0:
        poll.register(busy, select.POLLIN)
    return control.fileno() not in dict(poll.poll(_START_MS if busy >= 0 else 0))


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """One packet and its descriptors (close-on-exec); (b"", []) when the other side has gone."""
    try:
        packet, ancillary, _, _ = connection.recvmsg(1 << 16, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return b"", []
    fds: list[int] = []
    for _, _, data in ancillary:
        fds += array.array("i", data[: len(data) - len(data) % _INT])
    return packet, fds


def wait_as_spare(connection: socket.socket, refusal: Error | None) -> NoReturn:
    """The life of the spare child: it never returns into the launcher's loop."""
    try:
        asked = select.poll()
        asked.register(connection, select.POLLIN)
        memory.populate(lambda: bool(asked.poll(0)))
        packet, fds = receive(connection)
        connection.close()
        if packet and fds:
            child(fds[0], fds[1:], refusal)
    finally:
        os._exit(0)


def child(request: int, fds: list[int], refusal: Error | None) -> NoReturn:
    """The child's whole life. It never returns into the launcher's loop."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        answer(request, fds, refusal)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the last frame of this process: tell the client, then leave
        report(request, error)
    finally:
        os._exit(code)


def answer(request: int, fds: list[int], refusal: Error | None) -> None:
    """Read the request, call its target, send the result."""
    message = read_request(request)
    if message["kind"] == "call":
        write(request, protocol.PID, {"pid": os.getpid()})
    if refusal:
        raise refusal
    module, _, name = message["target"].partition(":")
    target: Callable[..., Any] = getattr(import_module(module), name)
    arguments = message["arguments"]
    if fds:
        arguments["fds"] = fds
    if message["kind"] == "spawn":
        target(request, **arguments)
        return
    if message["events"]:
        arguments["on_event"] = lambda event: write(request, protocol.EVENT, event)
    write(request, protocol.RESULT, target(**arguments))


def read_request(request: int) -> dict[str, Any]:
    """The first frame and not a byte more: what follows it (a program's input) is the target's to read."""
    message: dict[str, Any] = json.loads(
        read_exactly(request, int.from_bytes(read_exactly(request, protocol.HEADER)[1:], "big"))
    )
    return message


def read_exactly(request: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(request, count - len(data))
        if not piece:
            os._exit(0)  # the client died between its two sends
        data += piece
    return data


def write(request: int, kind: bytes, document: Any) -> None:
    data = memoryview(protocol.frame(kind, json.dumps(document).encode()))
    while data:
        data = data[os.write(request, data) :]


def report(request: int, error: BaseException) -> None:
    """Send an exception as an F frame; nobody may be listening any more."""
    try:
        write(request, protocol.FAILED, as_error(error).to_json())
    except OSError:
        return


def as_error(error: BaseException) -> Error:
    """The exception as one of ours; an unexpected one keeps its traceback in the details."""
    if isinstance(error, Error):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Error("interrupted", interrupted=True)
    if refused := of_the_host(error):
        return refused
    from traceback import format_exception

    text = "".join(format_exception(error))
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Error(f"the helper process failed: {message}", traceback=text)
