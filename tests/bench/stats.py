"""`python -m tests.bench.stats [ROUNDS [SECONDS [LIFE…]]]`: the processor time of looking at 100 containers, ours at 4 Hz
against `docker stats` and `podman stats -i 1`, which look once a second, the fastest that either can.

As root, in network and mount namespaces of its own (podman leaves a folder in /run that no other user may read), with 100 containers of each engine running at once; each round measures every
one of them for so many seconds, in turn. Each LIFE is measured on its own: `resting` containers sleep, `working` ones wake
ten times a second and do a little. Docker's part is that of its client and, above what they take when nobody looks, of its
daemons; ours and podman's are those of the process that looks, which has no daemon.
`NBCONTAINERS_CONTAINERS` says how many containers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nbcontainers.linux import mounts
from tests import networked, peers
from tests.bench import programs

HZ = 4
GOAL, GOAL_RATIO = 0.05, 0.2
"""Of one processor; and of what the others take."""
_TICK = os.sysconf("SC_CLK_TCK")
WORK = "mkfifo /nothing; exec 3<>/nothing; while :; do i=0; while [ $i -lt 20 ]; do i=$((i+1)); done; read -t 0.1 -u 3 x; done"
LIVES = {"resting": ["/bin/busybox", "sleep", "7200"], "working": ["/bin/busybox", "sh", "-c", WORK]}

Measure = Callable[[float], float]
"""Processor seconds a second, over so many seconds."""


def quiet(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def at_once(work: Callable[[int], object], count: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(count)))


@contextlib.contextmanager
def ours(count: int, life: list[str]) -> Iterator[Measure]:
    """Every figure of a live view: the counters of all, cables and points included. In a cgroup of their own, as those of
    the others are: here other engines of ours may run."""
    from nbcontainers import container
    from nbcontainers.container import gauges
    from nbcontainers.engine import default_engine

    options: Any = {"detach": True, "network": ["nbcontainers"], "cgroup_parent": "nbc-bench"}
    at_once(lambda n: container.run("bench:1", *life, name=f"ours{n}", **options), count)
    shared = gauges.of(default_engine())
    with shared.watched():
        assert len(shared.read()) == count

        def measure(seconds: float) -> float:
            used, begun, due = time.process_time(), time.monotonic(), time.monotonic()
            while due - begun < seconds:
                found = [gauge.point for gauge in shared.read().values()]
                assert len(found) == count
                due += 1 / HZ
                time.sleep(max(0.0, due - time.monotonic()))
            return (time.process_time() - used) / seconds

        yield measure


@contextlib.contextmanager
def podman(folder: Path, archive: Path, count: int, life: list[str]) -> Iterator[Measure]:
    quiet(*peers.podman(folder, "runc", ["import", "-q", str(archive), "bench"]))
    run = ["run", "-d", *peers.PODMAN_RUN, "bench", *life]
    try:
        at_once(lambda _: quiet(*peers.podman(folder, "runc", run)), count)
        command = peers.podman(folder, "runc", ["stats", "--no-reset", "-i", "1"])
        yield lambda seconds: watched(command, seconds) / seconds
    finally:
        quiet(*peers.podman(folder, "runc", ["rm", "-a", "-f", "-t", "0"]))


@contextlib.contextmanager
def docker(folder: Path, archive: Path, count: int, life: list[str]) -> Iterator[Measure]:
    with programs.docker(folder, archive) as client:
        daemon = pid_of(folder / "pid")
        run = [*client, "run", "-d", "--network", "none", "bench", *life]
        at_once(lambda _: quiet(*run), count)

        def measure(seconds: float) -> float:
            idle = grown(daemon, lambda: time.sleep(seconds))
            used = [0.0]

            def look() -> None:
                used[0] = watched([*client, "stats"], seconds)

            return max(0.0, grown(daemon, look) - idle + used[0]) / seconds

        try:
            yield measure
        finally:
            ids = subprocess.run([*client, "ps", "-q"], check=True, capture_output=True, text=True).stdout.split()
            quiet(*client, "rm", "-f", *ids)


def watched(command: list[str], seconds: float) -> float:
    """Processor seconds of a program that is interrupted after a time, and of its children."""
    pid = os.posix_spawn(shutil.which(command[0]) or command[0], command, os.environ, file_actions=programs.QUIET)
    time.sleep(seconds)
    os.kill(pid, signal.SIGINT)
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_utime + usage.ru_stime


def pid_of(file: Path) -> int:
    return int(file.read_text())


def grown(pid: int, work: Callable[[], object]) -> float:
    """Processor seconds of a process and all that came of it, while `work` is done."""
    before = family(pid)
    work()
    after = family(pid)
    return sum(seconds - before.get(one, 0.0) for one, seconds in after.items())


def family(pid: int) -> dict[int, float]:
    """By pid the processor seconds of a process and its descendants: proc_pid_stat(5)."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            parents[int(name)], used[int(name)] = int(words[1]), sum(map(int, words[11:15])) / _TICK

    def ours(one: int) -> bool:
        return one == pid or (one in parents and ours(parents[one]))

    return {one: seconds for one, seconds in used.items() if ours(one)}


def compare(life: str, measures: dict[str, Measure], rounds: int, seconds: float, count: int) -> bool:
    """Print the medians; whether all goals are reached: of the same number of looks, and of the same seconds, in which ours
    are four times as many."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure(seconds))
    mine = statistics.median(taken["ours"])
    reached = [mine < GOAL]
    print(
        f"{count} {life} containers, {rounds} rounds of {seconds:.0f} s; time of one processor, and of a container's look"
    )
    print(f"{f'ours at {HZ} Hz':12} {_times(mine, HZ * count)}  {said(mine < GOAL)} (goal {GOAL:.0%})")
    for name in [name for name in taken if name != "ours"]:
        theirs = statistics.median(taken[name])
        ratio = mine / theirs if theirs else float("inf")
        reached += [ratio / HZ <= GOAL_RATIO, ratio <= GOAL_RATIO]
        print(
            f"{name:12} {_times(theirs, count)}  ours/theirs a look {ratio / HZ:.3f} {said(reached[-2])}, "
            f"in the same seconds {ratio:.3f} {said(reached[-1])} (goal {GOAL_RATIO})"
        )
    sys.stdout.flush()
    return all(reached)


def _times(part: float, looks: int) -> str:
    return f"{100 * part:8.2f} % {1e6 * part / looks:8.1f} µs"


def said(reached: bool) -> str:
    return "ok" if reached else "MISSED"


def main(rounds: int, seconds: float, lives: list[str]) -> int:
    count = int(os.environ.get("NBCONTAINERS_CONTAINERS", "100"))
    folder = Path(tempfile.mkdtemp(prefix="nbc-bench-", dir="/dev/shm"))
    os.environ |= {"NBCONTAINERS_ROOT": f"{folder}/root", "NBCONTAINERS_RUN": f"{folder}/run"}
    try:
        with programs.cgroups_as_before(), networked.own_host():
            archive = peers.busybox_archive(folder / "busybox.tar")
            return 0 if min([measured(folder, archive, life, rounds, seconds, count) for life in lives]) else 1
    finally:
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if (place := line.split()[1]).startswith(f"{folder}/"):  # podman's folder of layers, mounted on itself
                subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def isolate() -> None:
    """The same program again, where it alone sees what is mounted, and with a /run of its own."""
    if not os.environ.get("NBCONTAINERS_BENCH"):
        command = peers.isolated(sys.executable, "-m", "tests.bench.stats", *sys.argv[1:])
        os.execvpe(command[0], command, {**os.environ, "NBCONTAINERS_BENCH": "1"})
    mounts.mount("tmpfs", "/run", "tmpfs")


def measured(folder: Path, archive: Path, life: str, rounds: int, seconds: float, count: int) -> bool:
    from nbcontainers import container, image, network
    from nbcontainers.launcher import client

    with contextlib.ExitStack() as stack:
        image.import_(str(archive), "bench:1")
        stack.callback(client.close)
        stack.callback(network.prune)
        stack.callback(lambda: container.rm(*[str(row["id"]) for row in container.ps(all=True)], force=True))
        measures = {"ours": stack.enter_context(ours(count, LIVES[life]))}
        measures["docker stats"] = stack.enter_context(docker(folder / "docker", archive, count, LIVES[life]))
        measures["podman stats"] = stack.enter_context(podman(folder / "podman", archive, count, LIVES[life]))
        time.sleep(3)  # what the starts left to do
        return compare(life, measures, rounds, seconds, count)


if __name__ == "__main__":
    words = sys.argv[1:]
    isolate()
    seconds = float(words[1]) if len(words) > 1 else 10.0
    sys.exit(main(int(words[0]) if words else 5, seconds, words[2:] or list(LIVES)))
