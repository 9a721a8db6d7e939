"""A program on a terminal that is no tty of ours: its output is kept and its keys are typed by a notebook page or by
Python, and it goes on when the cell has ended.

    sh = container.terminal("sh")        # exec -it; without a command: attach
    sh.write("ls\\n"); print(sh); sh.resize(40, 120); sh.close(); sh.wait()

One thread beside each follows the program. What nobody reads is not kept beyond `KEPT` bytes; what is read slowly holds
the program back, as the terminal of a slow line would (the channel, the monitor and the pty fill up).
"""

from __future__ import annotations

import contextvars
import fcntl
import os
import shlex
import signal
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from html import escape
from typing import Any, Protocol

from nbcontainers import view
from nbcontainers.container.container import Container
from nbcontainers.container.failure import cause
from nbcontainers.container.screen import Screen
from nbcontainers.container.session import Session, Streams
from nbcontainers.container.tape import Tape
from nbcontainers.errors import Error, InvalidState, NotFound, TimedOut
from nbcontainers.table import AS_IT_IS, BORDER, MONOSPACE, duration, plain

KEPT = 1 << 19
RECENT = 1 << 16
"""Bytes that bring back the screen where it was lost."""
AHEAD = 1 << 16
"""Bytes that nobody has read yet, when the program is to wait."""
UNREAD_RATE = 8e6
"""Bytes a second that are taken where nobody reads: they cost time of the notebook's process."""
TYPED = 1 << 20
_PATIENCE_S = 1.0
_ENDED_KEPT = 16
_RECENT_LINES = 500
_WORDS = 60
_LETTERS = 40_000

Begin = Callable[[Streams], object]


class Reader(Protocol):
    """Who shows the output. `at`: up to where; None while it does not want to be waited for."""

    @property
    def at(self) -> int | None: ...


class _HungUp(Exception):
    """We leave the session, and its channel closes."""


class Terminal(view.View):
    """`begin` runs the program with the streams it is given, to its end. `start` returns once the program runs.

    how        exec, run, attach
    ends       whether `close` ends the program, or only leaves it
    container  its handle, once the program runs
    news       notified of output and of the end; whoever reads the tape holds it
    """

    def __init__(self, how: str, command: tuple[str, ...], begin: Begin, *, ends: bool, keys: bytes = b"") -> None:
        self.how, self.command, self.begin, self.ends = how, command, begin, ends
        self.key = self.stream = uuid.uuid4().hex
        """What pages know it by (also one that came in its place), and what its tape is known by."""
        self._name = ""
        self.deaf = False
        """Whether it takes no keys: a container made with -t but without -i."""
        self.tape = Tape(KEPT)
        self.shown = 0
        """Up to where any page had it: questions of the program to its terminal are answered once."""
        self.news = threading.Condition()
        self.readers: list[Reader] = []
        self.container: Any = None
        self.session: Session | None = None
        self.error: Exception | None = None
        self.rows, self.columns = _last_size
        self.started_at = self.ended_at = 0.0
        self._begun, self._over = threading.Event(), threading.Event()
        self._resized = True
        self._closing = 0.0
        self._signalled: list[int] = []
        self._due = 0.0
        self._typing = threading.Lock()
        self._late = bytearray()
        self._input, self._keyboard = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with suppress(OSError):  # more than this user may have
            fcntl.fcntl(self._keyboard, fcntl.F_SETPIPE_SZ, TYPED)
        self._streams = Streams(
            stdin=self._input, stdout=self._take, stderr=self._take, tick=self._tick, window=self._window, keys=keys,
            room=self._room, ours=how == "exec", on_start=self._started,
        )  # fmt: skip
        context = contextvars.copy_context()  # what is said meanwhile belongs to the cell
        self._thread = threading.Thread(target=lambda: context.run(self._run), name=f"nbcontainers-{how}", daemon=True)

    def start(self) -> Terminal:
        """Raises what kept the program from starting."""
        self._thread.start()
        try:
            self._begun.wait()
        except BaseException:
            self.close()
            raise
        if self.session is None:
            assert self.error is not None
            raise self.error
        remember(self, self.key)
        return self

    # -- how it is -------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether it is still followed."""
        return not self._over.is_set()

    @property
    def left(self) -> bool:
        """Whether the program went on without us."""
        return not self.running and self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        ended = self.session.ended if self.session else None
        return None if ended is None else ended.get("exit_code")

    @property
    def name(self) -> str:
        """Of the container, also when it is gone."""
        with suppress(NotFound):
            self._name = str(self.container.name) if self.container else ""
        return self._name

    def wait(self, timeout: float | None = None) -> int | None:
        """Until the program has ended or was left; its exit status. Raises TimedOut."""
        if not self._over.wait(timeout):
            raise TimedOut(
                f"{self.title} still runs after {timeout} s", hint="close() hangs up; wait() waits for its end"
            )
        return self.exit_code

    # -- what a user does ------------------------------------------------------------------------------------------

    def write(self, data: bytes | str) -> None:
        """Type. Raises InvalidState where the program has ended, or reads nothing of what was typed before."""
        data = data.encode() if isinstance(data, str) else data
        with self._typing:
            if not self.running:
                raise InvalidState(f"{self.title}: nobody reads what is typed, it has ended")
            if self.deaf:
                raise InvalidState(f"{self.title} takes no keys: its container was made without -i")
            if len(self._late) + len(data) > TYPED:
                raise InvalidState(f"{self.title}: {len(data)} bytes more than it reads; none of them was typed")
            self._late += data
            self._flush()

    def resize(self, rows: int, columns: int) -> None:
        """The program gets SIGWINCH."""
        global _last_size
        rows, columns = max(1, min(int(rows), 1000)), max(2, min(int(columns), 1000))
        if (rows, columns) != (self.rows, self.columns):
            self.rows, self.columns = _last_size = rows, columns
            self._resized = True

    def close(self) -> None:
        """Hang up, as the window of a terminal does: SIGHUP, and a moment later SIGKILL. A program that is not to end
        with its terminal is left alone."""
        self._closing = self._closing or time.monotonic()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        result: Any = None
        try:
            result = self.begin(self._streams)
        except _HungUp:
            pass
        except Exception as error:  # noqa: BLE001 - told by `start` or shown
            self.error, result = error, getattr(error, "container", None)
        if isinstance(result, Container):  # which of one that was removed knows more than the disk
            self.container = result
        self.ended_at = time.time()
        with self._typing:
            self._over.set()
            os.close(self._input)
            os.close(self._keyboard)
        self._begun.set()
        self.tell()

    def tell(self) -> None:
        with self.news:
            self.news.notify_all()

    def _started(self, container: Any, session: Session) -> None:
        self.container, self.session = container, session
        self.started_at = time.time()
        if self.how == "attach":
            self._take(recent(container))
        self._begun.set()

    def _take(self, data: bytes) -> None:
        with self.news:
            self.tape.write(data)
        self._due = max(self._due, time.monotonic()) + len(data) / UNREAD_RATE
        self.tell()

    def _room(self) -> bool:
        read = [at for reader in list(self.readers) if (at := reader.at) is not None]
        if read:
            return self.tape.end - max(read) < AHEAD
        return time.monotonic() >= self._due

    def _window(self) -> tuple[int, int] | None:
        if not self._resized:
            return None
        self._resized = False
        return self.rows, self.columns

    def _tick(self) -> None:
        with self._typing:
            self._flush()
        if self._closing and self.session:
            self._hang_up(self.session)

    def _flush(self) -> None:
        with suppress(BlockingIOError):
            while self._late:
                del self._late[: os.write(self._keyboard, self._late)]

    def _hang_up(self, session: Session) -> None:
        if not self.ends:
            raise _HungUp
        waited = time.monotonic() - self._closing
        if waited > 3 * _PATIENCE_S:
            raise _HungUp  # its monitor hears of it
        number = signal.SIGHUP if waited < _PATIENCE_S else signal.SIGKILL
        if number not in self._signalled:
            self._signalled.append(number)
            session.signal(number)

    # -- how it shows itself ---------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """`web: sh`."""
        words = plain(shlex.join(self.command))
        return f"{plain(self.name)}: {words if len(words) <= _WORDS else words[: _WORDS - 1] + '…'}"

    @property
    def state(self) -> str:
        """How it is, in a few words."""
        if self.running:
            return "running"
        if self._closing and self.ends:
            return "hung up"
        if self.exit_code is not None:
            return self._exited(self.exit_code)
        if self.error:
            return self.error.message if isinstance(self.error, Error) else f"{type(self.error).__name__}: {self.error}"
        back = f": %container attach {self.name} comes back to it" if self.how != "exec" else ""
        return f"left, it goes on{back}"

    def _exited(self, code: int) -> str:
        """What is more than a status is said: signals, lack of memory, what could not be executed."""
        assert self.session is not None
        ended = self.session.ended or {}
        return "".join(cause(ended)[:2]) if code >= 126 or ended.get("oom_killed") else f"exited with {code}"

    def screen(self) -> list[str]:
        """The last lines of what it wrote."""
        shown = Screen(self.rows, self.columns)
        with self.news:
            end = self.tape.read(self.recent())
        shown.feed(end)
        lines = shown.lines()
        while len(lines) > self.rows and sum(map(len, lines)) > _LETTERS:
            lines = lines[self.rows :]
        return lines

    def recent(self) -> int:
        """Where on the tape begins what brings the screen back."""
        return self.tape.line(self.tape.end - RECENT)

    def text(self) -> str:
        return "\n".join([self._headline(), *self.screen()])

    def html(self) -> str:
        lines = escape("\n".join(self.screen()))
        return (
            f'<div {AS_IT_IS}><div style="font-size: 12px; opacity: .8;">{escape(self._headline())}</div>'
            f'<pre style="font-family: {MONOSPACE}; font-size: 13px; line-height: 1.25; margin: 2px 0; padding: 4px 6px; '
            f"border: 1px solid {BORDER}; border-radius: 4px; min-height: {_HEIGHT}px; max-height: {_HEIGHT}px; "
            f'overflow: auto; white-space: pre; background: none; color: inherit;">{lines}</pre></div>'
        )

    def _headline(self) -> str:
        at = self.ended_at or time.time()
        after = f", after {duration(at - self.started_at)}" if self.ended_at and self.started_at else ""
        when = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.title} · {plain(self.state)}{after} · {'' if self.ended_at else 'as it was at '}{when}"

    def _live_(self) -> tuple[str, dict[str, Any]]:
        return "terminal", {
            "key": self.key, "how": self.how, "container": self.container.id, "title": self.title,
            "over": not self.running,
        }  # fmt: skip


_HEIGHT = 400
_known: dict[str, Terminal] = {}
_last_size = (24, 80)


def known(key: str) -> Terminal | None:
    """The terminal of this process with that key."""
    return _known.get(key)


def remember(terminal: Terminal, key: str) -> None:
    """Those that run, and the last of those that ended: a page that was reloaded asks for them."""
    _known[key] = terminal
    terminal.key = key
    ended = [key for key, one in list(_known.items()) if not one.running]
    for key in ended[:-_ENDED_KEPT]:
        _known.pop(key, None)  # another thread may have been quicker


def recent(container: Any) -> bytes:
    """The end of what a container wrote before anybody came, from its log; nothing where it has none."""
    import json

    from nbcontainers.container import logfile, store

    found: list[bytes] = []
    for record in reversed(logfile.last(f"{store.folder(container.engine, container.id)}/log", _RECENT_LINES)):
        found.append(json.loads(record)["log"].encode("utf-8", "surrogateescape"))
        if sum(map(len, found)) > RECENT:
            break
    return b"".join(reversed(found))
