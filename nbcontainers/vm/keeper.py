"""The process beside a virtual machine: starts it, carries bytes between its ports and the client, and ends with it.

It speaks the monitor's protocol (monitor/protocol.py), so that a client follows a guest's command as it follows a
container's. The guest's init (guest/init.sh) says words on the port `control`, a line each:

  ready, started, reading       the ports are open; the command runs; its input may come
  exit N                        how it ended; all its output was sent before
  mark [   1.234567] WHAT       lines of the kernel's log with the guest's own times
  failed WHY                    no command was started
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbcontainers.errors import Error, TimedOut
from nbcontainers.linux import flock
from nbcontainers.monitor import protocol, recipe
from nbcontainers.monitor.peers import HIGH, Peer
from nbcontainers.vm import attachment, boot, children, disk, hardware, pinning

_CHUNK = 1 << 16
_PIECE = 1 << 14
"""Bytes of input in a frame for the guest, which starts a dd(1) for each."""
_INPUT_HELD = 1 << 20
"""Bytes of input that wait for a guest which does not read; no more is taken from the client."""
_PATIENCE_S = 5.0
_CONSOLE_KEPT = 1 << 15


def run(channel: int, plan: dict[str, Any]) -> None:
    """Boot what the plan says and stay to its end; a target of `launcher.client.spawn`.

    Besides what `hardware.command` reads the plan has `folder` (its own, made and removed here), `base` (the path of an
    initramfs) and `request` (what is appended to it), `steps` (which mount what is shared, on `places`), `servers` (of it,
    for QEMU), `preload` (a library), `network` (see `attachment.joined`), `boot_s` and `run_s` (how long booting and all of it may take; None for as long as it
    likes). The client's death ends it.
    """
    os.setsid()
    place = os.path.dirname(plan["folder"])
    os.makedirs(place, mode=0o700, exist_ok=True)
    with flock.folder_held(place):
        sweep(place)
        lock = _folder(plan["folder"])
    try:
        if plan["steps"] and plan["kind"] != hardware.UML:  # which sees them in its jail alone
            disk.mount(plan["steps"], plan["places"])
        with attachment.joined(plan) as joined, children.served(joined) as servers:
            keeper = Keeper(channel, joined, servers)
            keeper.follow()
        keeper.tell()  # when nothing of its network is left
    finally:
        _remove(plan)
        os.close(lock)


def sweep(place: str) -> list[str]:
    """Remove what keepers left that were killed; names of the folders."""
    left = [folder for folder in Path(place).iterdir() if flock.folder_free(folder)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in left]


def tidy(place: str) -> list[str]:
    """The same in a process of the launcher, while nobody makes such a folder."""
    if not os.path.isdir(place):
        return []
    with flock.folder_held(place):
        return sweep(place)


def _folder(path: str) -> int:
    """Make it, and hold its lock as long as we live."""
    os.mkdir(path, 0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _remove(plan: Mapping[str, Any]) -> None:
    """The folder, once nothing is mounted in it: rmdir(2) refuses a mount point, whose files are the host's. What is left
    then goes with a later sweep, from where the mounts cannot be seen."""
    try:
        if plan["kind"] != hardware.UML:
            recipe.undo(plan["steps"])
        for place in plan["places"]:
            if os.path.isdir(place):
                os.rmdir(place)
    except OSError:
        return
    shutil.rmtree(plan["folder"], ignore_errors=True)


class Keeper:
    """One guest. `times` are our clock's: when it was started, was ready, had started the command, and had ended it."""

    def __init__(self, channel: int, plan: Mapping[str, Any], servers: Sequence[int]) -> None:
        self.plan = plan
        self.servers = servers
        self.peer = Peer(channel, owner=True)
        self.times = {"begin": time.monotonic()}
        self.marks: list[str] = []
        self.console = bytearray()
        self.words = bytearray()
        self.exit_code: int | None = None
        self.problem = ""
        self.input = bytearray()
        self.orders = bytearray()
        self.kill_at = self.times["begin"] + plan["boot_s"]
        self.overdue = ""
        self.pinned = True
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
        self.readers: dict[int, Callable[[bytes], None]] = {
            self.ports["control"].fileno(): self.hear,
            self.ports["output"].fileno(): lambda data: self.peer.send(protocol.frame(protocol.STDOUT, data)),
            self.ports["errors"].fileno(): lambda data: self.peer.send(protocol.frame(protocol.STDERR, data)),
            console: self.keep,
        }

    def follow(self) -> None:
        """To the end of the machine."""
        try:
            while not self.step():
                pass
            self.times["end"] = time.monotonic()
            self.drain()
        finally:
            self.end()

    def step(self) -> bool:
        """One turn: wait, carry bytes; whether the machine has ended."""
        poll = select.poll()
        poll.register(self.process, select.POLLIN)
        hears = len(self.input) < _INPUT_HELD  # its end is heard in any case
        poll.register(
            self.peer.descriptor, (select.POLLIN if hears else 0) | (select.POLLOUT if self.peer.outgoing else 0)
        )
        for descriptor in self.readers:
            if len(self.peer.outgoing) < HIGH:
                poll.register(descriptor, select.POLLIN)
        for queue, name in ((self.input, "input"), (self.orders, "control")):
            if queue and (name == "control" or "reading" in self.times):
                poll.register(self.ports[name].fileno(), select.POLLOUT | select.POLLIN * (name == "control"))
        ready = dict(poll.poll(max(0.0, self.kill_at - time.monotonic()) * 1000 if self.kill_at else None))
        for descriptor, events in ready.items():
            self.act(descriptor, events)
        if self.kill_at and time.monotonic() >= self.kill_at:
            self.late()
        return self.process in ready

    def act(self, descriptor: int, events: int) -> None:
        if descriptor == self.peer.descriptor:
            self.serve(events)
        elif descriptor in self.readers and events & ~select.POLLOUT:
            self.read(descriptor)
        elif events & select.POLLOUT and descriptor == self.ports["input"].fileno():
            self.write("input", self.input)
        if events & select.POLLOUT and descriptor == self.ports["control"].fileno():
            self.write("control", self.orders)

    def serve(self, events: int) -> None:
        """What the client says. Its end is the end of all."""
        self.peer.flush()
        if events & (select.POLLHUP | select.POLLERR) and not events & select.POLLIN:
            self.peer.gone = True
        for kind, payload in self.peer.receive() if events & select.POLLIN else ():
            if kind == protocol.STDIN:
                for start in range(0, len(payload), _PIECE):
                    piece = payload[start : start + _PIECE]
                    self.input += b"%d\n%b" % (len(piece), piece)
            elif kind == protocol.CLOSE_STDIN:
                self.input += b"0\n"
            elif kind == protocol.KILL:
                self.signal(json.loads(payload)["signal"])
        if self.peer.gone:
            self.kill()

    def signal(self, number: int) -> None:
        """To the command; before it runs, and for a guest that does not listen, to the machine."""
        if "started" not in self.times:
            self.exit_code = 128 + number
            self.kill()
            return
        self.orders += b"signal %d\n" % number
        if number == signal.SIGKILL:
            self.kill_at = time.monotonic() + _PATIENCE_S

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
            del self.readers[descriptor]

    def write(self, name: str, queue: bytearray) -> None:
        if not queue:
            return
        try:
            with memoryview(queue) as view:
                sent = self.ports[name].send(view[:_CHUNK])
            del queue[:sent]
        except BlockingIOError:
            return
        except OSError:  # the guest has gone
            queue.clear()

    def keep(self, data: bytes) -> None:
        """The kernel's own words: the last of them."""
        self.console += data
        del self.console[:-_CONSOLE_KEPT]

    def hear(self, data: bytes) -> None:
        """Whole lines of the guest's init."""
        self.words += data
        while b"\n" in self.words:
            line, _, rest = self.words.partition(b"\n")
            self.words = bytearray(rest)
            word, _, text = line.decode(errors="replace").strip().partition(" ")
            self.obey(word, text)

    def obey(self, word: str, text: str) -> None:
        if word in ("ready", "started", "reading"):
            self.times[word] = time.monotonic()
        if word == "ready" and not self.pinned:
            self.problem = "its processors' threads could not be found, and not be pinned"
            self.kill()
        if word == "started":
            self.kill_at = self.times["begin"] + self.plan["run_s"] if self.plan["run_s"] else 0.0
            self.peer.send(protocol.frame(protocol.STARTED, json.dumps({"pid": 0, "what": "virtual machine"}).encode()))
        elif word == "exit" and text.isdecimal():
            self.times["exit"] = time.monotonic()
            self.exit_code = int(text)
            self.kill_at = time.monotonic() + _PATIENCE_S
        elif word == "mark":
            self.marks.append(text)
        elif word == "failed":
            self.problem = text
            self.kill_at = time.monotonic() + _PATIENCE_S

    def late(self) -> None:
        """A time has passed: end the machine, and remember which it was."""
        if self.exit_code is None and not self.problem:
            self.overdue = "run" if "started" in self.times else "boot"
        self.kill()

    def kill(self) -> None:
        self.kill_at = 0.0
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def drain(self) -> None:
        """What the machine wrote before its end."""
        for descriptor in list(self.readers):
            while descriptor in self.readers and select.select([descriptor], [], [], 0)[0]:
                self.read(descriptor)

    def end(self) -> None:
        """Nothing of it is left; user-mode-linux has processes of its own in its group."""
        self.kill()
        os.waitpid(self.pid, 0)
        for descriptor in (self.process, self.console_fd):
            os.close(descriptor)
        for port in self.ports.values():
            port.close()

    def tell(self) -> None:
        """The last frame, and all that was queued before it."""
        if self.exit_code is None:
            self.peer.send(protocol.frame(protocol.FAILED, json.dumps(self.failure().to_json()).encode()))
        else:
            wall = time.monotonic() - self.times["begin"]
            found = boot.breakdown(self.times, self.marks)
            record = {
                "exit_code": self.exit_code,
                "signal": None,
                "wall_s": wall,
                "boot": found,
                "console": self.text(),
                **self.plan.get("found", {}),
            }
            self.peer.send(protocol.frame(protocol.EXIT, json.dumps(record).encode()))
        os.set_blocking(self.peer.descriptor, True)
        self.peer.flush()

    def text(self) -> str:
        return bytes(self.console).decode(errors="replace").replace("\r", "")

    def failure(self) -> Error:
        """Why no command came to an end."""
        if self.overdue == "run":
            return TimedOut(
                f"the virtual machine was ended after {self.plan['run_s']:g} s, as --timeout asks",
                hint="give it more time",
            )
        return boot.failed(self.plan, self.problem, self.text(), overdue=bool(self.overdue))
