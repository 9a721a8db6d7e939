"""A container begun before anybody asks for it: what one has in common with the next is done in a quiet moment.

`split` cuts a configuration in two. The `common` part names no image, path, user or command: namespaces, the kernel's
file systems, devices, masked paths, the system call filter. Its init is forked, takes its page faults, joins the cgroup
and makes all of that, then waits in a root of its own that holds nothing else. The rest of the configuration, and every
descriptor that it needs, is handed in when a container is asked for; from there on it is an init like any other.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from nbcontainers.linux import memory, mounts, namespaces, process
from nbcontainers.runtime import init, rootfs, sync
from nbcontainers.runtime.create import Created, undo_fork
from nbcontainers.runtime.middle import close_others
from nbcontainers.runtime.plan import Plan

Config = dict[str, Any]
_TOPS = ("proc", "dev", "sys")
_MOST_MOUNTS = 200
"""SCM_MAX_FD is 253: unix(7)."""
_AFTERWARDS_S = 0.02
_RARE = ("hugepageLimits", "network", "rdma", "unified")
_NEEDED = {"pid", "mount", "cgroup"}


class Ahead:
    """An init that waits inside, made from a `common` part; `cgroup` is there. To be used once, or discarded."""

    def __init__(self, common: Config, cgroup: Any, cache: Path) -> None:
        self.common = common
        self.cgroup = cgroup
        self.own: Config = {}
        cgroup.create()
        try:
            self.created = self._fork(Plan(common, cache, cache))
            self.sampler = cgroup.sampler()
        except BaseException:
            cgroup.destroy()
            raise

    def _fork(self, plan: Plan) -> Created:
        ours, theirs = sync.pair()
        joins = [*self.cgroup.join_files(), *_process_files(self.cgroup)]
        start = init.Start(theirs, (0, 0, 0), joins, die_with_parent=True, state={})
        self.holder, pidfd = namespaces.clone3(plan.flags & namespaces.CLONE_NEWTIME)
        if self.holder == 0:
            _hold(plan, start)
        os.close(pidfd)
        for descriptor in [*joins, *plan.nodes.values()]:
            os.close(descriptor)
        theirs.close()
        message, _ = sync.hear(ours)
        if not message or "error" in message:
            ours.close()
            raise sync.failure((message or {}).get("error") or sync.vanished())
        pid = message["made"]
        return Created(pid, process.pidfd_open(pid), ours)

    def fits(self, config: Config) -> bool:
        """Whether this is a beginning of that configuration's container."""
        parts = split(config)
        if parts is None or parts[0] != self.common:
            return False
        self.own = parts[1]
        return True

    def go_on(self, plan: Plan, stdio: tuple[int, int, int], *, console: bool) -> Created:
        """Hand in what is this container's own. `plan` is of `own`; its descriptors stay the caller's to close."""
        root = mounts.open_tree(plan.rootfs, recursive=True)
        try:
            sync.give(self.created.channel, (plan, console), [root, *stdio, *plan.trees.values()])
        finally:
            os.close(root)
        return self.created

    @contextmanager
    def kept_if_used(self) -> Iterator[None]:
        """Nothing of it stays if what is done inside fails."""
        try:
            yield
        except BaseException:
            self.cgroup.destroy()  # kills it too
            raise

    def reap(self) -> None:
        """Wait for the process that held init's memory. It ends soon after init executed its program."""
        os.waitpid(self.holder, 0)

    def discard(self) -> None:
        """It is not needed. The holder goes first: it would wake up in the memory as its init was in the middle of it."""
        os.kill(self.holder, signal.SIGKILL)
        undo_fork(self.created)
        self.cgroup.destroy()


def split(config: Config) -> tuple[Config, Config] | None:
    """(what many containers have in common, what is this one's own); None where its container cannot be begun."""
    linux, process = config.get("linux") or {}, config.get("process") or {}
    spaces = linux.get("namespaces") or ()
    kinds = {entry["type"] for entry in spaces if not entry.get("path")}
    if len(kinds) < len(spaces) or not kinds >= _NEEDED or "user" in kinds:
        return None
    if (
        _joins_more(linux.get("resources") or {})
        or linux.get("timeOffsets")
        or any((config.get("hooks") or {}).values())
        or process.get("oomScoreAdj") is not None
    ):
        return None
    kernels, others = _kernels_first(config.get("mounts") or ())
    devices = linux.get("devices") or []
    if not kernels or not all(device["path"].startswith("/dev/") for device in devices):
        return None
    hidden = {key: linux.get(key) or [] for key in ("maskedPaths", "readonlyPaths")}
    if not all(path.startswith(("/proc/", "/sys/")) for paths in hidden.values() for path in paths):
        return None
    common = {key: linux[key] for key in ("seccomp", "sysctl") if linux.get(key)}
    common |= {**hidden, "namespaces": spaces, "devices": devices}
    rest = {key: value for key, value in linux.items() if key == "namespaces" or key not in common}
    return (
        {
            "ociVersion": config["ociVersion"],
            "process": {"args": ["none"], "cwd": "/"},
            "root": {"path": "none"},
            "mounts": kernels,
            "linux": common,
        },
        {**config, "mounts": others, "linux": rest},
    )


def _joins_more(resources: Mapping[str, Any]) -> bool:
    """Whether limits need a hierarchy of cgroup v1 that the container is in only for them."""
    cpu = resources.get("cpu") or {}
    return any(cpu.get(key) for key in ("cpus", "mems")) or any(resources.get(key) for key in _RARE)


def _kernels_first(asked: Any) -> tuple[list[Any], list[Any]]:
    """The mounts of /proc, /dev and /sys that need nothing of the image or of the host, and the others.

    None of the former if the latter were to come below or in between: their order would not be kept.
    """
    kernels = [mount for mount in asked if _is_kernels(mount)]
    others = [mount for mount in asked if not _is_kernels(mount)]
    places = [mount["destination"] for mount in kernels]
    tops = {f"/{place.split('/')[1]}" for place in places}
    for mount in others:
        place = mount["destination"]
        covers = any(f"{other}/".startswith(f"{place.rstrip('/')}/") for other in places)
        if covers or place.startswith(("/proc/", "/sys/")) or os.path.normpath(place) != place:
            return [], list(asked)
    if not tops <= set(places) or len(others) > _MOST_MOUNTS:
        return [], list(asked)
    return kernels, others


def _is_kernels(mount: Mapping[str, Any]) -> bool:
    kind, place, options = mount.get("type"), mount["destination"], mount.get("options") or ()
    if place.split("/")[1] not in _TOPS or os.path.normpath(place) != place:
        return False
    if kind == "tmpfs":  # else it gets the mode, or even the content, of the image's folder
        return "tmpcopyup" not in options and any(option.startswith("mode=") for option in options)
    return kind in ("proc", "sysfs", "devpts", "mqueue", "cgroup") and not {"bind", "rbind"} & set(options)


def _hold(plan: Plan, start: init.Start) -> NoReturn:
    """The life of a process whose memory init lives in. Its page faults are taken now, and not on the container's account."""
    try:
        process.set_pdeathsig()
        close_others({start.sync.fileno(), *start.join_files, *plan.nodes.values()})
        memory.populate()
        flags = plan.flags & ~(namespaces.CLONE_NEWCGROUP | namespaces.CLONE_NEWTIME)
        namespaces.clone_below(flags | namespaces.CLONE_PARENT, lambda pid: _main(plan, start, pid))
        os.closerange(3, 1 << 20)  # first of all: the end of init's socket tells that its program runs
        time.sleep(_AFTERWARDS_S)  # taking the memory down can wait until a short program is through
    except BaseException as error:  # noqa: BLE001 - the border of the process
        init.report(start, error)
    os._exit(0)


def _main(plan: Plan, start: init.Start, pid: int) -> NoReturn:
    """The life of the init that waits; a failure goes to the parent as one packet."""
    try:
        init.enter_namespaces(plan, start)
        init.forget_imports()
        rootfs.begin(plan)
        sync.tell(start.sync, {"made": pid})
        own, tree = _await_order(start)
        own.security.filter, own.security.filter_flags = plan.security.filter, plan.security.filter_flags
        init.set_names(own)
        init.become(own, start, lambda: rootfs.complete(own, tree))
    except BaseException as error:  # noqa: BLE001 - the border of the process
        init.report(start, error)
    os._exit(1)


def _await_order(start: init.Start) -> tuple[Plan, int]:
    order, descriptors = sync.take(start.sync)
    if order is None:
        os._exit(0)  # nobody wanted us
    plan, start.console = order
    tree, *others = descriptors
    start.stdio = (others[0], others[1], others[2])
    plan.trees = dict(zip(plan.trees, others[3:], strict=True))
    return plan, tree


def _process_files(cgroup: Any) -> list[int]:
    """The file by which a process joins a cgroup v2: slower than being born there, but its page faults are not counted."""
    folder = cgroup.clone_fd()
    if folder is None:
        return []
    try:
        return [os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)]
    finally:
        os.close(folder)
