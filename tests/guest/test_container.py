"""The main job on pure cgroup v2: a container whose limits hold, seen from inside and from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.cgroups.folder import wait_until
from nbcontainers.errors import ContainerFailed

TOP = Path("/sys/fs/cgroup")
MIB = 1 << 20


@pytest.fixture(autouse=True)
def cgroups_as_before() -> Any:
    before = set(TOP.rglob("*/"))
    yield
    assert set(TOP.rglob("*/")) == before


@pytest.fixture
def run() -> Callable[..., tuple[Any, str]]:
    def run(*words: str, image: str = "mini", **options: Any) -> tuple[Any, str]:
        output = bytearray()
        options = {"rm": True, "stdout": output.extend, "stderr": output.extend, **options}
        return nbcontainers.run(image, *words, **options), output.decode()  # type: ignore[attr-defined]

    return run


def test_the_container_sees_its_own_limits(run: Callable[..., tuple[Any, str]]) -> None:
    names = ("memory.max", "memory.swap.max", "cpu.max", "pids.max")
    script = f"cd /sys/fs/cgroup; cat {' '.join(names)} /proc/self/cgroup; echo 0 > cgroup.procs"
    container, output = run(
        "sh", "-c", script, memory="48m", memory_swap="48m", cpus=0.5, pids_limit=33, raise_error=False
    )
    *values, refused = output.splitlines()
    assert values == [str(48 * MIB), "0", "50000 100000", "33", "0::/"]
    assert "ead-only file system" in refused
    assert container.limits["memory"] == {"limit": 48 * MIB, "swap": 48 * MIB}
    assert container.memory_peak > 0


def test_a_memory_hog_is_killed_and_said_to_be(run: Callable[..., tuple[Any, str]]) -> None:
    with pytest.raises(ContainerFailed, match="it reached its limit of 64 MiB") as caught:
        run("python3", "-c", "x = bytearray(1 << 28)", image="host", memory="64m")
    assert caught.value.oom_killed


def test_a_fork_bomb_stops(run: Callable[..., tuple[Any, str]]) -> None:
    script = "for i in $(seq 60); do sleep 1 & done; wait"
    container, output = run("sh", "-c", script, pids_limit=12, raise_error=False)
    assert "fork" in output
    assert container.pids_peak == 12


def test_half_a_processor(run: Callable[..., tuple[Any, str]]) -> None:
    """The translated processor is late for its timers, so this is wide; tests/system/test_run.py has the narrow one."""
    container, _ = run("sh", "-c", "timeout 3 sh -c 'while :; do :; done'; true", cpus=0.5)
    assert 0.3 < container.cpu_s / container.wall_s < 0.75
    assert container.usage["nr_throttled"] > 10


def test_devices_are_closed(run: Callable[..., tuple[Any, str]]) -> None:
    script = "mknod /dev/disk b 254 0; head -c 1 /dev/disk; head -c 4 /dev/zero | wc -c"
    _, output = run("sh", "-c", script, cap_add=["MKNOD"], raise_error=False)
    assert "ot permitted" in output.splitlines()[0]
    assert output.splitlines()[-1].strip() == "4"


def test_an_ordinary_user_in_a_delegated_scope() -> None:
    """The whole way as uid 1000, as `systemd-run --user --scope -p Delegate=yes` would start it."""
    (TOP / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    folder = TOP / "user.scope"
    folder.mkdir()
    for path in (folder, *(folder / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control"))):
        os.chown(path, 1000, 1000)
    shell = f'echo $$ > {folder}/cgroup.procs; exec su user -s /bin/sh -c "$0"'
    words = "run --rm -m 64m --pids-limit 20 --cpus 0.5 mini cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"
    place = "NBCONTAINERS_ROOT=/tmp/of-user/root NBCONTAINERS_RUN=/tmp/of-user/run HOME=/tmp/of-user"
    try:
        command = ["sh", "-c", shell, f"mkdir -p /tmp/of-user; {place} {sys.executable} -m nbcontainers {words}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, f"{64 * MIB}\n20\n"), done.stderr
    finally:
        (folder / "cgroup.kill").write_text("1")
        assert wait_until(lambda: "populated 0" in (folder / "cgroup.events").read_text(), 10)
        for path in sorted(folder.rglob("*/"), reverse=True):
            path.rmdir()
        folder.rmdir()
