"""An ordinary user's published ports: a process with the host's sockets, in the namespace of the user's networks.

The sockets are bound where the user may bind them, on the host, and inherited; the process then enters the namespace
(`userhost`), so what it connects to is the container's address. The service sees the bridge's as its client.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import NoReturn

from nbcontainers.monitor.files import Files
from nbcontainers.network import publish, state
from nbcontainers.network.firewall import Forward
from nbcontainers.network.relay import Relay

_IN = select.EPOLLIN
_MOST_CONNECTIONS, _MOST_CLIENTS = 1000, 1000
_SILENT_S = 60.0
"""After so long without a word a client of a UDP port is forgotten, as conntrack does."""


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
        for one in publish.of(state.read(self.files)):
            if one._replace(target=self.forward.target) == self.forward:
                far = socket.socket(
                    socket.AF_INET6 if ":" in one.target else socket.AF_INET, kind | socket.SOCK_NONBLOCK
                )
                far.connect_ex((one.target, one.target_port))
                return far
        raise ConnectionRefusedError("the container is on no network that the port could lead to")


def run(files: Files, forwards: list[tuple[Forward, socket.socket]]) -> NoReturn:
    """Forward until killed. Called inside the namespace."""
    loop = Loop()
    udp = [Datagrams(loop, Target(files, one), far) for one, far in forwards if one.protocol == "udp"]
    streams = [Streams(loop, Target(files, one), far) for one, far in forwards if one.protocol == "tcp"]
    while True:
        loop.turn(_SILENT_S if udp else -1)
        for port in udp:
            port.forget_silent()
        for stream in streams:
            stream.listen_again()


class Streams:
    """One TCP port."""

    def __init__(self, loop: Loop, target: Target, listener: socket.socket) -> None:
        self.loop, self.target, self.listener = loop, target, listener
        self.connections = 0
        self.full = False
        listener.setblocking(False)
        loop.add(listener.fileno(), _IN, self._accept)

    def _accept(self, _: int) -> None:
        try:
            near, _address = self.listener.accept()
        except OSError:
            return
        try:
            far = self.target.connect(socket.SOCK_STREAM)
        except OSError:
            near.close()
            return
        self.connections += 1
        Relay(self.loop, near, far, self._done)
        if self.connections >= _MOST_CONNECTIONS:
            self.full = True
            self.loop.modify(self.listener.fileno(), 0)

    def _done(self) -> None:
        self.connections -= 1

    def listen_again(self) -> None:
        if self.full and self.connections < _MOST_CONNECTIONS:
            self.full = False
            self.loop.modify(self.listener.fileno(), _IN)


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
