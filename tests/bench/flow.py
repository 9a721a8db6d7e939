"""`python -m tests.bench.flow [ROUNDS]`: throughput and latency of a published port and between two containers,
ours against podman's, in turns.

As root, in a network namespace of its own with a second machine on its wire. iperf3 (Debian's) for one second, and
5,000 round trips of one byte (pingpong.c); the medians of the rounds and of ours/podman's in each round.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import debian, networked, peers
from tests.bench import programs
from tests.monitored import wait_for
from tests.networked import HOST, Machine

IMAGE = "flow:1"
SERVE = ["/bin/sh", "-c", "/usr/bin/pingpong serve 5202 & exec /usr/bin/iperf3 -s -p 5201"]
_IPERF = ["/usr/bin/iperf3", "-J", "-t", "1", "-O", "0.2"]
_TRIPS = "5000"
_TRIES = 10
Run = Callable[[list[str]], str]


class Side:
    """One engine: its server's address in its network and port on the host, and how a program runs beside it."""

    def __init__(self, address: str, ports: tuple[int, int], client: Run) -> None:
        self.address, self.ports, self.client = address, ports, client


def text(words: list[str]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def root(folder: Path) -> Path:
    """iperf3, our ping-pong and a shell, unpacked and as a tar."""
    binary = folder / "pingpong"
    source = Path(__file__).with_name("pingpong.c")
    subprocess.run([peers.program("gcc"), "-O2", "-static", "-o", binary, source], check=True)
    unpacked = folder / "root"
    debian.archive(folder / "iperf.tar", debian.IPERF)
    unpacked.mkdir()
    subprocess.run(["tar", "-C", unpacked, "-xf", folder / "iperf.tar"], check=True)
    shutil.copy2(binary, unpacked / "usr/bin/pingpong")
    peers.busybox_rootfs(unpacked)
    subprocess.run(["tar", "-C", unpacked, "-cf", folder / "flow.tar", "."], check=True)
    (unpacked / "dev/urandom").write_bytes(os.urandom(4 << 20))  # for the second machine, which uses it by chroot(8)
    return unpacked


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[Side]:
    from nbcontainers import container, image

    image.import_(str(folder / "flow.tar"), IMAGE)
    ports = ["5211:5201", "5212:5202"]
    server = container.run(IMAGE, *SERVE, detach=True, name="server", publish=ports, network="nbcontainers")
    client = container.run(IMAGE, "/bin/sleep", "900", detach=True, name="client", network="nbcontainers")

    def run(words: list[str]) -> str:
        heard: list[bytes] = []
        client.exec(*words, stdout=heard.append)
        return b"".join(heard).decode()

    try:
        yield Side(str(server.ip), (5211, 5212), run)
    finally:
        for one in (server, client):
            one.rm(force=True)


@contextlib.contextmanager
def podman(folder: Path) -> Iterator[Side]:
    def call(*words: str) -> str:
        return text(peers.podman(folder / "podman", "runc", list(words)))

    call("import", "-q", str(folder / "flow.tar"), "flow")
    options = [*peers.PODMAN_RUN[:4], "--network", "podman", "-d"]
    call("run", *options, "--name", "server", "-p", "5221:5201", "-p", "5222:5202", "flow", *SERVE)
    call("run", *options, "--name", "client", "flow", "/bin/sleep", "900")
    address = call("inspect", "-f", "{{.NetworkSettings.Networks.podman.IPAddress}}", "server").strip()
    try:
        yield Side(address, (5221, 5222), lambda words: call("exec", "client", *words))
    finally:
        call("rm", "-f", "-t", "0", "server", "client")


def measures(machine: Machine, unpacked: Path, side: Side) -> dict[str, Callable[[], float]]:
    """By name; throughput in Gbit/s, latency in microseconds (median)."""

    def outside(words: list[str]) -> str:
        return machine.run("chroot", str(unpacked), *words)

    def flow(run: Run, address: str, port: int) -> float:
        for _ in range(_TRIES):
            said = json.loads(run([*_IPERF, "-c", address, "-p", str(port)]))
            if "sum_received" in said["end"]:
                return float(said["end"]["sum_received"]["bits_per_second"]) / 1e9
            time.sleep(0.2)  # the server has not done with the last one yet
        raise RuntimeError(f"iperf3: {said.get('error')}")

    def trips(run: Run, address: str, port: int) -> float:
        return float(run(["/usr/bin/pingpong", "ask", address, str(port), _TRIPS]).split()[0])

    return {
        "published port, Gbit/s": lambda: flow(outside, HOST, side.ports[0]),
        "between containers, Gbit/s": lambda: flow(side.client, side.address, 5201),
        "published port, us": lambda: trips(outside, HOST, side.ports[1]),
        "between containers, us": lambda: trips(side.client, side.address, 5202),
    }


def compare(mine: Callable[[], float], theirs: Callable[[], float], rounds: int) -> list[tuple[float, float]]:
    """(ours, theirs) of each round, measured in turns."""
    pairs = []
    for number in range(rounds):
        first, second = (mine, theirs) if number % 2 == 0 else (theirs, mine)
        one, other = first(), second()
        pairs.append((one, other) if number % 2 == 0 else (other, one))
    return pairs


def report(name: str, pairs: list[tuple[float, float]]) -> None:
    """The medians, that of the quotients, and the quotient of the best, which whatever else ran disturbed least."""
    best = max if name.endswith("bit/s") else min
    ours_, theirs_ = zip(*pairs, strict=True)
    middle = statistics.median(one / other for one, other in pairs)
    print(
        f"{name:28} ours {statistics.median(ours_):7.2f}  podman {statistics.median(theirs_):7.2f}  "
        f"ours/podman {middle:.3f}, of the best {best(ours_) / best(theirs_):.3f}",
        flush=True,
    )


def main(rounds: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="nbc-bench-", dir="/dev/shm"))
    os.environ |= {"NBCONTAINERS_ROOT": f"{folder}/root-ours", "NBCONTAINERS_RUN": f"{folder}/run"}
    os.environ.pop("NBCONTAINERS_NETWORK", None)
    from nbcontainers import network
    from nbcontainers.launcher import client

    try:
        unpacked = root(folder)
        with programs.cgroups_as_before(), networked.own_host():
            machine = Machine()
            try:
                with ours(folder) as mine, podman(folder) as theirs:
                    sides = [measures(machine, unpacked, one) for one in (mine, theirs)]
                    wait_for(lambda: answers(sides), 10)
                    for name in sides[0]:
                        report(name, compare(sides[0][name], sides[1][name], rounds))
            finally:
                machine.close()
            network.prune()
            client.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def answers(sides: list[dict[str, Callable[[], float]]]) -> bool:
    try:
        return all(one["published port, us"]() > 0 for one in sides)
    except AssertionError:
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
