"""What the configuration of a container needs to know of this machine, gathered once a process."""

from __future__ import annotations

import os
import resource
import stat
from functools import cache, cached_property
from typing import NamedTuple

from nbcontainers.linux import capabilities

_INITS = ("/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/bin/tini-static", "/usr/bin/docker-init",
          "/usr/libexec/docker/docker-init", "/usr/bin/tini", "/sbin/tini")  # fmt: skip
_HIDDEN_DEVICES = ("pts", "shm", "mqueue", "console", "fd", "stdin", "stdout", "stderr", "core", "ptmx", "tty",
                   "null", "zero", "full", "random", "urandom", "init")  # fmt: skip


class Node(NamedTuple):
    """A device node of the host. `kind` is c or b, as in the runtime-spec."""

    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


class Host:
    """Facts of this machine. A test makes its own by subclassing or by setting attributes."""

    def __init__(self, *, rootless: bool) -> None:
        self.rootless = rootless

    @cached_property
    def capabilities(self) -> int:
        """The capabilities we can give: all of them inside a user namespace of our own."""
        every = (1 << capabilities.last() + 1) - 1
        return every if self.rootless else capabilities.permitted()

    @cached_property
    def machine(self) -> str:
        """uname(2): x86_64, aarch64."""
        return os.uname().machine

    @cached_property
    def limits_processes(self) -> bool:
        """Whether a limit of processes can be had: always for root, for others where a cgroup is delegated."""
        if not self.rootless:
            return True
        from nbcontainers.cgroups.detect import controllers

        return "pids" in controllers(rootless=True)

    @cached_property
    def processors(self) -> int:
        return os.cpu_count() or 1

    @cached_property
    def swap(self) -> bool:
        """Whether there is any swap to limit: proc_swaps(5)."""
        with open("/proc/swaps", "rb") as file:
            return len(file.readlines()) > 1

    @cached_property
    def open_files(self) -> int:
        return self.hard_limit("RLIMIT_NOFILE")

    def hard_limit(self, name: str) -> int:
        """Our own hard limit, -1 if there is none: without CAP_SYS_RESOURCE nobody gets more."""
        return resource.getrlimit(getattr(resource, name))[1] if hasattr(resource, name) else -1

    @cached_property
    def raises_limits(self) -> bool:
        """Whether hard limits may be raised: CAP_SYS_RESOURCE in the initial user namespace."""
        return not self.rootless and bool(self.capabilities >> capabilities.NUMBERS["CAP_SYS_RESOURCE"] & 1)

    @cached_property
    def oom_score_adj(self) -> int:
        """Our own: proc_pid_oom_score_adj(5)."""
        with open("/proc/self/oom_score_adj", "rb") as file:
            return int(file.read())

    @cached_property
    def one_id(self) -> bool:
        """Whether our user namespace holds no id but our own, because there is no newuidmap(1) or no range for us."""
        if not self.rootless:
            return False
        from nbcontainers.launcher.pause import subordinate

        ranges = all(subordinate(path, os.geteuid()) for path in ("/etc/subuid", "/etc/subgid"))
        return not (ranges and _program("newuidmap") and _program("newgidmap"))

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def node(self, path: str) -> Node | None:
        """The device node at `path`; None if there is none."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            return None
        kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
        number = status.st_rdev
        return Node(kind, os.major(number), os.minor(number), status.st_mode & 0o777, status.st_uid, status.st_gid)

    def devices(self) -> list[str]:
        """Every device node below /dev but those a container has of its own."""
        found = []
        for folder, folders, names in os.walk("/dev"):
            if folder == "/dev":
                folders[:] = [name for name in folders if name not in _HIDDEN_DEVICES]
                names = [name for name in names if name not in _HIDDEN_DEVICES]
            found += [path for name in names if not os.path.islink(path := f"{folder}/{name}") and self.node(path)]
        return sorted(found)

    @cached_property
    def thermal_throttle(self) -> list[str]:
        """One folder a processor, which tells of the host's other work; Docker and Podman mask them."""
        from glob import glob

        return sorted(glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle"))

    @cached_property
    def init(self) -> str | None:
        """A statically linked init program, which needs nothing of the image; None if there is none."""
        return next((path for path in _INITS if _static(path)), None)


@cache
def this_host(rootless: bool) -> Host:
    return Host(rootless=rootless)


def _program(name: str) -> bool:
    """Whether exec finds it, as the one that calls newuidmap does (linux/idmap.py)."""
    return any(os.access(f"{folder}/{name}", os.X_OK) for folder in os.get_exec_path())


def _static(path: str) -> bool:
    """Whether an ELF file asks for no interpreter: elf(5), PT_INTERP."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    if head[:5] != b"\x7fELF\x02":
        return False
    offset, size, count = (int.from_bytes(head[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    kinds = [head[at : at + 4] for at in range(offset, offset + size * count, size)]
    return bool(kinds) and b"\x03\0\0\0" not in kinds
