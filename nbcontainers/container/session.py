"""The client's side of a running program: its output comes in, its input and our signals go out.

All waiting is in poll(2) on the calling thread, so the stop button interrupts it (ux reference, convention 32).
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection
from typing import IO, Any, NamedTuple

from nbcontainers.errors import Error, InvalidArgument, LauncherDied
from nbcontainers.launcher.channel import Channel
from nbcontainers.monitor import protocol

Sink = Callable[[bytes], object]
Source = bytes | str | IO[bytes] | IO[str] | int
Document = dict[str, Any]

#: Seconds a program gets after each step of an interrupt.
GRACE = 3.0
_PATIENCE = 10.0
_TICK = 100
_CHUNK = 1 << 16
_LAST_WORDS = 2048


class Streams(NamedTuple):
    """Where a program's input comes from and its output goes.

    `tick` is called at least ten times a second; `window` gives (rows, columns) of the user's terminal when they are
    new, else None. `keys`, typed one after the other, leave the program alone; so does an interrupt without `proxy`.
    Output is read while there is `room` for it, and else waits where it is made. A program that is not `ours` goes on
    without us. `on_start` hears of the container and the session once the program runs.
    """

    stdin: Source | None = None
    stdout: Sink | None = None
    stderr: Sink | None = None
    tick: Callable[[], object] | None = None
    window: Callable[[], tuple[int, int] | None] | None = None
    keys: bytes = b""
    proxy: bool = True
    room: Callable[[], bool] | None = None
    ours: bool = True
    on_start: Callable[[Any, Session], object] | None = None

    def started(self, container: Any, session: Session) -> None:
        if self.on_start:
            self.on_start(container, session)

    def console_size(self) -> dict[str, int]:
        """`process.consoleSize` of the runtime-spec: the user's terminal's, or the one of a VT100."""
        rows, columns = (self.window and self.window()) or (24, 80)
        return {"height": rows, "width": columns}

    def check(self) -> None:
        """Raises InvalidArgument for what can be neither read nor called, before anything is started for it."""
        if not (self.stdin is None or isinstance(self.stdin, (str, bytes, int)) or hasattr(self.stdin, "read")):
            raise InvalidArgument(f"stdin={self.stdin!r} cannot be read", hint="give bytes, text or an open file")
        sinks: list[tuple[str, Any]] = [("stdout", self.stdout), ("stderr", self.stderr)]
        for name, sink in sinks:
            if not (sink is None or callable(sink)):
                hint = "give a function that takes bytes, such as a list's append"
                raise InvalidArgument(f"{name}={sink!r} cannot be called", hint=hint)

    def only(self, names: Collection[str]) -> Streams:
        """With `run -a`: what is not among stdin, stdout, stderr is not ours."""
        return self._replace(
            stdin=self.stdin if "stdin" in names else None,
            stdout=self.stdout if "stdout" in names else _drop,
            stderr=self.stderr if "stderr" in names else _drop,
        )

    def unheard(self) -> Streams:
        """The same without output: what a program writes before it is left alone is in its log."""
        return self._replace(stdout=_drop, stderr=_drop)


def _drop(data: bytes) -> None:
    """For output nobody waits for."""


def to_sys(name: str) -> Sink:
    """A sink that writes to sys.stdout or sys.stderr, as text where that takes no bytes (a notebook's)."""
    stream = getattr(sys, name)
    buffer = getattr(stream, "buffer", None)
    if buffer is not None:
        return lambda data: (stream.flush(), buffer.write(data), buffer.flush())
    from codecs import getincrementaldecoder

    decoder = getincrementaldecoder("utf-8")("replace")
    return lambda data: stream.write(decoder.decode(data))


class Session:
    """One attached program. `wait` returns its exit record; `started` is what its S frame said."""

    def __init__(self, channel: Channel, streams: Streams, on_start: Callable[[Session], object] | None = None) -> None:
        self.channel = channel
        self.streams = streams
        self.on_start = on_start
        self.sinks = {
            protocol.STDOUT: streams.stdout or to_sys("stdout"),
            protocol.STDERR: streams.stderr or to_sys("stderr"),
        }
        self.frames = protocol.Frames()
        self.input = Input(streams.stdin, streams.keys)
        self.outgoing = bytearray()
        self.started: Document = {}
        self.ended: Document | None = None
        self.left = False
        """Whether we went, and the program goes on."""
        self.last_words = b""
        """The end of what came on stderr."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.channel.close()

    def wait_start(self) -> Document:
        """Until the program has started; output that comes before its end stays for `wait`."""
        while not self.started and self.ended is None:
            self._step(None)
        return self.started

    def wait(self) -> Document:
        """Until the end; returns the exit record, which is empty where we `left` before.

        An interrupt is passed on: SIGINT first, then SIGTERM, then SIGKILL, a step at a time or with each further
        interrupt; then KeyboardInterrupt goes on. One with another signal's number, of the command line, begins with that
        signal, and the end of the program is ours. Without `Streams.proxy` it leaves the program alone. Raises what the
        monitor reported, LauncherDied if it vanished.
        """
        try:
            return self._until_end(None)
        except KeyboardInterrupt as interrupt:
            number = interrupt.args[0] if interrupt.args else signal.SIGINT
            if self.streams.proxy:
                self._stop(number)
            else:
                self.detach()
            if number == signal.SIGINT or not self.ended:
                raise
            return self.ended

    def end(self) -> None:
        """Kill the program at once and wait until nothing of it is left."""
        self.signal(signal.SIGKILL)
        self.streams = self.streams.unheard()._replace(tick=None)
        try:
            self._until_end(time.monotonic() + _PATIENCE)
        except (TimeoutError, Error):
            return  # its monitor hears that we are gone, and does the same

    def accompany(self) -> Document:
        """`wait` for a program that is not ours to end: a signal is passed on as it is, and waiting goes on.

        The second interrupt leaves the program alone, or one that ignores SIGINT would hold a cell for ever.
        """
        interrupted = False
        while True:
            try:
                return self._until_end(None)
            except KeyboardInterrupt as interrupt:
                number = interrupt.args[0] if interrupt.args else signal.SIGINT
                if not self.streams.proxy or (interrupted and number == signal.SIGINT):
                    self.detach()
                    raise
                self.signal(number)
                if number == signal.SIGINT:
                    interrupted = True
                    self.notice(f"interrupted: {self._heard(number)}; once more leaves it running")

    def _heard(self, number: int) -> str:
        """What becomes of a signal of ours."""
        name, what = signal.Signals(number).name, self.started.get("what", "container")
        if self._drops(number):
            return f"pid 1 of the container does not handle {name} (--init passes it on)"
        return f"sent {name} to the {what}"

    def _drops(self, number: int) -> bool:
        from nbcontainers.monitor.stop import drops

        return number != signal.SIGKILL and drops(self.started.get("pid", 0), number)

    def detach(self) -> None:
        """Leave the program running without us."""
        self.send(protocol.DETACH)
        self._flush()
        self.left = True

    def signal(self, number: int) -> None:
        self.send(protocol.KILL, json.dumps({"signal": int(number)}).encode())

    def resize(self, rows: int, columns: int) -> None:
        """Tell the program's terminal its size."""
        self.send(protocol.WINDOW, json.dumps({"rows": rows, "cols": columns}).encode())

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        self.outgoing += protocol.frame(kind, payload)

    def notice(self, text: str) -> None:
        """A line of our own among the program's output."""
        self.sinks[protocol.STDERR](f"[nbcontainers] {text}\n".encode())

    def _until_end(self, deadline: float | None) -> Document:
        while self.ended is None and not self.left:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
            self._step(deadline)
        return self.ended or {}

    def _step(self, deadline: float | None) -> None:
        """One turn of the loop: wait, move bytes both ways, act on whole frames."""
        self.input.fill(self)
        if self.streams.window and self.started and (size := self.streams.window()):
            self.resize(*size)
        poll = select.poll()
        wanted = self.streams.room is None or self.streams.room()
        events = (select.POLLIN if wanted else 0) | (select.POLLOUT if self.outgoing else 0)
        poll.register(self.channel.fileno(), events)
        source = self.input.fileno() if len(self.outgoing) < _CHUNK else -1
        if source >= 0:
            poll.register(source, select.POLLIN)
        limit = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if self.streams.tick or self.streams.window:
            limit = _TICK if limit is None else min(limit, _TICK)
        ready = dict(poll.poll(limit))
        if self.streams.tick:
            self.streams.tick()
        mine = ready.get(self.channel.fileno(), 0)
        if mine & select.POLLOUT:
            self._flush()
        if source in ready:
            self.input.read(self)
        if mine & ~select.POLLOUT:
            self._receive()

    def _flush(self) -> None:
        try:
            sent = self.channel.socket.send(self.outgoing, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            sent = len(self.outgoing)  # the monitor is gone; the reading side will say so
        del self.outgoing[:sent]

    def _receive(self) -> None:
        try:
            data = self.channel.socket.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            raise LauncherDied(
                "the container's monitor vanished without a word of how it ended",
                hint="type system prune to tidy up what it left, and run it again",
            )
        for kind, payload in self.frames.feed(data):
            self._act(kind, payload)

    def _act(self, kind: bytes, payload: bytes) -> None:
        if kind in self.sinks:
            if kind == protocol.STDERR:
                self.last_words = (self.last_words + payload)[-_LAST_WORDS:]
            self.sinks[kind](payload)
        elif kind == protocol.STARTED:
            self.started = json.loads(payload)
            if self.on_start:
                self.on_start(self)
        elif kind == protocol.EXIT:
            self.ended = json.loads(payload)
        elif kind == protocol.FAILED:
            raise Error.from_json(json.loads(payload))

    def _stop(self, first: int) -> None:
        """Have the program end, politely at first. Further interrupts only hurry it."""
        for number in dict.fromkeys((first, signal.SIGTERM, signal.SIGKILL)):
            self.notice(f"interrupted: {self._heard(number)}")
            if self._drops(number):
                continue
            self.signal(number)
            try:
                self._until_end(time.monotonic() + (GRACE if number != signal.SIGKILL else _PATIENCE))
            except (TimeoutError, KeyboardInterrupt):
                continue
            return


class Input:
    """What goes to a program's stdin: bytes, text, or a file that is read when it has something.

    `ends`: whether its end is the program's end of input too. `keys` typed on a file leave the program alone.
    """

    def __init__(self, source: Source | None, keys: bytes = b"") -> None:
        self.ends = True
        self.keys = keys
        self.typed = 0
        """How many of the keys have come."""
        self.data = memoryview(b"")
        self.file = -1
        self.open = source is not None
        if isinstance(source, str):
            source = source.encode()
        if isinstance(source, bytes):
            self.data = memoryview(source)
        elif isinstance(source, int):
            self.file = source
        elif source is not None:
            self._take(source)

    def _take(self, source: IO[bytes] | IO[str]) -> None:
        try:
            self.file = source.fileno()
        except (OSError, AttributeError):  # io.UnsupportedOperation: a file in memory
            content = source.read()
            self.data = memoryview(content if isinstance(content, bytes) else content.encode())

    def fileno(self) -> int:
        """The descriptor to wait for; -1 if there is none."""
        return self.file if self.open else -1

    def fill(self, session: Session) -> None:
        """Queue the next piece of what is in memory, once the one before is gone."""
        if not self.open or self.file >= 0 or session.outgoing:
            return
        piece, self.data = self.data[:_CHUNK], self.data[_CHUNK:]
        self._give(session, bytes(piece))

    def read(self, session: Session) -> None:
        try:
            data = os.read(self.file, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: a terminal that hung up
            data = b""
        given = self._without_keys(data) if self.keys else data
        if given or not data:
            self._give(session, given)
        if self.keys and self.typed == len(self.keys):
            session.detach()

    def _without_keys(self, data: bytes) -> bytes:
        """What is input: keys held back until it is clear what they mean."""
        given = bytearray()
        for letter in data:
            if letter != self.keys[self.typed]:
                given += self.keys[: self.typed]
                self.typed = 0
            if letter == self.keys[self.typed]:
                self.typed += 1
            else:
                given.append(letter)
            if self.typed == len(self.keys):
                break
        return bytes(given)

    def _give(self, session: Session, data: bytes) -> None:
        if data:
            session.send(protocol.STDIN, data)
        else:
            if self.ends:
                session.send(protocol.CLOSE_STDIN)
            self.open = False
