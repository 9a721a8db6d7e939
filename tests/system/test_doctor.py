"""`system doctor` agrees with what a container then meets on this very host, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import container, system
from nbcontainers.errors import HostNotCapable
from nbcontainers.launcher import pause
from nbcontainers.system.diagnosis import Diagnosis
from nbcontainers.system.findings import LIMITED, MISSING, OK
from tests.networked import Machine, nft

DOCTOR = [sys.executable, "-m", "nbcontainers", "system", "doctor", "--format", "json"]
FILTERED = """
import os, sys
from nbcontainers.linux import process, seccomp
rules = [{"names": ["unshare", "mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
profile = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": rules}
program = seccomp.compile_profile(profile, os.uname().machine)
process.prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
seccomp.load(program)
os.execv(sys.argv[1], sys.argv[1:])
"""


def row(found: Diagnosis, check: str) -> dict[str, Any]:
    return next(row for row in found.checks if row["check"] == check)


def told(command: list[str]) -> tuple[bool, dict[str, dict[str, Any]]]:
    """What the doctor says in another process: whether it works, and the rows by check."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    return document["works"], {row["check"]: row for row in document["checks"]}


def test_where_it_says_so_a_container_runs(engine: Any) -> None:
    found = system.doctor()
    assert found.works, found
    for check in ("user namespaces", "other namespaces", "/proc and /sys", "seccomp", "overlayfs", "nftables",
                  "bridges and cables"):  # fmt: skip
        assert row(found, check)["state"] == OK, found
    assert container.run("mini", "true", rm=True).exit_code == 0
    assert "rootless" in found.document()


def test_limits_are_as_it_says(engine: Any) -> None:
    """The command that mends it is the one that the error says."""
    found = system.doctor()
    controllers, cgroups = row(found, "controllers"), row(found, "cgroups")
    said = re.match(r"[a-z, ]*", controllers["found"])
    assert said
    if "memory" in said[0].split(", "):
        assert container.run("mini", "true", memory="64m", rm=True).exit_code == 0
        return
    assert controllers["state"] == LIMITED
    with pytest.raises(HostNotCapable) as caught:
        container.run("mini", "true", memory="64m", rm=True)
    assert caught.value.hint == (cgroups if cgroups["state"] == LIMITED else controllers)["mends"]


def test_hard_limits_are_as_it_says(engine: Any) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = row(system.doctor(), "hard limits")
    assert (found["state"] == LIMITED) is bool(os.geteuid() or not has_sys_resource())
    if found["state"] == LIMITED:
        assert str(hard) in found["found"]
        with pytest.raises(HostNotCapable):
            container.run("mini", "true", ulimit=[f"nofile={hard + 1}:{hard + 1}"], rm=True)


def has_sys_resource() -> bool:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> 24 & 1)


@pytest.mark.as_user
def test_ids_are_as_it_says(engine: Any) -> None:
    found = row(system.doctor(), "users in a container")
    pid = pause.find(str(engine.run))
    ids = sum(int(line.split()[2]) for line in Path(f"/proc/{pid}/uid_map").read_text().splitlines())
    assert (found["state"], found["found"]) == ((OK, f"{ids} ids") if ids > 1 else (LIMITED, found["found"]))


def test_nothing_is_changed_and_nothing_left(fresh_engine: Any) -> None:
    """Mounts, namespaces, links and processes are what every test here is checked for."""
    system.doctor()  # an ordinary user's first one makes the pause process of this engine
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    before = forward.read_text(), tree(fresh_engine.root), tree(fresh_engine.run)
    system.doctor()
    assert (forward.read_text(), tree(fresh_engine.root), tree(fresh_engine.run)) == before


def tree(folder: Path) -> set[str]:
    return {f"{top}/{name}" for top, folders, files in os.walk(folder) for name in (*folders, *files)}


@pytest.mark.as_user
def test_a_pause_process_made_for_it_goes_again(fresh_engine: Any) -> None:
    told(DOCTOR)
    assert pause.find(str(fresh_engine.run)) is None


def test_it_is_quick(cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """In processor time, which a busy host does not stretch; the launcher's children are not in it, and mostly wait."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = cli("system", "doctor")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("containers work here as ")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_a_filter_is_seen(fresh_engine: Any) -> None:
    works, found = told([sys.executable, "-c", FILTERED, *DOCTOR])
    assert not works
    assert (found["seccomp"]["state"], found["seccomp"]["found"]) == (MISSING, "a filter; unshare, mount refused")
    assert "seccomp=unconfined" in found["seccomp"]["mends"] or "--privileged" in found["seccomp"]["mends"]
    assert found["other namespaces"]["state"] == MISSING


@pytest.mark.as_user
def test_user_namespaces_that_are_switched_off(fresh_engine: Any) -> None:
    """By an administrator, for a user of whom only a namespace of his own is ours to switch them off in."""
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --ambient-caps=-all "$@"'
    inside = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", forbid, "sh"]
    works, found = told([*inside, *DOCTOR])
    users = found["user namespaces"]
    assert not works
    assert (users["state"], users["mends"]) == (MISSING, "sudo sysctl -w user.max_user_namespaces=15000")
    assert "max_user_namespaces = 0" in users["found"]
    assert found["overlayfs"]["mends"] == "see user namespaces"
    ran = subprocess.run([*inside, *DOCTOR[:3], "run", "mini", "true"], capture_output=True, text=True, check=False)
    assert ran.returncode == 125
    assert "nbcontainers system doctor looks at every part" in ran.stderr


@pytest.mark.as_root
def test_root_without_its_powers(fresh_engine: Any) -> None:
    """As in a container of Docker that is not privileged."""
    weak = ["setpriv", "--bounding-set=-sys_admin,-net_admin", "--inh-caps=-sys_admin,-net_admin"]
    works, found = told([*weak, *DOCTOR])
    assert not works
    assert found["capabilities"]["state"] == MISSING
    assert "root without CAP_SYS_ADMIN, CAP_NET_ADMIN" in found["capabilities"]["found"]
    assert {found[name]["state"] for name in ("other namespaces", "overlayfs", "/proc and /sys")} == {MISSING}
    ran = subprocess.run([*weak, *DOCTOR[:3], "run", "mini", "true"], capture_output=True, text=True, check=False)
    assert ran.returncode == 125


@pytest.mark.as_root
def test_a_firewall_in_the_way_is_told(machine: Machine, request: pytest.FixtureRequest) -> None:
    assert row(system.doctor(), "forwarding")["state"] == OK
    request.addfinalizer(lambda: nft("delete table inet strict"))
    nft("add table inet strict")
    nft("add chain inet strict hop { type filter hook forward priority 0; policy drop; }")
    found = row(system.doctor(), "forwarding")
    assert (found["state"], "chain hop of table inet strict" in found["found"]) == (LIMITED, True)
    subprocess.run(["sh", "-c", found["mends"]], check=True)
    assert row(system.doctor(), "forwarding")["state"] == OK
