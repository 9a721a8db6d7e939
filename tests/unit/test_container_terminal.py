"""A terminal without a tty, and its way to a page: with a monitor made of a socket, and a clock of our own."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nbcontainers.container import terminal as terminals
from nbcontainers.container.session import Session, Streams
from nbcontainers.container.tape import Tape
from nbcontainers.container.terminal import AHEAD, KEPT, Terminal
from nbcontainers.errors import CreateFailed, InvalidState
from nbcontainers.launcher.channel import Channel
from nbcontainers.monitor import protocol
from nbcontainers.monitor.protocol import Frames, frame
from nbcontainers.widgets import feed as feeds
from nbcontainers.widgets.feed import CHUNK, WINDOW, Feed

STARTED = frame(protocol.STARTED, b'{"pid": 0}')


class Web:
    """A container as far as a terminal knows it."""

    id, name, removed = "0" * 64, "web", False


class Program:
    """The monitor's end of a terminal: `say` output, `got` frames, `end`."""

    def __init__(self, *, ends: bool = True, keys: bytes = b"") -> None:
        self.ours, self.theirs = socket.socketpair()
        self.frames = Frames()
        self.terminal = Terminal("exec", ("sh", "-c", "a b"), self.follow, ends=ends, keys=keys)

    def follow(self, streams: Streams) -> Any:
        with Session(Channel(self.ours), streams, lambda session: streams.started(Web(), session)) as session:
            return session.wait()

    def start(self) -> Terminal:
        self.theirs.sendall(STARTED)
        return self.terminal.start()

    def say(self, data: bytes) -> None:
        self.theirs.sendall(frame(protocol.STDOUT, data))

    def got(self, kind: bytes) -> bytes:
        """The next frame of that kind."""
        self.theirs.settimeout(5)
        while True:
            for found, payload in self.frames:
                if found == kind:
                    return payload
            data = self.theirs.recv(1 << 16)
            assert data, f"no frame {kind!r} came"
            self.frames.buffer += data

    def end(self, code: int = 0) -> None:
        self.theirs.sendall(frame(protocol.EXIT, json.dumps({"exit_code": code}).encode()))


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Program]]:
    made: list[Program] = []
    monkeypatch.setattr(terminals, "_last_size", (24, 80))

    def make(**options: Any) -> Program:
        made.append(Program(**options))
        return made[-1]

    yield make
    for one in made:
        one.theirs.close()
        if one.terminal._thread.ident:
            one.terminal._thread.join(5)
        one.ours.close()
    terminals._known.clear()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_tape_keeps_the_end() -> None:
    tape = Tape(10)
    tape.write(b"one\ntwo\nthree")
    assert (tape.start, tape.end, tape.read(3), tape.read(4, 3)) == (3, 13, b"\ntwo\nthree", b"two")
    assert tape.line(0) == 4
    assert tape.line(5) == 8
    assert tape.line(9) == 9


def test_keys_output_size_and_end(program: Callable[..., Program]) -> None:
    playing = program()
    terminal = playing.start()
    playing.say("$ é".encode())
    until(lambda: terminal.screen() == ["$ é"])
    terminal.write("ls\n")
    assert playing.got(protocol.STDIN) == b"ls\n"
    terminal.resize(7, 33)
    until(lambda: json.loads(playing.got(protocol.WINDOW)) == {"rows": 7, "cols": 33})
    assert (terminal.running, terminal.exit_code, terminal.state) == (True, None, "running")
    playing.end(3)
    assert terminal.wait(5) == 3
    assert terminal.text().startswith("web: sh -c 'a b' · exited with 3, after ")
    with pytest.raises(InvalidState, match="it has ended"):
        terminal.write("x")


def test_what_keeps_it_from_starting_is_raised(program: Callable[..., Program]) -> None:
    playing = program()
    error = CreateFailed("no such program", exit_code=127)
    playing.theirs.sendall(frame(protocol.FAILED, json.dumps(error.to_json()).encode()))
    with pytest.raises(CreateFailed, match="no such program"):
        playing.terminal.start()
    assert not terminals._known


def test_keys_leave_it(program: Callable[..., Program]) -> None:
    playing = program(keys=b"\x10\x11")
    terminal = playing.start()
    terminal.write(b"a\x10")
    terminal.write(b"\x11b")
    assert playing.got(protocol.STDIN) == b"a"
    playing.got(protocol.DETACH)
    terminal.wait(5)
    assert terminal.left
    assert terminal.state == "left, it goes on"


def test_hanging_up_ends_the_program_or_leaves_it(
    program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "_PATIENCE_S", 0.2)
    playing = program()
    terminal = playing.start()
    terminal.close()
    assert json.loads(playing.got(protocol.KILL)) == {"signal": 1}
    assert json.loads(playing.got(protocol.KILL)) == {"signal": 9}
    playing.end(137)
    terminal.wait(5)
    assert terminal.state == "hung up"
    other = program(ends=False)
    left = other.start()
    left.close()
    left.wait(5)
    assert left.left
    while data := other.theirs.recv(1 << 16):
        other.frames.buffer += data
    assert {kind for kind, _ in other.frames} <= {protocol.WINDOW}, "the channel is closed, and nothing else was said"


def test_a_flood_nobody_reads_is_bounded_and_goes_on(program: Callable[..., Program]) -> None:
    playing = program()
    terminal = playing.start()
    for _ in range(12):
        playing.say(b"y\r\n\n" * (1 << 14))
    playing.say(b"last\n")
    until(lambda: terminal.tape.end == 12 * (1 << 16) + 5)
    assert len(terminal.tape._kept) <= KEPT
    assert terminal.screen()[-1] == "last"


def test_a_slow_reader_holds_the_program_back(program: Callable[..., Program]) -> None:
    playing = program()
    terminal = playing.start()
    reader = type("Slow", (), {"at": 0})()
    terminal.readers.append(reader)
    playing.theirs.setblocking(False)
    sent, piece = 0, frame(protocol.STDOUT, b"x" * 1000)
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        try:
            sent += playing.theirs.send(piece[sent % len(piece) :])
        except BlockingIOError:
            time.sleep(0.01)
    held = terminal.tape.end
    assert AHEAD <= held < AHEAD + (1 << 18) + 1000
    terminal.write("k")
    until(lambda: playing.frames.buffer or _receive(playing))
    reader.at = held
    until(lambda: terminal.tape.end > held)


def _receive(playing: Program) -> bool:
    try:
        playing.frames.buffer += playing.theirs.recv(1 << 16)
    except BlockingIOError:
        return False
    return any(kind == protocol.STDIN for kind, _ in playing.frames)


def test_more_than_a_megabyte_that_nobody_reads_is_not_typed(program: Callable[..., Program]) -> None:
    terminal = program().start()
    terminal._streams = terminal._streams._replace(stdin=None)
    with pytest.raises(InvalidState, match="more than it reads"):
        for _ in range(100):
            terminal.write(b"x" * (1 << 18))
    assert len(terminal._late) <= terminals.TYPED


def test_what_is_shown_cannot_be_markup(program: Callable[..., Program]) -> None:
    playing = program()
    terminal = playing.start()
    playing.say(b"<script>alert(1)</script>&amp;\x1b]0;<b>\x07")
    until(terminal.screen)
    html = terminal.html()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;" in html
    assert "<script" not in html
    assert "as it was at 20" in html
    kind, address = terminal._live_()
    assert (kind, address["how"], address["over"]) == ("terminal", "exec", False)


class Playing:
    """A terminal as far as a feed knows it, and a page that keeps what it is sent; time stands still."""

    def __init__(self, kept: int = KEPT) -> None:
        self.tape, self.news, self.readers = Tape(kept), threading.Condition(), []
        self.running, self.shown, self.state = True, 0, "running"
        self.now = 100.0
        self.sent: list[tuple[Any, bytes]] = []

    def recent(self) -> int:
        return self.tape.line(self.tape.end - terminals.RECENT)

    def tell(self) -> None:
        pass

    def feed(self, at: int | None = None) -> Feed:
        return Feed(self, self.take, at, lambda: self.now)  # type: ignore[arg-type]

    def take(self, content: Any, buffers: list[bytes]) -> None:
        self.sent.append((content, b"".join(buffers)))

    def play(self, feed: Feed, seconds: float) -> int:
        """Let time go by; bytes that were sent."""
        before, end = len(self.sent), self.now + seconds
        while (wait := feed.due()) is not None and self.now + wait < end:
            self.now += wait
            if wait == 0 and feed.turn():
                break
        self.now = end
        return sum(len(data) for _, data in self.sent[before:])


def test_a_page_gets_no_more_than_it_draws() -> None:
    playing = Playing()
    feed = playing.feed(0)
    playing.tape.write(b"y\n" * (1 << 17))
    playing.tape.write(b"y\n" * (1 << 17))
    first = playing.play(feed, 3)
    assert WINDOW <= first < WINDOW + CHUNK, "then it waits to hear how far the page is"
    assert max(len(data) for _, data in playing.sent) <= 100_000
    assert feed.at == 0
    feed.acknowledge(feed.sent)
    assert feed.at == feed.sent
    assert playing.play(feed, 1) > 0


def test_a_flood_is_paced_and_an_echo_hurries() -> None:
    playing = Playing()
    feed = playing.feed(0)
    for _ in range(20):
        playing.tape.write(b"x" * 100_000)
        playing.play(feed, 0.1)
        feed.acknowledge(feed.sent)
    assert len(playing.sent) <= 9, "four a second"
    playing.play(feed, 60)
    playing.now += 1
    playing.sent.clear()
    for _ in range(20):
        feed.key("k")
        playing.tape.write(b"k")
        playing.play(feed, 0.05)
    assert len(playing.sent) == 20, "each key is seen at once"


def test_an_interrupt_goes_past_the_flood() -> None:
    playing = Playing()
    feed = playing.feed(0)
    playing.tape.write(b"yes\n" * 50_000)
    playing.play(feed, 0.01)
    feed.key("\x03")
    assert feed.at is None, "the program is not held back meanwhile"
    playing.tape.write(b"yes\n" * 50_000 + b"^C\n$ ")
    playing.play(feed, 1)
    content, data = playing.sent[-1]
    assert data.endswith(b"yes\n^C\n$ ")
    assert len(data) <= 4_000
    assert content["skipped"] > 300_000
    assert content["out"] + len(data) == playing.tape.end
    assert feed.at == content["out"]


def test_who_cannot_see_it_holds_nobody_back_and_is_brought_up_to_date() -> None:
    playing = Playing(kept=100_000)
    feed = playing.feed(0)
    feed.show(False)
    assert feed.at is None
    playing.tape.write(b"line\n" * 40_000)
    assert playing.play(feed, 10) == 0
    feed.show(True)
    playing.play(feed, 1)
    content, data = playing.sent[0]
    assert content["reset"]
    assert data.startswith(b"line\n")
    assert len(data) <= terminals.RECENT


def test_a_page_that_says_nothing_any_more_is_given_up() -> None:
    playing = Playing()
    feed = playing.feed(0)
    playing.tape.write(b"x" * 400_000)
    playing.play(feed, 10)
    assert feed.at is None
    assert feed.due() is None
    feed.acknowledge(feed.sent)
    assert feed.at == feed.sent
    assert playing.play(feed, 2) > 0


def test_what_was_shown_before_is_marked() -> None:
    """Its questions to the terminal were answered then."""
    playing = Playing()
    playing.tape.write(b"old")
    playing.play(playing.feed(), 1)
    playing.tape.write(b"new")
    playing.play(playing.feed(), 1)
    assert [(content["replay"], data) for content, data in playing.sent] == [
        (False, b"old"),
        (True, b"old"),
        (False, b"new"),
    ]


def test_the_end_comes_last() -> None:
    playing = Playing()
    feed = playing.feed()
    playing.tape.write(b"bye\n")
    playing.running, playing.state = False, "exited with 0"
    playing.play(feed, 1)
    assert [data for _, data in playing.sent] == [b"bye\n", b""]
    assert playing.sent[-1][0] == {"state": "exited with 0", "over": True}


def test_no_thread_is_left(program: Callable[..., Program]) -> None:
    playing = program()
    terminal = playing.start()
    feed = Feed(terminal, lambda *_: None)
    feed.start()
    assert terminal.readers == [feed]
    feed.close()
    feed._thread.join(5)
    assert not feed._thread.is_alive()
    assert terminal.readers == []
    playing.end()
    terminal.wait(5)
    terminal._thread.join(5)
    assert not terminal._thread.is_alive()
    assert feeds.RATE < 1_000_000, "what a notebook server lets through"
