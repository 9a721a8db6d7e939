"""`python3 tests bench [run] [exec] [heap] [pss] [images] [builds] [views] [boots] [floor] [--rounds N] [--against crun,…]`: ratios
to the field's programs, and what the kernel alone takes on this host.

Needs root. Everything runs in one private mount namespace, so that no foreign runtime can damage the host.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests import peers
from tests.bench import boots, builds, floor, images, programs, views
from tests.bench.kernel import Kernel
from tests.bench.monitor_memory import idle_monitor
from tests.bench.sampling import Samples, alternate, ratio, table

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("run", "exec", "heap", "pss", "images", "builds", "views", "boots", "floor")
RUNTIMES = {"crun", "runc", "podman", "docker"}
OURS = "nbcontainers run (notebook)"
GOALS = {  # of our median to theirs
    "run": {"crun run": 1.0, "runc run": 1 / 3, "podman run": 1 / 12, "docker run": 1 / 40},
    "exec": {"docker exec": 1 / 10},
    "heap": {OURS: 1.1},
}
PSS_GOAL_KIB = 4096
PAUSE_S = 0.1  # as between two cells
FOUR_GB = "import numpy; held = [numpy.ones(2**30 // 8) for _ in range(4)]"


def main() -> int:
    options = arguments()
    if os.geteuid() != 0:
        print("the comparison needs root: crun, runc and dockerd are run as root", file=sys.stderr)
        return 1
    if not os.environ.get("NBCONTAINERS_BENCH"):
        isolate()
    where = tempfile.TemporaryDirectory(prefix="nbc-bench-", dir=options.folder, ignore_cleanup_errors=True)
    with programs.cgroups_as_before(), where as folder:
        os.environ["NBCONTAINERS_ROOT"], os.environ["NBCONTAINERS_RUN"] = f"{folder}/root", f"{folder}/run"
        RUNTIMES.intersection_update(options.against.split(","))
        found = {part: MEASURES[part](Path(folder), options.rounds) for part in options.parts or PARTS}
    return write(found, options.json)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 tests bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure (all)")
    parser.add_argument("--against", default=",".join(sorted(RUNTIMES)), help="whose `run` beside ours (all)")
    parser.add_argument("--rounds", type=int, default=40, help="samples of each program (40)")
    parser.add_argument("--folder", default="/var/tmp", help="where all of them keep their files: a disk, as in life")
    parser.add_argument("--json", type=Path, default=ROOT / ".artefacts/bench.json", help="where the samples go")
    return parser.parse_args()


def isolate() -> None:
    command = peers.isolated(sys.executable, "-m", "tests.bench", *sys.argv[1:], hugetlb=True)
    os.chdir(ROOT)
    os.execvpe(command[0], command, {**os.environ, "NBCONTAINERS_BENCH": "1"})


def measure_run(folder: Path, rounds: int) -> dict[str, Any]:
    """`run` of /bin/true to its exit: ours from a kernel, with overlay; crun and runc on a prepared bundle."""
    with Kernel() as kernel, peer_runs(folder, our_config(kernel)) as targets:
        targets[OURS] = lambda: float(kernel.value("run_true()"))
        return compare("run", alternate(targets, rounds, pause=PAUSE_S), OURS)


@contextlib.contextmanager
def peer_runs(folder: Path, config: dict[str, Any]) -> Iterator[dict[str, Callable[[], float]]]:
    bundle = programs.bundle(folder / "bundle", programs.peer_config(config))
    archive = peers.busybox_archive(folder / "busybox.tar")
    targets = {f"{name} run": programs.oci(name, bundle) for name in ("crun", "runc") if name in RUNTIMES}
    if "podman" in RUNTIMES:
        targets["podman run"] = programs.podman(folder / "podman", archive)
    if "docker" not in RUNTIMES:
        yield targets
        return
    with programs.docker(folder / "docker", archive) as client:
        targets["docker run"] = programs.command(*client, "run", "--rm", *programs.LIMITS, "bench", "/bin/true")
        yield targets


def our_config(kernel: Kernel) -> dict[str, Any]:
    """The config.json that our own run writes: the peers get the same seccomp rules, capabilities and limits."""
    kernel.execute("""
limits = {"memory": "256m", "cpus": "1", "pids_limit": 100}
made = container.create("mini", "/bin/true", network="none", **limits)
config = (made.engine.containers / made.id / "config.json").read_text()
container.rm(made.id)
""")
    config: dict[str, Any] = json.loads(kernel.value("config"))
    return config


def measure_exec(folder: Path, rounds: int) -> dict[str, Any]:
    """`exec` of true in a running container."""
    archive = peers.busybox_archive(folder / "busybox.tar")
    with Kernel() as kernel, programs.docker(folder / "docker", archive) as client:
        with programs.docker_sleeper(client) as name, sleeper(kernel):
            targets = {
                "docker exec": programs.command(*client, "exec", name, "/bin/true"),
                "nbcontainers exec (notebook)": lambda: float(
                    kernel.value('timed(container.exec_, "sleeper", "/bin/true")')
                ),
            }
            return compare("exec", alternate(targets, rounds, pause=PAUSE_S), "nbcontainers exec (notebook)")


@contextlib.contextmanager
def sleeper(kernel: Kernel) -> Iterator[None]:
    kernel.execute('container.run("mini", "/bin/sleep", "3600", detach=True, name="sleeper", network="none")')
    try:
        yield
    finally:
        kernel.execute('container.rm("sleeper", force=True)')


def measure_heap(folder: Path, rounds: int) -> dict[str, Any]:
    """The same start from a kernel that holds 4 GB of arrays, next to one that holds none."""
    with Kernel() as small, Kernel(FOUR_GB) as large:
        full = "the same, with 4 GB of arrays"
        targets = {OURS: lambda: float(small.value("run_true()")), full: lambda: float(large.value("run_true()"))}
        return compare("heap", alternate(targets, rounds, pause=PAUSE_S), full)


def measure_pss(folder: Path, rounds: int) -> dict[str, Any]:
    """PSS in KiB of the monitor of an idle detached container: with its launcher, and when that has been killed."""
    with Kernel() as kernel, sleeper(kernel):
        found = idle_monitor(kernel)
    print("\npss: the monitor of an idle detached container")
    for name, size in found.items():
        print(f"  {name:<34}{size:9d} KiB   {'ok' if size <= PSS_GOAL_KIB else 'MISSED'}  (goal {PSS_GOAL_KIB})")
    return dict(found)


def compare(part: str, samples: Samples, ours: str) -> dict[str, Any]:
    print(f"\n{part}: {' '.join((MEASURES[part].__doc__ or '').split())}\n{table(samples)}")
    ratios = {}
    for theirs, goal in GOALS[part].items():
        if theirs not in samples:
            continue
        middle, low, high = ratio(samples[ours], samples[theirs])
        ratios[theirs] = {"ratio": middle, "low": low, "high": high, "goal": goal}
        verdict = "ok" if middle <= goal else "MISSED"
        print(f"  {middle:6.3f} x {theirs:<26} [{low:.3f}, {high:.3f}]  {verdict}  (goal {goal:.3f})")
    sys.stdout.flush()
    medians = {name: statistics.median(values) for name, values in samples.items()}
    return {"median_ms": medians, "ratios": ratios, "samples_ms": samples}


def write(found: dict[str, Any], path: Path) -> int:
    machine = {"kernel": platform.release(), "cpus": os.cpu_count(), "python": platform.python_version()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, **found}, indent=1))
    print(f"\nwritten to {path}")
    return 0


MEASURES: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "run": measure_run,
    "exec": measure_exec,
    "heap": measure_heap,
    "pss": measure_pss,
    "images": images.measure,
    "builds": builds.measure,
    "views": views.measure,
    "boots": boots.measure,
    "floor": floor.measure,
}

if __name__ == "__main__":
    sys.exit(main())
