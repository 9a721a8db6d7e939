"""`linux.resources` written to the files of cgroup v2: admin-guide/cgroup-v2.rst, one function a section."""

from __future__ import annotations

import os
from typing import Any

from nbcontainers.cgroups.cgroup import Limits, Resources
from nbcontainers.cgroups.folder import Folder
from nbcontainers.cgroups.limits import (
    PAGE,
    Find,
    Sections,
    check_io_weight,
    check_memory,
    check_quota,
    check_swap_file,
    check_unused,
    device,
    get,
    given,
    io_weight,
    kept,
    put,
    put_list,
    put_number,
    put_sections,
    require_bfq,
    weight,
)
from nbcontainers.cgroups.v1_limits import pids, rdma
from nbcontainers.errors import HostNotCapable, InvalidArgument

Section = dict[str, Any]


def _put(folder: Folder, name: str, value: int, unit: int = 1) -> int:
    return put_number(folder, name, value, unlimited="max", unit=unit)


_ONLY_V1 = {
    "swappiness": "--memory-swappiness",
    "kernel": "the limit of kernel memory",
    "kernelTCP": "the limit of TCP's memory",
    "disableOOMKiller": "--oom-kill-disable",
}


def memory(find: Find, section: Section) -> Limits:
    """memory.max, memory.swap.max (the swap alone, where OCI counts the sum) and memory.low."""
    limit, swap = check_memory(section)
    for key, option in _ONLY_V1.items():
        if section.get(key) or (key == "swappiness" and section.get(key) is not None):  # 0 of it is a wish too
            raise HostNotCapable(f"cgroup v2 has no memory.{key}", hint=f"leave {option} out on this host")
    folder = find("memory")
    check_unused(folder, "memory.current", section, limit)
    found: Limits = {}
    if limit is not None:
        found["limit"] = _put(folder, "memory.max", limit, PAGE)
    if swap is not None and check_swap_file(folder, "memory.swap.max", swap):
        only = _put(folder, "memory.swap.max", swap - (limit or 0) if swap >= 0 else -1, PAGE)
        found["swap"] = only + found["limit"] if only >= 0 else -1
    if reservation := given(section, "reservation"):  # no reservation is 0 here: "max" would protect everything
        got = _put(folder, "memory.low", max(0, reservation), PAGE)
        found["reservation"] = got if reservation > 0 else -1
    return found


def cpu(find: Find, section: Section) -> Limits:
    """cpu.weight, cpu.max, cpu.max.burst, cpu.idle and the cpuset files."""
    if section.get("realtimeRuntime") or section.get("realtimePeriod"):
        raise HostNotCapable("cgroup v2 limits no realtime scheduling", hint="leave the --cpu-rt options out")
    found: Limits = {}
    if shares := given(section, "shares"):
        found["weight"] = _put(find("cpu"), "cpu.weight", weight(shares))
        found["shares"] = shares
    found |= _bandwidth(find, section)
    if (idle := section.get("idle")) is not None:
        found["idle"] = _put(find("cpu"), "cpu.idle", int(idle))
    for key in ("cpus", "mems"):
        if section.get(key):
            there = find("cpuset").parent.read(f"cpuset.{key}.effective")
            found[key] = put_list(find("cpuset"), f"cpuset.{key}", section[key], there)
    return found


def _bandwidth(find: Find, section: Section) -> Limits:
    quota, period, burst = (given(section, key) for key in ("quota", "period", "burst"))
    if quota is None and period is None and burst is None:
        return {}
    check_quota(quota, period)
    folder = find("cpu")
    found: Limits = {}
    if quota is not None or period is not None:
        found = _cpu_max(folder, quota, period)
    if burst is not None:
        found["burst"] = _put(folder, "cpu.max.burst", burst)
    return found


def _cpu_max(folder: Folder, quota: int | None, period: int | None) -> Limits:
    """`QUOTA PERIOD`; a part that is not given stays as it is."""
    now = folder.read("cpu.max").split() if quota is None or period is None else ["", ""]
    asked = [now[0] if quota is None else str(quota) if quota > 0 else "max", str(period or now[1])]
    if get(folder, "cpu.max.burst"):  # a burst above the new quota would be refused
        _put(folder, "cpu.max.burst", 0)
    got = put(folder, "cpu.max", " ".join(asked)).split()
    kept(folder, "cpu.max", asked, got)
    return {"quota": -1 if got[0] == "max" else int(got[0]), "period": int(got[1])}


_THROTTLE = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}


def block_io(find: Find, section: Section) -> Limits:
    """io.max, and io.bfq.weight or io.weight."""
    if section.get("leafWeight"):
        raise HostNotCapable("cgroup v2 has no leaf weight", hint="leave the option out on this host")
    found: Limits = {}
    if value := given(section, "weight"):
        found["weight"] = _weight(find("io"), "default", check_io_weight(value))
    for entry in section.get("weightDevice") or []:
        got = _weight(find("io"), device(entry), check_io_weight(int(entry["weight"])))
        found.setdefault("weightDevice", []).append({**entry, "weight": got})
    for key, word in _THROTTLE.items():
        if entries := section.get(key):
            found[key] = [_throttle(find("io"), word, entry) for entry in entries]
    return found


def _weight(folder: Folder, subject: str, value: int) -> int:
    """BFQ takes the number as it is; io.weight (the iocost model) has a scale of its own."""
    if not folder.has("io.bfq.weight") and not folder.has("io.weight"):
        raise HostNotCapable("this kernel shares disks by no weight", hint="limit with --device-read-bps instead")
    name, scaled = "io.weight", io_weight(value)
    if not (folder.has(name) and _iocost(folder)):
        require_bfq()
        name, scaled = "io.bfq.weight", value
    kept(folder, name, True, f"{subject} {scaled}" in put(folder, name, f"{subject} {scaled}").splitlines())
    return value


def _iocost(folder: Folder) -> bool:
    """Whether some disk is shared by io.weight: io.cost.qos of the root cgroup says `MAJOR:MINOR enable=1 …`."""
    while os.path.exists(f"{folder.parent.path}/cgroup.procs"):
        folder = folder.parent
    return folder.has("io.cost.qos") and "enable=1" in folder.read("io.cost.qos")


def _throttle(folder: Folder, word: str, entry: Section) -> Section:
    """One word of a device's line in io.max; 0 takes the limit away."""
    rate, asked = int(entry["rate"]), f"{word}={int(entry['rate']) or 'max'}"
    lines = [line.split() for line in put(folder, "io.max", f"{device(entry)} {asked}").splitlines()]
    in_force = any(line[0] == device(entry) and asked in line for line in lines if line)
    kept(folder, f"io.max of {device(entry)}", True, in_force or not rate)
    return {"major": entry["major"], "minor": entry["minor"], "rate": rate}


def hugepages(find: Find, section: list[Section]) -> list[Section]:
    """hugetlb.SIZE.max, and the reservation's where the kernel has it."""
    found = []
    for entry in section:
        folder, stem = find("hugetlb"), f"hugetlb.{entry['pageSize']}"
        if folder.has(f"{stem}.rsvd.max"):
            _put(folder, f"{stem}.rsvd.max", entry["limit"], PAGE)
        found.append({"pageSize": entry["pageSize"], "limit": _put(folder, f"{stem}.max", entry["limit"], PAGE)})
    return found


def network(find: Find, section: Section) -> Limits:
    if section.get("classID") or section.get("priorities"):
        raise HostNotCapable("cgroup v2 marks no network traffic", hint="leave linux.resources.network out")
    return {}


def unified(find: Find, section: dict[str, str]) -> Limits:
    """Files by name, as the configuration has them; each value is read back as the kernel writes it."""
    found = {}
    for name, value in section.items():
        if "/" in name or name.startswith((".", "cgroup.")) or "." not in name:
            raise InvalidArgument(f"{name!r} is no file of a cgroup v2 controller", hint="for example memory.high")
        folder, wanted = find(name.partition(".")[0]), str(value).split()
        got = put(folder, name, *(str(value).strip().split("\n") or [""]))
        if len(wanted) == 1 and len(got.split()) == 1 and wanted[0].isdigit() and got.isdigit():
            kept(folder, name, int(wanted[0]) // PAGE if name.startswith("memory.") else int(wanted[0]),
                 int(got) // PAGE if name.startswith("memory.") else int(got))  # fmt: skip
        found[name] = got
    return found


SECTIONS: Sections = {
    "memory": memory,
    "cpu": cpu,
    "pids": pids,
    "blockIO": block_io,
    "hugepageLimits": hugepages,
    "network": network,
    "rdma": rdma,
    "unified": unified,
}


def apply(find: Find, resources: Resources) -> Limits:
    """Every section that asks for something; `devices` is not for here."""
    return put_sections(SECTIONS, find, resources)
