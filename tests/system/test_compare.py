"""Comparisons on this host: few and short rounds, since it is the protocol that is tested, and not the host's figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import compare, container
from nbcontainers.compare import running
from nbcontainers.compare.kinds.host import Host
from nbcontainers.compare.target import Limits, target
from nbcontainers.errors import HostNotCapable
from tests import peers

AS_ROOT = pytest.mark.as_root


def rows(found: Any, axis: str) -> dict[str, dict[str, Any]]:
    return {row["target"]: row for row in found.rows if row["axis"] == axis}


@pytest.fixture
def clean(engine: Any) -> Any:
    """Nothing is left of a comparison."""
    cgroups = set(Path("/sys/fs/cgroup").rglob("compare-*"))
    containers = [row["id"] for row in container.ps(all=True)]
    yield
    assert list(engine.cache.glob("compare-*")) == []
    assert set(Path("/sys/fs/cgroup").rglob("compare-*")) == cgroups
    assert [row["id"] for row in container.ps(all=True)] == containers


@pytest.mark.limits
def test_host_and_container_under_the_same_limits(clean: None, engine: Any) -> None:
    """The workload itself says what it may use: on both the one processor they are pinned to."""
    script = "import os; print(sorted(os.sched_getaffinity(0)), open('/proc/self/cgroup').read())"
    found = compare.run(script=script, python=True, on="host,host:unlimited,container", rounds=5, memory="256m", seed=1)
    assert found.absent == {}
    assert set(rows(found, "cell")) == {"host", "host again", "host:unlimited", "container"}
    assert all(row["rounds"] == 5 for row in found.rows)
    facts = found.measured.facts
    every = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    pinned = running.pinned(engine, Limits(), pin=True).cpuset
    assert facts["host"]["allowed processors"] == facts["container"]["allowed processors"] == (pinned or every)
    assert facts["host:unlimited"]["allowed processors"] == every
    assert facts["host"]["blas"] == facts["container"]["blas"]
    assert found.limits == Limits(256 << 20, None, pinned).words
    assert found.conditions["kernel"] == os.uname().release
    start = rows(found, "start-up")
    assert all(0 < row["median"] < 60_000 for row in start.values())
    assert found.text().splitlines()[0].startswith("cell on ")


@pytest.mark.limits
def test_a_limit_holds_on_the_host_too(clean: None) -> None:
    """A memory hog is killed in the cgroup of the host's target as in the container's."""
    with pytest.raises(HostNotCapable, match="cannot run: it ended with status 137"):
        compare.run(script="x = bytearray(300 << 20)", python=True, on="host", rounds=5, memory="128m")
    found = compare.run(
        script="x = bytearray(300 << 20)", python=True, on="host:unlimited,host,container", rounds=5, memory="128m"
    )
    assert set(found.absent) == {"host", "container"}
    assert all("status 137" in why for why in found.absent.values())
    assert set(rows(found, "cell")) == {"host:unlimited", "host:unlimited again"}


def test_workloads_of_an_image_without_python(clean: None) -> None:
    """By what its shell has; of an ordinary user the host's target is absent, and says what to do."""
    base = "host,container" if os.geteuid() == 0 else "container"
    found = compare.run("execute,small_files,syscall", on=base, image="mini", rounds=5, pin=False)
    assert {"start-up", "execute", "small_files"} == set(found.axes)
    assert "no Python" in found.measured.without["container", "syscall"]
    if os.geteuid():
        with pytest.raises(HostNotCapable, match="only root can run the files of mini without a container"):
            compare.run("execute", on="host,container", image="mini", rounds=5, pin=False)


def test_a_target_on_which_the_workload_fails_has_no_number(clean: None, tmp_path: Path) -> None:
    """A folder of the host that no container sees."""
    found = compare.run(script=f"echo looks; test -d {tmp_path}", on="host:unlimited,container", rounds=5, pin=False)
    assert found.absent == {"container": "it ended with status 1: looks"}
    assert {row["target"] for row in found.rows} == {"host:unlimited", "host:unlimited again"}


@AS_ROOT
@pytest.mark.parametrize("program", ["runc", "podman"])
def test_peers(clean: None, program: str) -> None:
    """The same files, the same limits; their own programs clean up after themselves."""
    peers.program(program)
    peers.program("runc")
    try:
        found = compare.run("execute", on=f"container,container:{program}", rounds=5, memory="256m")
    finally:
        peers.remove_parents()
    assert found.absent == {}, found.absent
    assert set(rows(found, "execute")) == {"container", "container again", f"container:{program}"}
    assert found.measured.facts[f"container:{program}"]["allowed processors"] == str(max(os.sched_getaffinity(0)))


@pytest.mark.slow
def test_the_host_does_not_differ_from_itself(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this very host, noise and all: of five axes at most one is said to differ (expected: 1 in 100)."""
    twin = Host("host:twin", limited=False)
    monkeypatch.setattr(running, "target", lambda name: twin if name == twin.name else target(name))
    found = compare.run("integer,sha256,syscall,execute", on="host:unlimited,host:twin", seed=1)
    assert len([row["axis"] for row in found.rows if row["differs"]]) <= 1, found.text()
    assert {row["target"] for row in found.rows} == {"host:unlimited", "host:unlimited again", "host:twin"}


def test_what_is_not_installed_is_absent(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    here = {row["name"]: row for row in compare.targets()}
    assert here["container"]["here"] == "yes"
    for name, package in (("crun", "crun"), ("runc", "runc"), ("podman", "podman"), ("docker", "docker.io")):
        assert here[f"container:{name}"]["here"] == "no"
        assert here[f"container:{name}"]["about"] == f"{name} is not installed; apt-get install {package}"


def test_an_interrupt_leaves_nothing(clean: None) -> None:
    def stop(words: str) -> None:
        if words.startswith("round 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare.run(script="true", on="container", rounds=5, pin=False, tell=stop)


def test_the_drawings(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbcontainers.compare import drawings

    monkeypatch.setattr(drawings, "_SETTLES_S", 0.2)
    seen = compare.layers(on="host:unlimited,vm,container")
    assert {row["target"] for row in seen.rows} >= {"host:unlimited", "container"}
    box = next(row for row in seen.rows if row["target"] == "container")
    assert 0 < box["start_s"] < 60
    assert box["processes"] == 2
    assert box["size_bytes"] > 100_000
    assert "App3" in seen.html()
    assert f"kernel {os.uname().release}" in seen.html()


@pytest.mark.limits
def test_interference(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortened; which of them suffers is the host's own affair, but that all three were played is not."""
    from nbcontainers.compare import scenes

    monkeypatch.setattr(scenes, "_SETS_IN", 0.8)
    monkeypatch.setattr(scenes, "_ENDS", 1.8)
    seen = compare.interference()
    assert seen.absent == {}
    assert len(seen.rows) == 6
    assert all(row["before"] > 0 for row in seen.rows)


def test_pinning_is_left_out_where_more_is_asked_for(engine: Any) -> None:
    assert running.pinned(engine, running.limits(None, 2, ""), pin=True).cpuset == ""
    assert running.pinned(engine, running.limits(None, None, "0"), pin=True).cpuset == "0"
    assert running.pinned(engine, running.limits(None, None, ""), pin=False).cpuset == ""
