"""How what a container used went: the sparklines of its card, each with its figures in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from nbcontainers.cgroups.stats import cpu_limit, memory_limit
from nbcontainers.container import sparkline
from nbcontainers.container.points import Point
from nbcontainers.container.sparkline import Frame, Line
from nbcontainers.table import AMBER, BLUE, GREEN, RED, amount, duration, stored

MINUTE_S = 60.0
_LEAST_CORES, _LEAST_BYTES, _LEAST_RATE = 0.05, 1 << 20, 1000.0
"""A sparkline's top is at least that high, so that next to nothing looks like it."""


class Spark(NamedTuple):
    """One sparkline: what it shows, its figures, and itself as SVG and as text."""

    label: str
    words: str
    svg: str
    text: str


@dataclass(frozen=True)
class Trend:
    """`points` from `begin` to `end` (seconds since the epoch), of a container that still `runs` or of its whole run."""

    points: Sequence[Point]
    begin: float
    end: float
    runs: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)
    oom_killed: bool = False

    @property
    def window(self) -> str:
        """What time it shows, in words."""
        if self.runs and self.end - self.begin > MINUTE_S - 1:
            return f"last {MINUTE_S:.0f} s"
        return f"{duration(max(self.end - self.begin, 0.0))}{' so far' if self.runs else ''}"

    @property
    def empty(self) -> bool:
        """Of two points there is one rate, which is no line."""
        return len(self.points) < 3

    def sparks(self) -> list[Spark]:
        """Processors, memory, network; what was not measured is left out, and a network nobody used."""
        if self.empty:
            return []
        return [spark for spark in (self._cpu(), self._memory(), self._network()) if spark]

    def _line(self, name: str) -> Line:
        return [(point.time, getattr(point, name)) for point in self.points]

    def _words(self, line: Line, form: Any) -> str:
        """Of a running one the last figure and the highest; else the highest."""
        known = [value for moment, value in line if value is not None and moment >= self.begin]
        known = known or [value for _, value in line if value is not None] or [0.0]
        highest = f"{form(max(known))} highest"
        return f"{form(known[-1])} now, {highest}" if self.runs else highest

    def _cpu(self) -> Spark | None:
        line = self._line("cpu")
        highest = _highest(line)
        if highest is None:
            return None
        allowed = cpu_limit(self.limits)
        frame = Frame(self.begin, self.end, max(highest, allowed or 0.0, _LEAST_CORES))
        words = f"{self._words(line, lambda value: f'{value:.2g}')}{f', limit {allowed:g}' if allowed else ''}"
        held = self._throttled()
        words += f", throttled {duration(sum(seconds for _, _, seconds in held))}" if held else ""
        shown = sparkline.svg(
            [(line, BLUE)], frame, f"processors: {words}", limit=(allowed, RED) if allowed else None,
            shades=[(begin, end, AMBER) for begin, end, _ in held],
        )  # fmt: skip
        return Spark("cpu", words, shown, sparkline.text(line, frame))

    def _throttled(self) -> list[tuple[float, float, float]]:
        """(from, to, seconds held back) between points."""
        spans = [(max(one.time, self.begin), now.time, now.throttled or 0.0) for one, now in pairwise(self.points)]
        return [(begin, end, part * (end - begin)) for begin, end, part in spans if part and end > begin]

    def _memory(self) -> Spark | None:
        line = self._line("memory")
        highest = _highest(line)
        if highest is None:
            return None
        limit = memory_limit(self.limits)
        frame = Frame(self.begin, self.end, max(highest, limit or 0, _LEAST_BYTES) * (1.0 if limit else 1.1))
        words = self._words(line, lambda value: amount(round(value)))
        words += f", limit {amount(limit)}" if limit else ""
        kills = self.oom_moments()
        words += f", {len(kills)} OOM kill{'s' * (len(kills) > 1)}" if kills else ""
        shown = sparkline.svg(
            [(line, BLUE)], frame, f"memory: {words}", limit=(limit, RED) if limit else None,
            marks=[(moment, RED) for moment in kills],
        )  # fmt: skip
        return Spark("memory", words, shown, sparkline.text(line, frame))

    def oom_moments(self) -> list[float]:
        """When a kill was counted; the end, where the run ended before a sample could see it."""
        counts = [(point.time, point.oom_kills or 0) for point in self.points]
        found = [now for (_, before), (now, count) in pairwise(counts) if count > before]
        return found or ([self.end] if self.oom_killed else [])

    def _network(self) -> Spark | None:
        received, sent = self._line("net_rx"), self._line("net_tx")
        highest = max(_highest(received) or 0.0, _highest(sent) or 0.0)
        if not highest:
            return None
        frame = Frame(self.begin, self.end, max(highest, _LEAST_RATE))
        words = f"in {self._words(received, _speed)}; out {self._words(sent, _speed)}"
        both = [
            (moment, (one or 0.0) + (other or 0.0)) for (moment, one), (_, other) in zip(received, sent, strict=True)
        ]
        shown = sparkline.svg([(received, BLUE), (sent, GREEN)], frame, f"network: {words}")
        return Spark("network", words, shown, sparkline.text(both, frame._replace(top=_highest(both) or 1.0)))


def _highest(line: Line) -> float | None:
    return max((value for _, value in line if value is not None), default=None)


def _speed(value: float) -> str:
    return f"{amount(round(value), stored)}/s"
