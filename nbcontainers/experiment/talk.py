"""The conversation with one running cell: a thread takes in what the container sends, the caller's thread shows it.

The thread only reads. So a large result flows while the caller waits for the container, an interrupt cannot tear a
frame, and nothing is displayed from a thread (a front end would put it below another cell).
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from nbcontainers.errors import Error
from nbcontainers.experiment.exchange import Exchange
from nbcontainers.experiment.inside import wire
from nbcontainers.experiment.order import Frame, Ordered

Sink = Callable[[bytes], object]
_LAST_READ = 10.0
_SETTLE = 0.05


class Face(NamedTuple):
    """Where the cell's text and displays go. `show` is called with a display's data, metadata, transient and whether
    it updates an earlier one; `clear` with `wait`: as IPython's display publisher. `tick` is called while waiting."""

    stdout: Sink
    stderr: Sink
    show: Callable[[dict[str, Any], dict[str, Any], dict[str, Any], bool], object]
    clear: Callable[[bool], object]
    tick: Callable[[], object] | None = None


class Talk:
    """Feed it the container's output (`stdout`, `stderr`) and call `tick` while it runs, then `finish` once."""

    def __init__(self, exchange: Exchange, face: Face) -> None:
        self.error: Error | None = None
        self._exchange, self._face = exchange, face
        self._arrived: deque[Frame] = deque()
        self._reading = threading.Lock()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._read, name="nbcontainers-exchange", daemon=True)
        self._ordered = Ordered(self._write, self._show)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_thread()
        os.close(self._stop)

    def stdout(self, data: bytes) -> None:
        self._settle()
        self._ordered.text("stdout", data)

    def stderr(self, data: bytes) -> None:
        self._settle()
        self._ordered.text("stderr", data)

    def tick(self) -> None:
        self._take()
        self._ordered.flush()
        if self._face.tick:
            self._face.tick()

    def finish(self) -> None:
        """The container has ended: take in what it still sent, and show everything."""
        self._end_thread()
        self._take()
        self._ordered.flush(all=True)

    # -- the caller's thread ---------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """A display made before this text was sent before it: let the thread take it in first."""
        deadline = time.monotonic() + _SETTLE
        while time.monotonic() < deadline:
            with self._reading:
                if not self._exchange.waiting():
                    break
            time.sleep(0.0005)
        self._take()

    def _take(self) -> None:
        while self._arrived:
            self._ordered.frame(*self._arrived.popleft())

    def _write(self, stream: str, data: bytes) -> None:
        (self._face.stdout if stream == "stdout" else self._face.stderr)(data)

    def _show(self, kind: bytes, document: dict[str, Any]) -> None:
        if kind == wire.CLEAR:
            self._face.clear(bool(document.get("wait")))
            return
        data, metadata, transient = (_mapping(document.get(part)) for part in ("data", "metadata", "transient"))
        self._face.show(data, metadata, transient, bool(document.get("update")))

    def _end_thread(self) -> None:
        if self._thread.is_alive():
            os.eventfd_write(self._stop, 1)
            self._thread.join(_LAST_READ)

    # -- the reading thread ----------------------------------------------------------------------------------------

    def _read(self) -> None:
        last = False
        while self._exchange.open and not last:
            poll = select.poll()
            poll.register(self._exchange.fileno(), select.POLLIN)
            poll.register(self._stop, select.POLLIN)
            last = any(descriptor == self._stop for descriptor, _ in poll.poll())
            with self._reading:
                try:
                    self._arrived.extend(self._exchange.read())
                except Error as error:
                    self.error = error
                    self._exchange.hang_up()


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
