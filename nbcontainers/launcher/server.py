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
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from nbcontainers.errors import Error, HostNotCapable, of_the_host
from nbcontainers.linux import memory, process
from nbcontainers.monitor import protocol

SEALED = "NBCONTAINERS_SEALED"
_MAX_FDS = 253  # SCM_MAX_FD, unix(7)
#: A foreground container of a short program is through in this time; its start is not to be disturbed.
_START_MS = 25
#: A command line goes with its container; nothing is to be made for it then.
_PAUSE_MS = 10
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


class Child(NamedTuple):
    """A child, and the socket over which it and we speak. A prepared one is for requests to a `module`; `ticket` is what
    a client sends such a request to."""

    pid: int
    connection: socket.socket
    module: str = ""
    ticket: socket.socket | None = None


class Server:
    """The loop. Spare children are forked ahead, in a quiet moment.

    One takes its page faults and then whatever comes. Of the others each does what the last request to a module wished
    for the next one: a call, `{"target", "arguments"}`, whose result waits for that. The client gets its socket.
    """

    def __init__(self, control: socket.socket, refusal: Error | None) -> None:
        self.control = control
        self.refusal = refusal
        self.spare: Child | None = None
        self.prepared: dict[str, Child] = {}
        self.wishes: dict[str, bytes] = {}
        """Both by module."""
        self.heard: dict[int, Child] = {}
        """Children that may say something, by the descriptor of their connection."""
        self.busy = -1
        """A pidfd of the child that got the last request."""

    def serve(self) -> NoReturn:
        """Until the client goes."""
        while True:
            missing = self.spare is None or bool(self.wishes.keys() - self.prepared.keys())
            ready = self.wait((_PAUSE_MS if self.busy < 0 else _START_MS) if missing else None)
            if self.control.fileno() in ready:
                self.take()
            elif spoken := ready & self.heard.keys():
                self.hear_all(spoken)
            elif ready:
                self.rest(-1)  # the last child has ended
            else:  # a good moment: or it works on and has had its start
                self.rest(-1)
                self.make()

    def wait(self, timeout: float | None) -> set[int]:
        poll = select.poll()
        for descriptor in (self.control.fileno(), *self.heard, *([self.busy] if self.busy >= 0 else [])):
            poll.register(descriptor, select.POLLIN)
        return {descriptor for descriptor, _ in poll.poll(timeout)}

    def rest(self, pid: int) -> None:
        """Leave the child `pid` alone for a while."""
        if self.busy >= 0:
            os.close(self.busy)
        self.busy = open_quickly(pid) if pid > 0 else -1

    def take(self) -> None:
        """A packet of the client's: modules to have ready, and perhaps a request."""
        packet, fds = receive(self.control)
        if not packet and not fds:
            os._exit(0)
        if preload(packet.decode().split("\n")):
            self.drop(self.spare)  # they do not know the newest modules
            for prepared in list(self.prepared.values()):
                self.drop(prepared)
        if fds:
            self.rest(self.hand_over(fds))
        for descriptor in fds:
            os.close(descriptor)

    def hand_over(self, fds: list[int]) -> int:
        """Give a request to the spare, or to a new child if there is none or it was killed; returns the pid."""
        spare, self.spare = self.spare, None
        if spare is not None:
            try:
                socket.send_fds(spare.connection, [b"r"], fds)
                return spare.pid
            except OSError:
                self.drop(spare)
        return self.fork(lambda connection: child(fds[0], fds[1:], self.refusal, connection)).pid

    def make(self) -> None:
        """One of the spares that is missing."""
        if self.spare is None:
            self.spare = self.fork(lambda connection: wait_as_spare(connection, self.refusal))
        elif missing := self.wishes.keys() - self.prepared.keys():
            self.prepare(missing.pop())

    def prepare(self, module: str) -> None:
        """Do what was wished for the next request to this module."""
        wish = self.wishes[module]
        ticket, request = socket.socketpair()
        with request:
            prepared = self.fork(lambda connection: wait_prepared(connection, request, module, wish), ticket)
        self.prepared[module] = prepared._replace(module=module, ticket=ticket)

    def fork(self, live: Callable[[socket.socket], NoReturn], *unneeded: socket.socket) -> Child:
        """Fork a child that ends, if it waits, with us: when its connection does."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pid = os.fork()
            if pid == 0:
                self.forget(ours, *unneeded)
                live(theirs)
        made = self.heard[ours.fileno()] = Child(pid, ours)
        return made

    def forget(self, *others: socket.socket) -> None:
        """In a child: close what is the launcher's alone."""
        for one in (self.control, *others, *(known.connection for known in self.heard.values())):
            one.close()
        for prepared in self.prepared.values():
            if prepared.ticket:
                prepared.ticket.close()
        if self.busy >= 0:
            os.close(self.busy)

    def hear_all(self, spoken: Iterable[int]) -> None:
        """What one says may be the end of another that has spoken too."""
        for descriptor in spoken:
            if told := self.heard.get(descriptor):
                self.hear(told)

    def hear(self, told: Child) -> None:
        """What a child says: prepared, its name; at last its wish for the next request, or that there is no new one."""
        packet, _ = receive(told.connection)
        prepared = self.find(told)
        if prepared and prepared.ticket and packet:
            with prepared.ticket as ticket:
                socket.send_fds(self.control, [packet], [ticket.fileno()])
            self.prepared[prepared.module] = prepared._replace(ticket=None)
            return
        self.drop(told)
        if prepared and prepared.ticket:
            self.wishes.pop(prepared.module, None)  # it could not be done; the next request wishes anew
        elif prepared:
            self.rest(told.pid)  # it was taken
        if packet:
            self.want(packet)

    def want(self, wish: bytes) -> None:
        """Another wish than the last one makes what was prepared useless."""
        module = json.loads(wish)["target"].partition(":")[0]
        if wish != self.wishes.get(module):
            self.wishes[module] = wish
            self.drop(self.prepared.get(module))

    def find(self, known: Child) -> Child | None:
        """The prepared child of the same pid."""
        return next((one for one in self.prepared.values() if one.pid == known.pid), None)

    def drop(self, known: Child | None) -> None:
        """Hang up. A spare takes that for the end."""
        if known is None:
            return
        self.heard.pop(known.connection.fileno(), None)
        known.connection.close()
        if self.spare and self.spare.pid == known.pid:
            self.spare = None
        if prepared := self.find(known):
            if prepared.ticket:
                prepared.ticket.close()
            del self.prepared[prepared.module]


def open_quickly(pid: int) -> int:
    """A pidfd of our child; -1 if it has ended already."""
    try:
        return process.pidfd_open(pid)
    except ProcessLookupError:
        return -1


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
        memory.populate(lambda: readable(connection))
        packet, fds = receive(connection)
        if packet and fds:
            child(fds[0], fds[1:], refusal, connection)
    finally:
        os._exit(0)


def readable(*descriptors: socket.socket | int, timeout: int | None = 0) -> bool:
    poll = select.poll()
    for one in descriptors:
        poll.register(one, select.POLLIN)
    return bool(poll.poll(timeout))


def wait_prepared(connection: socket.socket, request: socket.socket, module: str, wish: bytes) -> NoReturn:
    """The life of the prepared child."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        document = json.loads(wish)
        prepared = target_of(document)(**document["arguments"])
        say(connection, {"module": module, "name": prepared.name})
        memory.populate(lambda: readable(connection, request))
        readable(connection, request, prepared.ends, timeout=None)
        if not readable(request):  # let go; what the client says from here on fails at its side, and it asks elsewhere
            request.shutdown(socket.SHUT_RD)
        if not request.recv(1, socket.MSG_PEEK):
            prepared.discard()
            os._exit(0)
        child(request.detach(), [], None, connection, prepared)
    finally:
        os._exit(0)


def child(
    request: int, fds: list[int], refusal: Error | None, connection: socket.socket, prepared: Any = None
) -> NoReturn:
    """The child's whole life. It never returns into the launcher's loop."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        answer(request, fds, refusal, connection, prepared)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the last frame of this process: tell the client, then leave
        report(request, error)
    finally:
        os._exit(code)


def answer(request: int, fds: list[int], refusal: Error | None, connection: socket.socket, prepared: Any) -> None:
    """Read the request, call its target, send the result. A module that says ANYWHERE does without our namespaces."""
    message = read_request(request)
    if message["kind"] == "call":
        connection.close()
        write(request, protocol.PID, {"pid": os.getpid()})
    target = target_of(message)
    if refusal and not getattr(sys.modules[target.__module__], "ANYWHERE", False):
        raise refusal
    arguments = message["arguments"]
    if fds:
        arguments["fds"] = fds
    if message["kind"] == "spawn":
        if hasattr(sys.modules[target.__module__], "prepare"):
            arguments |= {"prepared": prepared, "wish": lambda **wanted: send_wish(connection, target, wanted)}
        else:
            connection.close()
        target(request, **arguments)
        return
    if message["events"]:
        arguments["on_event"] = lambda event: write(request, protocol.EVENT, event)
    write(request, protocol.RESULT, target(**arguments))


def target_of(document: dict[str, Any]) -> Callable[..., Any]:
    """The function that `target` names as `module:function`."""
    module, _, name = document["target"].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def send_wish(connection: socket.socket, target: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Have the launcher call `prepare` of the same module for the next request; without arguments, all stays as it is.
    The last word on this connection."""
    with connection:
        if arguments:
            say(connection, {"target": f"{target.__module__}:prepare", "arguments": arguments})


def say(connection: socket.socket, message: dict[str, Any]) -> None:
    """To the launcher, if it is still there, and if that is not too long."""
    try:
        connection.send(json.dumps(message).encode())
    except OSError:
        return


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
