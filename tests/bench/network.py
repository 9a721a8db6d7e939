"""`python -m tests.bench.network [ROUNDS]`: from `run -d -p` to the first answered byte, ours against podman and Docker.

As root, in a network namespace of its own; one start of each in turn, so that whatever else the machine does falls on
all alike. Then as many containers on one network as `NBCONTAINERS_CONTAINERS` says (200): starts a second, each name
resolved, all gone again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import networked, peers
from tests.bench import programs

SERVE = ["/bin/busybox", "nc", "-ll", "-p", "80", "-e", "/bin/busybox", "echo", "hi"]
_PATIENCE_S = 20.0
_RESOLVE = """
import socket, sys, time
count = int(sys.argv[1])
begun = time.perf_counter()
found = {socket.gethostbyname(f"bench{number}") for number in range(count)}
print(len(found), (time.perf_counter() - begun) / count)
"""

Start = Callable[[], float]


def answered(port: int, begun: float) -> float:
    """Seconds since `begun` until the published port says its first byte."""
    while time.perf_counter() - begun < _PATIENCE_S:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                if connection.recv(10):
                    return time.perf_counter() - begun
        except OSError:
            time.sleep(0.001)
    raise RuntimeError(f"nothing answered on port {port}")


def quiet(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def ours() -> float:
    from nbcontainers import container

    begun = time.perf_counter()
    made = container.run("bench:1", *SERVE, detach=True, publish=["8080:80"], network=["nbcontainers"])
    seconds = answered(8080, begun)
    made.rm(force=True)
    return seconds


def podman(folder: Path, archive: Path) -> Start:
    quiet(*peers.podman(folder, "runc", ["import", "-q", str(archive), "bench"]))
    options = ["--name", "bench", *peers.PODMAN_RUN[:4], "--network", "podman", "-p", "8081:80"]

    def start() -> float:
        begun = time.perf_counter()
        quiet(*peers.podman(folder, "runc", ["run", "-d", *options, "bench", *SERVE]))
        seconds = answered(8081, begun)
        quiet(*peers.podman(folder, "runc", ["rm", "-f", "-t", "0", "bench"]))
        return seconds

    return start


@contextlib.contextmanager
def docker(folder: Path, archive: Path) -> Iterator[Start]:
    folder.mkdir()
    where = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-p", f"{folder}/pid"]
    client = ["/usr/bin/docker", "-H", f"unix://{folder}/sock"]
    with open(folder / "log", "w") as log:
        daemon = subprocess.Popen([peers.program("dockerd"), *where, *client[1:]], stdout=log, stderr=log)

    def start() -> float:
        begun = time.perf_counter()
        quiet(*client, "run", "-d", "--name", "bench", "-p", "8082:80", "bench", *SERVE)
        seconds = answered(8082, begun)
        quiet(*client, "rm", "-f", "bench")
        return seconds

    try:
        programs.wait_for(client, folder / "log")
        quiet(*client, "import", str(archive), "bench")
        yield start
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)


def first_byte(rounds: int, starts: dict[str, Start]) -> None:
    for start in starts.values():
        start()
    taken: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(rounds):
        for name, start in starts.items():
            time.sleep(0.1)
            taken[name].append(start())
    mine = taken["ours"]
    for name, seconds in taken.items():
        ratio = statistics.median(mine) / statistics.median(seconds)
        least = min(mine) / min(seconds)
        print(
            f"{name:8} {1e3 * statistics.median(seconds):6.0f} ms  ours/theirs {ratio:.3f}, of the minima {least:.3f}"
        )


def many(count: int) -> None:
    """Containers on one network: how fast they start, whether each is found by name, and that nothing is left."""
    from nbcontainers import container, network

    def start(number: int) -> None:
        container.run("mini", "sleep", "600", name=f"bench{number}", detach=True, network=["nbcontainers"])

    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(start, range(count)))
    print(f"{count} containers on a network: {count / (time.perf_counter() - begun):.1f} a second")
    heard: list[bytes] = []
    python = ["/usr/bin/python3", "-c", _RESOLVE, str(count)]
    container.run("host", *python, rm=True, network=["nbcontainers"], stdout=heard.append)
    found, seconds = b"".join(heard).split()
    print(f"names resolved: {int(found)}, {1e3 * float(seconds):.2f} ms each")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: container.rm(f"bench{number}", force=True), range(count)))
    network.prune()
    print(f"left behind: {sorted(networked.settled(set())) or 'nothing'}")


def main(rounds: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="nbc-bench-", dir="/dev/shm"))
    os.environ |= {"NBCONTAINERS_ROOT": f"{folder}/root", "NBCONTAINERS_RUN": f"{folder}/run"}
    os.environ.pop("NBCONTAINERS_NETWORK", None)
    from nbcontainers import image, network
    from nbcontainers.launcher import client

    archive = folder / "busybox.tar"
    peers.busybox_rootfs(folder / "busybox")
    quiet("tar", "-C", f"{folder}/busybox", "-cf", str(archive), ".")
    try:
        with programs.cgroups_as_before(), networked.own_host(), contextlib.ExitStack() as stack:
            image.import_(str(archive), "bench:1")
            starts: dict[str, Start] = {"ours": ours, "podman": podman(folder / "podman", archive)}
            starts["docker"] = stack.enter_context(docker(folder / "docker", archive))
            first_byte(rounds, starts)
            network.prune()
            many(int(os.environ.get("NBCONTAINERS_CONTAINERS", "200")))
            client.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
