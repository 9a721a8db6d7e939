"""What to type where a cgroup cannot be had: one command a kind of host."""

from __future__ import annotations

import os
from functools import cache

from nbcontainers.cgroups.layout import Layout

_V1 = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
_DROP_IN = "/etc/systemd/system/user@.service.d/delegate.conf"


def user() -> int:
    """Our uid as the outermost user namespace we can see calls it: user_namespaces(7), uid_map."""
    return _outside(os.geteuid())


@cache
def _outside(uid: int) -> int:
    with open("/proc/self/uid_map") as file:
        inside, outside, count = map(int, file.readline().split())
    return uid - inside + outside if inside <= uid < inside + count else uid


def own_folder() -> str:
    """Where an ordinary user's cgroups are looked for on v1 besides the one the process is in."""
    return f"/nbcontainers-{user()}"


def delegation(layout: Layout) -> str:
    """How the administrator hands a cgroup to this user."""
    if layout.version == "none":
        return "mount the cgroup file systems, or start the outer container with -v /sys/fs/cgroup:/sys/fs/cgroup:rw"
    if _read_only(layout):
        return "start the outer container with --privileged --cgroupns=private, or with -v /sys/fs/cgroup:/sys/fs/cgroup:rw"
    if layout.version == "v2":
        return _delegation_v2()
    return _delegation_v1(layout)


def _delegation_v1(layout: Layout) -> str:
    """The folder and who may join it, not its limits; an empty cpuset takes nobody in."""
    name = own_folder().strip("/")
    wanted = " ".join(controller for controller in _V1 if controller in layout.v1)
    folders = (
        f"for c in {wanted}; do d=/sys/fs/cgroup/$c/{name}; mkdir -p $d; "
        f"chown {user()} $d $d/tasks $d/cgroup.procs; done"
    )
    lists = f"cd /sys/fs/cgroup/cpuset; for f in cpuset.cpus cpuset.mems; do cat $f > {name}/$f; done"
    return f"sudo sh -c '{folders}{'; ' + lists if 'cpuset' in layout.v1 else ''}'"


def _delegation_v2() -> str:
    if not os.path.isdir("/run/systemd/system"):
        return (
            f"sudo sh -c 'd=/sys/fs/cgroup{own_folder()}; mkdir $d; chown -R {user()} $d', and start this process in it"
        )
    return (
        f"sudo mkdir -p {os.path.dirname(_DROP_IN)} && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | "
        f"sudo tee {_DROP_IN} && sudo systemctl daemon-reload, log in again, and start Jupyter with: "
        "systemd-run --user --scope -p Delegate=yes jupyter lab"
    )


def missing(controller: str, layout: Layout, *, rootless: bool) -> str:
    """How to get a controller that is not there at all."""
    if layout.version == "v2":
        lacking = f"this kernel has no {controller} controller, or its v1 form is mounted: see /proc/cgroups"
        return delegation(layout) if rootless else lacking
    if controller not in enabled():
        return f"boot with cgroup_enable={controller}; /proc/cgroups lists what this kernel has"
    folder = f"/sys/fs/cgroup/{controller}"
    return f"sudo sh -c 'mkdir -p {folder} && mount -t cgroup -o {controller} cgroup {folder}'"


def enabled() -> set[str]:
    """The v1 controllers this kernel has and that are switched on: cgroups(7), /proc/cgroups."""
    try:
        with open("/proc/cgroups") as file:
            rows = [line.split() for line in file if not line.startswith("#")]
    except FileNotFoundError:
        return set()
    return {row[0] for row in rows if row[3] == "1"}


def _read_only(layout: Layout) -> bool:
    found = [*layout.v1.values(), *([layout.v2] if layout.v2 else [])]
    return bool(found) and all(hierarchy.read_only for hierarchy in found)
