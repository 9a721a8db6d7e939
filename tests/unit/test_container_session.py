"""The client's side of a running program, with a monitor made of a socket and a thread."""

from __future__ import annotations

import io
import json
import os
import socket
import threading

import pytest

from nbcontainers.container.session import Session, Streams
from nbcontainers.errors import CreateFailed, LauncherDied
from nbcontainers.launcher.channel import Channel
from nbcontainers.monitor import protocol
from nbcontainers.monitor.protocol import Frames, frame

STARTED = frame(protocol.STARTED, b'{"pid": 0}')


def ended(code=0):
    return frame(protocol.EXIT, json.dumps({"exit_code": code}).encode())


class Monitor:
    """Plays `script(socket)` in a thread and keeps the frames it got."""

    def __init__(self, script):
        self.ours, theirs = socket.socketpair()
        self.got = []
        self.thread = threading.Thread(target=self._play, args=(script, theirs))
        self.thread.start()

    def _play(self, script, theirs):
        with theirs:
            self.read = lambda until: self._read(theirs, until)
            script(self, theirs)

    def _read(self, connection, until):
        """Frames until one of that kind has come."""
        frames = Frames()
        while data := connection.recv(1 << 16):
            for kind, payload in frames.feed(data):
                self.got.append((kind, payload))
                if kind == until:
                    return

    def session(self, **streams):
        self.out, self.err = bytearray(), bytearray()
        streams = {"stdout": self.out.extend, "stderr": self.err.extend, **streams}
        return Session(Channel(self.ours), Streams(**streams))


@pytest.fixture
def monitor():
    monitors = []

    def make(script):
        monitors.append(Monitor(script))
        return monitors[-1]

    yield make
    for one in monitors:
        one.ours.close()
        one.thread.join(5)


def say(*frames):
    return lambda _, connection: connection.sendall(b"".join(frames))


def test_output_comes_in_order_and_the_end_is_returned(monitor):
    playing = monitor(say(STARTED, frame(b"O", b"a"), frame(b"E", b"b"), frame(b"O", b"c"), ended(7)))
    session = playing.session()
    assert session.wait() == {"exit_code": 7}
    assert (bytes(playing.out), bytes(playing.err)) == (b"ac", b"b")
    assert session.last_words == b"b"


def test_the_last_words_are_bounded(monitor):
    playing = monitor(say(STARTED, *[frame(b"E", b"x" * 10000)] * 10, frame(b"E", b"the end"), ended()))
    session = playing.session()
    session.wait()
    assert len(session.last_words) == 2048
    assert session.last_words.endswith(b"the end")


def test_frames_may_come_in_pieces(monitor):
    def script(_, connection):
        for byte in STARTED + frame(b"O", b"hello") + ended():
            connection.sendall(bytes([byte]))

    playing = monitor(script)
    assert playing.session().wait() == {"exit_code": 0}
    assert bytes(playing.out) == b"hello"


def test_an_error_of_the_monitor_is_raised(monitor):
    error = CreateFailed("no such program", exit_code=127)
    playing = monitor(say(frame(b"F", json.dumps(error.to_json()).encode())))
    with pytest.raises(CreateFailed, match="no such program") as caught:
        playing.session().wait()
    assert caught.value.exit_code == 127


def test_a_monitor_that_vanishes_is_said(monitor):
    playing = monitor(say(STARTED))
    with pytest.raises(LauncherDied, match="vanished") as caught:
        playing.session().wait()
    assert "system prune" in caught.value.hint


@pytest.mark.parametrize(
    "source", [b"some\nwords", "some\nwords", io.BytesIO(b"some\nwords"), io.StringIO("some\nwords")]
)
def test_input_in_memory(monitor, source):
    def script(self, connection):
        connection.sendall(STARTED)
        self.read(b"C")
        connection.sendall(ended())

    playing = monitor(script)
    playing.session(stdin=source).wait()
    assert b"".join(payload for kind, payload in playing.got if kind == b"I") == b"some\nwords"
    assert playing.got[-1] == (b"C", b"")


def test_input_from_a_pipe_comes_as_it_is_written(monitor):
    reader, writer = os.pipe()

    def script(self, connection):
        connection.sendall(STARTED)
        os.write(writer, b"one")
        self.read(b"I")
        os.close(writer)
        self.read(b"C")
        connection.sendall(ended())

    playing = monitor(script)
    playing.session(stdin=reader).wait()
    os.close(reader)
    assert playing.got == [(b"I", b"one"), (b"C", b"")]


def test_no_input_at_all_sends_nothing(monitor):
    def script(_, connection):
        connection.sendall(STARTED + ended())

    playing = monitor(script)
    session = playing.session()
    session.wait()
    assert not session.outgoing


def test_much_both_ways_does_not_stop(monitor):
    """Each side would wait for the other if we sent without reading."""
    size = 1 << 22

    def script(self, connection):
        connection.sendall(STARTED)
        for _ in range(size >> 16):
            connection.sendall(frame(b"O", b"x" * (1 << 16)))
        self.read(b"C")
        connection.sendall(ended())

    playing = monitor(script)
    playing.session(stdin=b"y" * size).wait()
    assert len(playing.out) == size
    assert sum(len(payload) for kind, payload in playing.got if kind == b"I") == size


def test_a_program_that_ends_before_its_input_does(monitor):
    playing = monitor(say(STARTED, ended(0)))
    assert playing.session(stdin=b"y" * (1 << 22)).wait() == {"exit_code": 0}


def test_ticks_while_nothing_happens(monitor):
    ticks = []

    def script(_, connection):
        connection.sendall(STARTED)
        threading.Event().wait(0.45)
        connection.sendall(ended())

    monitor(script).session(tick=lambda: ticks.append(1)).wait()
    assert 3 <= len(ticks) <= 20


def test_the_size_of_the_window_is_passed_on(monitor):
    sizes = [(24, 80), None, (50, 100)]

    def script(self, connection):
        connection.sendall(STARTED)
        self.read(b"W")
        self.read(b"W")
        connection.sendall(ended())

    playing = monitor(script)
    playing.session(window=lambda: sizes.pop(0) if sizes else None).wait()
    assert [json.loads(payload) for _, payload in playing.got] == [{"rows": 24, "cols": 80}, {"rows": 50, "cols": 100}]


def test_detaching(monitor):
    def script(self, connection):
        connection.sendall(STARTED)
        self.read(b"D")

    playing = monitor(script)
    session = playing.session()
    assert session.wait_start() == {"pid": 0}
    session.detach()
    session.channel.close()
    playing.thread.join(5)
    assert playing.got == [(b"D", b"")]


def test_keys_typed_on_a_terminal_leave_the_program_alone(monitor):
    it = monitor(lambda it, connection: it.read(protocol.DETACH))
    reading, writing = os.pipe()
    os.write(writing, b"ls\x10x\x10\x10\x11never")
    with it.session(stdin=reading, keys=b"\x10\x11") as session:
        assert session.wait() == {}
        assert session.left
    os.close(reading)
    os.close(writing)
    it.thread.join(5)
    assert b"".join(payload for kind, payload in it.got if kind == protocol.STDIN) == b"ls\x10x\x10"
    assert it.got[-1][0] == protocol.DETACH


def test_an_interrupt_without_proxy_leaves_the_program_alone(monitor):
    def interrupt():
        raise KeyboardInterrupt

    it = monitor(lambda it, connection: it.read(protocol.DETACH))
    with it.session(tick=interrupt, proxy=False) as session, pytest.raises(KeyboardInterrupt):
        session.wait()
    it.thread.join(5)
    assert [kind for kind, _ in it.got] == [protocol.DETACH]


def test_who_only_accompanies_a_program_passes_interrupts_on_and_stays(monitor):
    def script(it, connection):
        connection.sendall(STARTED)
        it.read(protocol.KILL)
        connection.sendall(ended(3))

    signals = iter([KeyboardInterrupt(15)])

    def interrupt():
        if error := next(signals, None):
            raise error

    it = monitor(script)
    with it.session(tick=interrupt) as session:
        assert session.accompany()["exit_code"] == 3
    assert it.got == [(protocol.KILL, b'{"signal": 15}')]


def test_the_second_interrupt_leaves_a_program_that_is_not_ours_running(monitor):
    """One whose pid 1 ignores SIGINT held the cell for ever."""

    def interrupt():
        raise KeyboardInterrupt

    it = monitor(lambda it, connection: (connection.sendall(STARTED), it.read(protocol.DETACH)))
    with it.session(tick=interrupt) as session, pytest.raises(KeyboardInterrupt):
        session.accompany()
    assert session.left
    it.thread.join(5)
    assert it.got == [(protocol.KILL, b'{"signal": 2}'), (protocol.DETACH, b"")]
    said = "[nbcontainers] interrupted: sent SIGINT to the container; once more leaves it running\n"
    assert it.err.decode() == said


def test_the_end_of_our_input_need_not_be_the_end_of_the_programs(monitor):
    def script(it, connection):
        it.read(protocol.STDIN)
        connection.sendall(STARTED + ended())

    it = monitor(script)
    with it.session(stdin=b"a line\n") as session:
        session.input.ends = False
        session.wait()
    it.thread.join(5)
    assert it.got == [(protocol.STDIN, b"a line\n")]
