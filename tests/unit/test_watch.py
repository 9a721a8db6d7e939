"""The event loop beside a process, without any container: a plain child, pipes and socket pairs."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nbcontainers.monitor import protocol
from nbcontainers.monitor.peers import Peer
from nbcontainers.monitor.stdio import Stdio
from nbcontainers.monitor.stop import Stop, drops
from nbcontainers.monitor.watch import Watch


class Child:
    """A shell script followed by a Watch on this thread; `client` is the other end of its owner's socket."""

    def __init__(self, script: str, *, interactive: bool = False) -> None:
        self.streams = Stdio(interactive=interactive, console=False)
        stdin, stdout, stderr = self.streams.inner
        self.process = subprocess.Popen(["/bin/sh", "-c", script], stdin=stdin, stdout=stdout, stderr=stderr)
        self.streams.started(None)
        self.pidfd = os.pidfd_open(self.process.pid)
        self.watch = Watch(self.pidfd, self.streams)
        self.client, server = socket.socketpair()
        self.client.settimeout(20)
        self.watch.attach(Peer(server.detach(), owner=True))
        self.frames: list[tuple[bytes, bytes]] = []

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        self.client.sendall(protocol.frame(kind, payload))

    def listen(self) -> threading.Thread:
        thread = threading.Thread(target=self._collect)
        thread.start()
        return thread

    def _collect(self) -> None:
        frames = protocol.Frames()
        while data := self.client.recv(1 << 16):
            self.frames += frames.feed(data)
            if self.frames and self.frames[-1][0] == protocol.EXIT:
                return

    def to_end(self) -> int:
        """Follow it, deliver an X frame; returns the exit status."""
        thread = self.listen()
        self.watch.until_end()
        code = self.process.wait()
        self.watch.drain()
        self.watch.deliver(protocol.frame(protocol.EXIT, json.dumps({"exit_code": code}).encode()))
        thread.join()
        return code

    def output(self, kind: bytes = protocol.STDOUT) -> bytes:
        return b"".join(payload for found, payload in self.frames if found == kind)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.close()
        for peer in self.watch.peers:
            peer.close()
        self.streams.close()
        os.close(self.pidfd)


@pytest.fixture
def child() -> Iterator[Any]:
    made: list[Child] = []

    def make(script: str, **options: Any) -> Child:
        made.append(Child(script, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_output_comes_as_frames_and_the_exit_last(child: Any) -> None:
    one = child("echo out; echo err >&2; exit 3")
    assert one.to_end() == 3
    assert one.output() == b"out\n"
    assert one.output(protocol.STDERR) == b"err\n"
    assert one.frames[-1] == (protocol.EXIT, b'{"exit_code": 3}')


def test_much_output_arrives_whole_though_the_client_is_slow(child: Any) -> None:
    one = child("head -c 20000000 /dev/zero; echo done >&2")
    peer = one.watch.peers[0]
    highest = 0
    original = peer.flush

    def flush() -> None:
        nonlocal highest
        highest = max(highest, len(peer.outgoing))
        original()

    peer.flush = flush
    one.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert one.to_end() == 0
    assert one.output() == bytes(20_000_000)
    assert one.output(protocol.STDERR) == b"done\n"
    assert highest < 1 << 20


def test_a_client_that_reads_nothing_stops_the_program_not_the_monitor(child: Any) -> None:
    one = child("head -c 20000000 /dev/zero")
    for _ in range(50):
        one.watch.timers["tick"] = (time.monotonic() + 0.01, lambda: None)
        one.watch.turn()
    assert one.process.poll() is None  # it waits for its pipe
    assert len(one.watch.peers[0].outgoing) < 1 << 20
    assert one.to_end() == 0
    assert len(one.output()) == 20_000_000


def test_input_reaches_the_program_and_its_end_too(child: Any) -> None:
    one = child("cat; echo end", interactive=True)
    one.send(protocol.STDIN, b"first ")
    one.send(protocol.STDIN, b"second\n")
    one.send(protocol.CLOSE_STDIN)
    assert one.to_end() == 0
    assert one.output() == b"first second\nend\n"


def test_more_input_than_the_pipe_holds(child: Any) -> None:
    data = bytes(range(256)) * 20_000
    one = child("sleep 0.1; md5sum | cut -d' ' -f1", interactive=True)

    def feed() -> None:
        for at in range(0, len(data), 60_000):
            one.send(protocol.STDIN, data[at : at + 60_000])
        one.send(protocol.CLOSE_STDIN)

    thread = threading.Thread(target=feed)
    thread.start()
    assert one.to_end() == 0
    thread.join()
    import hashlib

    assert one.output().decode().strip() == hashlib.md5(data).hexdigest()


def test_input_nobody_reads_is_bounded_and_harmless(child: Any) -> None:
    one = child("exec <&-; sleep 0.2; echo ok", interactive=True)
    for _ in range(10):
        one.send(protocol.STDIN, bytes(60_000))
        one.watch.timers["tick"] = (time.monotonic() + 0.005, lambda: None)
        one.watch.turn()
    assert one.to_end() == 0
    assert one.output() == b"ok\n"


def test_signals_and_nonsense(child: Any) -> None:
    one = child("trap 'echo got; exit 5' USR1; echo up; while :; do sleep 0.05; done")
    while not _readable(one.client):
        one.watch.turn()
    for payload in (b"", b"[]", b'{"signal": "x"}', b'{"signal": 4000}'):
        one.send(protocol.KILL, payload)
    one.send(protocol.WINDOW, b'{"rows": 1}')
    one.send(b"?", b"what")
    one.send(protocol.KILL, b'{"signal": 10}')
    assert one.to_end() == 5
    assert one.output() == b"up\ngot\n"


def test_the_owner_s_death_is_told_once_and_a_detach_is_not(child: Any) -> None:
    lost: list[str] = []
    one = child("sleep 0.3")
    one.watch.on_lost = lambda: lost.append("lost")
    one.client.close()
    one.watch.until_end()
    assert lost == ["lost"]
    two = child("sleep 0.2")
    two.watch.on_lost = lambda: lost.append("again")
    two.send(protocol.DETACH)
    two.client.close()
    two.watch.until_end()
    assert lost == ["lost"]


def test_a_peer_that_has_gone_costs_the_next_one_nothing(child: Any) -> None:
    one = child("echo out; exit 4")
    one.watch.on_lost = lambda: None
    one.client.close()
    one.client, server = socket.socketpair()
    one.client.settimeout(20)
    one.watch.attach(Peer(server.detach()))
    thread = one.listen()
    one.watch.deliver(protocol.frame(protocol.EXIT, b"{}"))
    thread.join()
    assert one.frames == [(protocol.EXIT, b"{}")]
    assert len(one.watch.peers) == 1


def test_a_peer_that_announces_gigabytes_is_dropped(child: Any) -> None:
    one = child("sleep 0.2")
    one.watch.on_lost = lambda: None
    one.client.sendall(b"I\xff\xff\xff\xff")
    one.watch.until_end()
    assert one.watch.peers == []


def test_stop_is_polite_then_not(child: Any) -> None:
    one = child("trap '' TERM; echo up; sleep 30 & wait; wait")
    while not _readable(one.client):
        one.watch.turn()
    killed: list[float] = []
    stop = Stop(one.watch, {"stop_signal": 15, "stop_timeout": 0.2}, lambda: killed.append(time.monotonic()), None)
    begun = time.monotonic()
    stop.begin()
    stop.begin()
    assert one.to_end() == -signal.SIGKILL
    assert killed
    assert 0.2 <= killed[0] - begun < 1


def _readable(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0])


def test_whether_a_first_process_would_see_a_signal() -> None:
    assert drops(os.getpid(), signal.SIGTERM) is (signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, signal.SIG_IGN))
    assert drops(os.getpid(), signal.SIGINT) is False  # Python catches it
    assert drops(0, signal.SIGTERM) is False
