"""cgroup v1: one folder a hierarchy. cgroup-v1/*.rst.

Joined are the hierarchies that limit (cpu, memory, pids, blkio, devices), stop (freezer) and count (cpuacct); cpuset,
hugetlb, net_cls, net_prio and rdma only when a limit asks for them, since each costs some 60 µs a container. systemd's
own hierarchy is joined only for engines that expect it (`detect.from_path`): there a service's restart would take
the container with it, as it does the monitor.

The child joins by writing "0" to `tasks`. Moving one thread by itself needs no lock over all processes, while a pid
in `cgroup.procs` takes cgroup_threadgroup_rwsem for writing: after a quiet moment that waits for a grace period of
RCU. Measured here: 20 µs a hierarchy against up to 10 ms.
"""

from __future__ import annotations

import os
from typing import Any

from nbcontainers.cgroups import devices, hints, sampler, v1_limits
from nbcontainers.cgroups.cgroup import Limits, Resources
from nbcontainers.cgroups.folder import WRITE, Folder, remove_all, signal_all, wait_until
from nbcontainers.cgroups.layout import Layout
from nbcontainers.cgroups.limits import refused
from nbcontainers.cgroups.sampler import Numbers, Reader, Sampler
from nbcontainers.errors import HostNotCapable, InvalidState

JOINED = ("cpu", "cpuacct", "memory", "devices", "freezer", "blkio", "pids")
FREEZE_S = 2.0


class V1:
    """`record`: `v1` maps each usable controller to its folder, `joined` lists those the child joins."""

    def __init__(self, record: dict[str, Any], layout: Layout) -> None:
        self.record = record
        self.layout = layout
        self._folders = {
            name: Folder(path, layout.v1[name].device) for name, path in record["v1"].items() if name in layout.v1
        }

    @property
    def limits(self) -> Limits:
        return self.record.setdefault("limits", {})  # type: ignore[no-any-return]

    def joined(self) -> list[Folder]:
        """The folders the child joins, each once though several controllers may share one."""
        found = (self._folders[name] for name in self.record["joined"] if name in self._folders)
        return list({folder.path: folder for folder in found}.values())

    def create(self) -> None:
        made: list[Folder] = []
        try:
            for folder in self.joined():
                self._make(folder)
                made.append(folder)
            if self.frozen:
                raise InvalidState(
                    f"cgroup {self._folders['freezer'].path} is frozen from above", hint="thaw its parent"
                )
        except BaseException:
            for folder in made:
                folder.remove()
            raise

    def _make(self, folder: Folder) -> None:
        make(folder, hints.delegation(self.layout), adopt=bool(self.record.get("adopt")))

    def find(self, controller: str) -> Folder:
        """The folder of a controller, made and joined now if none of its limits was asked for before."""
        folder = self._folders.get(controller)
        if folder is None:
            raise self.unavailable(controller)
        if controller not in self.record["joined"]:
            if not folder.has("tasks"):
                self._make(folder)
            if controller == "cpuset":
                inherit_cpuset(folder)
            self.record["joined"].append(controller)
        return folder

    def unavailable(self, controller: str) -> HostNotCapable:
        mounted = controller in self.layout.v1
        hint = (
            hints.delegation(self.layout)
            if mounted
            else hints.missing(controller, self.layout, rootless=self.record["rootless"])
        )
        why = "its cgroups are not ours to write" if mounted else "the host does not mount it"
        return HostNotCapable(
            f"no limit by the cgroup controller {controller}: {why}", hint=hint, controller=controller
        )

    def apply(self, resources: Resources) -> Limits:
        """An ordinary user's device rules are left to the user namespace, where no device node can be made."""
        if resources.get("unified"):
            raise HostNotCapable(
                "linux.resources.unified needs cgroup v2, and this host is v1", hint="use the options of run instead"
            )
        found = v1_limits.apply(self.find, resources)
        if resources.get("devices") is not None and not self.record["rootless"]:
            policy = devices.policy(resources["devices"], mknod="adopt" in self.record)
            found["devices"] = devices.apply_v1(self.find("devices"), policy, hints.delegation(self.layout))
        self.limits.update(found)
        return found

    def join_files(self) -> list[int]:
        fds: list[int] = []
        try:
            for folder in self.joined():
                fds.append(folder.open("tasks", WRITE))
        except OSError as error:
            for fd in fds:
                os.close(fd)
            raise refused(error, str(error.filename), "0", hints.delegation(self.layout)) from error
        return fds

    def clone_fd(self, beside: int = 0) -> int | None:
        return None

    def _any(self) -> Folder | None:
        """A folder whose processes are all of the container's."""
        order = ("freezer", "pids", "memory", "cpu")
        return next((self._folders[name] for name in order if name in self._folders), next(iter(self.joined()), None))

    def procs(self) -> list[int]:
        folder = self._any()
        return folder.procs() if folder else []

    def kill(self) -> None:
        """Freeze, signal, thaw: what is frozen cannot fork, and what is still frozen cannot die."""
        folder, freezer = self._any(), self._folders.get("freezer")
        if folder is None:
            return
        if freezer is not None and freezer.has("freezer.state"):
            freezer.write("freezer.state", "FROZEN")
        signal_all(folder)
        self.thaw()

    def freeze(self) -> None:
        freezer = self._freezer()

        def stopped() -> bool:
            freezer.write("freezer.state", "FROZEN")
            return freezer.read("freezer.state") == "FROZEN"

        if not wait_until(stopped, FREEZE_S):
            self.thaw()
            raise InvalidState(f"{freezer.path} does not freeze: a process in it cannot be stopped")

    def thaw(self) -> None:
        """Thaw this cgroup and those the container made below."""
        freezer = self._folders.get("freezer")
        for folder in list(freezer.tree())[::-1] if freezer else []:
            try:
                if folder.read("freezer.state") != "THAWED":
                    folder.write("freezer.state", "THAWED")
            except FileNotFoundError:
                continue

    @property
    def frozen(self) -> bool:
        try:
            return "freezer" in self._folders and self._folders["freezer"].read("freezer.state") != "THAWED"
        except FileNotFoundError:
            return False

    def _freezer(self) -> Folder:
        if "freezer" not in self._folders:
            raise self.unavailable("freezer")
        return self._folders["freezer"]

    def destroy(self) -> None:
        remove_all(self.folders(), self.kill)

    def folders(self) -> list[Folder]:
        return list({folder.path: folder for folder in self._folders.values()}.values())

    def sampler(self) -> Sampler:
        return self.fill(Sampler())

    def fill(self, result: Sampler, leave: str = "") -> Sampler:
        """Give a sampler the readers of the controllers we have, but for the one to `leave` to the caller."""
        for name, attribute, reader in _READERS:
            if name in self.record["joined"] and name in self._folders and name != leave:
                setattr(result, attribute, reader(result, self._folders[name]))
        return result


def make(folder: Folder, hint: str, *, adopt: bool = False) -> None:
    """mkdir, with the parents that are missing. `adopt` takes an existing folder that holds no process."""
    for _ in range(10):
        try:
            return folder.make()
        except FileNotFoundError:
            _make_parents(folder.parent, hint)
        except FileExistsError:
            if not adopt or folder.procs():
                raise InvalidState(
                    f"cgroup {folder.path} exists", hint="choose another id, or delete its container"
                ) from None
            return None
        except OSError as error:
            raise refused(error, folder.path, "mkdir", hint) from error
    raise InvalidState(f"cgroup {folder.path}: its parent is removed as often as it is made")


def _make_parents(folder: Folder, hint: str) -> None:
    try:
        folder.make()
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_parents(folder.parent, hint)
        _make_parents(folder, hint)
    except OSError as error:
        raise refused(error, folder.path, "mkdir", hint) from error


def inherit_cpuset(folder: Folder) -> None:
    """Give an empty cpuset the CPUs and nodes of the next one above that has some: an empty one refuses every task.

    cgroup-v1/cpusets.rst, section 2.1. `cgroup.clone_children` would do it for new folders only.
    """
    missing = [name for name in ("cpuset.cpus", "cpuset.mems") if not folder.read(name)]
    if not missing:
        return
    inherit_cpuset(folder.parent)
    try:
        for name in missing:
            folder.write(name, folder.parent.read(name))
    except OSError as error:
        raise refused(error, str(error.filename), "the parent's list") from error


def _cpu(result: Sampler, folder: Folder) -> Reader:
    """cpuacct.usage is exact; usage_user and usage_sys count ticks, so only their ratio is used."""
    names = ("cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys")
    total, user, system = (result.open(folder, name) for name in names)
    if total is None or user is None or system is None:
        return sampler.absent(3)

    def read() -> Numbers:
        used, in_user, in_system = sampler.number(total), sampler.number(user), sampler.number(system)
        in_user = used * in_user // (in_user + in_system) if in_user + in_system else used
        return used, in_user, used - in_user

    return read


def _throttling(result: Sampler, folder: Folder) -> Reader:
    fd = result.open(folder, "cpu.stat")
    keys = (b"\nnr_periods ", b"\nnr_throttled ", b"\nthrottled_time ")
    return sampler.absent(3) if fd is None else lambda: sampler.fields(fd, keys)


_MEMORY = (b"\ntotal_rss ", b"\ntotal_cache ", b"\ntotal_inactive_file ", b"\ntotal_swap ")


def _memory(result: Sampler, folder: Folder) -> Reader:
    """memory.usage_in_bytes and so on; `oom_kill` in memory.oom_control counts kills in this very cgroup (Linux 4.13).

    With equal limits on memory and on memory and swap the latter is met first, so both failcnts are hits.
    """
    names = ("usage_in_bytes", "max_usage_in_bytes", "stat", "failcnt", "oom_control")
    now, peak, stat, hits, oom = (result.open(folder, f"memory.{name}") for name in names)
    swap_hits = result.open(folder, "memory.memsw.failcnt")
    if now is None or peak is None or stat is None or hits is None or oom is None:
        return sampler.absent(8)
    killed = (b"\noom_kill ",)
    return lambda: (
        sampler.number(now),
        sampler.number(peak),
        *sampler.fields(stat, _MEMORY),
        sampler.number(hits) + (0 if swap_hits is None else sampler.number(swap_hits)),
        *sampler.fields(oom, killed),
    )


def _io(result: Sampler, folder: Folder) -> Reader:
    """blkio.throttle.io_{service_bytes,serviced}_recursive: lines of `MAJOR:MINOR OPERATION NUMBER`."""
    size = result.open(folder, "blkio.throttle.io_service_bytes_recursive")
    count = result.open(folder, "blkio.throttle.io_serviced_recursive")
    if size is None or count is None:
        return sampler.absent(4)
    return lambda: (*_operations(size), *_operations(count))


def _operations(fd: int) -> Numbers:
    text = os.pread(fd, 16384, 0)
    if text == b"Total 0\n":
        return 0, 0
    words = text.split()
    return tuple(
        sum(int(words[at + 1]) for at, word in enumerate(words) if word == kind) for kind in (b"Read", b"Write")
    )


_READERS = (
    ("cpuacct", "cpu", _cpu),
    ("cpu", "throttling", _throttling),
    ("memory", "memory", _memory),
    ("pids", "pids", sampler.pids),
    ("blkio", "io", _io),
)
