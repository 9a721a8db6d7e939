"""The process beside a virtual machine: starts it, carries bytes between its ports and its clients, and ends with it.

It speaks the monitor's protocol (monitor/protocol.py), so that a client follows a guest's command as it follows a
container's. The guest's init (guest/init.sh) says words on the port `control`, a line each:

  ready                         the ports are open
  started L, reading L          the command of lane L runs; its input may come
  exit L N                      how it ended; its output ends with the lane's token
  idle L                        the lane is free
  mark [   1.234567] WHAT       lines of the kernel's log with the guest's own times
  failed WHY                    the machine's own command was not started

It hears: part L BYTES and so many of a session (it says took L), exec L, signal L N, size L ROWS COLUMNS, leave L (output that others keep open),
stop. What clients may ask is in vm/asking.py.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from nbcontainers.errors import Error, TimedOut
from nbcontainers.monitor import protocol
from nbcontainers.monitor.files import rfc3339
from nbcontainers.monitor.peers import Peer
from nbcontainers.vm import asking, attachment, boot, children, disk, hardware, lanes, pinning, sweeping
from nbcontainers.vm.control import Guest
from nbcontainers.vm.places import Places
from nbcontainers.vm.writing import Writing

PATIENCE_S = 5.0
_LONGEST_S = 3600.0
"""poll(2) waits no longer than 2^31 ms; who is awake early finds nothing due."""
_CHUNK = 1 << 16
_CONSOLE_KEPT = 1 << 15
Act = Callable[[int], object]
"""What is done with the events of a descriptor."""


def run(channel: int, plan: dict[str, Any]) -> None:
    """Boot what the plan says and stay to its end; a target of `launcher.client.spawn`.

    Besides what `hardware.command` reads the plan has `root`, `run`, `id` (see vm/places.py), `record` (what lasts; {} for
    a machine that leaves nothing), `base` (the path of an initramfs) and `request` (what is appended to it), `token` and
    `terminal` (of its command), `steps` (which mount what is shared, on `places`), `servers` (of it, for QEMU), `preload`
    (a library), `network` (see `attachment.joined`), `pinned` (processors of the host), `boot_s` and `run_s` (how long booting and all of it may take; None for as long as it likes). The client's
    death ends it, unless it said farewell before.
    """
    os.setsid()
    places = Places(plan["root"], plan["run"], plan["id"])
    try:
        lock = sweeping.make(plan, places)
    except Error as error:
        _refuse(channel, error)
        return
    try:
        if plan["steps"] and plan["kind"] != hardware.UML:  # which sees them in its jail alone
            disk.mount(plan["steps"], plan["places"])
        with attachment.joined(plan) as joined, children.served(joined) as servers:
            keeper = Keeper(channel, joined, servers, places)
            keeper.follow()
        keeper.tell()  # when nothing of its network is left
    finally:
        places.forget_live()
        if plan["record"].get("remove"):
            places.forget()
        sweeping.remove(plan)
        os.close(lock)
    keeper.deliver(None)


def _refuse(channel: int, error: Error) -> None:
    os.write(channel, protocol.frame(protocol.FAILED, json.dumps(error.to_json()).encode()))


class Keeper:
    """One guest. `times` are our clock's: when it was started, was ready, had started its command, and had ended it."""

    def __init__(self, channel: int, plan: dict[str, Any], servers: Sequence[int], places: Places) -> None:
        self.plan = plan
        self.servers = servers
        self.places = places
        self.owner: Peer | None = Peer(channel, owner=True)
        self.peers = [self.owner]
        """All that have connected."""
        self.waiting: list[Peer] = []
        """Those that are told of the end."""
        self.wishes: list[asking.Wish] = []
        """Commands for which no lane was free yet."""
        self.times = {"begin": time.monotonic()}
        self.console = bytearray()
        self.exit_code: int | None = None
        self.kill_at = self.times["begin"] + plan["boot_s"]
        self.stop_at = 0.0
        self.overdue = ""
        self.pinned = True
        self.ending = 0
        """The signal with which somebody wants the machine to end."""
        self.start()

    def start(self) -> None:
        """Start the program; ours are the other ends of its ports."""
        pairs = [socket.socketpair() for _ in hardware.PORTS]
        self.ports = dict(zip(hardware.PORTS, (ours for ours, _ in pairs), strict=True))
        console, theirs = os.pipe2(os.O_CLOEXEC)
        others = [other.fileno() for _, other in pairs]
        self.pid, self.process = children.machine(self.plan, others, self.servers, theirs)
        if self.plan.get("pinned") and self.plan["kind"] != hardware.UML:
            self.pinned = pinning.pin(self.pid, self.plan["pinned"], self.plan["cpus"])
        for descriptor in (theirs, *self.servers):
            os.close(descriptor)
        for _, other in pairs:
            other.close()
        for port in self.ports.values():
            port.setblocking(False)
        os.set_blocking(console, False)
        self.console_fd = console
        self.writing = Writing(self.places.record) if self.plan["record"] else None
        self.listener = asking.listener(self.places.live) if self.plan["record"] else None
        self.lanes = lanes.of(self.plan["kind"], self.ports, self.writing.log if self.writing else None)
        self.lanes[0].begin(self.owner, self.plan["token"], reads=self.plan["reads"], terminal=self.plan["terminal"])
        self.guest = Guest(self.ports["control"], self.lanes)
        self.readers: dict[int, Callable[[bytes], None]] = {
            self.ports["control"].fileno(): self.hear,
            self.ports["kernel"].fileno(): self.hear_kernel,
            console: self.keep,
        }
        self.save({**self.plan.get("found", {}), "pid": self.pid, "keeper": os.getpid()})

    def save(self, facts: Mapping[str, Any]) -> None:
        if self.plan["record"]:
            self.places.write("state.json", {**self.places.read("state.json"), **facts})

    def follow(self) -> None:
        """To the end of the machine."""
        try:
            while not self.step():
                pass
            self.times["end"] = time.monotonic()
            self.drain()
        finally:
            self.end()

    # -- one turn ----------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Wait, carry bytes; whether the machine has ended."""
        poll = select.poll()
        poll.register(self.process, select.POLLIN)
        wanted = self.wanted()
        for descriptor, (events, _) in wanted.items():
            poll.register(descriptor, events)
        ready = dict(poll.poll(self.patience()))
        for descriptor, events in ready.items():
            if descriptor in wanted:
                wanted[descriptor][1](events)
        self.look_at_the_time()
        self.peers = [peer for peer in self.peers if not self.gone(peer)]
        return self.process in ready

    def wanted(self) -> dict[int, tuple[int, Act]]:
        """What to wait for, by descriptor, and what to do then."""
        found: dict[int, tuple[int, Act]] = {}
        if self.listener:
            found[self.listener.fileno()] = select.POLLIN, _then(self.welcome)
        for peer in self.peers:
            waits = any(wish.peer is peer for wish in self.wishes)  # its input is for later, but for what came with it
            hears = not waits and all(lane.hears for lane in self.lanes if lane.peer is peer)
            events = select.POLLIN * hears | select.POLLOUT * bool(peer.outgoing)
            found[peer.descriptor] = events, partial(self.serve, peer)
        for descriptor in self.readers:
            found[descriptor] = select.POLLIN, _then(self.read, descriptor)
        for lane in self.lanes:
            for descriptor, kind in lane.sources().items():
                found[descriptor] = select.POLLIN, _then(lane.read, kind)
            if port := lane.sink():
                _write_too(found, port.fileno(), _then(lane.write, port))
        if self.guest.orders:
            _write_too(found, self.ports["control"].fileno(), _then(self.guest.speak))
        return found

    def patience(self) -> float | None:
        """Milliseconds until something is due."""
        due = [at for at in (self.kill_at, self.stop_at) if at]
        due += [lane.silent_at for lane in self.lanes if lane.silent_at and lane.held and lane.sources()]
        return min(max(0.0, min(due) - time.monotonic()), _LONGEST_S) * 1000 if due else None

    def look_at_the_time(self) -> None:
        now = time.monotonic()
        for lane in self.lanes:
            if lane.silent_at and lane.held and lane.sources() and now >= lane.silent_at:
                lane.silent_at = 0.0
                self.guest.order(f"leave {lane.number}")
            if lane.number and lane.busy and lane.done:
                asking.ended(lane)
                if lane.idle:
                    lane.free()
                    asking.begin(self)
        if self.stop_at and now >= self.stop_at:
            self.stop_at = 0.0
            self.guest.order("stop")
            self.within(PATIENCE_S)
        if self.kill_at and now >= self.kill_at:
            self.late()

    # -- clients -----------------------------------------------------------------------------------------------------

    def welcome(self) -> None:
        assert self.listener
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        self.peers.append(Peer(connection.detach()))

    def serve(self, peer: Peer, events: int) -> None:
        """What a client says."""
        peer.flush()
        if events & (select.POLLHUP | select.POLLERR) and not events & select.POLLIN:
            peer.gone = True
        for kind, payload in peer.receive() if events & select.POLLIN else ():
            self.heed(peer, kind, payload)

    def heed(self, peer: Peer, kind: bytes, payload: bytes) -> None:
        lane = next((lane for lane in self.lanes if lane.peer is peer), None)
        if wish := next((wish for wish in self.wishes if wish.peer is peer), None):
            wish.frames.append((kind, payload))
        elif kind == protocol.REQUEST:
            asking.answer(self, peer, payload)
        elif kind == protocol.DETACH:
            peer.gone = True
            self.let_go(peer)
        elif lane and kind == protocol.STDIN:
            lane.take(payload)
        elif lane and kind == protocol.CLOSE_STDIN:
            lane.close_input()
        elif lane and kind == protocol.KILL:
            self.signal(lane, json.loads(payload)["signal"])
        elif lane and kind == protocol.WINDOW:
            size = json.loads(payload)
            self.guest.order(f"size {lane.number} {int(size['rows'])} {int(size['cols'])}")

    def let_go(self, peer: Peer) -> None:
        """It goes, and what it started goes on."""
        if peer is self.owner:
            self.owner = None
        for lane in self.lanes:
            if lane.peer is peer:
                lane.peer = None

    def gone(self, peer: Peer) -> bool:
        """Whether it has; with it what runs for it."""
        if not peer.gone:
            return False
        for kind, payload in peer.receive():  # it may have said farewell before a frame of ours came too late
            self.heed(peer, kind, payload)
        if peer is self.owner:
            self.owner = None
            self.kill()
        for lane in self.lanes:
            if lane.peer is peer:
                lane.peer = None
                lane.unwanted = True
                if lane.number and lane.exit_code is None:
                    self.signal(lane, signal.SIGKILL)
        self.waiting = [other for other in self.waiting if other is not peer]
        self.wishes = [wish for wish in self.wishes if wish.peer is not peer]
        peer.close()
        return True

    def signal(self, lane: lanes.Lane, number: int) -> None:
        """To the command; before the machine's own runs, and for a guest that does not listen, to the machine."""
        if lane.number == 0 and not lane.started:
            self.exit_code = 128 + number
            self.kill()
            return
        self.guest.order(f"signal {lane.number} {number}")
        if lane.number == 0 and number == signal.SIGKILL:
            self.within(PATIENCE_S)

    # -- the guest ---------------------------------------------------------------------------------------------------

    def read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.readers[descriptor](data)
        else:
            self.readers.pop(descriptor, None)

    def keep(self, data: bytes) -> None:
        """What is on its console: the last of it."""
        self.console += data
        del self.console[:-_CONSOLE_KEPT]

    def hear_kernel(self, data: bytes) -> None:
        if self.writing and self.guest.mark(self.writing.kernel(data)):
            self.save_boot()

    def save_boot(self) -> None:
        """How long it took, as far as is known."""
        if "started" in self.times:
            self.save({"boot": boot.breakdown(self.times, self.guest.marks)})

    def hear(self, data: bytes) -> None:
        for word, lane in self.guest.hear(data):
            if word == "started":
                self.started(lane)
            elif word == "exit":
                self.ended(lane)
            elif word == "failed":
                self.within(PATIENCE_S)
            else:
                self.ready()

    def ready(self) -> None:
        self.times["ready"] = time.monotonic()
        if not self.pinned:
            self.guest.problem = "its processors' threads could not be found, and not be pinned"
            self.kill()

    def started(self, lane: lanes.Lane) -> None:
        if lane.number == 0:
            self.times["started"] = time.monotonic()
            self.kill_at = self.times["begin"] + self.plan["run_s"] if self.plan["run_s"] else 0.0
            self.save({"started_at": rfc3339(time.time_ns())})
            self.save_boot()
        elif lane.unwanted:  # the signal that was sent found nothing
            self.signal(lane, signal.SIGKILL)
        if lane.peer:
            what = "virtual machine" if lane.number == 0 else "command"
            lane.peer.send(protocol.frame(protocol.STARTED, json.dumps({"pid": 0, "what": what}).encode()))

    def ended(self, lane: lanes.Lane) -> None:
        if lane.number == 0:
            self.times["exit"] = time.monotonic()
            self.exit_code = lane.exit_code
            self.stop_at = 0.0
            self.within(PATIENCE_S)

    # -- the end -----------------------------------------------------------------------------------------------------

    def stop(self, number: int, patience_s: float) -> None:
        """In order: the signal to its command, whose end is the machine's; after a time the guest powers off without."""
        self.ending = number
        if "started" not in self.times:
            self.kill()
            return
        self.guest.order(f"signal 0 {number}")
        self.stop_at = _sooner(self.stop_at, time.monotonic() + patience_s)

    def within(self, seconds: float) -> None:
        """It is killed then, if not before."""
        self.kill_at = _sooner(self.kill_at, time.monotonic() + seconds)

    def late(self) -> None:
        """A time has passed: end the machine, and remember which it was."""
        if self.exit_code is None and not self.guest.problem and not self.ending:
            self.overdue = "run" if "started" in self.times else "boot"
        self.kill()

    def kill(self) -> None:
        self.kill_at = self.stop_at = 0.0
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def drain(self) -> None:
        """What the machine wrote before its end."""
        for descriptor in list(self.readers):
            while descriptor in self.readers and select.select([descriptor], [], [], 0)[0]:
                self.read(descriptor)
        for lane in self.lanes:
            for kind in list(lane.held):
                while kind in lane.held and select.select([lane.ports[kind]], [], [], 0)[0]:
                    lane.read(kind)

    def end(self) -> None:
        """Nothing of it is left; user-mode-linux has processes of its own in its group."""
        self.kill()
        os.waitpid(self.pid, 0)
        for descriptor in (self.process, self.console_fd):
            os.close(descriptor)
        for port in self.ports.values():
            port.close()
        if self.listener:
            self.listener.close()
        if self.writing:
            self.writing.close()

    def tell(self) -> None:
        """The last frame to everybody, and all that was queued before it."""
        record = self.record()
        if self.plan["record"] and not self.plan["record"]["remove"]:
            with suppress(OSError):  # a full disk loses the record, not the words
                self.places.write("exit.json", record)
        last = protocol.frame(protocol.EXIT, json.dumps(record).encode())
        failed = record["error"] and protocol.frame(protocol.FAILED, json.dumps(record["error"]).encode())
        if owner := self.lanes[0].peer:
            owner.send(failed or last)
        for peer in self.waiting:
            peer.send(last)
        for lane in self.lanes[1:]:
            asking.ended(lane)
        self.deliver(PATIENCE_S)

    def deliver(self, seconds: float | None) -> None:
        """What is queued, to those who read; those who do not (a pager, a stopped client) are waited for so long, or as
        long as they live."""
        until = seconds and time.monotonic() + seconds
        while unread := {peer.descriptor: peer for peer in self.peers if peer.outgoing}:
            poll = select.poll()
            for descriptor in unread:
                poll.register(descriptor, select.POLLOUT)
            ready = poll.poll(until and max(0.0, until - time.monotonic()) * 1000)
            for descriptor, _ in ready:
                unread[descriptor].flush()
            if not ready:
                return

    def record(self) -> dict[str, Any]:
        """How it ended. `error` is why its command came to no end, None where it did, or where somebody ended it."""
        status, error = self.exit_code, None
        if status is None and self.ending:
            status = 128 + self.ending
        if status is None:
            error = self.failure().to_json()
        return {
            "exit_code": status, "signal": None, "wall_s": time.monotonic() - self.times["begin"],
            "boot": boot.breakdown(self.times, self.guest.marks), "console": self.text(), "error": error,
            "finished_at": rfc3339(time.time_ns()), **self.plan.get("found", {}),
        }  # fmt: skip

    def text(self) -> str:
        return bytes(self.console).decode(errors="replace").replace("\r", "")

    def failure(self) -> Error:
        """Why no command came to an end."""
        if self.overdue == "run":
            return TimedOut(
                f"the virtual machine was ended after {self.plan['run_s']:g} s, as --timeout asks",
                hint="give it more time",
            )
        return boot.failed(self.plan, self.guest.problem, self.text(), overdue=bool(self.overdue))


def _sooner(due: float, at: float) -> float:
    """The earlier one; 0 is never."""
    return min(due or at, at)


def _then(act: Callable[..., object], *arguments: object) -> Act:
    """Do that, whatever the events are."""
    return lambda events: act(*arguments)


def _write_too(found: dict[int, tuple[int, Act]], descriptor: int, write: Act) -> None:
    """Wait for room as well: a port that is both read and written."""
    events, read = found.get(descriptor, (0, _then(int)))

    def act(ready: int) -> None:
        if ready & ~select.POLLOUT:
            read(ready)
        if ready & select.POLLOUT:
            write(ready)

    found[descriptor] = events | select.POLLOUT, act
