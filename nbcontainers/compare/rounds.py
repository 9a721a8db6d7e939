"""The protocol: every round runs each target once, in a new random order; the first target runs twice (A/A); one execution
a target comes before and is not counted."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from nbcontainers.compare.outside import Outside
from nbcontainers.compare.report import SHORTEST_S, Figure, Report
from nbcontainers.compare.target import Execute, Plan, Target
from nbcontainers.compare.workload import CELL, START, Workload, cell
from nbcontainers.errors import Error, HostNotCapable, TimedOut

AGAIN = " again"
"""After the name of the first target, where it runs the second time in a round."""
Tell = Callable[[str], object]
Row = dict[str, Any]
_PAUSE_S = 0.02
"""Before each execution, so that nobody's clean-up is measured in another's time."""
_TELLS_S = 0.5
"""An execution of which both clocks are compared: of a shorter one the marks come too late for that."""
_FEW = 0.2
"""Of how many executions the marks may come together, as on a busy host."""


class Failed(Exception):
    """An execution that did not end well: why. After one that is `final` the target is out, with all it told before, and
    so it is if more than a few were too `short` to be timed: some executions alone would count, and not by chance."""

    def __init__(self, why: str, *, final: bool = False, short: bool = False) -> None:
        super().__init__(why)
        self.final = final
        self.short = short


class Execution(NamedTuple):
    """`start_s` is until the workload's first instruction, `outside_s` from before the start to after the end."""

    outside_s: float
    start_s: float
    inside_s: float
    report: Report

    @property
    def figures(self) -> dict[str, Figure]:
        """Of a guest whose clock runs faster than ours there is no time around."""
        around = self.outside_s - self.inside_s
        return {**({START: Figure(around * 1e3, "ms")} if around > 0 else {}), **self.report.figures}

    @property
    def lacks(self) -> dict[str, str]:
        """Axes without a figure, and why."""
        ahead = {START: "its own clock says that it took longer than it was there"}
        return {**({} if self.outside_s > self.inside_s else ahead), **self.report.absent}

    @property
    def clock(self) -> float | None:
        """Seconds of its own clock in one of ours; None of an execution too short to tell, and where it has none."""
        told = self.report
        if told.own_s is None or told.begun is None or told.ended is None or told.ended - told.begun < _TELLS_S:
            return None
        return told.own_s / (told.ended - told.begun)


class Ready(NamedTuple):
    """A target that can be run: its executions, and what is measured of it from outside."""

    execute: Execute
    outside: Outside


@dataclass
class Measured:
    """`samples` has a row an execution and axis; `absent` says why a target is not there; `without` why an axis is not
    on a target, or not in each round; `lost` counts executions that failed; `finished` the rounds that came to their end."""

    samples: list[Row] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    without: dict[tuple[str, str], str] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    lost: dict[str, list[str]] = field(default_factory=dict)
    finished: int = 0


def measure(
    plan: Plan, targets: Sequence[Target], workload: Workload, rounds: int, seed: int, tell: Tell = lambda words: None,
    found: Measured | None = None,
) -> Measured:  # fmt: skip
    """Raises HostNotCapable where not even the first target, which all are compared with, can run. In `found`, if given, is
    what there is of whole rounds whatever ends it."""
    found = Measured() if found is None else found
    with ExitStack() as stack:
        ready = {}
        for target in targets:
            tell(f"prepares {target.name}")
            try:
                ready[target.name] = _ready(stack, plan, target, workload, found)
            except (Error, Failed, OSError) as error:
                found.absent[target.name] = "; ".join(str(error).split("\nhint: "))
        if targets[0].name not in ready:
            raise _no_base(targets[0].name, found.absent[targets[0].name])
        _rounds(plan, ready, workload, rounds, random.Random(seed), found, tell)
    _without_a_figure(list(ready), found)
    return found


def _without_a_figure(names: Sequence[str], found: Measured) -> None:
    """A target all of whose executions failed is absent. Raises HostNotCapable where it is the first."""
    have = {row["target"] for row in found.samples}
    for name in names:
        if name not in have and (said := found.lost.pop(name, None)):
            found.absent[name] = f"none of its executions ended well; {said[-1]}"
            if name == names[0]:
                raise _no_base(name, found.absent[name])


def _no_base(name: str, why: str) -> HostNotCapable:
    return HostNotCapable(
        f"{name}, which the others are compared with, cannot run: {why}",
        hint="name another target first after --on, or make the workload run there",
    )


def _ready(stack: ExitStack, plan: Plan, target: Target, workload: Workload, found: Measured) -> Ready:
    """Open it, ask what it is, and run the workload once, which warms caches and is not counted."""
    if missing := target.missing(plan):
        raise HostNotCapable(str(missing))
    execute = stack.enter_context(target.opened(plan))
    facts = dict(target.facts())
    asked = once(execute, Workload.about, on_host=plan.on_host)
    facts |= asked.report.facts
    first = once(execute, workload.command, on_host=plan.on_host, timed=workload.name == CELL)
    facts["first start"] = f"{asked.start_s * 1e3:.0f} ms (not counted; later ones find warm caches)"
    found.facts[target.name] = facts
    found.without |= {(target.name, axis): why for axis, why in first.lacks.items()}

    def start() -> float:
        return once(execute, cell("true", python=False).command, on_host=plan.on_host).start_s

    return Ready(execute, Outside(plan, target, start, workload.outside))


def _rounds(
    plan: Plan, ready: Mapping[str, Ready], workload: Workload, rounds: int, dice: random.Random, found: Measured,
    tell: Tell,
) -> None:  # fmt: skip
    names = list(ready)
    lanes = {names[0] + AGAIN: ready[names[0]], **ready}
    pace, short, clocks = Pace(), dict[str, int](), dict[str, list[float]]()
    for number in range(1, rounds + 1):
        order = sorted(lanes)
        dice.shuffle(order)
        samples = []
        for position, lane in enumerate(order):
            tell(f"round {number} of {rounds}: {lane}{pace.left(order[position:], lanes, rounds - number)}")
            time.sleep(_PAUSE_S)
            begun = time.monotonic()
            try:
                done = once(lanes[lane].execute, workload.command, on_host=plan.on_host, timed=workload.name == CELL)
                done.report.figures.update(_from_outside(lanes[lane].outside, lane, found))
            except Failed as error:
                found.lost.setdefault(lane, []).append(f"round {number}: {error}")
                name = lane.removesuffix(AGAIN)
                short[name] = short.get(name, 0) + error.short
                if error.final or short[name] > _FEW * rounds:
                    _out(name, f"round {number}: {error}", lanes, found)
                continue
            finally:
                pace.took(lane, time.monotonic() - begun)
            samples += _rows(done, workload, {"round": number, "position": position, "target": lane})
            _heed(done, lane.removesuffix(AGAIN), clocks, found)
        found.samples += samples
        found.finished = number


def _heed(done: Execution, name: str, clocks: dict[str, list[float]], found: Measured) -> None:
    """What an execution lacks, and how its clock goes."""
    for axis, why in done.lacks.items():
        found.without.setdefault((name, axis), why)
    if done.clock is not None:
        clocks.setdefault(name, []).append(done.clock)
        found.facts[name]["clock"] = f"{median(clocks[name]):.3f} of the host's"


def _out(name: str, why: str, lanes: dict[str, Ready], found: Measured) -> None:
    """A target of this round is in no later one, and not in those before. Raises HostNotCapable where it is the first."""
    if name + AGAIN in lanes:
        raise _no_base(name, why)
    del lanes[name], found.lost[name]
    found.absent[name] = why
    found.samples[:] = [row for row in found.samples if row["target"] != name]


def _from_outside(outside: Outside, lane: str, found: Measured) -> dict[str, Figure]:
    name = lane.removesuffix(AGAIN)
    figures = outside.measure(again=lane != name)
    found.without |= {(name, axis): why for axis, why in outside.absent.items()}
    found.facts[name] |= outside.facts
    return figures


class Pace:
    """How long it still takes: what each lane took on average, for as often as it comes."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def took(self, lane: str, seconds: float) -> None:
        self.seconds.setdefault(lane, []).append(seconds + _PAUSE_S)

    def left(self, now: Collection[str], lanes: Collection[str], rounds: int) -> str:
        """In words; "" as long as a lane has not run. `now` are those that come in this round, then `rounds` more."""
        if not all(lane in self.seconds for lane in lanes):
            return ""
        each = {lane: sum(took) / len(took) for lane, took in self.seconds.items()}
        seconds = sum(each[lane] for lane in now) + rounds * sum(each[lane] for lane in lanes)
        return f", about {seconds:.0f} s left"


def _rows(done: Execution, workload: Workload, where: Row) -> list[Row]:
    figures = done.figures
    if workload.name == CELL:
        figures[CELL] = Figure(done.inside_s * 1e3, "ms")
    times = {"start_s": done.start_s, "inside_s": done.inside_s, "outside_s": done.outside_s}
    return [
        {**where, "axis": axis, "value": figure.value, "unit": figure.unit, "cost": figure.cost, **times}
        for axis, figure in figures.items()
    ]


def once(execute: Execute, command: Callable[..., list[str]], *, on_host: bool, timed: bool = False) -> Execution:
    """One execution between two looks at the clock; `timed` asks for the time inside. Raises Failed."""
    report, complaints = Report(secrets.token_hex(8)), Tail()
    words = command(report.token, on_host=on_host)
    begun = time.perf_counter()
    try:
        status = execute(words, report.take, complaints.take)
    except Error as error:
        raise Failed(error.message, final=isinstance(error, TimedOut)) from error
    except OSError as error:
        raise Failed(str(error)) from error
    outside = time.perf_counter() - begun
    inside = report.inside_s
    if status or report.begun is None or inside is None:
        said = complaints.line or report.output.strip().rpartition("\n")[2]
        how = f"it ended with status {status}" if status else "it ended without its last word"
        raise Failed(f"{how}{': ' if said else ''}{said}")
    if timed and report.own_s is not None and inside <= 0:
        raise Failed("its clock was set back meanwhile")
    if report.own_s is None and inside < SHORTEST_S and timed:
        why = "it is too short to be timed from outside, and the image's date has no %N: let it do more"
        raise Failed(why, short=True)
    return Execution(outside, report.begun - begun, inside, report)


class Tail:
    """The end of what is written to it."""

    def __init__(self) -> None:
        self.data = b""

    def take(self, data: bytes) -> None:
        self.data = (self.data + data)[-2000:]

    @property
    def line(self) -> str:
        """The last one that says something."""
        return self.data.decode("utf-8", "replace").strip().rpartition("\n")[2].strip()
