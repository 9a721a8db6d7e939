"""The verbs of `compare`. In a notebook: `%%compare --on host,container` above a script, or `%compare run sha256`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from nbcontainers.container import parse
from nbcontainers.engine import Engine, default_engine
from nbcontainers.option import Argument, Option, duration

if TYPE_CHECKING:
    from nbcontainers.compare.comparison import Comparison
    from nbcontainers.compare.drawings import Layers
    from nbcontainers.compare.scenes import Interference
    from nbcontainers.table import Table

__all__ = ["interference", "layers", "load", "run", "targets", "workloads"]

On = Annotated[
    str | Sequence[str],
    Option(
        help="targets, the one to compare with first: host,container,container:podman,vm",
        metavar="TARGETS",
        complete="target",
    ),
]


def run(
    workload: Annotated[
        str,
        Argument(
            "WORKLOAD",
            "of `compare workloads`, several with commas; all that run inside without it",
            complete="workload",
        ),
    ] = "",
    *,
    on: On = "host,container",
    rounds: Annotated[int | None, Option("-n", help="how often each target runs (10)", metavar="N")] = None,
    quick: Annotated[bool, Option(help="5 rounds: wider intervals, of 94 %")] = False,
    memory: Annotated[
        int | str | None, Option("-m", help="the same memory limit for each: 512m", metavar="SIZE", parse=parse.memory)
    ] = None,
    cpus: Annotated[
        float | str | None, Option(help="the same part of processors for each", metavar="NUMBER", parse=parse.cpus)
    ] = None,
    cpuset_cpus: Annotated[
        str, Option(help="processors each may run on (the last one)", metavar="LIST", parse=parse.cpu_list)
    ] = "",
    pin: Annotated[bool, Option("--no-pin", help="let them run on all processors")] = True,
    image: Annotated[str, Option(help="whose files each sees (host)", metavar="IMAGE", complete="image")] = "host",
    python: Annotated[bool, Option(help="the cell is Python, not a shell script")] = False,
    strict: Annotated[bool, Option(help="refuse to measure while the host is busy")] = False,
    seed: Annotated[int | None, Option(help="of the order of the rounds; a new one without it", metavar="N")] = None,
    timeout: Annotated[
        float | str | None,
        Option(help="end an execution that takes longer (10m); its target is out", metavar="TIME", parse=duration),
    ] = None,
    script: Annotated[str | None, Option(help="run this instead: a shell script, or Python", metavar="TEXT")] = None,
    output: Annotated[
        str, Option("-o", help="write the result to a file too: JSON", metavar="FILE", complete="path")
    ] = "",
    tell: Callable[[str], object] | None = None,
    engine: Engine | None = None,
) -> Comparison:
    """Run the same workload on several targets in turns, and say what can be said of the difference.

    Every round runs each target once in random order, the first of --on twice: how far these two are apart is the noise
    that no other difference is told apart from. Start-up is an axis of its own. Targets that cannot run are named with
    what they need.

    `script` is a shell script (or Python), for each target anew; without it WORKLOAD are axes of our own. The figures are
    the result's `rows`, every sample is in its `to_pandas()`. `tell` is called with words on how far it is.

    Raises InvalidArgument for what can never work, HostNotCapable where the first target cannot run.
    """
    from nbcontainers.compare import running

    here = engine or default_engine()
    limits = running.limits(memory, cpus, cpuset_cpus)
    asked = running.ask(
        workload, script, on=on, n=rounds, quick=quick, python=python, image=image,
        limits=running.pinned(here, limits, pin=pin), strict=strict, seed=seed, timeout=timeout,
    )  # fmt: skip
    return running.kept(output, lambda: running.compare(here, asked, tell or (lambda words: None)))


def load(
    file: Annotated[str, Argument("FILE", "of `compare run --output`", complete="path")],
) -> Comparison:
    """Show a comparison that was written to a file, here or elsewhere; the verdicts are drawn anew from its samples.

    Raises NotFound, InvalidArgument for a file that is none.
    """
    from nbcontainers.compare import saved

    return saved.load(file)


def interference(
    *,
    on: Annotated[
        str | Sequence[str], Option(help="where it is played", metavar="TARGETS", complete="target")
    ] = "host:unlimited,container",
    cpus: Annotated[float, Option(help="App1's limit in the last scene (0.25)", metavar="NUMBER", parse=float)] = 0.25,
    image: Annotated[str, Option(help="an image with Python", metavar="IMAGE", complete="image")] = "host",
    tell: Callable[[str], object] | None = None,
    engine: Engine | None = None,
) -> Interference:
    """Show what a program with a bug does to its neighbours: on the host, in containers, and under a limit.

    App1 takes all the processors it can get; App2 and App3 answer requests. `rows` says how many before and after,
    `to_pandas()` has each tenth of a second.
    """
    from nbcontainers.compare import running, scenes

    here = engine or default_engine()
    return scenes.play(here, image, cpus, running.targets(on), tell or (lambda words: None))


def layers(
    *,
    on: Annotated[
        str | Sequence[str], Option(help="what is drawn, where it can run", metavar="TARGETS", complete="target")
    ] = "host:unlimited,vm,container",
    image: Annotated[
        str, Option(help="of the virtual machines and containers", metavar="IMAGE", complete="image")
    ] = "mini",
    tell: Callable[[str], object] | None = None,
    engine: Engine | None = None,
) -> Layers:
    """Draw what runs on what on this host: programs, libraries, kernels, hypervisor, containers, each with what it costs.

    The three drawings of every course, with start times, memory and sizes that were measured now.
    """
    from nbcontainers.compare import drawings, running

    return drawings.measure(engine or default_engine(), image, running.targets(on), tell or (lambda words: None))


def targets(*, engine: Engine | None = None) -> Table:
    """What can be compared here, and what to install for the others."""
    from nbcontainers.compare import listing

    return listing.targets(engine or default_engine())


def workloads() -> Table:
    """The workloads that come with the package; any script is one too, as a cell."""
    from nbcontainers.compare import workload

    return workload.listing()
