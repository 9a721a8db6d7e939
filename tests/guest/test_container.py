"""The main job on pure cgroup v2: a container whose limits hold, seen from inside and from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import nbcontainers
from nbcontainers.errors import ContainerFailed
from tests import host
from tests.monitored import wait_for

MIB = 1 << 20


@pytest.fixture(autouse=True)
def cgroups_as_before() -> Any:
    """All but that of the container begun ahead, which comes and goes."""
    before = host.cgroups()
    yield
    wait_for(lambda: host.cgroups() <= before)  # between two that are begun ahead there is one in the making


@pytest.fixture
def run() -> Callable[..., tuple[Any, str]]:
    def run(*words: str, image: str = "mini", **options: Any) -> tuple[Any, str]:
        output = bytearray()
        options = {"rm": True, "stdout": output.extend, "stderr": output.extend, **options}
        return nbcontainers.run(image, *words, **options), output.decode()

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
