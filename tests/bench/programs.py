"""The programs we compare with, prepared: bundles for crun and runc, images for podman and Docker."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests import peers

LIMITS = ("-m", "256m", "--cpus", "1", "--pids-limit", "100", "--network", "none")
NAMESPACES = ("pid", "mount", "network", "uts", "ipc", "cgroup")  # crun 1.8 and runc 1.1 know no more
QUIET = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]


def command(*words: str) -> Callable[[], float]:
    """Seconds from spawning the program to its exit, with as little of Python in between as there can be."""
    path = peers.program(words[0])

    def once() -> float:
        begun = time.perf_counter()
        pid = os.posix_spawn(path, [path, *words[1:]], os.environ, file_actions=QUIET)
        _, status = os.waitpid(pid, 0)
        seconds = time.perf_counter() - begun
        if status:
            raise RuntimeError(f"`{' '.join(words)}` ended with wait status {status}")
        return seconds

    return once


def peer_config(ours: dict[str, Any]) -> dict[str, Any]:
    """The very configuration of our own run, for a runtime that finds its root file system prepared."""
    config = copy.deepcopy(ours)
    config["ociVersion"] = "1.0.2"  # crun 1.8 takes no newer
    config["root"] = {"path": "rootfs", "readonly": False}
    config.pop("annotations", None)
    config["ociVersion"] = "1.0.2"  # crun 1.8 refuses later ones
    config["linux"].pop("timeOffsets", None)
    config["linux"]["namespaces"] = [{"type": kind} for kind in NAMESPACES]
    config["linux"].pop("cgroupsPath", None)
    config["mounts"] = [mount for mount in config["mounts"] if mount.get("type") != "bind"]
    return config


def bundle(folder: Path, config: dict[str, Any]) -> Path:
    peers.busybox_rootfs(folder / "rootfs")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def oci(name: str, folder: Path) -> Callable[[], float]:
    return command(name, "--root", f"{folder}/state-{name}", "run", "--bundle", str(folder), f"bench-{name}")


def podman(folder: Path, archive: Path) -> Callable[[], float]:
    subprocess.run(
        peers.podman(folder, "runc", ["import", "-q", str(archive), "bench"]), check=True, stdout=subprocess.DEVNULL
    )
    arguments = ["run", "--rm", *peers.PODMAN_RUN[:4], *LIMITS, "bench", "/bin/true"]
    return command(*peers.podman(folder, "runc", arguments))


@contextlib.contextmanager
def docker(folder: Path, archive: Path | None, *options: str) -> Iterator[list[str]]:
    """A dockerd of our own, with the image `bench` of `archive`; gives the client's command line."""
    socket = f"unix://{folder}/docker.sock"
    where = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-p", f"{folder}/pid", "-H", socket]
    network = ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log", "w") as log:
        daemon = subprocess.Popen([peers.program("dockerd"), *where, *network, *options], stdout=log, stderr=log)
    client = ["/usr/bin/docker" if os.path.exists("/usr/bin/docker") else peers.program("docker"), "-H", socket]
    try:
        wait_for(client, folder / "log")
        if archive:
            subprocess.run([*client, "import", str(archive), "bench"], check=True, stdout=subprocess.DEVNULL)
        yield client
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cgroups_as_before() -> Iterator[None]:
    """Remove the empty parents (docker, libpod_parent) that the peers leave in every hierarchy."""
    before = cgroup_folders()
    try:
        yield
    finally:
        deadline = time.monotonic() + 5  # podman's own clean-up may still be at work
        while (left := cgroup_folders() - before) and time.monotonic() < deadline:
            for folder in sorted(left, reverse=True):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            time.sleep(0.1)


def cgroup_folders() -> set[str]:
    """All but ours and those of whoever runs this machine's shells."""
    folders = (top for top, _, _ in os.walk("/sys/fs/cgroup"))
    return {folder for folder in folders if "/nbcontainers" not in folder and "process_api" not in folder}


def wait_for(client: list[str], log: Path) -> None:
    for _ in range(300):
        if subprocess.run([*client, "info"], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"dockerd does not answer; its log ends with:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def docker_sleeper(client: list[str]) -> Iterator[str]:
    run = ["run", "-d", "--name", "bench-sleeper", *LIMITS, "bench", "/bin/sleep", "3600"]
    subprocess.run([*client, *run], check=True, stdout=subprocess.DEVNULL)
    try:
        yield "bench-sleeper"
    finally:
        subprocess.run([*client, "rm", "-f", "bench-sleeper"], check=True, stdout=subprocess.DEVNULL)
