"""Images: pulled, unpacked and pushed, next to podman, umoci, skopeo and GNU tar. All of it on a tmpfs.

The image is that of tests/bench/generated.py, compressed by gzip and again by zstd. Ours are measured from a kernel
whose launcher runs; a sample begins with an empty store, whose making and removing is not counted.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import peers, registries
from tests.bench import generated, sampling
from tests.bench.kernel import Kernel
from tests.bench.monitor_memory import launchers, pss

PSS_GOAL_KIB = 150 * 1024
GAP_GOAL_MS = 100
INTERRUPT_GOAL_S = 1.0
GOALS = {  # of our median to theirs
    "podman pull oci:": 1 / 5, "umoci unpack": 1 / 2.5, "tar x": 3.5, "podman pull": 1 / 5, "skopeo copy": 1 / 2,
}  # fmt: skip
OURS = "image pull oci:", "image pull", "image push"
CODECS = ("gzip", "zstd")
MOST_ROUNDS = 5

SETUP = """
import os, signal, threading
from pathlib import Path
from nbcontainers.engine import Engine
from nbcontainers.image import api as image
store = Engine(Path(STORE), Path(STORE + "-run"), False).prepare()

class Ticks:
    'What another thread of the kernel notices: the longest time between two of its ticks.'
    def __enter__(self):
        self.times, self.over = [time.perf_counter()], threading.Event()
        self.thread = threading.Thread(target=self.tick)
        self.thread.start()
        return self
    def tick(self):
        while not self.over.wait(0.02):
            self.times.append(time.perf_counter())
    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.times.append(time.perf_counter())
    @property
    def longest(self):
        return max(after - before for before, after in zip(self.times, self.times[1:]))

def interrupted(reference, after):
    'Seconds from a SIGINT in the middle of a pull to the end of the verb.'
    sent = []
    def stop():
        time.sleep(after)
        sent.append(time.perf_counter())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        image.pull(reference, engine=store)
    except KeyboardInterrupt:
        return time.perf_counter() - sent[0]
    finally:
        thread.join()
"""


def measure(_: Path, rounds: int) -> dict[str, Any]:
    """Everything, for both codecs; few rounds, since one of them takes half a minute."""
    rounds = min(rounds, MOST_ROUNDS)
    found: dict[str, Any] = {}
    folder = Path(f"/dev/shm/nbc-bench-{os.getpid()}")  # podman makes a reference of it: no capitals, no underscores
    folder.mkdir()
    try:
        bench = Bench(folder)
        for codec in CODECS:
            found[codec] = bench.measure(codec, rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


class Bench:
    """A folder with the image in all its forms, and a kernel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layers = generated.tars(folder / "tars")

    def measure(self, codec: str, rounds: int) -> dict[str, Any]:
        layout = generated.layout(self.folder / codec, self.layers, codec)
        size = sum(path.stat().st_size for path in (layout / "blobs/sha256").iterdir())
        print(
            f"\nimages: {codec}, {size >> 20} MiB of blobs, {sum(p.stat().st_size for p in self.layers) >> 20} MiB of tar"
        )
        self.store = self.folder / f"store-{codec}"
        try:
            with Kernel(f"STORE = {str(self.store)!r}", SETUP) as kernel:
                return self._all(kernel, layout, codec, rounds)
        finally:
            shutil.rmtree(layout)

    def _all(self, kernel: Kernel, layout: Path, codec: str, rounds: int) -> dict[str, Any]:
        local = self.ours(kernel, f"image.pull, 'oci:{layout}', engine=store")
        found = {"local": compare({OURS[0]: local, **self.unpackers(layout)}, rounds)}
        found["memory"] = self.memory(kernel, f"oci:{layout}")
        found["cell"] = self.cell(kernel, f"oci:{layout}")
        with registries.docker_registry(self.folder / "registry") as registry:
            copy(layout, registry, "bench:1")
            theirs = self.podman("pull", "-q", "--tls-verify=false", f"docker://{registry.host}/bench:1")
            ours = self.ours(kernel, f"image.pull, '{registry.host}/bench:1', engine=store")
            found["registry"] = compare({OURS[1]: ours, "podman pull": theirs}, rounds)
            found["second pull"] = self.second_pull(kernel, registry, codec)
        shutil.rmtree(self.folder / "registry")
        found["push"] = self.push(kernel, layout, rounds)
        return found

    def ours(self, kernel: Kernel, call: str) -> Callable[[], float]:
        """A verb on an empty store."""

        def once() -> float:
            self.empty()
            return float(kernel.value(f"timed({call})"))

        return once

    def empty(self) -> None:
        for name in ("images", "snapshots"):
            shutil.rmtree(self.store / name)
            (self.store / name).mkdir(mode=0o700)

    def unpackers(self, layout: Path) -> dict[str, Callable[[], float]]:
        """Podman's default is what it stores with here (overlay or vfs); umoci and tar write into plain folders."""
        where = self.folder / "unpacked"
        umoci = ("umoci", "unpack", "--image", f"{layout}:bench", str(where / "bundle"))
        extract = 'for t in "$0"/*.tar; do mkdir "$1/${t##*/}" && tar -xf "$t" -C "$1/${t##*/}" || exit 1; done'
        tar = ("sh", "-c", extract, str(self.folder / "tars"), str(where))
        found = {"podman pull oci:": self.podman("pull", "-q", f"oci:{layout}:bench"), "tar x": within(where, tar)}
        if layout.name == "gzip":  # umoci 0.4 reads no zstd
            found["umoci unpack"] = within(where, umoci)
        return found

    def podman(self, *words: str) -> Callable[[], float]:
        storage = self.folder / "podman"
        command = peers.podman(storage, "crun", words)
        return within(storage, tuple(command))

    def memory(self, kernel: Kernel, reference: str) -> dict[str, Any]:
        """KiB of PSS of the launcher and all its children at once, at their worst."""
        self.empty()
        (launcher,) = launchers(int(kernel.value("os.getpid()")))
        with peak(launcher) as found:
            kernel.value(f"timed(image.pull, {reference!r}, engine=store)")
        say("peak PSS of launcher and children", max(found), PSS_GOAL_KIB, "KiB")
        return {"peak_pss_kib": max(found), "goal": PSS_GOAL_KIB}

    def cell(self, kernel: Kernel, reference: str) -> dict[str, Any]:
        gaps = []
        for _ in range(MOST_ROUNDS):  # one alone may be a moment's of the whole machine
            self.empty()
            kernel.execute(f"with Ticks() as ticks: image.pull({reference!r}, engine=store)")
            gaps.append(round(float(kernel.value("ticks.longest")) * 1000, 1))
        gap = statistics.median(gaps)
        say("longest gap of a 20 ms ticker, median", gap, GAP_GOAL_MS, f"ms {sorted(gaps)}")
        self.empty()
        before = listing(self.store)
        seconds = round(float(kernel.value(f"interrupted({reference!r}, 0.4)")), 3)
        say("from interrupt to the prompt", seconds, INTERRUPT_GOAL_S, "s")
        left = (
            listing(self.store)
            - before
            - {"images/blobs", "images/blobs/sha256", "images/index.json", "images/oci-layout"}
        )
        if left:
            raise RuntimeError(f"an interrupted pull left {sorted(left)[:10]}")
        return {"gap_ms": gap, "interrupt_s": seconds}

    def second_pull(self, kernel: Kernel, registry: registries.DockerRegistry, codec: str) -> dict[str, Any]:
        """The same image with another top layer: what goes over the wire."""
        other = generated.tars(self.folder / "top", (8,), 400, seed=4)
        changed = generated.layout(self.folder / "changed", [*self.layers[:-1], *other], codec)
        copy(changed, registry, "bench:2")
        top = (changed / "blobs/sha256" / generated.top_layer(changed)).stat().st_size
        process = process_of(registry.folder)
        kernel.value(f"timed(image.pull, '{registry.host}/bench:1', engine=store)")
        before = written(process)
        seconds = float(kernel.value(f"timed(image.pull, '{registry.host}/bench:2', engine=store)"))
        moved = written(process) - before
        shutil.rmtree(changed)
        shutil.rmtree(self.folder / "top")
        print(f"  a changed top layer of {top} bytes: {moved} bytes sent by the registry, {seconds * 1000:.0f} ms")
        if moved > top + 64_000:
            raise RuntimeError(f"a second pull moved {moved} bytes for a layer of {top}")
        return {"layer": top, "moved": moved, "ms": seconds * 1000}

    def push(self, kernel: Kernel, layout: Path, rounds: int) -> dict[str, Any]:
        """To a registry that has nothing, which is a new one for every sample."""
        self.empty()
        kernel.execute(f"pushed = image.pull('oci:{layout}', engine=store)[0].reference")

        def ours(host: str) -> float:
            return float(kernel.value(f"timed(image.push, pushed, '{host}/bench:1', engine=store)"))

        def skopeo(host: str) -> float:
            words = ("--dest-tls-verify=false", f"oci:{layout}:bench", f"docker://{host}/bench:1")
            return timed(("skopeo", "copy", "-q", *words))

        return compare({OURS[2]: self.on_new(ours), "skopeo copy": self.on_new(skopeo)}, rounds)

    def on_new(self, send: Callable[[str], float]) -> Callable[[], float]:
        def once() -> float:
            shutil.rmtree(self.folder / "new", ignore_errors=True)
            with registries.docker_registry(self.folder / "new") as registry:
                return send(registry.host)

        return once


def compare(targets: dict[str, Callable[[], float]], rounds: int) -> dict[str, Any]:
    samples = sampling.alternate(targets, rounds, warm_up=1)
    print(sampling.table(samples))
    ours, *others = targets
    ratios = {}
    for theirs in others:
        middle, low, high = sampling.ratio(samples[ours], samples[theirs])
        ratios[theirs] = {"ratio": middle, "low": low, "high": high, "goal": GOALS[theirs]}
        verdict = "ok" if middle <= GOALS[theirs] else "MISSED"
        minima = min(samples[ours]) / min(samples[theirs])
        ratios[theirs]["minima"] = minima
        line = f"{middle:6.3f} x {theirs:<20} [{low:.3f}, {high:.3f}], minima {minima:.3f}"
        print(f"  {line}  {verdict}  (goal {GOALS[theirs]:.3f})")
    sys.stdout.flush()
    return {"ratios": ratios, "samples_ms": samples}


def say(what: str, found: float, goal: float, unit: str) -> None:
    print(f"  {what:<34}{found:9} {unit}   {'ok' if found <= goal else 'MISSED'}  (goal {goal})")
    sys.stdout.flush()


def within(folder: Path, command: tuple[str, ...]) -> Callable[[], float]:
    """The command's seconds, with a new folder for what it writes."""

    def once() -> float:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            return timed(command)
        finally:
            subprocess.run(["umount", "-R", f"{folder}/root/overlay"], capture_output=True, check=False)
            shutil.rmtree(folder, ignore_errors=True)

    return once


def timed(command: tuple[str, ...]) -> float:
    begun = time.perf_counter()
    ended = subprocess.run([peers.program(command[0]), *command[1:]], capture_output=True, check=False)
    seconds = time.perf_counter() - begun
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ended.stderr.decode()[-500:]}")
    return seconds


def copy(layout: Path, registry: registries.DockerRegistry, name: str) -> None:
    timed(
        ("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:bench", f"docker://{registry.host}/{name}")
    )


@contextmanager
def peak(root: int) -> Iterator[list[int]]:
    """Samples of the PSS of a process and all below it, as often as they can be had."""
    found: list[int] = [0]
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.005):
            found.append(sum(map(one, family(root))))

    def one(pid: int) -> int:
        try:
            return pss(pid)
        except (OSError, RuntimeError):
            return 0  # it has just ended

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def family(root: int) -> list[int]:
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def process_of(folder: Path) -> int:
    """The registry that serves from a folder."""
    config = os.fsencode(folder / "config.yml")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if config in path.read_bytes().split(b"\0"):
                return int(path.parent.name)
        except OSError:
            continue
    raise RuntimeError(f"no registry serves from {folder}")


def written(pid: int) -> int:
    """Bytes that a process has written so far, to sockets and files: proc(5), io."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("wchar:")).split()[1])


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.endswith(".lock")}
