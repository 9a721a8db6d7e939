"""A whole comparison: what is asked for, the plan all targets share, the rounds, and what they were measured under."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

from nbcontainers.compare import conditions, inforce, rootfs, rounds, workload
from nbcontainers.compare.comparison import Comparison
from nbcontainers.compare.rounds import Measured, Tell
from nbcontainers.compare.statistics import FEWEST
from nbcontainers.compare.target import Limits, Plan, Target, target
from nbcontainers.compare.workload import Workload
from nbcontainers.container import parse, resources
from nbcontainers.container.host import this_host
from nbcontainers.container.options import RunOptions, value
from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.experiment.settings import THREADS
from nbcontainers.image import wanted
from nbcontainers.image.store import resolve
from nbcontainers.linux import flock
from nbcontainers.monitor.files import rfc3339
from nbcontainers.option import duration
from nbcontainers.version import VERSION

ROUNDS, QUICK = 10, FEWEST
_FOLDER = "compare-"
LONGEST_S = 600.0
"""An execution: all workloads in an emulated processor take a minute or two."""


class Asked(NamedTuple):
    """Of one comparison."""

    workload: Workload
    targets: Sequence[Target]
    image: str
    rounds: int
    limits: Limits
    strict: bool = False
    seed: int | None = None
    seconds: float | None = None


class Stopped(KeyboardInterrupt):
    """An interrupt after enough rounds for intervals: `comparison` has those that were whole."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(f"stopped: {comparison.conditions['stopped']}; .comparison has them")
        self.comparison = comparison


def compare(engine: Engine, asked: Asked, tell: Tell) -> Comparison:
    """Raises HostNotCapable where the first target cannot run, or where it is noisy and that was to be refused; Stopped."""
    _check(engine, asked.limits)
    image = wanted.ensure(engine, asked.image, "missing", "", None)
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    at = rfc3339(time.time_ns())
    with planned(engine, image, asked.limits, asked.seconds) as plan:
        rest = conditions.at_rest()
        if asked.strict and (noise := conditions.noise(rest, {})):
            raise HostNotCapable(f"the host is too noisy to compare: {'; '.join(noise)}", hint="end other programs")
        before, found, given = conditions.counters(), rounds.Measured(), _given(plan, asked.workload)

        def seen(after: conditions.Facts, **more: str) -> Comparison:
            run = conditions.during(before, conditions.counters())
            facts = {**conditions.recorded(), **given, "before": rest, "during": run, "after": after, **more}
            noise = conditions.noise(rest, run, after)
            return _comparison(asked._replace(image=image, seed=seed), found, at, facts, noise)

        try:
            rounds.measure(plan, asked.targets, asked.workload, asked.rounds, seed, tell, found)
        except KeyboardInterrupt as interrupt:
            if found.finished < FEWEST:
                raise
            raise Stopped(seen({}, stopped=f"{found.finished} of {asked.rounds} rounds")) from interrupt
        return seen(conditions.at_rest())


def _given(plan: Plan, workload: Workload) -> conditions.Facts:
    """What each target was given, by digest."""
    image = resolve(plan.engine, plan.image)
    return {
        "nbcontainers": VERSION,
        "image_digest": image.digest,
        "program": workload.digest,
        "threads": plan.limits.width,
    }


def _comparison(asked: Asked, found: Measured, at: str, facts: conditions.Facts, noise: Sequence[str]) -> Comparison:
    ran = {one.name: one.label for one in asked.targets if one.name in found.facts and one.name not in found.absent}
    unequal = inforce.unequal(asked.limits, found.facts, guest=facts["hypervisor"])
    return Comparison(
        asked.workload.name, found, _labelled(ran), found.finished, asked.seed or 0, asked.image, asked.limits.words, at,
        facts, noise, unequal,
    )  # fmt: skip


def _labelled(ran: Mapping[str, str]) -> dict[str, str]:
    """Two targets of one label, as vm and vm:uml may be, have their names too."""
    labels = list(ran.values())
    return {name: label if labels.count(label) == 1 else f"{label}, {name}" for name, label in ran.items()}


def _check(engine: Engine, limits: Limits) -> None:
    """Raises InvalidArgument for what this host does not have, as processor 77; what a target cannot do is its affair."""
    with suppress(HostNotCapable):
        resources.asked(limits.options, this_host(engine.rootless))


def kept(path: str, measure: Callable[[], Comparison]) -> Comparison:
    """What was measured, in a file too where that is named. A file that cannot be written is told before a minute is lost.
    Raises InvalidArgument."""
    if not path:
        return measure()
    place = Path(path).expanduser()
    if place.is_dir() or not os.access(place if place.exists() else place.parent, os.W_OK):
        raise InvalidArgument(f"--output {path}: no file can be written there", hint="name one in a folder of yours")
    try:
        found = measure()
    except Stopped as stopped:
        stopped.comparison.save(place)
        raise
    found.save(place)
    return found


@contextmanager
def planned(engine: Engine, image: str, limits: Limits, seconds: float | None = None) -> Iterator[Plan]:
    """The plan, with a folder on the disk of the containers that is locked, and gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=engine.cache))
    with flock.folder_held(str(folder)):
        try:
            (folder / "volume").mkdir()
            threads = {name: str(limits.width) for name in THREADS}
            plan = Plan(engine, image, limits, folder, threads, seconds)
            yield replace(plan, environment={"LANG": "C.UTF-8", **rootfs.config(plan), **threads})
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(engine: Engine) -> list[str]:
    """Remove the folders of comparisons that were killed; their names."""
    left = [path for path in engine.cache.glob(f"{_FOLDER}*") if any(path.iterdir()) and flock.folder_free(path)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left]


def ask(
    words: str, code: str | None, *, on: str | Sequence[str], n: int | None, quick: bool, python: bool, image: str,
    limits: Limits, strict: bool, seed: int | None, timeout: float | str | None = None,
) -> Asked:  # fmt: skip
    """Raises InvalidArgument for what can never work."""
    if code is not None and not code.strip():
        raise InvalidArgument("the script is empty", hint="write one, or the name of a workload in its place")
    if words and isinstance(on, str) and on.endswith(","):
        raise InvalidArgument(f"a blank ends the list of targets: --on {on} {words}", hint=f"write --on {on}{words}")
    if code and words:
        raise InvalidArgument(
            f"a cell and the workload {words!r} are two comparisons", hint="leave the name away, or the cell empty"
        )
    if python and not code:
        raise InvalidArgument(
            "--python needs a cell of Python below its line", hint="write %%compare --python … above it"
        )
    chosen = workload.cell(code, python=python) if code else workload.named(words or workload.ALL)
    count = n if n is not None else QUICK if quick else ROUNDS
    if count < FEWEST:
        raise InvalidArgument(f"{count} rounds give no interval", hint=f"write -n {FEWEST} or more")
    seconds = value(cast(RunOptions, {"timeout": timeout}), "timeout", duration)
    if seconds is None:
        seconds = LONGEST_S
    if seconds <= 0:
        raise InvalidArgument("--timeout 0 leaves no time for anything", hint="write --timeout 30s", option="timeout")
    return Asked(chosen, targets(on), image, count, limits, strict, seed, seconds)


def targets(on: str | Sequence[str]) -> list[Target]:
    """Each once. Raises InvalidArgument where there is none, or one that nobody knows."""
    words = on.split(",") if isinstance(on, str) else on
    found = list(dict.fromkeys(filter(None, map(str.strip, words))))
    if not found:
        raise InvalidArgument("--on names no target", hint="write --on host,container")
    return [target(name) for name in found]


def limits(memory: int | str | None, cpus: float | str | None, cpuset: str) -> Limits:
    """From options as `container run` has them. Raises InvalidArgument."""
    given: RunOptions = {}
    if memory is not None:
        given["memory"] = memory
    if cpus is not None:
        given["cpus"] = cpus
    if cpuset:
        given["cpuset_cpus"] = cpuset
    return Limits(
        value(given, "memory", parse.memory), value(given, "cpus", parse.cpus),
        value(given, "cpuset_cpus", parse.cpu_list) or "",
    )  # fmt: skip


def pinned(engine: Engine, limits: Limits, *, pin: bool) -> Limits:
    """On the last processor alone, where there are several and nothing else was said: the others are left for this process."""
    from nbcontainers.cgroups import detect

    several = (os.cpu_count() or 1) > 1
    if limits.cpuset or not pin or not several or (limits.cpus or 1) > 1:
        return limits
    if "cpuset" not in detect.controllers(rootless=engine.rootless):
        return limits
    return limits._replace(cpuset=str(max(os.sched_getaffinity(0))))
