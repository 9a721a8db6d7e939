"""Builds next to buildah (OCI isolation), podman and Docker's BuildKit (its daemon warm): two stages, ten RUN, two COPY
of 500 files; without cache, all cached, one line of the last COPY changed; four independent stages of `sleep 1`; and what
one RUN more costs.

Ours is measured from a kernel whose launcher runs, the others from the start of their client to its end.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import peers
from tests.bench import programs, sampling
from tests.bench.kernel import Kernel

OURS, BUILDAH, DOCKER = "image build (notebook)", "buildah bud --layers", "docker build (BuildKit)"
PODMAN = "podman build --layers"
BASE = "localhost/bench"
GOALS = {  # of our median to theirs
    "cold": {BUILDAH: 1 / 5, DOCKER: 1.0}, "cached": {BUILDAH: 1 / 8, DOCKER: 1.0},
    "one line": {BUILDAH: 1 / 8, DOCKER: 1.0}, "four sleeps": {}, "one RUN": {},
}  # fmt: skip
AT_MOST_MS = {"four sleeps": 1300, "one RUN": 25}
FEW, MANY = 2, 12
MOST_ROUNDS = 5
SETUP = """
from nbcontainers.image import api as image
image.import_(ARCHIVE, "localhost/bench")

def build(context, no_cache=False):
    return timed(image.build, context, tag=["t"], no_cache=no_cache, network="none")
"""
Target = Callable[[], float]


def dockerfile(base: str) -> str:
    first = "".join(f"RUN echo {number} > /r{number}\n" for number in range(5))
    second = "".join(f"RUN echo {number} > /s{number}\n" for number in range(5))
    return f"FROM {base} AS one\nCOPY f /f\n{first}FROM {base}\nCOPY --from=one /r4 /x\n{second}COPY g /g\n"


def sleeps(base: str) -> str:
    stages = "".join(f"FROM {base} AS s{one}\nRUN sleep 1; echo {one} > /{one}\n" for one in range(4))
    return stages + f"FROM {base}\n" + "".join(f"COPY --from=s{one} /{one} /\n" for one in range(4))


def runs(base: str, count: int) -> str:
    return f"FROM {base}\n" + "".join(f"RUN echo {number} > /r{number}\n" for number in range(count))


def contexts(folder: Path, base: str) -> tuple[Path, ...]:
    """The contexts of the build, of the four sleeps, of few RUN and of many; each builder has its own."""
    main, asleep, few, many = (folder / name for name in ("main", "asleep", "few", "many"))
    for name in ("f", "g"):
        (main / name).mkdir(parents=True)
        for number in range(500):
            (main / name / str(number)).write_text(f"{name}{number}\n" * 100)
    for place, text in ((asleep, sleeps(base)), (few, runs(base, FEW)), (many, runs(base, MANY))):
        place.mkdir()
        (place / "Dockerfile").write_text(text)
    (main / "Dockerfile").write_text(dockerfile(base))
    return main, asleep, few, many


def changed(context: Path, build: Target) -> Target:
    """One line of the last COPY is another each time."""

    def once() -> float:
        with open(context / "g/250", "a") as file:
            file.write(f"{time.monotonic_ns()}\n")
        return build()

    return once


@contextmanager
def builders(folder: Path) -> Iterator[dict[str, Callable[[Path, bool], float]]]:
    """For each: seconds of a build of a context, without cache if asked."""
    archive = peers.busybox_archive(folder / "busybox.tar")
    with Kernel(f"ARCHIVE = {str(archive)!r}", SETUP) as kernel, programs.docker(folder / "docker", archive) as client:
        subprocess.run([*client, "tag", "bench", BASE], check=True)
        yield {
            OURS: lambda context, no_cache: float(kernel.value(f"build({str(context)!r}, {no_cache})")),
            BUILDAH: _buildah(folder, archive),
            PODMAN: _podman(folder / "podman", archive),
            DOCKER: _docker(client),
        }


def _buildah(folder: Path, archive: Path) -> Callable[[Path, bool], float]:
    program = [peers.program("buildah"), "--root", f"{folder}/store", "--runroot", f"{folder}/runroot"]
    base = subprocess.run([*program, "from", "scratch"], check=True, capture_output=True, text=True).stdout.strip()
    for words in (["add", base, str(archive), "/"], ["commit", "-q", base, BASE]):
        subprocess.run([*program, *words], check=True, stdout=subprocess.DEVNULL)
    options = ["--isolation", "oci", "--runtime", "crun", "--network", "none", "-q", "-t", "t"]
    options += ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]

    def build(context: Path, no_cache: bool) -> float:
        parallel = ["--jobs", "4"] if context.name == "asleep" else []
        return _seconds([*program, "bud", "--layers", *options, *parallel, *["--no-cache"] * no_cache, str(context)])

    return build


def _podman(folder: Path, archive: Path) -> Callable[[Path, bool], float]:
    subprocess.run(
        peers.podman(folder, "crun", ["import", "-q", str(archive), BASE]), check=True, stdout=subprocess.DEVNULL
    )

    def build(context: Path, no_cache: bool) -> float:
        words = ["build", "--layers", *peers.PODMAN_RUN, "-q", "-t", "t", *["--no-cache"] * no_cache]
        parallel = ["--jobs", "4"] if context.name == "asleep" else []
        return _seconds(peers.podman(folder, "crun", [*words, *parallel, str(context)]))

    return build


def _docker(client: list[str]) -> Callable[[Path, bool], float]:
    def build(context: Path, no_cache: bool) -> float:
        words = ["build", "-q", "--network=none", "-t", "t", *["--no-cache"] * no_cache, str(context)]
        return _seconds([*client, *words])

    return build


def _seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "DOCKER_BUILDKIT": "1"}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-1000:]}")
    return time.perf_counter() - begun


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Samples and ratios of each case."""
    found: dict[str, Any] = {}
    with builders(folder) as known:
        places = {name: contexts(folder / f"context-{number}", BASE) for number, name in enumerate(known)}
        for case, targets in _cases(known, places).items():
            samples = sampling.alternate(targets, min(rounds, MOST_ROUNDS), warm_up=1)
            found[case] = {"samples_ms": samples, **_judged(case, samples)}
    return found


def _cases(
    known: dict[str, Callable[[Path, bool], float]], places: dict[str, tuple[Path, ...]]
) -> dict[str, dict[str, Target]]:
    def target(name: str, place: int, no_cache: bool) -> Target:
        return lambda: known[name](places[name][place], no_cache)

    def one_more(name: str) -> Target:
        return lambda: (target(name, 3, True)() - target(name, 2, True)()) / (MANY - FEW)

    return {
        "cold": {name: target(name, 0, True) for name in known},
        "cached": {name: target(name, 0, False) for name in known},
        "one line": {name: changed(places[name][0], target(name, 0, False)) for name in known},
        "four sleeps": {name: target(name, 1, True) for name in known},
        "one RUN": {name: one_more(name) for name in known},
    }


def _judged(case: str, samples: sampling.Samples) -> dict[str, Any]:
    print(f"\nbuilds, {case}:\n{sampling.table(samples)}")
    ratios = {}
    for theirs in samples.keys() - {OURS}:
        middle, low, high = sampling.ratio(samples[OURS], samples[theirs])
        goal = GOALS[case].get(theirs)
        ratios[theirs] = {"ratio": middle, "low": low, "high": high, "goal": goal}
        verdict = "" if goal is None else f"{'ok' if middle <= goal else 'MISSED'}  (goal {goal:.3f})"
        print(f"  {middle:6.3f} x {theirs:<26} [{low:.3f}, {high:.3f}]  {verdict}", flush=True)
    if goal_ms := AT_MOST_MS.get(case):
        found = statistics.median(samples[OURS])
        print(f"  {found:.0f} ms  {'ok' if found <= goal_ms else 'MISSED'}  (goal {goal_ms})", flush=True)
    return {"ratios": ratios}
