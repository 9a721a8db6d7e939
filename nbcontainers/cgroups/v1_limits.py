"""`linux.resources` written to the files of cgroup v1: cgroup-v1/*.rst, one function a section."""

from __future__ import annotations

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
    check_shares,
    check_swap_file,
    check_unused,
    device,
    get,
    given,
    kept,
    parse,
    put,
    put_list,
    put_number,
    put_sections,
    require_bfq,
)
from nbcontainers.errors import HostNotCapable, InvalidArgument

Section = dict[str, Any]


def memory(find: Find, section: Section) -> Limits:
    """cgroup-v1/memory.rst. `swap` is memory and swap together, as memory.memsw.limit_in_bytes is."""
    limit, swap = check_memory(section)
    folder = find("memory")
    check_unused(folder, "memory.usage_in_bytes", section, limit)
    found = _memory_and_swap(folder, limit, swap)
    if reservation := given(section, "reservation"):
        found["reservation"] = put_number(folder, "memory.soft_limit_in_bytes", reservation, unit=PAGE)
    if (swappiness := section.get("swappiness")) is not None:
        found["swappiness"] = put_number(folder, "memory.swappiness", int(swappiness))
    for key, name in (("kernel", "memory.kmem.limit_in_bytes"), ("kernelTCP", "memory.kmem.tcp.limit_in_bytes")):
        if value := given(section, key):
            found[key] = put_number(folder, name, value, unit=PAGE)
    if section.get("disableOOMKiller"):
        kept(folder, "memory.oom_control", True, "oom_kill_disable 1" in put(folder, "memory.oom_control", "1"))
        found["disableOOMKiller"] = True
    return found


def _memory_and_swap(folder: Folder, limit: int | None, swap: int | None) -> Limits:
    """The kernel holds limit <= memory + swap at every moment: raise the sum first, lower it last."""
    files = [("limit", "memory.limit_in_bytes", limit)]
    if swap is not None and check_swap_file(folder, "memory.memsw.limit_in_bytes", swap):
        now = get(folder, "memory.memsw.limit_in_bytes")
        raising = now is not None and now >= 0 and (swap < 0 or swap > now)
        files.insert(0 if raising or swap < 0 else 1, ("swap", "memory.memsw.limit_in_bytes", swap))
    return {key: put_number(folder, name, value, unit=PAGE) for key, name, value in files if value is not None}


def cpu(find: Find, section: Section) -> Limits:
    """scheduler/sched-design-CFS.rst, sched-bwc.rst, sched-rt-group.rst, and cgroup-v1/cpusets.rst."""
    found: Limits = {}
    if shares := given(section, "shares"):
        found["shares"] = put_number(find("cpu"), "cpu.shares", check_shares(shares))
    found |= _bandwidth(find, section)
    if (idle := section.get("idle")) is not None:
        found["idle"] = put_number(find("cpu"), "cpu.idle", int(idle))
    for key, name in (("realtimePeriod", "cpu.rt_period_us"), ("realtimeRuntime", "cpu.rt_runtime_us")):
        if value := given(section, key):
            found[key] = put_number(find("cpu"), name, value)
    for key in ("cpus", "mems"):
        if section.get(key):
            folder = find("cpuset")
            there = folder.parent.read(f"cpuset.{key}")
            found[key] = put_list(folder, f"cpuset.{key}", section[key], there)
    return found


def _bandwidth(find: Find, section: Section) -> Limits:
    wanted = {key: value for key in ("period", "quota", "burst") if (value := given(section, key)) is not None}
    if not wanted:
        return {}
    check_quota(wanted.get("quota"), wanted.get("period"))
    folder = find("cpu")
    try:
        found = _put_bandwidth(folder, wanted)
    except InvalidArgument:  # a smaller quota below the old burst, or a period whose share is above the parent's
        if get(folder, "cpu.cfs_burst_us"):
            put_number(folder, "cpu.cfs_burst_us", 0)
        order = ("quota", "period", "burst")
        found = _put_bandwidth(folder, {key: wanted[key] for key in order if key in wanted})
    if "quota" in found and "period" not in found:
        found["period"] = parse(folder.read("cpu.cfs_period_us"))
    return found


def _put_bandwidth(folder: Folder, wanted: dict[str, int]) -> Limits:
    return {key: put_number(folder, f"cpu.cfs_{key}_us", value) for key, value in wanted.items()}


def pids(find: Find, section: Section) -> Limits:
    """cgroup-v1/pids.rst; 0 and below is no limit."""
    limit = section.get("limit")
    if limit is None:
        return {}
    return {"limit": put_number(find("pids"), "pids.max", limit if limit > 0 else -1, unlimited="max")}


_THROTTLE = {
    "throttleReadBpsDevice": "blkio.throttle.read_bps_device",
    "throttleWriteBpsDevice": "blkio.throttle.write_bps_device",
    "throttleReadIOPSDevice": "blkio.throttle.read_iops_device",
    "throttleWriteIOPSDevice": "blkio.throttle.write_iops_device",
}


def block_io(find: Find, section: Section) -> Limits:
    """cgroup-v1/blkio-controller.rst. v1 throttles direct I/O and reads; buffered writes are not the writer's there."""
    found: Limits = {}
    if value := given(section, "weight"):
        found["weight"] = _weight(find("blkio"), check_io_weight(value))
    if section.get("leafWeight"):
        found["leafWeight"] = put_number(find("blkio"), "blkio.leaf_weight", section["leafWeight"])
    for entry in section.get("weightDevice") or []:
        folder = find("blkio")
        name = next((name for name in _WEIGHTS if folder.has(f"{name}_device")), _WEIGHTS[0])
        found.setdefault("weightDevice", []).append(_per_device(folder, f"{name}_device", entry, "weight"))
    for key, name in _THROTTLE.items():
        if entries := section.get(key):
            found[key] = [_per_device(find("blkio"), name, entry, "rate") for entry in entries]
    return found


_WEIGHTS = ("blkio.bfq.weight", "blkio.weight")


def _weight(folder: Folder, value: int) -> int:
    name = next((name for name in _WEIGHTS if folder.has(name)), None)
    if name is None:
        raise HostNotCapable("this kernel shares disks by no weight", hint="limit with --device-read-bps instead")
    if "bfq" in name:
        require_bfq()
    text = put(folder, name, str(value))
    kept(folder, name, value, int(text.split()[-1]))
    return value


def _per_device(folder: Folder, name: str, entry: Section, key: str) -> Section:
    """Files of lines `MAJOR:MINOR VALUE`; 0 takes the line away."""
    value = int(entry[key])
    text = put(folder, name, f"{device(entry)} {value}")
    lines = dict(line.split()[:2] for line in text.splitlines() if line)
    kept(folder, f"{name} of {device(entry)}", value, int(lines.get(device(entry), 0)))
    return {"major": entry["major"], "minor": entry["minor"], key: value}


def hugepages(find: Find, section: list[Section]) -> list[Section]:
    """cgroup-v1/hugetlb.rst; the reservation is limited too, where the kernel has it (Linux 5.7)."""
    found = []
    for entry in section:
        folder, stem = find("hugetlb"), f"hugetlb.{entry['pageSize']}"
        if folder.has(f"{stem}.rsvd.limit_in_bytes"):
            put_number(folder, f"{stem}.rsvd.limit_in_bytes", entry["limit"], unit=PAGE)
        got = put_number(folder, f"{stem}.limit_in_bytes", entry["limit"], unit=PAGE)
        found.append({"pageSize": entry["pageSize"], "limit": got})
    return found


def network(find: Find, section: Section) -> Limits:
    """cgroup-v1/net_cls.rst, net_prio.rst."""
    found: Limits = {}
    if value := given(section, "classID"):
        found["classID"] = put_number(find("net_cls"), "net_cls.classid", value)
    for entry in section.get("priorities") or []:
        text = put(find("net_prio"), "net_prio.ifpriomap", f"{entry['name']} {entry['priority']}")
        kept(find("net_prio"), "net_prio.ifpriomap", True, f"{entry['name']} {entry['priority']}" in text.splitlines())
        found.setdefault("priorities", []).append(entry)
    return found


def rdma(find: Find, section: dict[str, Section]) -> Limits:
    """cgroup-v1/rdma.rst; the file is the same in v2."""
    for name, entry in section.items():
        words = [
            f"{file}={entry[key]}"
            for key, file in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object"))
            if key in entry
        ]
        text = put(find("rdma"), "rdma.max", " ".join([name, *words]))
        kept(find("rdma"), "rdma.max", True, any(set(line.split()) >= {name, *words} for line in text.splitlines()))
    return dict(section)


SECTIONS: Sections = {
    "memory": memory,
    "cpu": cpu,
    "pids": pids,
    "blockIO": block_io,
    "hugepageLimits": hugepages,
    "network": network,
    "rdma": rdma,
}


def apply(find: Find, resources: Resources) -> Limits:
    """Every section that asks for something; `devices` and `unified` are not for here."""
    return put_sections(SECTIONS, find, resources)
