"""v1 controllers beside a v2 tree, as systemd's hybrid layout has them: both trees at once.

Even with no controller in it the v2 tree kills and freezes a container as a whole, knows its CPU time, and measures
pressure (PSI); the limits are v1's. A controller that only v2 has is used there.
"""

from __future__ import annotations

from typing import Any

from nbcontainers.cgroups.cgroup import Limits, Resources
from nbcontainers.cgroups.folder import Folder, remove_all, signal_all
from nbcontainers.cgroups.layout import Layout
from nbcontainers.cgroups.sampler import Sampler
from nbcontainers.cgroups.v1 import V1
from nbcontainers.cgroups.v2 import V2, controllers
from nbcontainers.errors import HostNotCapable


class Hybrid:
    """`record` has the keys of both."""

    def __init__(self, record: dict[str, Any], layout: Layout) -> None:
        self.record = record
        self.v1 = V1(record, layout)
        self.v2 = V2(record, layout)

    @property
    def limits(self) -> Limits:
        return self.v1.limits

    def create(self) -> None:
        self.v1.create()
        try:
            self.v2.create()
        except BaseException:
            self.v1.destroy()
            raise

    def find(self, controller: str) -> Folder:
        return self.v1.find(controller)

    def apply(self, resources: Resources) -> Limits:
        in_v2 = controllers(self.v2.base)
        if missing := [name for name in resources.get("unified") or () if name.partition(".")[0] not in in_v2]:
            raise HostNotCapable(
                f"linux.resources.unified needs cgroup v2, and here {missing[0]} is not in it",
                hint="use the options of run, or boot with systemd.unified_cgroup_hierarchy=1",
            )
        first, second = split(resources, set(self.record["v1"]), set(in_v2))
        found = self.v1.apply(first)
        found |= self.v2.apply(second) if second else {}
        return found

    def join_files(self) -> list[int]:
        return self.v1.join_files()

    def clone_fd(self, beside: int = 0) -> int | None:
        return self.v2.clone_fd(beside)

    def procs(self) -> list[int]:
        return sorted({*self.v1.procs(), *self.v2.procs()})

    def kill(self) -> None:
        """The v2 tree takes all at once; what did not join it, and what v1 has frozen, comes after."""
        self.v2.kill()
        for folder in self.v1.joined()[:1]:
            signal_all(folder)
        self.v1.thaw()

    def freeze(self) -> None:
        """By v2, which can still be killed; by v1 where the child could not join v2."""
        (self.v2 if self.v2.procs() else self.v1).freeze()

    def thaw(self) -> None:
        self.v2.thaw()
        self.v1.thaw()

    @property
    def frozen(self) -> bool:
        return self.v2.frozen or self.v1.frozen

    def destroy(self) -> None:
        remove_all([self.v2.folder, *self.v1.folders()], self.kill)

    def sampler(self) -> Sampler:
        """v1's counters, and v2's CPU time (its user and system parts add up) and pressure."""
        return self.v2.fill(self.v1.fill(Sampler(), leave="cpuacct"))


#: OCI section: its controller in v1, and in v2.
_CONTROLLERS = {
    "memory": ("memory", "memory"),
    "pids": ("pids", "pids"),
    "blockIO": ("blkio", "io"),
    "hugepageLimits": ("hugetlb", "hugetlb"),
    "rdma": ("rdma", "rdma"),
}


def split(resources: Resources, in_v1: set[str], in_v2: set[str]) -> tuple[Resources, Resources]:
    """Which sections go to v1 and which to v2: to v2 only what v1 does not have."""
    first: Resources = {}
    second: Resources = {}
    for section, value in resources.items():
        if section == "cpu" and value:
            for controller, keys in _cpu_keys(value).items():
                target = second if controller not in in_v1 and controller in in_v2 else first
                target.setdefault("cpu", {}).update(keys)
            continue
        old, new = _CONTROLLERS.get(section, (section, section))
        if section == "devices":
            to_v2 = old not in in_v1  # a program, no controller
        else:
            to_v2 = section == "unified" or (old not in in_v1 and new in in_v2)
        (second if to_v2 else first)[section] = value
    return first, second


def _cpu_keys(section: dict[str, Any]) -> dict[str, dict[str, Any]]:
    cpuset = {key: value for key, value in section.items() if key in ("cpus", "mems")}
    rest = {key: value for key, value in section.items() if key not in cpuset}
    return {name: keys for name, keys in (("cpu", rest), ("cpuset", cpuset)) if keys}
