"""Two connected sockets joined into one, inside a monitor's event loop: what comes in here goes out there."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_HIGH = 1 << 16


class Relay:
    """Bytes both ways until both sides have ended, or one of them fails. At most 64 KiB wait in each direction."""

    def __init__(self, watch: Any, near: socket.socket, far: socket.socket, done: Callable[[], None]) -> None:
        self.watch, self.done = watch, done
        self.other = {near: far, far: near}
        self.waiting = {near: bytearray(), far: bytearray()}
        """What is to be written to each."""
        self.ended: set[socket.socket] = set()
        """Those that will send no more."""
        self.closed = False
        for one in (near, far):
            one.setblocking(False)
            watch.add(one.fileno(), 0, self._handler(one))
        self.renew()

    def _handler(self, one: socket.socket) -> Callable[[int], None]:
        return lambda events: self._turn(one, events)

    def _turn(self, one: socket.socket, events: int) -> None:
        try:
            if events & _OUT:
                self._write(one)
            if events & ~_OUT and one not in self.ended:
                self._read(one)
            self.renew()
        except OSError:
            self.close()

    def _read(self, one: socket.socket) -> None:
        try:
            data = one.recv(_HIGH)
        except BlockingIOError:
            return
        if data:
            self.waiting[self.other[one]] += data
        else:
            self.ended.add(one)
        self._write(self.other[one])

    def _write(self, one: socket.socket) -> None:
        waiting = self.waiting[one]
        try:
            while waiting:
                del waiting[: one.send(waiting)]
        except BlockingIOError:
            return
        if self.other[one] in self.ended:
            one.shutdown(socket.SHUT_WR)

    def renew(self) -> None:
        """Wait for what each side needs now; leave when nothing is left to move."""
        if self.closed:
            return
        if len(self.ended) == 2 and not any(self.waiting.values()):
            self.close()
            return
        for one, other in self.other.items():
            readable = one not in self.ended and len(self.waiting[other]) < _HIGH
            self.watch.modify(one.fileno(), (_IN if readable else 0) | (_OUT if self.waiting[one] else 0))

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for one in self.other:
            self.watch.remove(one.fileno())
            one.close()
        self.done()
