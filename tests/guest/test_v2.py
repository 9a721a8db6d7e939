"""What only a kernel with pure cgroup v2 can show. Run inside the VM by tests/system/test_cgroup_v2_vm.py.

The guest is ours alone: its root may be handed about.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.cgroups import detect, layout, stats
from nbcontainers.cgroups.cgroup import Cgroup
from nbcontainers.errors import Error, InvalidState
from nbcontainers.linux import libc, namespaces
from tests import host, peers
from tests.monitored import wait_for

TOP = Path("/sys/fs/cgroup")
MIB = 1 << 20
RESOURCES = {
    "memory": {"limit": 40 * MIB, "swap": 40 * MIB},
    "cpu": {"quota": 50000, "period": 100000},
    "pids": {"limit": 9},
}


@pytest.fixture(autouse=True)
def cgroups_as_before() -> Iterator[None]:
    before = host.cgroups()
    yield
    wait_for(lambda: host.cgroups() <= before)  # between two that are begun ahead there is one in the making


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    made = detect.default_cgroup("guest", rootless=False)
    made.create()
    yield made
    made.destroy()


def test_this_is_pure_v2() -> None:
    assert layout.layout().version == "v2"
    assert detect.controllers(rootless=False) >= {"cpu", "cpuset", "memory", "pids", "blkio"}
    assert detect.default_cgroup("x", rootless=False).record["kind"] == "v2"


def test_our_parent_holds_on_to_its_controllers(cgroup: Cgroup) -> None:
    """systemd takes controllers back from cgroups it does not know; a parent whose children use them says EBUSY."""
    cgroup.apply(RESOURCES)
    with pytest.raises(OSError, match="busy"):
        (TOP / "cgroup.subtree_control").write_text("-memory")


def test_controllers_taken_away_between_two_limits(cgroup: Cgroup) -> None:
    (TOP / "nbcontainers/cgroup.subtree_control").write_text("-pids -memory")
    assert cgroup.apply(RESOURCES)["pids"] == {"limit": 9}
    assert (TOP / "nbcontainers/guest/memory.max").read_text() == f"{40 * MIB}\n"


def test_clone_into_the_cgroup(cgroup: Cgroup) -> None:
    folder = cgroup.clone_fd()
    pid, pidfd = namespaces.clone3(0, folder)
    if pid == 0:
        try:
            inside = "/nbcontainers/guest" in Path("/proc/self/cgroup").read_text()
        finally:
            os._exit(0 if inside else 1)
    os.close(pidfd)
    assert folder is not None
    os.close(folder)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_everything_at_once_and_every_number(cgroup: Cgroup) -> None:
    limits = cgroup.apply(
        {
            "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 16 * MIB},
            "cpu": {
                "shares": 2048,
                "quota": 20000,
                "period": 50000,
                "burst": 1000,
                "idle": 0,
                "cpus": "1",
                "mems": "0",
            },
            "unified": {"memory.high": str(60 * MIB), "memory.oom.group": "1"},
        }
    )
    folder = TOP / "nbcontainers/guest"
    found = {name: (folder / name).read_text().strip() for name in ("memory.max", "memory.swap.max", "memory.low")}
    assert found == {
        "memory.max": str(64 * MIB),
        "memory.swap.max": str(32 * MIB),
        "memory.low": str(16 * MIB),
    }
    assert (folder / "cpu.max").read_text() == "20000 50000\n"
    assert (folder / "cpu.weight").read_text() == "174\n"
    assert (folder / "cpuset.cpus").read_text() == "1\n"
    assert limits["unified"] == {"memory.high": str(60 * MIB), "memory.oom.group": "1"}


def test_frozen_from_above(cgroup: Cgroup) -> None:
    other = detect.default_cgroup("other", rootless=False)
    (TOP / "nbcontainers/cgroup.freeze").write_text("1")
    try:
        with pytest.raises(InvalidState, match="is frozen from above"):
            other.create()
    finally:
        (TOP / "nbcontainers/cgroup.freeze").write_text("0")
    assert not (TOP / "nbcontainers/other").exists()


def limited_run(rootless: bool) -> dict[str, Any]:
    """Make a cgroup, run a memory hog in it, and say what came of it. For processes of other users and namespaces."""
    found: dict[str, Any] = {"controllers": sorted(detect.controllers(rootless=rootless))}
    cgroup = detect.default_cgroup("limited", rootless=rootless)
    found["kind"] = cgroup.record["kind"]
    try:
        cgroup.create()
        found["limits"] = cgroup.apply({**RESOURCES, "devices": [{"allow": False, "access": "rwm"}]})
        sampler, folder = cgroup.sampler(), cgroup.clone_fd()
        pid, _ = namespaces.clone3(0, folder)
        if pid == 0:
            hog = []
            while True:
                hog.append(b"x" * MIB)
        found["status"] = os.waitpid(pid, 0)[1]
        found["usage"] = stats.usage(None, sampler.sample(), cgroup)
        cgroup.destroy()
    except Error as error:
        found["error"] = error.to_json()
    return found


def in_cgroup(folder: Path, prepare: Callable[[], None], rootless: bool) -> dict[str, Any]:
    """`limited_run` in a child that lives in `folder` and has become somebody else."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setsid()
            (folder / "cgroup.procs").write_text("0")
            prepare()
            layout.layout.cache_clear()
            os.write(writing, json.dumps(limited_run(rootless)).encode())
            os._exit(0)
        except BaseException as error:
            os.write(writing, json.dumps({"crash": repr(error)}).encode())
            os._exit(1)
    os.close(writing)
    with open(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    assert text
    found: dict[str, Any] = json.loads(text)
    assert "crash" not in found, found
    return found


def become(uid: int) -> Callable[[], None]:
    def prepare() -> None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)

    return prepare


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A cgroup given to uid 1000 as systemd's Delegate=yes does."""
    (TOP / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    folder = TOP / "delegated.scope"
    folder.mkdir()
    for path in (folder, *(folder / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control"))):
        os.chown(path, 1000, 1000)
    yield folder
    for path in sorted(folder.rglob("*/"), reverse=True):
        path.rmdir()
    folder.rmdir()


def test_an_ordinary_user_in_a_delegated_scope(delegated: Path) -> None:
    """The very process sits in the scope: it is moved to a leaf, or nothing could be handed down."""
    found = in_cgroup(delegated, become(1000), rootless=True)
    assert "error" not in found
    assert found["kind"] == "v2"
    assert set(found["controllers"]) >= {"cpu", "memory", "pids"}
    assert found["limits"]["memory"] == {"limit": 40 * MIB, "swap": 40 * MIB}
    assert found["status"] == signal.SIGKILL
    assert found["usage"]["oom_kills"] == 1
    assert found["usage"]["memory_peak"] > 39 * MIB
    assert sorted(path.name for path in delegated.iterdir() if path.is_dir()) == ["nbcontainers-supervisor"]


def test_the_supervisor_leaf_is_used_again(delegated: Path) -> None:
    assert "error" not in in_cgroup(delegated, become(1000), rootless=True)
    again = in_cgroup(delegated / "nbcontainers-supervisor", become(1000), rootless=True)
    assert again["kind"] == "v2"
    assert "error" not in again


def test_a_controller_that_was_not_delegated(delegated: Path) -> None:
    (TOP / "cgroup.subtree_control").write_text("-memory")
    try:
        found = in_cgroup(delegated, become(1000), rootless=True)
    finally:
        (TOP / "cgroup.subtree_control").write_text("+memory")
    assert "no limit by the cgroup controller memory: it is not delegated to" in found["error"]["message"]
    assert found["error"]["hint"]
    (delegated / "nbcontainers/limited").rmdir()


def test_an_ordinary_user_elsewhere_is_told_how() -> None:
    found = in_cgroup(TOP, become(1000), rootless=True)
    assert found["kind"] == "null"
    assert "nothing can enforce limits on cpu, memory, pids" in found["error"]["message"]
    assert "/sys/fs/cgroup/nbcontainers-1000" in found["error"]["hint"]


def test_root_of_an_outer_container() -> None:
    """As `docker run --privileged`: a cgroup namespace of its own, whose root holds the calling process."""
    outer = TOP / "outer"
    outer.mkdir()

    def prepare() -> None:
        namespaces.unshare(namespaces.CLONE_NEWCGROUP | namespaces.CLONE_NEWNS)
        assert libc.mount(b"none", b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
        assert libc.umount2(b"/sys/fs/cgroup", 2) == 0  # MNT_DETACH
        assert libc.mount(b"cgroup2", b"/sys/fs/cgroup", b"cgroup2", 0, None) == 0

    try:
        found = in_cgroup(outer, prepare, rootless=False)
        assert "error" not in found, found
        assert found["kind"] == "v2"
        assert found["status"] == signal.SIGKILL
        assert found["limits"]["devices"] == 9
        assert [path.name for path in outer.iterdir() if path.is_dir()] == ["nbcontainers-supervisor"]
    finally:
        time.sleep(0.1)
        for path in sorted(outer.rglob("*/"), reverse=True):
            path.rmdir()
        outer.rmdir()


def test_the_same_files_as_crun(cgroup: Cgroup, tmp_path: Path) -> None:
    """cpu.weight is left out: this crun still has the old straight line from shares to weight."""
    resources = {
        "memory": {"limit": 96 * MIB, "swap": 128 * MIB, "reservation": 48 * MIB},
        "cpu": {"quota": 30000, "period": 60000, "cpus": "0-1", "mems": "0"},
        "pids": {"limit": 99},
        "unified": {"memory.high": str(90 * MIB)},
    }
    subprocess.run(["crun", "spec"], cwd=tmp_path, check=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["process"] |= {"args": ["sleep", "60"], "terminal": False}
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "mqueue"]
    config["linux"] |= {"resources": resources, "cgroupsPath": "/crun/peer", "seccomp": None}
    peers.write_bundle(tmp_path, config)
    quiet, log = subprocess.DEVNULL, tmp_path / "log"
    start = ["crun", "--cgroup-manager=cgroupfs", "run", "--detach", f"--bundle={tmp_path}", "peer"]
    with log.open("w") as said:  # no pipe: the container keeps it open
        done = subprocess.run(start, stdin=quiet, stdout=quiet, stderr=said, timeout=60, check=False)
    try:
        assert done.returncode == 0, log.read_text()
        cgroup.apply(resources)
        assert limit_files(TOP / "nbcontainers/guest") == limit_files(TOP / "crun/peer")
    finally:
        subprocess.run(["crun", "delete", "--force", "peer"], capture_output=True, timeout=60, check=False)
        for path in (TOP / "crun/peer", TOP / "crun"):
            if path.exists():
                path.rmdir()


def limit_files(folder: Path) -> dict[str, str]:
    names = (
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "memory.high",
        "cpu.max",
        "pids.max",
        "cpuset.cpus",
        "cpuset.mems",
    )
    return {name: (folder / name).read_text() for name in names}
