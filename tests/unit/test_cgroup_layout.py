"""Hierarchies as many kinds of hosts mount them; the texts are those hosts' own, shortened."""

from __future__ import annotations

import pytest

from nbcontainers.cgroups import layout

SYSTEMD_V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
SYSTEMD_HYBRID = """\
34 25 0:29 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,size=4096k,nr_inodes=1024,mode=755
35 34 0:30 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
36 34 0:31 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
39 34 0:34 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
40 34 0:35 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,memory
41 34 0:36 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid,nodev,noexec,relatime shared:17 - cgroup cgroup rw,net_cls,net_prio
"""
SYSTEMD_HYBRID_OWN = """\
5:memory:/user.slice/user-1000.slice/session-3.scope
4:cpu,cpuacct:/user.slice
3:net_cls,net_prio:/
1:name=systemd:/user.slice/user-1000.slice/session-3.scope
0::/user.slice/user-1000.slice/session-3.scope
"""
DOCKER_V1 = """\
900 899 0:60 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755,inode64
901 900 0:31 /docker/abc /sys/fs/cgroup/systemd ro,nosuid,nodev,noexec,relatime master:11 - cgroup cgroup rw,xattr,name=systemd
902 900 0:34 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,relatime master:15 - cgroup cgroup rw,cpu,cpuacct
903 900 0:35 /docker/abc /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:16 - cgroup cgroup rw,memory
"""
DOCKER_V1_OWN = (
    "9:memory:/docker/abc\n8:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/system.slice/containerd.service\n"
)
KUBERNETES_V2 = "1201 1190 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n"
KUBERNETES_V2_HOSTNS = (
    "1201 1190 0:26 /../../../.. /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n"
)
CRI_V1_HOSTNS = (
    "903 900 0:35 /kubepods/besteffort/pod1/c1 /sys/fs/cgroup/memory ro,relatime master:16 - cgroup cgroup rw,memory\n"
)
COLAB = """\
1085 1084 0:139 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755
1086 1085 0:40 / /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,memory
1087 1085 0:41 / /sys/fs/cgroup/cpu ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,cpu
"""
FIRECRACKER = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
36 31 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
GVISOR = "7 5 0:13 / /proc rw,noexec - proc none rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "own", "version"),
    [
        (SYSTEMD_V2, "0::/user.slice\n", "v2"),
        (SYSTEMD_HYBRID, SYSTEMD_HYBRID_OWN, "hybrid"),
        (DOCKER_V1, DOCKER_V1_OWN, "v1"),
        (KUBERNETES_V2, "0::/\n", "v2"),
        (COLAB, "2:memory:/\n1:cpu:/\n0::/\n", "v1"),
        (FIRECRACKER, "4:memory:/process_api/1\n9:name=systemd:/\n0::/\n", "hybrid"),
        (GVISOR, "", "none"),
        ("36 34 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n" + SYSTEMD_V2, "0::/\n", "v2"),
    ],
)
def test_version(mountinfo: str, own: str, version: str) -> None:
    assert layout.parse(mountinfo, own).version == version


def test_controllers_that_share_a_hierarchy() -> None:
    found = layout.parse(SYSTEMD_HYBRID, SYSTEMD_HYBRID_OWN)
    assert found.v1["cpu"] is found.v1["cpuacct"]
    assert found.v1["cpu"].mount == "/sys/fs/cgroup/cpu,cpuacct"
    assert found.v1["cpu"].controllers == ("cpu", "cpuacct")
    assert found.v1["cpu"].own == "/user.slice"
    assert found.v1["net_cls"].own == ""
    assert found.v1["name=systemd"].own == "/user.slice/user-1000.slice/session-3.scope"
    assert found.v1["memory"].device == 35
    assert found.v2 is not None
    assert found.v2.own == "/user.slice/user-1000.slice/session-3.scope"
    assert "xattr" not in found.v1


def test_inside_docker_the_mount_shows_our_own_cgroup() -> None:
    """The membership has the host's path, the mount begins at it: we are at the mount point."""
    memory = layout.parse(DOCKER_V1, DOCKER_V1_OWN).v1["memory"]
    assert (memory.root, memory.own, memory.read_only) == ("/docker/abc", "", True)


def test_a_cgroup_below_what_the_mount_shows() -> None:
    own = "9:memory:/docker/abc/nbcontainers/x\n"
    assert layout.parse(DOCKER_V1, own).v1["memory"].own == "/nbcontainers/x"


@pytest.mark.parametrize(
    ("mountinfo", "own"),
    [
        (CRI_V1_HOSTNS, "3:memory:/kubepods/besteffort/pod1/c12\n"),  # a neighbour with a longer name
        (KUBERNETES_V2_HOSTNS, "0::/\n"),
        (KUBERNETES_V2, "0::/../other\n"),
    ],
)
def test_where_we_are_is_unknown_outside_the_namespace(mountinfo: str, own: str) -> None:
    found = layout.parse(mountinfo, own)
    hierarchy = found.v2 or found.v1["memory"]
    assert hierarchy.own is None


def test_a_writable_mount_is_preferred_to_a_read_only_one_elsewhere() -> None:
    second = "99 1 0:35 / /mnt/cg rw - cgroup cgroup rw,memory\n"
    assert layout.parse(COLAB.replace("0:40", "0:35") + second, "2:memory:/\n").v1["memory"].mount == "/mnt/cg"
    assert layout.parse(second + COLAB.replace("0:40", "0:35"), "2:memory:/\n").v1["memory"].mount == "/mnt/cg"


def test_a_later_mount_hides_an_earlier_one_at_its_place() -> None:
    hidden = KUBERNETES_V2.replace(" ro,", " rw,").replace("0:26", "0:25")
    found = layout.parse(hidden + KUBERNETES_V2, "0::/\n").v2
    assert found is not None
    assert found.read_only
    assert found.device == 26


def test_blanks_in_a_mount_point() -> None:
    line = "40 34 0:35 / /mnt/my\\040cgroups\\134x rw - cgroup cgroup rw,memory\n"
    assert layout.parse(line, "1:memory:/a b\n").v1["memory"].mount == "/mnt/my cgroups\\x"
    assert layout.parse(line, "1:memory:/a b\n").v1["memory"].own == "/a b"


def test_this_host() -> None:
    found = layout.layout()
    assert found.version in ("v1", "v2", "hybrid", "none")
    assert layout.layout() is found
