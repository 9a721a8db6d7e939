"""Everything init will need, checked, compiled and opened by the parent before any namespace changes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import capabilities, mounts, namespaces, seccomp
from nbcontainers.runtime.options import Options

_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
#: config-linux.md, Default Devices.
DEFAULT_DEVICES = [
    {"path": f"/dev/{n}", "type": "c", "major": a, "minor": b, "fileMode": 0o666} for n, a, b in _DEVICES
]
_UNSUPPORTED = ("intelRdt", "memoryPolicy", "netDevices", "mountLabel")


class Plan:
    """The open descriptors and parsed parts of one configuration. All descriptors are close-on-exec."""

    def __init__(self, config: Mapping[str, Any], bundle: Path, cache: Path, *, begun: bool = False) -> None:
        """`begun`: of the own part of a container that was begun ahead."""
        self.config = config
        self.process: Mapping[str, Any] = config.get("process") or {}
        self.linux: Mapping[str, Any] = config.get("linux") or {}
        self._check()
        self.rootfs = os.path.join(bundle, config["root"]["path"])
        self.flags, self.joins = split_namespaces(self.linux.get("namespaces") or ())
        mounted = config.get("mounts") or ()
        self.options = [Options(mount.get("options") or ()) for mount in mounted]
        self.trees: dict[int, int] = {}
        self.directories: dict[int, bool] = {}
        self.nodes: dict[str, int] = {}
        self.sources = {
            index: self._source(index, mount, bundle)
            for index, mount in enumerate(mounted)
            if self.options[index].bind or mount.get("type") in ("bind", "rbind")
        }
        self.devices = [] if begun else self._all_devices()
        asked = any(mount.get("type") == "cgroup" for mount in mounted)
        self.own_cgroups = bool(self.flags & namespaces.CLONE_NEWCGROUP) or "cgroup" in self.joins
        self.hierarchies = hierarchies(shared=not self.flags & namespaces.CLONE_NEWCGROUP) if asked else []
        self.in_user_namespace = "user" in self.joins or bool(self.flags & namespaces.CLONE_NEWUSER)
        self.security = Security(self.process, self.linux.get("seccomp"), cache, inside=self.in_user_namespace)
        self.sysctls = [
            sysctl(key, value, self.flags, self.joins) for key, value in (self.linux.get("sysctl") or {}).items()
        ]
        self.opened = False
        if capabilities.permitted() & capabilities.mask(["CAP_SYS_ADMIN"]):
            self.open_sources()

    @property
    def asks(self) -> bool:
        """Whether init will wait for answers: to have its ids mapped, or hooks run."""
        return self.in_user_namespace or any((self.config.get("hooks") or {}).values())

    def _check(self) -> None:
        """What the runtime-spec makes an error, and what we cannot do, before anything is touched."""
        if not str(self.config.get("ociVersion", "")).startswith("1."):
            raise invalid(f"ociVersion {self.config.get('ociVersion')!r}: we run 1.x")
        if not (self.config.get("root") or {}).get("path"):
            raise invalid("root.path is missing")
        for key in _UNSUPPORTED:
            if self.linux.get(key):
                raise invalid(f"linux.{key} is not supported")
        check_process(self.process)

    def _source(self, index: int, mount: Mapping[str, Any], bundle: Path) -> str:
        """The path a bind mount starts from, checked to exist."""
        source = os.path.join(bundle, mount.get("source") or "")
        self.options[index].flags |= mounts.MS_BIND
        if "rbind" in (mount.get("options") or ()) or mount.get("type") == "rbind":
            self.options[index].flags |= mounts.MS_REC
        try:
            self.directories[index] = stat.S_ISDIR(os.stat(source).st_mode)
        except OSError as error:
            raise invalid(f"mount source {source}: {error.strerror}", errno=error.errno, path=source) from None
        return source

    def open_sources(self) -> None:
        """Detach a copy of every bind mount's source and of every device that cannot be made.

        The parent does it, before any namespace changes. One without CAP_SYS_ADMIN, an ordinary user's, cannot: there
        init does it first of all in its copy of the same mount namespace.
        """
        if self.opened:
            return
        for index, source in self.sources.items():
            self.trees[index] = mounts.open_tree(source, recursive=bool(self.options[index].flags & mounts.MS_REC))
        if self._binds_devices():
            self.nodes = {d["path"]: mounts.open_tree(host_path(d)) for d in self.devices if d["type"] != "p"}
        self.opened = True

    def _all_devices(self) -> list[Mapping[str, Any]]:
        """The standard nodes, unless /dev is the host's own, and those asked for."""
        asked = list(self.linux.get("devices") or ())
        paths = {device["path"] for device in asked}
        own = any(os.path.normpath(self.config["mounts"][index]["destination"]) == "/dev" for index in self.sources)
        return ([] if own else [device for device in DEFAULT_DEVICES if device["path"] not in paths]) + asked

    def _binds_devices(self) -> bool:
        """Where mknod(2) is not allowed, the host's nodes are bound instead (user_namespaces(7))."""
        return self.in_user_namespace or namespaces.in_user_namespace()


class Security:
    """The privileges of one process: its capabilities and its compiled system call filter.

    `inside` a user namespace that it enters, a process has every capability, whatever its parent has.
    """

    def __init__(
        self, process: Mapping[str, Any], profile: Mapping[str, Any] | None, cache: Path, *, inside: bool
    ) -> None:
        self.inside = inside
        available = ~0 if inside else capabilities.permitted()
        self.sets = capabilities.Sets(process.get("capabilities"), available)
        self.filter = seccomp.compile_cached(dict(profile), cache) if profile else b""
        self.filter_flags: list[str] = list((profile or {}).get("flags") or ())
        capabilities.last()  # read while /proc is still the host's

    def sets_of(self, process: Mapping[str, Any]) -> capabilities.Sets:
        """The capabilities of another process beside this one."""
        return capabilities.Sets(process.get("capabilities"), ~0 if self.inside else capabilities.permitted())


def invalid(message: str, **facts: Any) -> CreateFailed:
    return CreateFailed(message, stage="config", exit_code=125, **facts)


def check_process(process: Mapping[str, Any]) -> None:
    if not process.get("args"):
        raise invalid("process.args is empty: there is no command to run")
    if not str(process.get("cwd", "")).startswith("/"):
        raise invalid(f"process.cwd {process.get('cwd')!r} is not an absolute path")
    for key in ("scheduler", "ioPriority", "execCPUAffinity", "selinuxLabel", "apparmorProfile"):
        if process.get(key):
            raise invalid(f"process.{key} is not supported")


def split_namespaces(entries: Any) -> tuple[int, dict[str, int]]:
    """(clone flags of the new ones, open descriptors of those to join) of `linux.namespaces`."""
    flags, joins, seen = 0, {}, set()
    for entry in entries:
        kind = entry["type"]
        if kind not in namespaces.FLAGS or kind in seen:
            raise invalid(f"linux.namespaces: {kind!r} is {'given twice' if kind in seen else 'unknown'}")
        seen.add(kind)
        if path := entry.get("path"):
            joins[kind] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        else:
            flags |= namespaces.FLAGS[kind]
    return flags, joins


def host_path(device: Mapping[str, Any]) -> str:
    """The host's node of the same kind and number: by its path, by /dev/{char,block} (udev's links), else any in /dev."""
    wanted = os.makedev(device.get("major", 0), device.get("minor", 0))
    kind, right = ("block", stat.S_ISBLK) if device["type"] == "b" else ("char", stat.S_ISCHR)
    for path in (device["path"], f"/dev/{kind}/{device.get('major')}:{device.get('minor')}", *_nodes("/dev")):
        try:
            status = os.stat(path)
        except OSError:
            continue
        if right(status.st_mode) and status.st_rdev == wanted:
            return str(path)
    raise invalid(
        f"device {device['path']} {device.get('major')}:{device.get('minor')}: the host has no such node to bind"
    )


def _nodes(folder: str) -> Iterator[str]:
    for top, below, names in os.walk(folder):
        below[:] = [name for name in below if name not in ("pts", "shm", "mqueue")]  # of other file systems
        yield from (os.path.join(top, name) for name in names)


def hierarchies(*, shared: bool) -> list[tuple[str, str, str]]:
    """(folder, file system, mount data) of each cgroup hierarchy of this host: cgroups(7), /proc/PID/cgroup.

    One that the host does not mount is left out: ours would be its first superblock, and read-only for everybody.
    `shared`: in the host's cgroup namespace a mount of v2 sets the options of all of them, so it gets the host's.
    """
    found = []
    options = _options() if shared else ""
    with open("/proc/self/cgroup") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    if len(lines) == 1 and lines[0][0] == "0":
        return [("", "cgroup2", options)]
    for number, names, _ in lines:
        if number == "0":
            found.append(("unified", "cgroup2", options))
        else:
            found.append((names.removeprefix("name="), "cgroup", names))
    return [one for one in found if os.path.isdir(f"/sys/fs/cgroup/{one[0]}")]


def _options() -> str:
    """Those the host has mounted cgroup v2 with, as `nsdelegate,memory_recursiveprot`: cgroup-v2.rst, Mounting."""
    with open("/proc/self/mountinfo") as file:
        found = [line.split()[-1] for line in file if " - cgroup2 " in line]
    return ",".join(word for word in found[0].split(",") if word not in ("rw", "ro")) if found else ""


def sysctl(key: str, value: str, flags: int, joins: Mapping[str, int]) -> tuple[str, str]:
    """(path below /proc/sys, value) of a kernel parameter that a namespace of the container owns: namespaces(7)."""
    kind = namespaces.owner_of_sysctl(key.replace("/", "."))
    if kind is None:
        raise invalid(f"sysctl {key}: not owned by any namespace, so it would change the host")
    if not flags & namespaces.FLAGS[kind] and kind not in joins:
        raise invalid(f"sysctl {key}: the container shares the host's {kind} namespace")
    path = key if "/" in key else key.replace(".", "/")
    if ".." in path.split("/"):
        raise invalid(f"sysctl {key}: not a name")
    return path, value
