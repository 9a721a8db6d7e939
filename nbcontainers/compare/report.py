"""What a workload tells on stdout, in lines that hold a token which nothing else prints by accident, and when it came.

TOKEN begin                     its first instruction
TOKEN figure NAME VALUE UNIT    measured by its own clock
TOKEN lap [NAME AMOUNT UNIT]    for those without a clock: what was done since the lap before
TOKEN absent NAME WHY
TOKEN fact KEY = VALUE
TOKEN end [TIME ns]             the time between begin and end, by its own clock where it has one
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

_KEPT, _LONGEST = 2000, 1 << 18
"""Bytes: the end of its output, and of a line that does not end."""
SHORTEST_S = 1e-3
"""Between two marks, each of which may come late by a tenth of it: less cannot be timed from outside."""
_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
LESS = frozenset(_SECONDS) | {"MiB"}
"""Units of which less is better; MiB of memory or disk. Of others more is."""


class Figure(NamedTuple):
    """One figure of one axis."""

    value: float
    unit: str

    @property
    def cost(self) -> float:
        """More is slower: of a rate the time each takes."""
        return self.value if self.unit in LESS else 1 / self.value


@dataclass
class Report:
    """Takes a program's stdout as it comes; `begun`, `ended` are moments of our clock, None where they were not told."""

    token: str
    clock: Callable[[], float] = time.perf_counter
    begun: float | None = None
    ended: float | None = None
    own_s: float | None = None
    figures: dict[str, Figure] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    _said: bytes = b""
    _rest: bytes = b""
    _lap: float = 0.0

    @property
    def output(self) -> str:
        """The end of what it printed besides."""
        return self._said.decode("utf-8", "replace")

    def take(self, data: bytes) -> None:
        """What has no token in it is not looked at line by line, and a line without an end is not kept: a cell may print
        more than the harness could follow."""
        now = self.clock()
        data = self._rest + data
        lines, newline, self._rest = data.rpartition(b"\n")
        if self.token.encode() in lines:
            for line in lines.split(b"\n"):
                self._line(line, now)
        elif newline:
            self._say(lines[-_KEPT:] + b"\n")
        if len(self._rest) > _LONGEST:
            self._say(self._rest[:-_KEPT])
            self._rest = self._rest[-_KEPT:]

    def _say(self, data: bytes) -> None:
        self._said = (self._said + data)[-_KEPT:]

    @property
    def inside_s(self) -> float | None:
        """By its own clock, else between its marks."""
        if self.own_s is not None or self.begun is None or self.ended is None:
            return self.own_s
        return self.ended - self.begun

    def _line(self, line: bytes, now: float) -> None:
        before, mark, told = line.partition(f"{self.token} ".encode())
        if before or not mark:
            self._say(before + b"\n")
        word, _, rest = told.decode("utf-8", "replace").strip().partition(" ")
        if word == "begin":
            self.begun = now
        elif word == "end":
            self.ended = now
            self.own_s = float(rest.split()[0]) / 1e9 if rest else None
        elif word == "lap":
            self._lapped(rest, now)
        else:
            self._told(word, rest)

    def _told(self, word: str, rest: str) -> None:
        if word == "figure":
            name, value, unit = rest.split(" ", 2)
            self._measured(name, float(value), unit)
        elif word == "absent":
            name, _, why = rest.partition(" ")
            self.absent[name] = why
        elif word == "fact":
            key, _, value = rest.partition(" = ")
            self.facts[key] = value

    def _lapped(self, rest: str, now: float) -> None:
        if rest:
            name, amount, unit = rest.split(" ", 2)
            took = now - self._lap
            if took < SHORTEST_S:
                self.absent[name] = "its marks came together: too short to be timed from outside"
            elif unit in _SECONDS:
                self._measured(name, took / _SECONDS[unit] / float(amount), unit)
            else:
                self._measured(name, float(amount) / took, unit)
        self._lap = now

    def _measured(self, name: str, value: float, unit: str) -> None:
        """A figure of nothing, or of no number, is none: a clock was set back, or is too coarse."""
        if math.isfinite(value) and value > 0:
            self.figures[name] = Figure(value, unit)
        else:
            self.absent[name] = f"its clock gave {value:g} {unit}"
