"""What is measured of a target from outside of it: how it starts with and without the page cache, how it is reached over a
network, what an idle instance takes and how many there is room for, what its image takes on the disk."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from nbcontainers.compare import programs, stored, workload
from nbcontainers.compare.report import Figure, Report
from nbcontainers.compare.target import Execute, Plan, Sink, Stored, Target
from nbcontainers.compare.workload import ONCE
from nbcontainers.errors import Error, TimedOut
from nbcontainers.launcher import client

_MOST, _TRIAL_S, _SETTLES_S = 8, 10.0, 6.0
"""Instances of a trial; how long they are started; until a monitor that has nothing to do has given back what it does not
need (monitor/idle.py)."""
_PART = 0.25
"""Of the memory that is available: more is not taken by a trial."""
_SERVES_S, _ASKS_S = 120.0, 60.0
"""How long a service may take to begin, and to end; how long it is asked."""
_MIB = 1 << 20


class Without(Exception):
    """Why an axis is not on a target."""


@dataclass
class Outside:
    """Of one target. `start` starts it for nothing, and returns seconds until its first instruction."""

    plan: Plan
    target: Target
    start: Callable[[], float]
    axes: list[str]
    absent: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def measure(self, *, again: bool = False) -> dict[str, Figure]:
        """One figure an axis; what cannot be measured is in `absent`, and not tried again. Those of ONCE come the first time
        it is not `again`."""
        found: dict[str, Figure] = {}
        wanted = [axis for axis in self.axes if axis not in self.absent and not (again and axis in ONCE)]
        for axis in wanted:
            if axis in _MEASURES and axis not in found:
                self._one(axis, found)
        if reached := [axis for axis in wanted if axis in workload.REACHED]:
            try:
                found |= self._reached(reached)
            except (Without, Error, OSError) as error:
                self.absent |= dict.fromkeys(reached, _words(error))
        if not again:
            self.axes = [axis for axis in self.axes if axis not in ONCE]
        return found

    def _one(self, axis: str, found: dict[str, Figure]) -> None:
        try:
            found |= _MEASURES[axis](self)
        except (Without, Error, OSError) as error:
            self.absent[axis] = _words(error)

    def warm(self) -> dict[str, Figure]:
        return {"start_warm": Figure(self.start() * 1e3, "ms")}

    def cold(self) -> dict[str, Figure]:
        """None of the image's pages are in the page cache, which is looked at; those of the engine's own program are."""
        if self.plan.on_host:
            raise Without("the files of image host are in use by the host itself, and stay in its page cache")
        left = client.call("nbcontainers.compare.stored:evict", paths=[str(path) for path in self._stored()])
        if left > 0.05:
            raise Without(
                f"{left:.0%} of the image's pages stay in memory: other programs use them, or no disk has them"
            )
        return {"start_cold": Figure(self.start() * 1e3, "ms")}

    def size(self) -> dict[str, Figure]:
        if self.plan.on_host:
            raise Without("image host is this host's own files: nothing is copied")
        paths = [str(path) for path in self._stored()]
        sizes = client.call("nbcontainers.compare.stored:sizes", paths=paths)
        self.facts["on the disk"] = ", ".join(
            f"{size / _MIB:.3g} MiB {Path(path).name[:24]}" for path, size in zip(paths, sizes, strict=True)
        )
        return {"image_size": Figure(sum(sizes) / _MIB, "MiB")}

    def _stored(self) -> Sequence[Path]:
        if not isinstance(self.target, Stored) or not (paths := self.target.stored(self.plan)):
            raise Without("where its image is stored is not told")
        return paths

    def held(self) -> dict[str, Figure]:
        """A few idle instances: what one takes, and for how many the memory has room. Both in one trial."""
        trial = _trial(self.plan, self.target)
        self.facts["idle"] = (
            f"{trial.number} instances were started: the first takes {trial.first / _MIB:.3g} MiB, each more "
            f"{trial.each / _MIB:.3g} MiB (proportional set size of all their processes) and of the kernel "
            f"{trial.kernel / _MIB:.3g} MiB"
        )
        found = {"footprint": Figure(trial.first / _MIB, "MiB"), "instances": Figure(trial.room, "instances")}
        return {axis: figure for axis, figure in found.items() if axis in self.axes}

    def _reached(self, axes: Sequence[str]) -> dict[str, Figure]:
        web = any(axis.startswith("nginx") for axis in axes)
        answers = any(not axis.startswith("nginx") for axis in axes)
        with serving(self.plan, self.target, answers=answers, web=web) as service:
            lacks = {
                axis: why for axis in axes if (why := service.absent.get("nginx" if "nginx" in axis else "answer"))
            }
            self.absent |= lacks
            report = _asked(self.plan, service, [axis for axis in axes if axis not in lacks])
        self.absent |= report.absent
        self.facts |= report.facts | {"reached at": f"{service.address} and 127.0.0.1"}
        return report.figures


_MEASURES: Mapping[str, Callable[[Outside], dict[str, Figure]]] = {
    "start_warm": Outside.warm, "start_cold": Outside.cold, "image_size": Outside.size, "footprint": Outside.held,
    "instances": Outside.held,
}  # fmt: skip


class Service(NamedTuple):
    """Ports are the same inside and, published on 127.0.0.1, outside; None where it has none. `absent`: why not."""

    address: str
    port: int
    web: int
    absent: Mapping[str, str]


@contextmanager
def serving(plan: Plan, target: Target, *, answers: bool, web: bool) -> Iterator[Service]:
    """An instance that answers on two ports, on a network and with both published. Raises Error, Without."""
    ports = _free(2)
    folder = plan.folder / f"reached-{secrets.token_hex(4)}"
    (folder / "volume").mkdir(parents=True)
    there = replace(plan, folder=folder, published=ports, seconds=2 * _SERVES_S + _ASKS_S)
    report, told, ended = Report(secrets.token_hex(8)), threading.Event(), threading.Event()
    words = workload.serve(report.token, ports[0] if answers else "", ports[1] if web else "", on_host=plan.on_host)
    failures: list[str] = []
    with copy(target).opened(there) as execute:  # what the other remembers stays
        arguments = (execute, words, _until_told(report, told), failures, ended)
        thread = threading.Thread(target=_serve, args=arguments, daemon=True)
        thread.start()
        try:
            _wait(told, ended, failures)
            address = "127.0.0.1" if target.kind == "host" else report.facts["address"]
            yield Service(address, ports[0], ports[1], report.absent)
        finally:
            (there.volume / f"stop-{report.token}").touch()
            thread.join(_SERVES_S)


def _until_told(report: Report, told: threading.Event) -> Sink:
    def take(data: bytes) -> None:
        report.take(data)
        if "address" in report.facts:
            told.set()

    return take


def _serve(
    execute: Execute, words: Sequence[str], take: Sink, failures: list[str], ended: threading.Event
) -> None:  # fmt: skip
    complaints: list[bytes] = []
    try:
        if status := execute(words, take, lambda data: complaints.append(data[-200:])):
            said = b"".join(complaints[-2:]).decode("utf-8", "replace").strip().rpartition("\n")[2]
            failures.append(f"the service ended with status {status}: {said}")
    except (Error, OSError) as error:
        failures.append(_words(error))
    finally:
        ended.set()


def _wait(told: threading.Event, ended: threading.Event, failures: Sequence[str]) -> None:
    deadline = time.monotonic() + _SERVES_S
    while not told.wait(0.02):
        if ended.is_set() or time.monotonic() > deadline:
            raise Without(failures[0] if failures else "its service did not start")


def _asked(plan: Plan, service: Service, axes: Sequence[str]) -> Report:
    """By a process of the host that is not where the instance is."""
    report, complaints = Report(secrets.token_hex(8)), list[bytes]()
    if not axes:
        return report
    environment = {
        "PATH": os.environ.get("PATH", ""), "NBC_APART": ",".join(map(str, _apart(plan))),
        "NBC_OWN": f"{service.address} {service.port} {service.web}",
        "NBC_PUBLISHED": f"127.0.0.1 {service.port} {service.web}",
    }  # fmt: skip
    words = workload.load(report.token, axes)
    try:
        status = programs.run(words, report.take, complaints.append, environment=environment, seconds=_ASKS_S)
    except TimedOut as error:
        raise Without(f"its services did not answer within {_ASKS_S:.0f} s") from error
    if status:
        raise Without(b"".join(complaints).decode("utf-8", "replace").strip().rpartition("\n")[2])
    return report


def _apart(plan: Plan) -> list[int]:
    """Processors the instance does not run on, where it is pinned."""
    return sorted(os.sched_getaffinity(0) - {*plan.limits.processors}) if plan.limits.cpuset else []


def _free(count: int) -> tuple[int, ...]:
    """Ports of the host that nobody has."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return tuple(probe.getsockname()[1] for probe in probes)


class Trial(NamedTuple):
    """Of `number` idle instances: bytes of the first, of each more, and what the kernel takes for each more; what is left."""

    number: int
    first: float
    each: float
    kernel: float
    left: int
    processes: int

    @property
    def room(self) -> int:
        """How many there could be: of memory, and of numbers of processes."""
        each = self.each + self.kernel
        numbers = int(Path("/proc/sys/kernel/pid_max").read_text()) // self.processes
        return min(numbers, self.number + int(self.left // each)) if each > 0 else self.number


def _trial(plan: Plan, target: Target) -> Trial:
    """Start a few, and see."""
    with ExitStack() as rest:
        only = _instance(rest, plan, target)
        others = ExitStack()
        pids = [only]
        with others:
            free, begun, before = available(), time.monotonic(), kernel()
            while len(pids) < _MOST and (len(pids) < 2 or time.monotonic() - begun < _TRIAL_S):
                pids.append(_instance(others, plan, target))
                if free - available() > free * _PART:
                    break
            time.sleep(_SETTLES_S if any(len(one) > 1 for one in pids) else 0.2)
            together, left, after = sum(map(_footprint, pids)), available(), kernel()
        first = _footprint(only)
    more = len(pids) - 1
    return Trial(len(pids), first, (together - first) / more, max(0, after - before) / more, left, len(only))


def _instance(stack: ExitStack, plan: Plan, target: Target) -> list[int]:
    if (instance := target.idle(plan)) is None:
        raise Without("its processes cannot be told from others")
    return stack.enter_context(instance)


def _footprint(pids: Sequence[int]) -> int:
    sizes = [stored.pss(pid) for pid in pids]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes) or not known:
        raise Without("the memory of its processes may not be read")
    return sum(known)


def available() -> int:
    """Bytes of memory that new programs can have: proc(5), MemAvailable."""
    return _meminfo()["MemAvailable"]


def kernel() -> int:
    """Bytes the kernel has for what there is of processes, namespaces and cgroups: not its caches."""
    return sum(_meminfo().get(name, 0) for name in ("SUnreclaim", "KernelStack", "PageTables", "Percpu"))


def _meminfo() -> dict[str, int]:
    """Bytes: proc(5)."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


def _words(error: BaseException) -> str:
    return "; ".join(str(error).split("\nhint: "))
