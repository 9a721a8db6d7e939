"""What is done to a container that runs, on pure cgroup v2: other limits, a pause, commands in it, restarts, builds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.container import api, gauges
from nbcontainers.container.gauges import Gauges
from nbcontainers.errors import Error, HostNotCapable, InvalidState
from nbcontainers.image import api as image
from nbcontainers.system import api as system
from tests import host
from tests.conftest import close_launcher
from tests.monitored import wait_for
from tests.watched import rested, wakes_and_shrinks

TOP = Path("/sys/fs/cgroup")
MIB = 1 << 20
LAB = TOP / "lab"


@pytest.fixture(autouse=True)
def cgroups_as_before() -> Iterator[None]:
    """All but that of the container begun ahead, which comes and goes."""
    before, mounted = host.cgroups(), mount_options()
    yield
    for row in api.ps(all=True):
        api.rm(str(row["id"]), force=True)
    wait_for(lambda: host.cgroups() <= before)  # between two that are begun ahead there is one in the making
    assert mount_options() == mounted


def mount_options() -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if " cgroup2 " in line]


def serve(script: str = "sleep 600 & wait", **options: Any) -> Any:
    return nbcontainers.run("mini", "sh", "-c", script, name="served", detach=True, **options)


def inside(container: Any, script: str) -> str:
    out = bytearray()
    api.exec_(container, "sh", "-c", script, stdout=out.extend, stderr=out.extend)
    return out.decode().strip()


def test_a_container_that_serves() -> None:
    """From its start to its end: each verb once, and what the kernel says of it."""
    container = serve(memory="64m", pids_limit=20)
    folder = TOP / "nbcontainers" / container.id
    container.update(memory="128m", memory_swap="128m", cpus=0.5, cpu_shares=512, pids_limit=50, cpuset_cpus="0",
                     memory_reservation="8m")  # fmt: skip
    names = ("memory.max", "memory.swap.max", "memory.low", "cpu.max", "cpu.weight", "pids.max", "cpuset.cpus")
    wanted = [str(128 * MIB), "0", str(8 * MIB), "50000 100000", "59", "50", "0"]
    assert [(folder / name).read_text().strip() for name in names] == wanted
    with pytest.raises(Error, match="--pids-limit: 1 is less than the"):
        container.update(memory="100m", pids_limit=1)
    assert [(folder / name).read_text().strip() for name in names] == wanted
    assert inside(container, "cat /sys/fs/cgroup/pids.max /proc/self/cgroup") == "50\n0::/"
    row = api.stats(container)[0]
    assert (row["memory_limit"], row["cpu"] >= 0, 0 < row["memory"] < 128 * MIB) == (128 * MIB, True, True)
    assert row["pids"] >= 2
    assert "sleep 600" in [line["command"] for line in api.top(container, "pid", "args")]
    api.pause("served")
    assert "frozen 1" in (folder / "cgroup.events").read_text()
    with pytest.raises(InvalidState, match="paused"):
        inside(container, "true")
    api.unpause("served")
    assert "frozen 0" in (folder / "cgroup.events").read_text()
    container.restart(0)
    assert [(folder / name).read_text().strip() for name in names] == wanted
    api.pause("served")
    container.stop(0)
    assert container.status == "exited"
    done = [row["action"] for row in system.events(filter=[f"container={container.id}"]) or ()]
    assert {"update", "pause", "unpause", "restart", "die"} <= set(done)


def test_it_comes_again() -> None:
    container = serve("cat /sys/fs/cgroup/memory.max; exit 3", memory="32m", restart="on-failure:1")
    wait_for(lambda: container.status == "exited")
    assert str(container.logs()).split() == [str(32 * MIB)] * 2
    assert container.inspect()["RestartCount"] == 1


def test_what_a_view_sees_of_one_that_rests_and_wakes() -> None:
    """By the witness of the folder above, which is ours."""
    container, other = serve(), nbcontainers.run("mini", "sleep", "600", name="other", detach=True)
    with Gauges(container.engine).watched() as watched:
        wakes_and_shrinks(watched, container)
        for gauge in (rested(watched, container.id), rested(watched, other.id)):
            assert [file.path.rpartition("/")[2] for file in gauge.glance._all() if file.above] == [
                "io.stat", "cpu.pressure", "memory.pressure", "io.pressure", "cpu.stat",
            ]  # fmt: skip
        api.rm("other", force=True)
        time.sleep(gauges.FRESH_S)
        assert set(watched.read()) == {container.id}


def test_exec_where_the_container_has_cgroups_of_its_own() -> None:
    """As systemd in a container has it: its first cgroup hands controllers down, and may hold no process any more."""
    script = """cd /sys/fs/cgroup; mkdir init; echo 0 > init/cgroup.procs
    echo "+memory +pids" > cgroup.subtree_control; cat cgroup.subtree_control; sleep 600 & wait"""
    container = serve(script, privileged=True, memory="64m", health_cmd="true", health_interval="1s")
    wait_for(lambda: "memory" in container.logs())
    assert inside(container, "cat /proc/self/cgroup; echo here").endswith("here")
    wait_for(lambda: container.inspect()["State"]["Health"]["Status"] == "healthy")
    assert len(api.top(container)) >= 2
    api.pause(container)
    api.unpause(container)


def test_parents_of_somebody_s_choice() -> None:
    container = serve(cgroup_parent="/lab/students", cgroupns="host", memory="64m")
    place = f"/lab/students/{container.id}"
    try:
        assert (TOP / place[1:] / "memory.max").read_text() == f"{64 * MIB}\n"
        assert inside(container, f"cat /proc/1/cgroup /sys/fs/cgroup{place}/memory.max") == f"0::{place}\n{64 * MIB}"
        container.rm(force=True)
    finally:
        (LAB / "students").rmdir()
        LAB.rmdir()


@pytest.fixture
def inhabited() -> Iterator[int]:
    """/lab with a process in it; its pid."""
    LAB.mkdir()
    somebody = subprocess.Popen(["sleep", "600"])
    (LAB / "cgroup.procs").write_text(str(somebody.pid))
    yield somebody.pid
    somebody.kill()
    somebody.wait()
    wait_for(lambda: "populated 0" in (LAB / "cgroup.events").read_text())
    LAB.rmdir()


def test_other_people_s_processes_stay_where_they_are(inhabited: int) -> None:
    with pytest.raises(HostNotCapable, match="/lab holds processes, so it cannot hand controllers down") as caught:
        serve(cgroup_parent="/lab", memory="64m")
    assert "--cgroup-parent names a cgroup that" in caught.value.hint
    assert f"{inhabited}\n" == (LAB / "cgroup.procs").read_text()


def test_a_threaded_parent() -> None:
    LAB.mkdir()
    try:
        (LAB / "cgroup.type").write_text("threaded")
        with pytest.raises(HostNotCapable, match="/lab is threaded, so no container can live below it"):
            serve(cgroup_parent="/lab", memory="64m")
    finally:
        LAB.rmdir()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory_swappiness": 0}, "cgroup v2 has no memory.swappiness"),
        ({"memory": "64m", "oom_kill_disable": True}, "cgroup v2 has no memory.disableOOMKiller"),
        ({"blkio_weight": 500}, "shares disks by no weight|shares its time by weight"),
    ],
)
def test_what_v2_does_not_have(options: dict[str, Any], words: str) -> None:
    with pytest.raises(HostNotCapable, match=words) as caught:
        serve(**options)
    assert caught.value.hint


def test_a_disk_s_speed() -> None:
    container = serve(device_read_bps=["/dev/vda:1m"], device_write_iops=["/dev/vda:50"])
    assert "rbps=1048576 wbps=max riops=max wiops=50" in (TOP / "nbcontainers" / container.id / "io.max").read_text()


def test_a_build_with_limits(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM mini\nRUN cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max > /limits\n"
    )
    image.build(str(tmp_path), tag=["limited"], memory="64m", cpus="0.5", network="none")
    out = bytearray()
    nbcontainers.run("limited", "cat", "/limits", rm=True, stdout=out.extend)
    assert out.decode().split("\n")[:2] == [str(64 * MIB), "50000 100000"]


def test_volumes_and_copies(tmp_path: Path) -> None:
    container = serve(volume=["kept:/data"], memory="64m")
    (tmp_path / "file").write_text("text")
    api.pause(container)
    api.cp(str(tmp_path / "file"), "served:/data/file")
    api.cp("served:/data/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "text"


def test_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A published port, and a neighbour's name."""
    monkeypatch.delenv("NBCONTAINERS_NETWORK")
    serve("echo here > /file; exec httpd -f -p 80 -h /", publish="8080:80", memory="64m")
    out = bytearray()
    nbcontainers.run("mini", "wget", "-qO-", "http://served/file", rm=True, stdout=out.extend)
    assert out == b"here\n"
    with urllib.request.urlopen("http://127.0.0.1:8080/file", timeout=5) as answer:
        assert answer.read() == b"here\n"


BY_A_USER = """
import json, os, urllib.request
del os.environ["NBCONTAINERS_NETWORK"]
import nbcontainers
from nbcontainers.container import api, gauges
from nbcontainers.container.gauges import Gauges
from nbcontainers.errors import Error
found = {}
container = nbcontainers.run("mini", "sh", "-c", "echo here > /file; httpd -p 80 -h /; sleep 600 & wait",
                             name="served", detach=True, publish="8080:80", memory="64m", pids_limit=20, cpus=0.5)
try:
    container.update(memory="128m", cpu_shares=512)
    out = bytearray()
    files = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu.weight"
    api.exec_(container, "sh", "-c", f"cat {files}", stdout=out.extend, stderr=out.extend)
    found["inside"] = out.decode().split("\\n")
    try:
        container.update(memory="96m", pids_limit=30, cpuset_cpus="0")
    except Error as error:
        found["refused"] = str(error)
    found["limits"] = container.limits["memory"]["limit"], container.limits["pids"]["limit"]
    api.pause(container)
    found["paused"] = container.status
    api.unpause(container)
    row = api.stats(container)[0]
    found["stats"] = row["memory_limit"], row["memory"] > 0, row["pids"] >= 2
    found["top"] = len(api.top(container))
    out = bytearray()
    nbcontainers.run("mini", "wget", "-qO-", "http://served/file", rm=True, network="nbcontainers", stdout=out.extend)
    with urllib.request.urlopen("http://127.0.0.1:8080/file", timeout=5) as answer:
        found["asked"] = out.decode() + answer.read().decode()
finally:
    container.rm(force=True)
print(json.dumps(found))
"""


def test_a_user_s_container_in_a_delegated_scope() -> None:
    """The whole way as uid 1000, as `systemd-run --user --scope -p Delegate=yes` starts it, but without cpuset."""
    close_launcher()  # and with it the container begun ahead, which holds on to the controllers
    wait_for(lambda: not (TOP / "nbcontainers").exists())
    (TOP / "cgroup.subtree_control").write_text("+cpu +memory +pids -cpuset")
    folder = TOP / "user.scope"
    folder.mkdir()
    for path in (folder, *(folder / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control"))):
        os.chown(path, 1000, 1000)
    shell = f'echo $$ > {folder}/cgroup.procs; exec su user -s /bin/sh -c "$0"'
    place = "NBCONTAINERS_ROOT=/tmp/of-user/root NBCONTAINERS_RUN=/tmp/of-user/run HOME=/tmp/of-user"
    script = Path("/tmp/by_a_user.py")
    script.write_text(BY_A_USER)
    try:
        command = ["sh", "-c", shell, f"mkdir -p /tmp/of-user; {place} {sys.executable} {script}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
    finally:
        (folder / "cgroup.kill").write_text("1")
        wait_for(lambda: "populated 0" in (folder / "cgroup.events").read_text())
        for path in sorted(folder.rglob("*/"), reverse=True):
            path.rmdir()
        folder.rmdir()
    assert "no limit by the cgroup controller cpuset: it is not delegated to" in found.pop("refused")
    assert found.pop("inside")[:4] == [str(128 * MIB), "20", "50000 100000", "59"]
    assert found.pop("top") == 3
    assert found.pop("asked") == "here\nhere\n"
    assert found == {"limits": [128 * MIB, 20], "paused": "paused", "stats": [128 * MIB, True, True]}
