"""A terminal's output on its way to one place of a page: never more of it than the page can draw.

    the program → pty → monitor → channel → the terminal's tape → this → page

A page says how far it has drawn (`acknowledge`). It gets `WINDOW` bytes more than that, four messages a second, thirty
while somebody types; then the tape fills, and the program waits. A page that cannot be seen or no longer says anything
gets nothing and holds nobody back: it is brought up to date when it comes back. An interrupt in a flood leaves out
what lies between the program and the page, as a tty does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from nbcontainers.container.terminal import Terminal

CHUNK = 96_000
WINDOW = 256_000
RATE = 400_000
"""Bytes a second: a notebook server drops messages of more than 1 MB a second."""
FRAME_S, TYPED_FRAME_S = 0.25, 0.03
TYPING_S = 1.0
"""How long after a key its echo hurries."""
DEAF_S = 5.0
FLOOD = 32_000
_QUIET_S = 0.25
"""More than twice a tick of the session, which is how long it may wait before it reads on."""
_LAST_WORDS = 4_000

Send = Callable[[Any, list[bytes]], None]


class Feed:
    """One thread, until `close` or the program's end. `at` is where the page is on this terminal's tape; None for one
    that begins."""

    def __init__(
        self, terminal: Terminal, send: Send, at: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.terminal, self.send, self.clock = terminal, send, clock
        self.sent = -1 if at is None else at
        self.acknowledged = max(0, self.sent)
        self.visible, self.closed = True, False
        self.heard = clock()
        self.typed = -TYPING_S
        self.hurry = 0.0
        """Until when output is let go by after an interrupt."""
        self._skipped = 0
        self._next = 0.0
        self._grown = (0, 0.0)
        """How long the tape was, and since when."""
        self._thread = threading.Thread(target=self._run, name="nbcontainers-feed", daemon=True)

    def start(self) -> None:
        self.terminal.readers.append(self)
        self._thread.start()

    def close(self) -> None:
        self.closed = True
        self._forget()
        self.terminal.tell()

    def _forget(self) -> None:
        with self.terminal.news:  # its thread and whoever closes it may both come
            if self in self.terminal.readers:
                self.terminal.readers.remove(self)

    # -- what the page says ----------------------------------------------------------------------------------------

    @property
    def at(self) -> int | None:
        """For the terminal: up to where it was read, None while it need not wait."""
        return self.acknowledged if self.visible and not self.hurry and not self._deaf(self.clock()) else None

    def acknowledge(self, at: int) -> None:
        self.heard = self.clock()
        self.acknowledged = min(max(self.acknowledged, at), self.sent)
        self.terminal.tell()

    def show(self, visible: bool) -> None:
        self.heard = self.clock()
        self.visible = visible
        self.terminal.tell()

    def key(self, text: str) -> None:
        """Something was typed: its echo hurries, and an interrupt goes past what is on its way."""
        self.heard = self.typed = self.clock()
        if any(letter in text for letter in "\x03\x1c") and self.terminal.tape.end - self.acknowledged > FLOOD:
            self.hurry = self.typed + TYPING_S
        self.terminal.tell()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        news = self.terminal.news
        while True:
            with news:
                while (wait := self.due()) != 0:
                    if self.closed:
                        return
                    news.wait(wait)
            if self.closed or self.turn():
                break
        self._forget()

    def due(self) -> float | None:
        """Seconds until there is something to do; None for until there is news."""
        now, tape = self.clock(), self.terminal.tape
        if self.hurry:
            return self._settling(now)
        if not self.visible or self._deaf(now):
            return None
        if self.sent == tape.end:
            return None if self.terminal.running else 0
        if self.sent - self.acknowledged >= WINDOW:
            return max(0.01, self.heard + DEAF_S - now)
        return max(0.0, self._next - now)

    def _deaf(self, now: float) -> bool:
        return self.sent - self.acknowledged >= WINDOW and now - self.heard >= DEAF_S

    def _settling(self, now: float) -> float:
        """After an interrupt: until nothing more comes, or for a second."""
        end = self.terminal.tape.end
        if self._grown[0] != end:
            self._grown = (end, now)
        left = min(self._grown[1] + _QUIET_S, self.hurry) - now
        if left > 0:
            return left
        self.hurry = 0.0
        self._skip()
        return 0

    def _skip(self) -> None:
        tape = self.terminal.tape
        to = tape.line(tape.end - _LAST_WORDS)
        if to > self.sent:
            self._skipped += to - max(self.sent, 0)
            self.sent = self.acknowledged = to

    def turn(self) -> bool:
        """Send the next piece; whether it was the last of a program that has ended."""
        message, data = self._take()
        if data or message["reset"]:
            self.send(message, [data])
            typing = self.clock() - self.typed < TYPING_S
            self._next = self.clock() + max(TYPED_FRAME_S if typing else FRAME_S, len(data) / RATE)
        if self.terminal.running or self.sent < self.terminal.tape.end:
            return False
        self.send({"state": self.terminal.state, "over": True}, [])
        return True

    def _take(self) -> tuple[dict[str, Any], bytes]:
        """`reset`: what the page has is no beginning of this. `replay`: it was shown before, so that nothing in it is to
        be answered. `skipped`: bytes that are left out before it."""
        terminal, tape = self.terminal, self.terminal.tape
        with terminal.news:
            reset = not tape.start <= self.sent <= tape.end
            if reset:
                self.sent = self.acknowledged = terminal.recent()
            replay = self.sent < terminal.shown
            limit = min(CHUNK, terminal.shown - self.sent) if replay else CHUNK
            data = tape.read(self.sent, limit)
            message = {"out": self.sent, "reset": reset, "replay": replay, "skipped": self._skipped}
            self._skipped = 0
            self.sent += len(data)
            terminal.shown = max(terminal.shown, self.sent)
        return message, data
