"""The bundle that `create` writes is an OCI bundle: crun and runc run it, and what is inside looks the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import nbcontainers
from nbcontainers.container import api
from tests import peers

pytestmark = pytest.mark.as_root

LOOK = """
id; pwd; umask; hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; env | sort; ulimit -n; ulimit -c
grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status
ls -l /dev | grep -v ^total | tr -s ' ' | cut -d' ' -f1,3-6 | grep -v -e console -e ^l | sort
ls /data /t; cat /data/a; echo x > /data/b; mount | grep ' on /t ' | sed 's/,inode64//'
cat /proc/keys; ls /sys/firmware; echo x > /proc/sysrq-trigger; cat /proc/sys/net/ipv4/ping_group_range
ls /sys/class/net; mkdir /new && echo made; mknod /x c 1 3; unshare -U true; cat /proc/1/comm
"""


@pytest.fixture
def container(tmp_path):
    (tmp_path / "a").write_text("of the host\n")
    made = api.create(
        "mini", "sh", "-c", f"({LOOK}) 2>&1", hostname="box", memory="64m", cpus=0.5, pids_limit=50, env={"A": "b c"},
        volume=[f"{tmp_path}:/data:ro"], tmpfs=["/t:size=64k"], ulimit=["nofile=64:128"], cap_add=["MKNOD"],
        security_opt=["no-new-privileges"],
    )  # fmt: skip
    yield made
    made.rm(force=True)


def run_by(peer: str, container: nbcontainers.container.container.Container, bundle: Path) -> str:
    """Mount the rootfs as the recipe says and have the peer run a copy of our configuration."""
    folder = container.engine.containers / container.id
    config = json.loads((folder / "config.json").read_text())
    config["root"]["path"] = str(bundle / "rootfs")
    config["linux"]["cgroupsPath"] = f"/nbc-peer-{container.short_id}"
    # Debian's runc 1.1 and crun 1.8 are older than time namespaces in the specification, and crun knows 1.0 alone
    config["ociVersion"] = "1.0.2"
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "time"]
    bundle.mkdir()
    (bundle / "rootfs").mkdir()
    (bundle / "work").mkdir()
    (bundle / "upper").mkdir()
    (bundle / "config.json").write_text(json.dumps(config))
    lower = ":".join(container.record["layers"])
    mount = (
        f"mount -t overlay overlay -o lowerdir={lower},upperdir={bundle}/upper,workdir={bundle}/work {bundle}/rootfs"
    )
    script = f"{mount} && exec {peers.program(peer)} --root {bundle}/state run -b {bundle} {peer}-{container.short_id}"
    command = peers.isolated("sh", "-c", script, hugetlb=peer == "crun")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize("peer", ["crun", "runc"])
def test_our_bundle_under_a_peer(container, peer, tmp_path_factory):
    theirs = run_by(peer, container, tmp_path_factory.mktemp(peer) / "bundle")
    out = bytearray()
    api.start(container, attach=True, stdout=out.extend)
    ours = out.decode()
    assert theirs.splitlines() == ours.splitlines()
    assert "of the host" in ours
