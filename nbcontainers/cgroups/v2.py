"""cgroup v2: one folder in the unified hierarchy. admin-guide/cgroup-v2.rst.

Controllers are handed down level by level through `cgroup.subtree_control`, and a cgroup that hands some down may hold
no process itself. Our containers have a parent of their own because systemd takes back the controllers of a
leaf it does not know, while a parent whose own children use them answers EBUSY and keeps them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Any

from nbcontainers.cgroups import device_program, devices, hints, sampler, v2_limits
from nbcontainers.cgroups.cgroup import Limits, Resources
from nbcontainers.cgroups.folder import FOLDER, Folder, remove_all, signal_all, wait_until
from nbcontainers.cgroups.layout import Layout
from nbcontainers.cgroups.limits import refused
from nbcontainers.cgroups.sampler import Numbers, Reader, Sampler
from nbcontainers.cgroups.v1 import FREEZE_S, make
from nbcontainers.errors import HostNotCapable, InvalidState

#: Handed down for their counters, limit or no limit; cpuset, hugetlb and others only when a limit asks.
WANTED = ("cpu", "memory", "pids", "io")
#: Where the processes of a delegated cgroup go when it has to be emptied of them.
SUPERVISOR = "nbcontainers-supervisor"


class V2:
    """`record`: `v2` is the folder, `base` the cgroup that was given to us, at or above the folder's parent."""

    def __init__(self, record: dict[str, Any], layout: Layout) -> None:
        assert layout.v2 is not None
        self.record = record
        self.layout = layout
        self.folder = Folder(record["v2"], layout.v2.device)
        self.base = Folder(record["base"], layout.v2.device)

    @property
    def limits(self) -> Limits:
        return self.record.setdefault("limits", {})  # type: ignore[no-any-return]

    def create(self) -> None:
        make(self.folder, hints.delegation(self.layout), adopt=bool(self.record.get("adopt")))
        try:
            if self.frozen:
                raise InvalidState(f"cgroup {self.folder.path} is frozen from above", hint="thaw its parent")
            here = self.folder.read("cgroup.controllers").split()
            if missing := [name for name in WANTED if name not in here]:
                self._hand_down([name for name in missing if name in controllers(self.base)])
        except BaseException:
            self.folder.remove()
            raise

    def _hand_down(self, names: list[str]) -> None:
        """Enable controllers from `base` to our folder's parent."""
        if not names:
            return
        level, levels = self.folder.parent, []
        while level.path != self.base.path:
            levels.append(level)
            level = level.parent
        for folder in [self.base, *reversed(levels)]:
            self._enable(folder, names)

    def _enable(self, folder: Folder, names: list[str]) -> None:
        have = folder.read("cgroup.subtree_control").split()
        text = " ".join(f"+{name}" for name in names if name not in have)
        if not text:
            return
        try:
            self._hand_on(folder, text)
        except OSError as error:
            raise refused(
                error, f"{folder.path}/cgroup.subtree_control", text, hints.delegation(self.layout)
            ) from error

    def _hand_on(self, folder: Folder, text: str) -> None:
        """EBUSY: the cgroup holds processes, which must go first; only those of `base` are ours to move."""
        try:
            folder.write("cgroup.subtree_control", text)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EOPNOTSUPP) and _is_threaded(folder):
                raise _threaded(folder) from None
            if error.errno != errno.EBUSY:
                raise
            if folder.path != self.base.path:
                raise _inhabited(folder) from None
            empty(folder)
            folder.write("cgroup.subtree_control", text)

    def find(self, controller: str) -> Folder:
        """Our folder, once `controller` works in it."""
        if controller == "cgroup" or controller in self.folder.read("cgroup.controllers").split():
            return self.folder
        if controller not in controllers(self.base):
            raise self.unavailable(controller)
        self._hand_down([controller])
        if controller not in self.folder.read("cgroup.controllers").split():
            raise self.unavailable(controller)
        return self.folder

    def unavailable(self, controller: str) -> HostNotCapable:
        return HostNotCapable(
            f"no limit by the cgroup controller {controller}: it is not delegated to {self.base.path}",
            hint=hints.missing(controller, self.layout, rootless=self.record["rootless"]),
            controller=controller,
        )

    def apply(self, resources: Resources) -> Limits:
        """An ordinary user's device rules are left to the user namespace, where no device node can be made."""
        try:
            found = v2_limits.apply(self.find, resources)
        except HostNotCapable as error:
            if error.details.get("errno") != errno.ENOENT:
                raise
            self._await_files()
            found = v2_limits.apply(self.find, resources)
        if resources.get("devices") is not None and not self.record["rootless"]:
            policy = devices.policy(resources["devices"], mknod="adopt" in self.record)
            found["devices"] = device_program.apply_v2(self.folder, policy)
        self.limits.update(found)
        return found

    def _await_files(self) -> None:
        """A controller that another container has enabled this moment is listed before its files are there; enabling
        it once more waits for the kernel's lock."""
        parent = self.folder.parent
        with contextlib.suppress(OSError):  # what is wrong, the second attempt tells
            names = parent.read("cgroup.subtree_control").split()
            parent.write("cgroup.subtree_control", " ".join(f"+{name}" for name in names))

    def join_files(self) -> list[int]:
        return []

    def clone_fd(self, beside: int = 0) -> int | None:
        return (self._of(beside) if beside else self.folder).open("", FOLDER)

    def _of(self, pid: int) -> Folder:
        """The cgroup in which this process of ours is: below our folder, wherever the container has moved it."""
        return next((one for one in self.folder.tree() if str(pid) in one.read("cgroup.procs").split()), self.folder)

    def procs(self) -> list[int]:
        return self.folder.procs()

    def kill(self) -> None:
        """cgroup.kill (Linux 5.14) takes all at once, frozen or not; before, freeze and signal."""
        try:
            self.folder.write("cgroup.kill", "1")
        except FileNotFoundError:
            if self.folder.has("cgroup.freeze"):
                self.folder.write("cgroup.freeze", "1")
                signal_all(self.folder)
                self.thaw()

    def freeze(self) -> None:
        self.folder.write("cgroup.freeze", "1")
        if not wait_until(lambda: self.frozen, FREEZE_S):
            self.thaw()
            raise InvalidState(f"{self.folder.path} does not freeze: a process in it cannot be stopped")

    def thaw(self) -> None:
        self.folder.write("cgroup.freeze", "0")

    @property
    def frozen(self) -> bool:
        try:
            return "frozen 1" in self.folder.read("cgroup.events")
        except FileNotFoundError:
            return False

    def destroy(self) -> None:
        remove_all([self.folder], self.kill)

    def sampler(self) -> Sampler:
        return self.fill(Sampler())

    def fill(self, result: Sampler) -> Sampler:
        """Give a sampler the readers of what this folder has."""
        folder = self.folder
        result.cpu = _cpu(result, folder)
        result.psi = sampler.psi(result, folder)
        here = folder.read("cgroup.controllers").split()
        for name, attribute, reader in _READERS:
            if name in here:
                setattr(result, attribute, reader(result, folder))
        return result


def _inhabited(folder: Folder) -> HostNotCapable:
    return HostNotCapable(
        f"{folder.path} holds processes, so it cannot hand controllers down to a container's cgroup in it",
        hint="--cgroup-parent names a cgroup that holds other cgroups only, as /lab; it need not exist yet",
    )


def _is_threaded(folder: Folder) -> bool:
    """Whether what is made below can hold threads only; the root cgroup has no such file."""
    return folder.has("cgroup.type") and folder.read("cgroup.type") != "domain"


def _threaded(folder: Folder) -> HostNotCapable:
    """cgroup-v2.rst, "Threads": a threaded cgroup, and what is below it, has no memory or io controller."""
    return HostNotCapable(
        f"{folder.path} is {folder.read('cgroup.type')}, so no container can live below it",
        hint="--cgroup-parent names a cgroup whose cgroup.type is domain, as /lab; it need not exist yet",
    )


def controllers(base: Folder) -> list[str]:
    """What was delegated to `base`."""
    try:
        return base.read("cgroup.controllers").split()
    except FileNotFoundError:
        return []


def empty(base: Folder) -> None:
    """Move the processes of a delegated cgroup to a leaf below it, so that it may hand controllers down.

    Only `base`, the cgroup given to us, is touched: our namespace's root, or one that an ordinary user owns, or the one
    that was chosen to work below. Its processes stay below the same limits. cgroup-v2.rst, "No Internal Process
    Constraint". Raises HostNotCapable.
    """
    leaf = base.child(SUPERVISOR)
    try:
        if not leaf.has("cgroup.procs"):
            make(leaf, "", adopt=True)
        for _ in range(100):
            pids = [pid for pid in base.read("cgroup.procs").split() if pid != "0"]
            if not pids:
                return
            for pid in pids:
                _move(leaf, pid)
    except OSError as error:
        raise refused(error, leaf.path, "the processes of its parent") from error
    raise HostNotCapable(
        f"{base.path} cannot be emptied of its processes, so it cannot hand controllers down",
        hint="start Jupyter with: systemd-run --user --scope -p Delegate=yes jupyter lab",
    )


def _move(leaf: Folder, pid: str) -> None:
    try:
        leaf.write("cgroup.procs", pid)
    except ProcessLookupError:
        return
    except OSError as error:
        if error.errno != errno.EINVAL:  # a kernel thread stays
            raise


_CPU = (b"\nusage_usec ", b"\nuser_usec ", b"\nsystem_usec ")
_THROTTLING = (b"\nnr_periods ", b"\nnr_throttled ", b"\nthrottled_usec ")
_MEMORY = (b"\nanon ", b"\nfile ", b"\ninactive_file ")
_EVENTS = (b"\nmax ", b"\noom_kill ")


def _cpu(result: Sampler, folder: Folder) -> Reader:
    """The first three numbers of cpu.stat are there without the cpu controller, on hybrid hosts too."""
    fd = result.open(folder, "cpu.stat")
    if fd is None:
        return sampler.absent(3)
    return lambda: tuple([number * 1000 for number in sampler.fields(fd, _CPU)])


def _throttling(result: Sampler, folder: Folder) -> Reader:
    fd = result.open(folder, "cpu.stat")
    if fd is None:
        return sampler.absent(3)

    def read() -> Numbers:
        periods, throttled, microseconds = sampler.fields(fd, _THROTTLING)
        return periods, throttled, microseconds * 1000 if microseconds >= 0 else -1

    return read


def _memory(result: Sampler, folder: Folder) -> Reader:
    """memory.peak is from Linux 5.19 on; before, the highest of our samples."""
    names = ("current", "stat", "events", "peak", "swap.current")
    now, stat, events, peak, swap = (result.open(folder, f"memory.{name}") for name in names)
    if now is None or stat is None or events is None:
        return sampler.absent(8)
    highest = sampler.Highest()

    def read() -> Numbers:
        current = sampler.number(now)
        top = highest(current) if peak is None else sampler.number(peak)
        swapped = -1 if swap is None else sampler.number(swap)
        return current, top, *sampler.fields(stat, _MEMORY), swapped, *sampler.fields(events, _EVENTS)

    return read


def _io(result: Sampler, folder: Folder) -> Reader:
    """io.stat: a line a device, `MAJOR:MINOR rbytes=… wbytes=… rios=… wios=…`."""
    fd = result.open(folder, "io.stat")
    return sampler.absent(4) if fd is None else lambda: _sum_io(os.pread(fd, 16384, 0))


def _sum_io(text: bytes) -> Numbers:
    keys = (b"rbytes", b"wbytes", b"rios", b"wios")
    totals = dict.fromkeys(keys, 0)
    for word in text.split():
        key, _, value = word.partition(b"=")
        if key in totals:
            totals[key] += int(value)
    return tuple(totals.values())


_READERS = (
    ("cpu", "throttling", _throttling),
    ("memory", "memory", _memory),
    ("pids", "pids", sampler.pids),
    ("io", "io", _io),
)
