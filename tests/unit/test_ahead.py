"""Which part of a configuration many containers have in common, and which containers cannot be begun ahead."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from nbcontainers.container import defaults
from nbcontainers.runtime.ahead import split

Config = dict[str, Any]


def config() -> Config:
    bind = {"destination": "/etc/hosts", "type": "bind", "source": "/x/hosts", "options": ["bind", "rprivate"]}
    return {
        "ociVersion": "1.2.0",
        "process": {"args": ["true"], "cwd": "/", "env": ["A=1"]},
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "somebody",
        "mounts": [*defaults.mounts(1 << 20, terminal_group=True), defaults.SYSFS, bind, defaults.CGROUP],
        "linux": {
            "namespaces": [{"type": kind} for kind in defaults.NAMESPACES],
            "resources": {"pids": {"limit": 9}},
            "devices": [],
            "maskedPaths": list(defaults.MASKED_PATHS),
            "readonlyPaths": list(defaults.READONLY_PATHS),
            "sysctl": dict(defaults.NETWORK_SYSCTLS),
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
            "rootfsPropagation": "rprivate",
        },
    }


def test_nothing_is_lost_and_nothing_done_twice() -> None:
    asked = config()
    parts = split(asked)
    assert parts
    common, own = parts
    assert [m["destination"] for m in own["mounts"]] == ["/etc/hosts"]
    assert len(common["mounts"]) == len(asked["mounts"]) - 1
    assert set(common["linux"]) | set(own["linux"]) == set(asked["linux"])
    assert set(common["linux"]) & set(own["linux"]) == {"namespaces"}
    assert (own["process"], own["hostname"], own["root"]) == (asked["process"], "somebody", asked["root"])
    assert "somebody" not in str(common)
    assert "true" not in common["process"]["args"]


def test_two_containers_have_it_in_common() -> None:
    other = config()
    other["process"]["args"] = ["sh"]
    other["hostname"] = "two"
    other["linux"]["resources"] = {"memory": {"limit": 1 << 25}}
    first, second = split(config()), split(other)
    assert first
    assert second
    assert first[0] == second[0]


def mount(**words: Any) -> Config:
    return {"type": "bind", "source": "/x", "options": ["bind"], **words}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c["linux"]["namespaces"].append({"type": "user"}), "ids are mapped by the parent"),
        (lambda c: c["linux"]["namespaces"][4].update(path="/run/netns/x"), "one that is joined"),
        (lambda c: c.update(hooks={"prestart": [{"path": "/x"}]}), "hooks see the host's file system"),
        (lambda c: c["linux"].update(timeOffsets={"boottime": {"secs": 1}}), "written before the first process"),
        (lambda c: c["process"].update(oomScoreAdj=5), "only a dumpable process may write it"),
        (lambda c: c["linux"]["resources"].update(cpu={"cpus": "0"}), "a hierarchy that is joined for it"),
        (lambda c: c["mounts"].append(mount(destination="/sys/fs")), "would cover what was mounted before"),
        (lambda c: c["mounts"].append(mount(destination="/proc/acpi")), "would be masked"),
        (lambda c: c["mounts"].append(mount(destination="/x/../dev")), "a way round"),
        (lambda c: c["mounts"][1].update(options=["nosuid"]), "a tmpfs with the mode of the image's folder"),
        (lambda c: c["linux"]["devices"].append({"path": "/x", "type": "c"}), "a node in the image's files"),
        (lambda c: c["linux"]["maskedPaths"].append("/etc/secret"), "a path of the image"),
    ],
)
def test_what_cannot_be_begun_ahead(change: Any, why: str) -> None:
    changed = copy.deepcopy(config())
    change(changed)
    assert split(changed) is None, why
