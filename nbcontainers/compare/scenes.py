"""App1 has a bug and takes all the processors it can get; how many requests do App2 and App3 still answer? On the host, in
containers, and in containers of which App1 has a limit: the same programs, at the same moments of one clock."""

from __future__ import annotations

import os
import secrets
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from nbcontainers.compare import conditions, running, workload
from nbcontainers.compare.overview import WIDTH
from nbcontainers.compare.rounds import Row, Tail, Tell
from nbcontainers.compare.stacks import FLEXIBLE
from nbcontainers.compare.target import Execute, Limits, Missing, Plan, Target
from nbcontainers.container import sparkline
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, HostNotCapable
from nbcontainers.monitor.files import rfc3339
from nbcontainers.table import AMBER, AS_IT_IS, BLUE, GREEN, GREY, MONOSPACE, RED, Column, Table, ink, plain, safe
from nbcontainers.view import View

if TYPE_CHECKING:
    import pandas

BIN_S = 0.1
_SETS_IN, _ENDS, _READY_S = 2.0, 5.0, 1.5
"""Seconds on the common clock; and how long before its 0 the programs are started."""
_LOOPS = 4
"""The bug's, a processor."""
_SERVICES = ("App2", "App3")
_COLOURS = {"App2": BLUE, "App3": GREEN}
_WIDE, _LEFT, _TOP, _HIGH = 280, 44, 20, 120
_SMALL = "opacity: .75; font-size: 12px;"


class Scene(NamedTuple):
    """`answered` has by app the requests in each tenth of a second."""

    name: str
    answered: Mapping[str, Sequence[int]]

    def rate(self, app: str, begin: float, end: float) -> float:
        """Requests a second between two moments: the median of its tenths."""
        found = self.answered[app][round(begin / BIN_S) : round(end / BIN_S)]
        return statistics.median(found) / BIN_S if found else 0.0

    def before(self, app: str) -> float:
        """Without the bug, once it has started."""
        return self.rate(app, 0.3, _SETS_IN - 0.1)

    def after(self, app: str) -> float:
        """With the bug next to it, once that has spread."""
        return self.rate(app, _SETS_IN + 0.5, _ENDS - 0.2)

    def kept(self, app: str) -> float:
        """What part of its requests an app still answers with the bug next to it."""
        before = self.before(app)
        return self.after(app) / before if before else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Interference(View):
    """`rows`: scene, app, before and after (requests a second), kept (a part). `absent`: why a scene was not played."""

    scenes: Sequence[Scene]
    absent: Mapping[str, str]
    limit: float
    """Of App1, in processors, in the last scene."""
    processors: int
    at: str
    noise: Sequence[str] = field(default_factory=tuple)

    @property
    def rows(self) -> list[Row]:
        return [
            {"scene": scene.name, "app": app, "before": scene.before(app), "after": scene.after(app), "kept": scene.kept(app)}
            for scene in self.scenes for app in scene.answered
        ]  # fmt: skip

    def to_pandas(self) -> pandas.DataFrame:
        """One row a scene, app and tenth of a second: scene, app, seconds, answered."""
        import pandas

        return pandas.DataFrame([
            {"scene": scene.name, "app": app, "seconds": number * BIN_S, "answered": count}
            for scene in self.scenes for app, counts in scene.answered.items() for number, count in enumerate(counts)
        ])  # fmt: skip

    def document(self) -> dict[str, Any]:
        return {"rows": self.rows, "absent": dict(self.absent), "limit": self.limit, "processors": self.processors,
                "at": self.at, "noise": list(self.noise)}  # fmt: skip

    @property
    def heading(self) -> str:
        return (
            f"App1's bug starts {_LOOPS * self.processors} endless loops on {self.processors} processors after "
            f"{_SETS_IN:g} s; requests a second that App2 and App3 answer, {self.at[:19].replace('T', ' ')} UTC"
        )

    def text(self) -> str:
        columns = [Column("scene"), Column("app"), Column("before", format=_rate), Column("after", format=_rate),
                   Column("kept", format=lambda part: f"{part:.0%}"), Column("seconds", "0 TO 5 SECONDS")]  # fmt: skip
        rows = [{**row, "seconds": self._spark(counts)}
                for row, counts in zip(self.rows, self._counts(), strict=True)]  # fmt: skip
        said = [line for one in (self.heading, *self._notes()) for line in textwrap.wrap(plain(one), WIDTH)]
        return "\n".join([*said, "", Table(rows, columns).text()])

    def html(self) -> str:
        panels = "".join(map(_panel, self.scenes, [self._most()] * len(self.scenes)))
        notes = "".join(f'<div style="color: {ink(AMBER)};">{safe(note)}</div>' for note in self._notes())
        return (
            f'<div {AS_IT_IS} style="font-size: 13px; max-width: 1000px;"><b style="font-weight: 600;">{safe(self.heading)}</b>'
            f'{notes}<div style="display: flex; flex-wrap: wrap; gap: 14px; margin: 8px 0;">{panels}</div></div>'
        )

    def _counts(self) -> list[Sequence[int]]:
        return [counts for scene in self.scenes for counts in scene.answered.values()]

    def _spark(self, counts: Sequence[int]) -> str:
        line = [((number + 0.5) * BIN_S, float(count)) for number, count in enumerate(counts)]
        return sparkline.text(line, sparkline.Frame(0, _ENDS, self._most()))

    def _most(self) -> float:
        return max((count for counts in self._counts() for count in counts), default=1) or 1

    def _notes(self) -> Iterator[str]:
        for name, why in self.absent.items():
            yield f"{name} is absent: {why}"
        if self.noise:
            yield f"noisy: {'; '.join(self.noise)}"


def _rate(value: object) -> str:
    return f"{value:.0f}/s" if isinstance(value, float) else ""


def _panel(scene: Scene, most: float) -> str:
    """One scene: a line an app, a ground where the bug is, and what is left of the requests."""
    x: Callable[[float], float] = lambda seconds: _LEFT + (_WIDE - _LEFT - 12) * seconds / _ENDS  # noqa: E731
    y: Callable[[float], float] = lambda count: _TOP + _HIGH * (1 - count / most / 1.05)  # noqa: E731
    foot = _TOP + _HIGH
    parts = [
        f'<text x="0" y="12" font-size="12" font-weight="600">{safe(scene.name)}</text>',
        f'<rect x="{x(_SETS_IN):.1f}" y="{_TOP}" width="{x(_ENDS) - x(_SETS_IN):.1f}" height="{_HIGH}" fill="{RED}" '
        f'fill-opacity=".1"/>',
        f'<text x="{x(_SETS_IN) + 4:.1f}" y="{_TOP + 12}" opacity=".8">App1\'s bug</text>',
        f'<line x1="{_LEFT}" y1="{foot}" x2="{_WIDE - 12}" y2="{foot}" stroke="{GREY}"/>',
        f'<text x="{_LEFT - 4}" y="{y(most) + 4:.1f}" text-anchor="end" opacity=".8">{most / BIN_S:.0f}/s</text>',
        f'<text x="{_LEFT - 4}" y="{foot}" text-anchor="end" opacity=".8">0</text>',
    ]
    for seconds in range(round(_ENDS) + 1):
        parts.append(f'<text x="{x(seconds):.1f}" y="{foot + 13}" text-anchor="middle" opacity=".8">{seconds} s</text>')
    for number, app in enumerate(scene.answered):
        parts += _line(scene, app, x, y, foot + 31 + 15 * number)
    height = foot + 38 + 15 * (len(scene.answered) - 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {height}" width="{_WIDE}" height="{height}" role="img" '
        f'aria-label="{safe(scene.name)}" fill="currentColor" style="font: 10.5px {MONOSPACE}; {FLEXIBLE}">'
        f"{''.join(parts)}</svg>"
    )


def _line(scene: Scene, app: str, x: Callable[[float], float], y: Callable[[float], float], at: float) -> Iterator[str]:
    """Its curve, the medians before and after as bars, and their words."""
    points = " ".join(f"{x((n + 0.5) * BIN_S):.1f},{y(count):.1f}" for n, count in enumerate(scene.answered[app]))
    yield f'<polyline points="{points}" fill="none" stroke="{_COLOURS[app]}" stroke-width="1.8" stroke-linejoin="round"/>'
    yield f'<rect x="{_LEFT}" y="{at - 8}" width="9" height="9" rx="2" fill="{_COLOURS[app]}"/>'
    before, after = scene.before(app), scene.after(app)
    yield (
        f'<text x="{_LEFT + 14}" y="{at}">{safe(app)}: {before:.0f} → {after:.0f}/s, '
        f'<tspan font-weight="600">keeps {scene.kept(app):.0%}</tspan></text>'
    )


def play(engine: Engine, image: str, limit: float, on: Sequence[Target], tell: Tell) -> Interference:
    """Raises HostNotCapable where not one scene can be played."""
    scenes: list[Scene] = []
    absent: dict[str, str] = {}
    at, rest = rfc3339(time.time_ns()), conditions.at_rest()
    for name, where, bug in _scenes(on, limit):
        tell(f"plays {name}")
        try:
            scenes.append(_play(engine, image, name, where, bug))
        except Error as error:
            absent[name] = " ".join(str(error).split("\nhint: "))
    if not scenes:
        raise HostNotCapable(
            f"nothing could be played: {'; '.join(absent.values())}", hint="system doctor says what is missing"
        )
    return Interference(scenes, absent, limit, os.cpu_count() or 1, at, conditions.noise(rest, {}))


def _scenes(on: Sequence[Target], limit: float) -> Iterator[tuple[str, Target, Limits]]:
    """Its name, the target all three programs run on, and App1's limits."""
    for where in on:
        if where.kind == "host":
            yield where.label, where, Limits()
        else:
            yield f"{where.name}, no limits", where, Limits()
            yield f"{where.name}, App1 with --cpus {limit:g}", where, Limits(cpus=limit)


def _play(engine: Engine, image: str, name: str, where: Target, bug: Limits) -> Scene:
    """Raises HostNotCapable, too where an app answers nothing before the bug: of what is nothing no part is left."""
    with ExitStack() as stack:
        executes = []
        for limits in (bug, Limits(), Limits()):
            plan = stack.enter_context(running.planned(engine, image, limits))
            one = copy(where)
            if missing := one.missing(plan):
                raise _refused(missing)
            executes.append((plan, stack.enter_context(one.opened(plan))))
        zero = time.time() + _READY_S
        with ThreadPoolExecutor(len(executes)) as pool:
            works = [
                pool.submit(_run, *one, zero, role) for one, role in zip(executes, ("bug", *_SERVICES), strict=True)
            ]
            _, *counts = [work.result() for work in works]
    scene = Scene(name, dict(zip(_SERVICES, counts, strict=True)))
    if late := [app for app in _SERVICES if not scene.before(app)]:
        raise HostNotCapable(f"{' and '.join(late)} answered nothing before the bug set in", hint="end other programs")
    return scene


def _refused(missing: Missing) -> HostNotCapable:
    return HostNotCapable(missing.why, hint=missing.mends)


def _run(plan: Plan, execute: Execute, zero: float, role: str) -> list[int]:
    """One program to its end; the requests it answered in each tenth of a second."""
    token, said, complaints = secrets.token_hex(8), bytearray(), Tail()
    numbers = [str(zero), str(_SETS_IN), str(_ENDS), str(_LOOPS * (os.cpu_count() or 1))]
    command = workload.service(token, "bug" if role == "bug" else "service", numbers, on_host=plan.on_host)
    if status := execute(command, said.extend, complaints.take):
        raise HostNotCapable(f"{role} ended with status {status}: {complaints.line}")
    lines = (line.split() for line in said.decode().splitlines() if line.startswith(f"{token} bin "))
    found = {int(number): int(count) for _, _, number, count in lines}
    return [found.get(number, 0) for number in range(round(_ENDS / BIN_S) - 1)]
