"""What a verb with `progress` shows while it works: bars on a terminal, lines where there is none.

It goes to stderr, as Podman has it: stdout is for the result alone. A transfer that is over before anybody could
read a bar shows only its summary.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import shutil
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TextIO, TypeVar

from nbcontainers import view
from nbcontainers.cli.parser import Call
from nbcontainers.cli.verbs import Verb
from nbcontainers.image import card
from nbcontainers.image.progress import Event, Layer, Progress
from nbcontainers.table import amount, pad, plain, stored, width

_BEAT = 0.5
"""Seconds without an event after which time, speed and forecast are shown again: a stalled transfer looks like one."""
_NARROW = 70


class Followed(Protocol):
    """What a Show needs to know of what it shows."""

    @property
    def elapsed(self) -> float: ...
    def feed(self, event: Event) -> None: ...
    def end(self, outcome: str) -> None: ...


P = TypeVar("P", bound=Followed)


class Show(ABC, Generic[P]):
    """Context manager and listener: feeds a Progress, calls `draw` at most every `every` seconds, `finish` at the end.

    Events come on any thread, and a thread of ours draws when none come; all draw in the context of who made us, so
    that in a notebook it is the caller's cell that shows it.
    """

    every: ClassVar[float] = 0.1

    def __init__(self, progress: P) -> None:
        self.progress = progress
        self.drawn = 0.0
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._context = contextvars.copy_context()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    @abstractmethod
    def draw(self) -> None:
        """Show how far it is."""

    @abstractmethod
    def finish(self) -> None:
        """Show how it ended."""

    def __call__(self, event: Event) -> None:
        with self._lock:
            self.progress.feed(event)
            self._due(self.every)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with self._lock:
            self.progress.end("done" if error is None else "failed" if isinstance(error, Exception) else "interrupted")
            self.finish()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            with self._lock:
                if not self._over.is_set():
                    self._due(_BEAT)

    def _due(self, every: float) -> None:
        elapsed = self.progress.elapsed
        if elapsed >= view.patience and elapsed - self.drawn >= every:
            self.drawn = elapsed
            self._context.run(self.draw)


class Bars(Show[Progress]):
    """A bar a layer, drawn over the last ones; the summary takes their place."""

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        super().__init__(progress)
        self.stream = stream
        self.lines = 0

    def draw(self) -> None:
        columns, rows = shutil.get_terminal_size()
        layers, more = card.shown(self.progress, max(rows - 4, 1))
        found = [card.heading(self.progress), *(bar(layer, columns) for layer in layers), *([more] if more else [])]
        self._put([cut(plain(line), columns - 1) for line in found])

    def finish(self) -> None:
        self._put(summary(self.progress))

    def _put(self, lines: list[str]) -> None:
        """ECMA-48: CPL to the first of our lines, EL after each new one, ED for what is left below."""
        up = f"\x1b[{self.lines}F" if self.lines else ""
        write(self.stream, up + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self.lines = len(lines)


class Lines(Show[Progress]):
    """A line for what is worth one: a layer that is there, done, or tried again."""

    said: ClassVar[tuple[str, ...]] = ("done", "exists", "mounted", "retrying")

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        super().__init__(progress)
        self.stream = stream

    def draw(self) -> None:
        """Nothing is ever drawn over."""

    def __call__(self, event: Event) -> None:
        with self._lock:
            before = {digest: layer.state for digest, layer in self.progress.layers.items()}
            self.progress.feed(event)
            layer = self.progress.layers.get(event.get("digest", ""))
            if event.get("event") == "image":
                self._say(_begun(self.progress, event))
            elif layer and layer.state in self.said and before.get(layer.digest) != layer.state:
                self._say(card.line_of(layer))

    def finish(self) -> None:
        for line in summary(self.progress):
            self._say(line)

    def _say(self, line: str) -> None:
        write(self.stream, f"{plain(line)}\n")


class Late:
    """Context manager and listener for a verb that may have to pull first: shown from its first event to its last."""

    def __init__(self, make: Callable[[], Show[Progress]]) -> None:
        self.make = make
        self.show: Show[Progress] | None = None

    def __call__(self, event: Event) -> None:
        if self.show is None:
            self.show = self.make().__enter__()
        self.show(event)
        if event.get("event") == "done":
            self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        show, self.show = self.show, None
        if show is not None:
            show.__exit__(kind, error, trace)


def run(verb: Verb, call: Call, *, quiet: bool) -> Any:
    """Carry out a verb that accepts `progress`. `docker save … | nbcontainers load` names no file."""
    if verb.name == "load" and not (call.arguments or call.options.get("input") or sys.stdin.isatty()):
        call.options["input"] = "-"
    if quiet or call.options.get("quiet"):
        return verb.function(*call.arguments, **call.options)
    with shown_on(sys.stderr, Progress(verb.name, subject(call))) as listener:
        return verb.function(*call.arguments, **call.options, progress=listener)


def reading(verb: Verb, call: Call, make: Callable[[Progress], Show[Progress]] | None = None) -> Any:
    """Carry out a verb that may have much to read first, which is shown where it takes long: on stderr, or by `make`."""
    progress = Progress("read", subject(call))
    with Late(lambda: make(progress) if make else shown_on(sys.stderr, progress)) as listener:
        return verb.function(*call.arguments, **call.options, on_read=listener)


def subject(call: Call) -> str:
    """What is named on the line, to be shown until more is known."""
    return " ".join(str(one) for one in call.arguments[:1]) or str(call.options.get("input") or "")


def shown_on(stream: TextIO, progress: Progress) -> Bars | Lines:
    terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Bars(progress, stream) if terminal else Lines(progress, stream)


def summary(progress: Progress) -> list[str]:
    """The lines that stay; none where nothing was begun, since the error says all."""
    if progress.outcome != "done" and not progress.layers:
        return []
    return card.text(progress).splitlines()


def bar(layer: Layer, columns: int) -> str:
    """One layer's line; where the terminal is wide enough with a bar in it."""
    start = f"{card.short(layer.digest)}  {pad(layer.label, 14)}"
    if columns < _NARROW:
        return f"{start} {card.detail(layer)}"
    length = min(columns - _NARROW + 14, 40)
    full = round(layer.part * length)
    return f"{start} [{'#' * full}{'.' * (length - full)}]  {card.detail(layer)}"


def cut(line: str, columns: int) -> str:
    """`line` in so many columns."""
    if width(line) <= columns:
        return line
    while line and width(line) >= columns:
        line = line[:-1]
    return f"{line}…"


def _begun(progress: Progress, event: Event) -> str:
    layers = event.get("layers") or []
    size = amount(sum(one.get("size") or 0 for one in layers), stored)
    return f"{progress.doing} {event.get('reference') or progress.name}: {len(layers)} layer{'s' * (len(layers) != 1)}, {size}"


def write(stream: TextIO, text: str) -> None:
    """A stderr that nobody reads any more is no reason to stop a pull."""
    with contextlib.suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()
