"""The event loop beside one process: its output goes to the log and the peers, their input and signals to it."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from nbcontainers.monitor import peers, protocol, stdio
from nbcontainers.monitor.log import Log
from nbcontainers.monitor.peers import Peer
from nbcontainers.monitor.stdio import Stdio

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_KINDS = {"stdout": protocol.STDOUT, "stderr": protocol.STDERR}
_BATCH = 32


class Watch:
    """Everything waits in one epoll(7). Timers are `(monotonic time, function)` by name.

    `on_lost` is called when the owner's socket ends, that is when the client died; `on_signal` for K frames.
    """

    def __init__(self, pidfd: int, streams: Stdio, log: Log | None = None) -> None:
        self.pidfd = pidfd
        self.streams = streams
        self.log = log
        self.peers: list[Peer] = []
        self.ended = False
        self.quiet_since = time.monotonic()
        self.timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self.on_lost: Callable[[], None] = lambda: None
        self.on_signal: Callable[[dict[str, Any]], None] = self.send_signal
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._held = False
        self._writing = False
        self.add(pidfd, _IN, self._process_ended)
        for descriptor in streams.outputs:
            self.add(descriptor, _IN, self._reader(descriptor))

    def _reader(self, descriptor: int) -> Callable[[int], None]:
        return lambda _: self._output(descriptor)

    def add(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def modify(self, descriptor: int, events: int) -> None:
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)
        del self._handlers[descriptor]

    # -- the loop --------------------------------------------------------------------------------------------------

    def until_end(self) -> None:
        """Until the process has ended; what it wrote at last is still unread then: see `drain`."""
        while not self.ended:
            self.turn()

    def turn(self) -> None:
        self._dispatch(self._time_left())
        now = time.monotonic()
        for name, (due, function) in list(self.timers.items()):
            if due <= now:
                del self.timers[name]
                function()

    def _time_left(self) -> float:
        if not self.timers:
            return -1
        return max(0.0, min(due for due, _ in self.timers.values()) - time.monotonic())

    def _dispatch(self, timeout: float) -> None:
        for descriptor, events in self._epoll.poll(timeout, _BATCH):
            if handler := self._handlers.get(descriptor):
                handler(events)

    def drain(self) -> None:
        """Read to the end what is in the pipes of a process that has ended: bounded by their capacity."""
        for descriptor in list(self.streams.outputs):
            while descriptor in self.streams.outputs and self._read(descriptor):
                pass
        for descriptor in list(self.streams.outputs):  # a process that escaped still holds the other end
            self._finish(descriptor)
        if self.log:
            self.log.close()

    def deliver(self, frame: bytes, patience: float | None = None) -> None:
        """The last frame to every peer, and wait until each has taken all of it or has gone; or for so many seconds."""
        self._send(frame)
        self.timers.clear()
        self.on_lost = lambda: None
        deadline = None if patience is None else time.monotonic() + patience
        while any(peer.outgoing for peer in self.peers):
            left = -1 if deadline is None else deadline - time.monotonic()
            if deadline is not None and left <= 0:
                return
            self._dispatch(left)

    # -- output ----------------------------------------------------------------------------------------------------

    def _output(self, descriptor: int) -> None:
        if self._held:
            return
        self._read(descriptor)
        if any(len(peer.outgoing) > peers.HIGH for peer in self.peers):
            self._hold(True)

    def _read(self, descriptor: int) -> bool:
        """One piece of output to the log and every peer; False if there was none."""
        data = self.streams.read(descriptor)
        if data is None:
            return False
        if not data:
            self._finish(descriptor)
            return False
        self.quiet_since = time.monotonic()
        name = self.streams.outputs[descriptor]
        if self.log:
            self.log.write(name, data)
        if self.peers:
            self._send(protocol.frame(_KINDS[name], data))
        return True

    def _send(self, frame: bytes) -> None:
        """To every peer; one that has gone leaves the list meanwhile."""
        for peer in list(self.peers):
            peer.send(frame)
            self._renew(peer)

    def _finish(self, descriptor: int) -> None:
        if descriptor in self._handlers and not self._held:
            self.remove(descriptor)
        self._handlers.pop(descriptor, None)
        self.streams.finish(descriptor)

    def _hold(self, hold: bool) -> None:
        """Stop reading output while a peer is slow; the process then waits for its pipe, as it would for a disk."""
        self._held = hold
        for descriptor in self.streams.outputs:
            if hold:
                self._epoll.unregister(descriptor)
            else:
                self._epoll.register(descriptor, _IN)

    # -- peers -----------------------------------------------------------------------------------------------------

    def attach(self, peer: Peer) -> None:
        self.peers.append(peer)
        self.add(peer.descriptor, _IN, lambda events: self._peer(peer, events))
        self._renew(peer)

    def listen(self, descriptor: int, greeting: bytes) -> None:
        """Take attaching peers from a listening socket; each is greeted with the S frame."""

        def accept(_: int) -> None:
            import socket

            with socket.socket(fileno=os.dup(descriptor)) as listener:
                try:
                    connection, _ = listener.accept()
                except (BlockingIOError, ConnectionAbortedError):
                    return
            peer = Peer(connection.detach())
            peer.send(greeting)
            self.attach(peer)

        self.add(descriptor, _IN, accept)

    def _peer(self, peer: Peer, events: int) -> None:
        if events & _OUT:
            peer.flush()
        if events & ~_OUT:
            for kind, payload in peer.receive():
                self._act(peer, kind, payload)
        if peer in self.peers:
            self._renew(peer)

    def _renew(self, peer: Peer) -> None:
        """Ask for what this peer needs now: to be written to, to be read from, or to be let go."""
        if peer.gone:
            self._drop(peer, lost=peer.owner)
            return
        full = len(self.streams.buffer) > stdio.HIGH
        self._epoll.modify(peer.descriptor, (0 if full else _IN) | (_OUT if peer.outgoing else 0))
        if self._held and all(len(other.outgoing) < peers.LOW for other in self.peers):
            self._hold(False)

    def _drop(self, peer: Peer, *, lost: bool) -> None:
        if peer not in self.peers:
            return
        self.peers.remove(peer)
        self.remove(peer.descriptor)
        peer.close()
        if self._held and all(len(other.outgoing) < peers.LOW for other in self.peers):
            self._hold(False)
        if lost:
            self.on_lost()

    def _act(self, peer: Peer, kind: bytes, payload: bytes) -> None:
        """One frame of a peer. What makes no sense is ignored: an attached client may be of another version."""
        if kind == protocol.STDIN:
            self.streams.feed(payload)
        elif kind == protocol.CLOSE_STDIN:
            self.streams.end_input()
        elif kind == protocol.DETACH:
            self._drop(peer, lost=False)
        elif kind in (protocol.WINDOW, protocol.KILL):
            try:
                self._control(kind, json.loads(payload))
            except (ValueError, KeyError, TypeError, OSError):
                return
        self._watch_input()

    def _control(self, kind: bytes, document: dict[str, Any]) -> None:
        if kind == protocol.WINDOW:
            self.streams.resize(int(document["rows"]), int(document["cols"]))
        else:
            self.on_signal(document)

    # -- input and signals -----------------------------------------------------------------------------------------

    def _watch_input(self) -> None:
        """Wait for room in stdin exactly while there is something to write."""
        wanted = bool(self.streams.buffer) and self.streams.stdin is not None
        if wanted and not self._writing:
            descriptor = self.streams.stdin
            assert descriptor is not None
            self.add(descriptor, _OUT, lambda _: self._input(descriptor))
            self._writing = True

    def _input(self, descriptor: int) -> None:
        self.remove(descriptor)
        self._writing = False
        self.streams.flush()
        self._watch_input()
        for peer in list(self.peers):
            self._renew(peer)

    def send_signal(self, document: dict[str, Any]) -> None:
        """K {"signal": number}. A process that has ended needs none."""
        try:
            signal.pidfd_send_signal(self.pidfd, int(document["signal"]))
        except ProcessLookupError:
            return

    def _process_ended(self, _: int) -> None:
        self.ended = True
