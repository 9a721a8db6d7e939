"""Comparisons on this host: few and short rounds, since it is the protocol that is tested, and not the host's figures."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import compare, container, system
from nbcontainers.compare import conditions, rounds, running, workload
from nbcontainers.compare.kinds.host import Host
from nbcontainers.compare.target import Limits, target
from nbcontainers.errors import HostNotCapable
from tests import peers
from tests.bench import programs

AS_ROOT = pytest.mark.as_root


def rows(found: Any, axis: str) -> dict[str, dict[str, Any]]:
    return {row["target"]: row for row in found.rows if row["axis"] == axis}


@pytest.fixture
def clean(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing is left of a comparison (cgroups: tests/host.py); how busy the host is, is looked at but briefly."""
    monkeypatch.setattr(conditions, "_LOOK_S", 0.05)
    containers = [row["id"] for row in container.ps(all=True)]
    yield
    assert list(engine.cache.glob("compare-*")) == []
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
    hog = "x = bytearray(100 << 20)"
    with pytest.raises(HostNotCapable, match="cannot run: it ended with status 137"):
        compare.run(script=hog, python=True, on="host", rounds=5, memory="64m")
    found = compare.run(script=hog, python=True, on="host:unlimited,host,container", rounds=5, memory="64m")
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


@AS_ROOT
def test_limits_are_read_back_in_an_image_without_python(clean: None) -> None:
    """On the host too, whose programs see its files by chroot, and none of which pays for the mounts."""
    found = compare.run("execute", on="host,container", image="mini", rounds=5, memory="256m", cpus=0.5, seed=1)
    assert found.unequal == [], found.measured.facts
    for name in ("host", "container"):
        facts = found.measured.facts[name]
        assert (facts["memory limit"], facts["cpu limit"]) == ("256 MiB", "0.5")
    assert not [line for line in Path("/proc/self/mounts").read_text().splitlines() if "compare-" in line]


def test_a_target_on_which_the_workload_fails_has_no_number(clean: None, tmp_path: Path) -> None:
    """A folder of the host that no container sees."""
    found = compare.run(script=f"echo looks; test -d {tmp_path}", on="host:unlimited,container", rounds=5, pin=False)
    assert found.absent == {"container": "it ended with status 1: looks"}
    assert {row["target"] for row in found.rows} == {"host:unlimited", "host:unlimited again"}


@AS_ROOT
def test_peers(clean: None) -> None:
    """The same files, the same limits, which each has in force; their own programs clean up after themselves."""
    others = ("runc", "crun", "podman")
    for program in others:
        peers.program(program)
    names = ["container", *(f"container:{program}" for program in others)]
    try:
        found = compare.run("execute", on=",".join(names), rounds=5, memory="256m", cpus=0.5)
    finally:
        peers.remove_parents()
    assert found.absent == {}, found.absent
    assert found.unequal == [], found.unequal
    assert set(rows(found, "execute")) == {"container again", *names}
    for name in names:
        facts = found.measured.facts[name]
        assert facts["allowed processors"] == str(max(os.sched_getaffinity(0)))
        assert (facts["memory limit"], facts["cpu limit"]) == ("256 MiB", "0.5")


@AS_ROOT
def test_docker(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a daemon that is only found by DOCKER_HOST; one that is gone is absent. Where its cell hangs it is ended."""
    peers.program("dockerd")
    script = (
        "if test -e /.dockerenv; then echo it hangs; sleep 60; fi; i=0; while [ $i -lt 99999 ]; do i=$((i+1)); done"
    )
    with programs.cgroups_as_before(), programs.docker(Path("/tmp/nbc-compare"), None) as client:
        monkeypatch.setenv("DOCKER_HOST", client[-1])
        found = compare.run("execute", on="container,container:docker", image="mini", rounds=5, memory="256m")
        assert found.absent == {}, found.absent
        assert found.unequal == [], found.unequal
        found = compare.run(script=script, on="container,container:docker", image="mini", rounds=5, timeout=2)
        assert found.absent == {"container:docker": "it did not end within 2 s"}
        for words in (["ps", "-aq"], ["images", "-q"]):
            assert subprocess.run([*client, *words], capture_output=True, check=True).stdout == b""
    about = {row["name"]: row["about"] for row in compare.targets()}
    assert about["container:docker"] == "no docker daemon answers; start dockerd, or set DOCKER_HOST"


def test_a_cell_that_hangs_prints_nonsense_or_megabytes(clean: None) -> None:
    """Where it hangs the target is out; output is no matter, whatever it is."""
    hangs = "test $$ -gt 99 || { trap '' INT TERM; echo it hangs; while :; do sleep 9; done; }; sleep 0.01"
    found = compare.run(script=hangs, on="host:unlimited,container", rounds=5, timeout=3, pin=False)
    assert found.absent == {"container": "it did not end within 3 s"}
    assert {row["target"] for row in found.rows} == {"host:unlimited", "host:unlimited again"}
    loud = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 50000); sys.stderr.buffer.write(b'\\xff' * 500000)"
    found = compare.run(script=loud, python=True, on="host:unlimited,container", rounds=5, pin=False)
    assert found.absent == {}
    assert all(row["rounds"] == 5 for row in found.rows)


INTERRUPTED = ["host:unlimited", "container"]
if os.geteuid() == 0:
    INTERRUPTED += ["container:runc", "container:crun", "container:podman"]


@pytest.mark.parametrize("name", INTERRUPTED)
def test_ctrl_c_ends_what_runs_on_a_target(clean: None, engine: Any, name: str) -> None:
    """From a terminal: the whole process group gets it, and nothing is left of the program that ignores it."""
    if ":" in name and name.startswith("container"):
        peers.program(name.partition(":")[2])
    script = "trap '' INT TERM; echo $$ > $NBC_VOLUME/runs; sleep 60; true"
    words = [sys.executable, "-m", "nbcontainers", "compare", "--on", name, "--no-pin", "--script", script]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0)
    try:
        deadline = time.monotonic() + 60
        while not list(engine.cache.glob("compare-*/volume/runs")):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
        peers.remove_parents()
    assert process.returncode in (130, -signal.SIGINT), told
    assert b"Traceback" not in told


@pytest.mark.slow
def test_the_host_does_not_differ_from_itself(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this very host, noise and all: of three verdicts a wrong one is expected in one of a hundred runs."""
    twin = Host("host:twin", limited=False)
    monkeypatch.setattr(running, "target", lambda name: twin if name == twin.name else target(name))
    found = compare.run("integer,execute", on="host:unlimited,host:twin", seed=1)
    assert [row["axis"] for row in found.rows if row["differs"]] == [], found.text()
    assert {row["target"] for row in found.rows} == {"host:unlimited", "host:unlimited again", "host:twin"}


def test_a_machine_under_the_same_limits(clean: None, engine: Any) -> None:
    """Another kernel, with as much memory and as many processors, pinned as the others are; a boot is start-up, and no
    part of what is measured inside."""
    peers.program("linux.uml")
    peers.program("busybox")
    with running.planned(engine, "host", running.pinned(engine, Limits(256 << 20), pin=True), 120) as plan:
        found = rounds.measure(plan, [target("host:unlimited"), target("vm:uml")], workload.named("execute"), 1, 1)
    assert found.absent == {}
    facts = found.facts["vm:uml"]
    assert facts["kernel"] != os.uname().release
    assert (facts["processors"], facts["machine"]) == ("1", "256 MiB, 1 processor")
    assert facts["memory limit"].startswith("none; the machine has 2")
    assert ("pinned" in facts) == bool(plan.limits.cpuset)
    cost = {(row["target"], row["axis"]): row["cost"] for row in found.samples}
    assert cost["vm:uml", "start-up"] > 2 * cost["host:unlimited", "start-up"]
    assert cost["vm:uml", "execute"] < cost["vm:uml", "start-up"]


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
    seen = compare.layers(on="host:unlimited,container")
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

    monkeypatch.setattr(scenes, "_SETS_IN", 0.7)
    monkeypatch.setattr(scenes, "_ENDS", 1.5)
    seen = compare.interference()
    assert seen.absent == {}
    assert len(seen.rows) == 6
    assert all(row["before"] > 0 for row in seen.rows)


def test_pinning_is_left_out_where_more_is_asked_for(engine: Any) -> None:
    assert running.pinned(engine, running.limits(None, 2, ""), pin=True).cpuset == ""
    assert running.pinned(engine, running.limits(None, None, "0"), pin=True).cpuset == "0"
    assert running.pinned(engine, running.limits(None, None, ""), pin=False).cpuset == ""


def test_what_a_killed_comparison_left_is_pruned(clean: None, engine: Any) -> None:
    """Its folder; one that goes on is left alone."""
    words = [
        sys.executable,
        "-m",
        "nbcontainers",
        "compare",
        "--on",
        "host:unlimited",
        "--no-pin",
        "--script",
        "sleep 60",
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (made := list(engine.cache.glob("compare-*/host-unlimited"))):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert [row for row in system.prune() if row["what"] == "comparison"] == []
        below = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    finally:
        process.kill()
        process.wait()
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert [row["name"] for row in system.prune() if row["what"] == "comparison"] == [made[0].parent.name]
