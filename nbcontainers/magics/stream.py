"""A container's output in a cell: text in batches of a tenth of a second, and an end to it.

A front end stores one output for each flush, and a server drops messages that come too fast; so what arrives is
collected and written at most ten times a second. A cell that prints without end would make its notebook unusable:
after `cap` lines only the last ones are kept, and counted.
"""

from __future__ import annotations

import codecs
import io
import sys
import time
from collections import deque
from collections.abc import Callable

BATCH = 0.1
"""Seconds between two flushes."""
TAIL = 20
"""Lines shown from the end of an output that was cut."""
_LINE = 2000
"""Characters that count as a line where no line ends (progress bars, binary data)."""
_SWITCHES = 20
"""Changes between stdout and stderr in one batch that are shown in their order."""


class Stream:
    """Takes bytes (`stdout`, `stderr`), writes text to sys.stdout and sys.stderr. Call `tick` while waiting."""

    def __init__(self, cap: int, clock: Callable[[], float] = time.monotonic) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")
        self.decoders = {name: decoder("replace") for name in ("stdout", "stderr")}
        self.cap = cap
        self.clock = clock
        self.lines = 0.0
        self.waiting: list[tuple[str, str]] = []
        self.tail: deque[tuple[str, str]] = deque(maxlen=TAIL)
        self.omitted = 0
        self.flushed = 0.0

    def stdout(self, data: bytes) -> None:
        self._take("stdout", self.decoders["stdout"].decode(data))

    def stderr(self, data: bytes) -> None:
        self._take("stderr", self.decoders["stderr"].decode(data))

    def tick(self) -> None:
        """Write what has waited long enough."""
        if self.waiting and self.clock() - self.flushed >= BATCH:
            self.flush()

    def close(self, where: str = "") -> None:
        """Write the rest: half characters as such, the tail of a cut output and `where` the omitted lines are."""
        for name, decoder in self.decoders.items():
            self._take(name, decoder.decode(b"", final=True))
        self.flush()
        if left := self.omitted - len(self.tail):
            self.waiting.append(("stderr", f"… {left} lines omitted{where and ', '}{where}\n"))
        self.waiting += self.tail
        self.tail.clear()
        self.flush()

    def flush(self) -> None:
        """Write all that waits, in order unless the two streams alternate wildly."""
        runs = _joined(self.waiting)
        if len(runs) > _SWITCHES:
            runs = _joined(sorted(runs, key=lambda run: run[0], reverse=True))
        self.waiting.clear()
        for name, text in runs:
            stream = getattr(sys, name)
            stream.write(text)
            stream.flush()
        self.flushed = self.clock()

    def _take(self, name: str, text: str) -> None:
        if not text:
            return
        fits = self.lines + max(text.count("\n"), len(text) / _LINE) < self.cap
        for line in (text,) if fits else io.StringIO(text):
            if self.lines >= self.cap:
                self._omit(name, line)
            else:
                self.lines += max(line.count("\n"), len(line) / _LINE)
                self.waiting.append((name, line))
        self.tick()

    def _omit(self, name: str, line: str) -> None:
        if self.tail and not self.tail[-1][1].endswith("\n") and self.tail[-1][0] == name:
            self.tail[-1] = (name, (self.tail[-1][1] + line)[-_LINE:])
        else:
            self.tail.append((name, line[-_LINE:]))
            self.omitted += 1


def _joined(parts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one stream made one text."""
    runs: list[tuple[str, list[str]]] = []
    for name, text in parts:
        if not runs or runs[-1][0] != name:
            runs.append((name, []))
        runs[-1][1].append(text)
    return [(name, "".join(texts)) for name, texts in runs]
