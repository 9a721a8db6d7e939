"""The same bundle under runc and under ours: what the program inside can see must agree."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import peers

pytestmark = pytest.mark.as_root

LOOK = """
id; pwd; umask; hostname; env | sort; ulimit -n; ulimit -u; cat /proc/self/oom_score_adj
grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status
ls -l /dev | grep -v ^total | tr -s ' ' | cut -d' ' -f1,3-6 | sort; for f in /dev/fd /dev/ptmx /dev/stdin; do readlink $f; done
cut -d' ' -f2,3,4 /proc/mounts | grep -vE '^/ |/sys/fs/cgroup' | sed 's/,inode64//; s/ size=0k//; s/,relatime//; s/^\\(.proc.acpi\\|.proc.scsi\\|.sys.firmware\\|.masked\\|.proc.[a-z_]* tmpfs\\) .*/\\1/' | sort
ls /proc/self/fd; cat /proc/sys/kernel/shmmni; ls /sys/fs/cgroup | sort | grep -v -e hugetlb -e unified
echo x > /proc/sys/kernel/shmmni; echo x > /sys/kernel/mm/x; cat /proc/keys; ls /sys/firmware; cat /masked; echo y > /new; ls /bound; cat /proc/self/setgroups
cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /proc/1/comm; dmesg -s 1 >/dev/null && echo dmesg; mknod /x b 8 0; chroot / /bin/true && echo chrooted
"""


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "spec"
    folder.mkdir()
    subprocess.run([peers.program("runc"), "spec", "-b", str(folder)], check=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"]["env"].append("HOME=/here")  # runc adds one of its own
    config["process"].update(terminal=False, args=["sh", "-c", f"({LOOK}) 2>&1"])
    return config  # type: ignore[no-any-return]


def change_nothing(config: dict[str, Any], folder: Path) -> None:
    """The defaults of `runc spec`."""


def be_a_user(config: dict[str, Any], folder: Path) -> None:
    config["process"]["user"] = {"uid": 1000, "gid": 100, "additionalGids": [5, 7], "umask": 0o77}
    config["process"]["cwd"] = "/tmp"


def have_powers(config: dict[str, Any], folder: Path) -> None:
    every = ["CAP_CHOWN", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SYSLOG"]
    config["process"]["capabilities"] = dict.fromkeys(
        ("bounding", "permitted", "effective", "inheritable", "ambient"), every
    )
    config["process"]["noNewPrivileges"] = False


def be_a_user_with_ambient_powers(config: dict[str, Any], folder: Path) -> None:
    have_powers(config, folder)
    config["process"]["user"] = {"uid": 1000, "gid": 1000}


def be_writable_and_bound(config: dict[str, Any], folder: Path) -> None:
    config["root"]["readonly"] = False
    (folder / "source").mkdir(exist_ok=True)
    (folder / "source/file").write_text("x")
    config["mounts"] += [
        {
            "destination": "/bound",
            "type": "bind",
            "source": str(folder / "source"),
            "options": ["rbind", "ro", "nosuid"],
        },
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "mode=1700", "noexec"]},
        {"destination": "/a/b/c", "type": "tmpfs", "source": "tmpfs"},
    ]


def have_sysctls_and_limits(config: dict[str, Any], folder: Path) -> None:
    config["linux"]["sysctl"] = {"kernel.shmmni": "77", "net.ipv4.ip_default_ttl": "33"}
    config["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64},
        {"type": "RLIMIT_NPROC", "soft": 99, "hard": 99},
    ]
    config["process"]["oomScoreAdj"] = 123


def have_devices_and_masks(config: dict[str, Any], folder: Path) -> None:
    config["linux"]["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 3, "gid": 4},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o644},
    ]
    config["linux"]["maskedPaths"].append("/masked")
    config["linux"]["readonlyPaths"].append("/tmp")
    (folder / "bundle/rootfs").mkdir(parents=True, exist_ok=True)
    (folder / "bundle/rootfs/masked").write_text("secret")


def share_with_the_host(config: dict[str, Any], folder: Path) -> None:
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "mount", "ipc")]
    config.pop("hostname")


CHANGES = [
    change_nothing, be_a_user, have_powers, be_a_user_with_ambient_powers, be_writable_and_bound, have_sysctls_and_limits,
    have_devices_and_masks, share_with_the_host,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_inside_looks_the_same(
    change: Callable[[dict[str, Any], Path], None], spec: dict[str, Any], tmp_path: Path
) -> None:
    change(spec, tmp_path)
    bundle = peers.write_bundle(tmp_path / "bundle", spec)
    theirs = peers.run("runc", "--root", str(tmp_path / "runc"), "run", "-b", str(bundle), "peer")
    for made in ("new", "a", "t", "bound"):
        subprocess.run(["rm", "-rf", "--one-file-system", bundle / "rootfs" / made], check=True)
    ours = subprocess.run(
        [sys.executable, "-m", "nbcontainers.runtime.program", "--root", str(tmp_path / "ours"), "run", "-b", str(bundle), "peer"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert theirs.returncode == ours.returncode, theirs.stderr + ours.stderr
    assert ours.stdout.splitlines() == theirs.stdout.splitlines()
