"""Which hierarchies this host mounts, and where we are in each: proc_pid_mountinfo(5), proc_pid_cgroup(5)."""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

#: All v1 controllers of the kernel; any other word in a v1 mount's options is an option.
CONTROLLERS = frozenset(
    [
        "cpu",
        "cpuacct",
        "cpuset",
        "memory",
        "devices",
        "freezer",
        "blkio",
        "pids",
        "hugetlb",
        "net_cls",
        "net_prio",
        "perf_event",
        "rdma",
        "misc",
    ]
)


class Hierarchy(NamedTuple):
    """One mounted hierarchy.

    `root` is the cgroup that shows at the mount point, `own` where this process is, below the mount point ("" is the
    mount point itself), or None when that cannot be seen from here. `device` is the st_dev of every file in it.
    """

    controllers: tuple[str, ...]
    mount: str
    root: str
    own: str | None
    device: int
    read_only: bool


class Layout(NamedTuple):
    """`v1` maps each controller, and names such as `name=systemd`, to its hierarchy; `v2` is the unified one."""

    v1: dict[str, Hierarchy]
    v2: Hierarchy | None

    @property
    def version(self) -> str:
        """`v1`, `v2`, `hybrid` (both) or `none`."""
        has_v1 = any(name in CONTROLLERS for name in self.v1)
        if self.v2 is None:
            return "v1" if has_v1 else "none"
        return "hybrid" if has_v1 else "v2"


def parse(mountinfo: str, membership: str) -> Layout:
    """The layout told by the texts of /proc/self/mountinfo and /proc/self/cgroup. Of several mounts the last wins."""
    own = _own(membership)
    v1: dict[str, Hierarchy] = {}
    v2 = None
    for line in mountinfo.splitlines():
        if " - cgroup" not in line:
            continue
        left, _, right = line.rpartition(" - ")
        fields, (kind, _, options) = left.split(" "), right.split(" ", 2)
        names = tuple(sorted(_names(options))) if kind == "cgroup" else ()
        found = _hierarchy(fields, names, own.get(names[0] if names else ""), options)
        if kind == "cgroup2":
            v2 = _better(v2, found)
        elif kind == "cgroup":
            v1.update({name: _better(v1.get(name), found) for name in names})
    return Layout(v1, v2)


@cache
def layout() -> Layout:
    """This process's layout, read once; a fork inherits it."""
    with open("/proc/self/mountinfo") as mountinfo, open("/proc/self/cgroup") as membership:
        return parse(mountinfo.read(), membership.read())


def folders(membership: str, host: Layout) -> dict[str, str]:
    """By controller ("" is the v2 tree) the folder of the cgroup that the text of a /proc/PID/cgroup names; what does not
    show at a mount here is left out."""
    paths = _own(membership)
    trees = {**host.v1, **({"": host.v2} if host.v2 else {})}
    found = {name: (tree, _below(paths.get(name), tree.root)) for name, tree in trees.items()}
    return {name: f"{tree.mount}{below}" for name, (tree, below) in found.items() if below is not None}


def _own(membership: str) -> dict[str, str]:
    """Our path in each hierarchy, by controller or name; "" is the v2 tree."""
    paths = {}
    for line in membership.splitlines():
        _, names, path = line.split(":", 2)
        paths.update(dict.fromkeys(names.split(","), path))
    return paths


def _names(options: str) -> list[str]:
    return [word for word in options.split(",") if word in CONTROLLERS or word.startswith("name=")]


def _hierarchy(fields: list[str], names: tuple[str, ...], own: str | None, options: str) -> Hierarchy:
    major, _, minor = fields[2].partition(":")
    read_only = "ro" in fields[5].split(",") or "ro" in options.split(",")
    root, mount = _unescape(fields[3]), _unescape(fields[4])
    return Hierarchy(names, mount, root, _below(own, root), os.makedev(int(major), int(minor)), read_only)


def _below(own: str | None, root: str) -> str | None:
    """Where cgroup `own` shows below a mount of `root`; either may lie outside our cgroup namespace ("/..")."""
    if own is None or own.startswith("/..") or root.startswith("/.."):
        return None
    if root == "/":
        return own.rstrip("/")
    return own[len(root) :].rstrip("/") if f"{own}/".startswith(f"{root}/") else None


def _better(old: Hierarchy | None, new: Hierarchy) -> Hierarchy:
    """Of two mounts of one hierarchy the one that can be written to; else the later, which hides the former."""
    return old if old is not None and new.read_only and not old.read_only and old.mount != new.mount else new


def _unescape(path: str) -> str:
    """mountinfo writes blanks and backslashes as octal."""
    if "\\" not in path:
        return path
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path
