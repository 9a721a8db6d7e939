"""What can be compared: a target runs one command to its end, with given limits, on given files.

A new one is a file in `kinds/` (or a module that another package names as entry point of the group GROUP) with `NAMES`:
by name a function that makes the `Target`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, partial
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument

if TYPE_CHECKING:
    from nbcontainers.container.options import RunOptions

GROUP = "nbcontainers.targets"
Sink = Callable[[bytes], object]
"""Takes output as it comes: when it comes is measured."""
Execute = Callable[[Sequence[str], Sink, Sink], int]
"""Runs one command with stdout and stderr to the sinks, from its start to the end of all that was made for it; returns
the exit status. Raises Error; TimedOut after `Plan.seconds`."""


class Limits(NamedTuple):
    """The same for each target. None and "" are no limit."""

    memory: int | None = None
    """Bytes."""
    cpus: float | None = None
    cpuset: str = ""
    """Processors it may run on, as `1` or `0-1`."""

    @property
    def processors(self) -> list[int]:
        """The numbers in `cpuset`."""
        found: set[int] = set()
        for part in filter(None, self.cpuset.split(",")):
            low, _, high = part.partition("-")
            found |= set(range(int(low), int(high or low) + 1))
        return sorted(found)

    @property
    def width(self) -> int:
        """How many processors may be used at a time: libraries start as many threads, a virtual machine has as many."""
        counts = [len(os.sched_getaffinity(0))]
        counts += [math.ceil(self.cpus)] if self.cpus else []
        counts += [len(self.processors)] if self.cpuset else []
        return min(counts)

    @property
    def options(self) -> RunOptions:
        """Of `container run`."""
        found: RunOptions = {}
        if self.memory is not None:
            found["memory"] = self.memory
        if self.cpus is not None:
            found["cpus"] = self.cpus
        if self.cpuset:
            found["cpuset_cpus"] = self.cpuset
        return found

    @property
    def words(self) -> str:
        from nbcontainers.table import bytes_

        parts = [f"memory {bytes_(self.memory)}"] if self.memory is not None else []
        parts += [f"{self.cpus:g} CPU{'s' * (self.cpus > 1)}"] if self.cpus is not None else []
        parts += [f"on CPU {self.cpuset}"] if self.cpuset else []
        return ", ".join(parts) or "no limits"


@dataclass(frozen=True)
class Plan:
    """What all targets of a comparison share.

    `folder` is on the disk of the containers, empty, and removed afterwards. A command finds two variables:
    SCRATCH, a folder of its own root file system, and VOLUME, one that outlives it (`folder/volume`, mounted at
    `VOLUME` where there is a root file system of its own); without the latter it is not set.
    """

    engine: Engine
    image: str
    limits: Limits
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    """How long one execution may take; a target ends it then, and raises TimedOut."""
    published: tuple[int, ...] = ()
    """TCP ports: if there are any, each execution is on a network, and 127.0.0.1 of the host leads to the same ports of
    it. A target that cannot raises HostNotCapable."""

    @property
    def on_host(self) -> bool:
        """Whether the image is `host`: this machine's own files."""
        return self.image == "host"

    @property
    def volume(self) -> Path:
        return self.folder / "volume"

    def variables(self, scratch: str = "/tmp", volume: str = "/nbc-volume") -> dict[str, str]:
        return {**self.environment, SCRATCH: scratch, **({VOLUME: volume} if volume else {})}


SCRATCH, VOLUME = "NBC_SCRATCH", "NBC_VOLUME"
UNSYNCED = "NBC_UNSYNCED"
"""A third variable, of targets whose root file system is on no disk although it looks like it: why."""


class Missing(NamedTuple):
    """Why a target is absent here, and what to type so that it is there."""

    why: str
    mends: str = ""

    def __str__(self) -> str:
        return f"{self.why}; {self.mends}" if self.mends else self.why


class Target(Protocol):
    """One of the things that are compared."""

    @property
    def name(self) -> str:
        """What one writes after --on."""

    @property
    def label(self) -> str:
        """What stands in tables: a virtual machine says its accelerator there."""

    @property
    def kind(self) -> str:
        """Of its layers: host, container or vm."""

    def missing(self, plan: Plan) -> Missing | None:
        """Quick; None where it can be tried."""

    def facts(self) -> dict[str, str]:
        """Version, kernel, accelerator, what limits cannot be had, …"""

    def opened(self, plan: Plan) -> AbstractContextManager[Execute]:
        """Prepare all that no execution should pay for, and take it away again. Raises Error."""

    def idle(self, plan: Plan) -> AbstractContextManager[list[int]] | None:
        """An instance that does nothing: the processes of the host that are there because of it (its program, a monitor,
        a VMM), whose memory is its footprint. None where they cannot be told."""


@runtime_checkable
class Stored(Protocol):
    """A target that can tell where its image is."""

    def stored(self, plan: Plan) -> Sequence[Path]:
        """Files and folders of this host that hold the image, while it is open: what an instance is started from."""


class Broken:
    """In the place of a target whose module cannot be used: absent, with what went wrong."""

    kind = "broken"

    def __init__(self, name: str, why: str) -> None:
        self.name = self.label = name
        self.why = why

    def missing(self, plan: Plan) -> Missing:
        return Missing(f"its module fails: {self.why}", "mend or remove the package it came with")

    def facts(self) -> dict[str, str]:
        return {}

    def opened(self, plan: Plan) -> AbstractContextManager[Execute]:
        raise HostNotCapable(str(self.missing(plan)))

    def stored(self, plan: Plan) -> list[Path]:
        return []

    def idle(self, plan: Plan) -> None:
        return None


@cache
def names() -> dict[str, Callable[[], Target]]:
    """All targets that are known, those of this package first."""
    folder = Path(__file__).parent / "kinds"
    modules = [f"{__package__}.kinds.{path.stem}" for path in sorted(folder.glob("[a-z]*.py"))]
    found = {name: make for module in modules for name, make in import_module(module).NAMES.items()}
    for entry in metadata.entry_points(group=GROUP):
        try:
            theirs = import_module(entry.value).NAMES
        except Exception as error:  # noqa: BLE001 - somebody else's code: it takes nobody else's target away
            theirs = {entry.name: partial(Broken, entry.name, f"{entry.value}: {type(error).__name__}: {error}")}
        found = {**theirs, **found}
    return dict(sorted(found.items(), key=lambda one: (not one[0].startswith("host"), one[0].startswith("vm"), one[0])))


def target(name: str) -> Target:
    """The target of that name. Raises InvalidArgument."""
    if make := names().get(name):
        return make()
    close = get_close_matches(name, names(), 1, 0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    raise InvalidArgument(
        f"--on: {name!r} is no target", hint=f"{guess}write some of {', '.join(names())}; compare targets shows them"
    )
