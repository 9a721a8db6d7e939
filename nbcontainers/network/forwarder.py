"""Published ports that nftables cannot lead: those of an ordinary user, and ::1, whose packets never leave the host.

A process with the host's sockets, which are bound where whoever started the container may bind them; it enters the
namespace of the user's networks (`userhost`) and connects to the container. The service sees the bridge's address.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from nbcontainers.linux import process
from nbcontainers.monitor.files import Files
from nbcontainers.network import state, userhost
from nbcontainers.network.firewall import Forward
from nbcontainers.network.relay import Relay
from nbcontainers.runtime.middle import close_others

_IN = select.EPOLLIN
_MOST_CONNECTIONS, _MOST_CLIENTS = 1000, 1000
_FULL_S = 0.01
_SILENT_S = 60.0
"""After so long without a word a client of a UDP port is forgotten, as conntrack does."""


def start(files: Files, pairs: Sequence[tuple[Forward, socket.socket]]) -> None:
    """Carry what comes in at each socket: a child of the monitor's that dies with it. It is in the container's state."""
    for _, one in pairs:
        if one.type == socket.SOCK_STREAM:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that its old connections block no next one
            one.listen(128)
    pid = os.fork()
    if pid == 0:
        try:
            process.set_pdeathsig(signal.SIGKILL)
            _carry(files, pairs)
        finally:
            os._exit(1)
    with state.changed(files) as made:
        made["processes"].append({"pid": pid, "start_time": process.start_time(pid)})


def _carry(files: Files, pairs: Sequence[tuple[Forward, socket.socket]]) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    close_others({one.fileno() for _, one in pairs})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection takes two
    userhost.enter(files.run)
    run(files, pairs)


def end(files: Files) -> None:
    """Kill the processes that carry for a container, and reap those that are ours."""
    for one in state.read(files)["processes"]:
        if process.alive(one["pid"], one["start_time"]):
            os.kill(one["pid"], signal.SIGKILL)
        try:
            os.waitpid(one["pid"], 0)
        except ChildProcessError:  # the monitor was killed, and they with it
            continue


class Loop:
    """epoll(7), as a `Relay` needs it."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.handlers: dict[int, Callable[[int], None]] = {}

    def add(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        self.epoll.register(descriptor, events)
        self.handlers[descriptor] = handler

    def modify(self, descriptor: int, events: int) -> None:
        self.epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        self.epoll.unregister(descriptor)
        del self.handlers[descriptor]

    def turn(self, timeout: float) -> None:
        for descriptor, events in self.epoll.poll(timeout, 32):
            if handler := self.handlers.get(descriptor):
                handler(events)


class Target:
    """Where a port leads now: a container may leave a network and join another while it runs."""

    def __init__(self, files: Files, forward: Forward) -> None:
        self.files, self.forward = files, forward

    def connect(self, kind: int) -> socket.socket:
        """A socket of that kind on the way there. Raises OSError where the container has no address for it now."""
        for one in (Forward(**found) for found in state.read(self.files)["ports"]):
            if one.map == self.forward.map and one._replace(target=self.forward.target) == self.forward:
                far = socket.socket(
                    socket.AF_INET6 if ":" in one.target else socket.AF_INET, kind | socket.SOCK_NONBLOCK
                )
                far.connect_ex((one.target, one.target_port))
                return far
        raise ConnectionRefusedError("the container is on no network that the port could lead to")


def run(files: Files, forwards: Sequence[tuple[Forward, socket.socket]]) -> NoReturn:
    """Forward until killed."""
    loop = Loop()
    udp = [Datagrams(loop, Target(files, one), listener) for one, listener in forwards if one.protocol == "udp"]
    for one, listener in forwards:
        if one.protocol == "tcp":
            Streams(loop, Target(files, one), listener)
    while True:
        loop.turn(_SILENT_S if udp else -1)
        for port in udp:
            port.forget_silent()


class Streams:
    """One TCP port."""

    def __init__(self, loop: Loop, target: Target, listener: socket.socket) -> None:
        self.loop, self.target, self.listener = loop, target, listener
        self.connections = 0
        listener.setblocking(False)
        loop.add(listener.fileno(), _IN, self._accept)

    def _accept(self, _: int) -> None:
        try:
            near, _address = self.listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):  # it waits until others have ended, and we do not spin
                time.sleep(_FULL_S)
            return
        try:
            far = self.target.connect(socket.SOCK_STREAM)
        except OSError:
            near.close()
            return
        self.connections += 1
        Relay(self.loop, near, far, self._done)
        if self.connections == _MOST_CONNECTIONS:
            self.loop.modify(self.listener.fileno(), 0)

    def _done(self) -> None:
        if self.connections == _MOST_CONNECTIONS:
            self.loop.modify(self.listener.fileno(), _IN)
        self.connections -= 1


class Datagrams:
    """One UDP port: a socket of its own for every client, so that answers find their way."""

    def __init__(self, loop: Loop, target: Target, listener: socket.socket) -> None:
        self.loop, self.target, self.listener = loop, target, listener
        self.clients: dict[tuple[str, int], tuple[socket.socket, float]] = {}
        listener.setblocking(False)
        loop.add(listener.fileno(), _IN, self._asked)

    def _asked(self, _: int) -> None:
        try:
            data, client = self.listener.recvfrom(1 << 16)
            far, _seen = self.clients.get(client) or (self._meet(client), 0.0)
            self.clients[client] = (far, time.monotonic())
            far.send(data)
        except OSError:  # nobody listens there, or too many ask
            return

    def _meet(self, client: tuple[str, int]) -> socket.socket:
        if len(self.clients) >= _MOST_CLIENTS:
            raise OSError("too many clients")
        far = self.target.connect(socket.SOCK_DGRAM)
        self.loop.add(far.fileno(), _IN, lambda _: self._answered(far, client))
        return far

    def _answered(self, far: socket.socket, client: tuple[str, int]) -> None:
        try:
            self.listener.sendto(far.recv(1 << 16), client)
        except OSError:
            return

    def forget_silent(self) -> None:
        now = time.monotonic()
        for client, (far, seen) in list(self.clients.items()):
            if now - seen > _SILENT_S:
                self.loop.remove(far.fileno())
                far.close()
                del self.clients[client]
