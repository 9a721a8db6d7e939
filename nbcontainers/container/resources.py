"""Limits: the options of `run` as the runtime-spec's `linux.resources` and `process.rlimits`."""

from __future__ import annotations

import os
from typing import Any

from nbcontainers.container import defaults, parse
from nbcontainers.container.host import Host
from nbcontainers.container.options import RunOptions, bad, value, values
from nbcontainers.errors import HostNotCapable

_THROTTLES = {
    "device_read_bps": ("throttleReadBpsDevice", parse.bytes_a_second),
    "device_write_bps": ("throttleWriteBpsDevice", parse.bytes_a_second),
    "device_read_iops": ("throttleReadIOPSDevice", parse.operations_a_second),
    "device_write_iops": ("throttleWriteIOPSDevice", parse.operations_a_second),
}


def resources(options: RunOptions, host: Host) -> dict[str, Any]:
    """`linux.resources` without the device rules. Only what was asked for, and the limit of processes."""
    found = {"pids": {"limit": defaults.PIDS_LIMIT}} if host.limits_processes else {}
    return {**found, **asked(options, host)}


def asked(options: RunOptions, host: Host) -> dict[str, Any]:
    """Only what was asked for."""
    limit = value(options, "pids_limit", parse.pids)
    found: dict[str, Any] = {} if limit is None else {"pids": {"limit": limit}}
    for key, part in (
        ("memory", _memory(options, host)),
        ("cpu", _cpu(options, host)),
        ("blockIO", _block(options, host)),
    ):
        if part:
            found[key] = part
    return found


def _memory(options: RunOptions, host: Host) -> dict[str, Any]:
    """memory(7) words of the runtime-spec: `swap` is memory and swap together, by default twice the memory."""
    limit = value(options, "memory", parse.memory)
    swap = value(options, "memory_swap", parse.swap)
    reservation = value(options, "memory_reservation", parse.memory)
    found: dict[str, Any] = {}
    if limit is not None:
        found["limit"] = limit
    if swap is not None:
        found["swap"] = _total(limit, swap)
    elif limit is not None and host.swap:
        found["swap"] = 2 * limit
    if reservation is not None:
        if limit is not None and reservation > limit:
            raise bad(
                "memory_reservation", f"{reservation} is above the limit of {limit} bytes; write at most --memory"
            )
        found["reservation"] = reservation
    if (swappiness := value(options, "memory_swappiness", parse.percentage)) is not None:
        found["swappiness"] = swappiness
    if options.get("oom_kill_disable"):
        if limit is None:
            raise bad("oom_kill_disable", "without a memory limit the whole host would hang; write -m 512m too")
        found["disableOOMKiller"] = True
    return found


def _total(limit: int | None, swap: int) -> int:
    if limit is None:
        raise bad("memory_swap", "it needs a memory limit too; write -m 512m --memory-swap 1g")
    if 0 <= swap < limit:
        raise bad(
            "memory_swap", f"{swap} is below the memory limit of {limit} bytes; it counts memory and swap together"
        )
    return swap


def _cpu(options: RunOptions, host: Host) -> dict[str, Any]:
    found = _quota(options)
    if (count := value(options, "cpus", parse.cpus)) is not None:
        if count > host.processors:
            raise bad("cpus", f"this host has {host.processors} processors; write 0.01 to {host.processors}")
        found["period"] = defaults.CPU_PERIOD
        found["quota"] = max(1000, round(count * defaults.CPU_PERIOD))
    if (shares := value(options, "cpu_shares", parse.shares)) is not None:
        found["shares"] = shares
    if (cpus := value(options, "cpuset_cpus", parse.cpu_list)) is not None:
        found["cpus"] = _online(cpus, host.processors)
    if (mems := value(options, "cpuset_mems", parse.cpu_list)) is not None:
        found["mems"] = mems
    return found


def _quota(options: RunOptions) -> dict[str, Any]:
    """--cpu-period and --cpu-quota, which say the same as --cpus."""
    given = [name for name in ("cpu_period", "cpu_quota") if options.get(name) is not None]
    if given and options.get("cpus") is not None:
        raise bad(given[0], "--cpus says the same in other words; leave one of the two out")
    found: dict[str, Any] = {}
    if (period := value(options, "cpu_period", parse.cpu_period)) is not None:
        found["period"] = period
    if (quota := value(options, "cpu_quota", parse.cpu_quota)) is not None:
        found["quota"] = quota
    return found


def _online(cpus: str, processors: int) -> str:
    if max(int(part.rpartition("-")[2]) for part in cpus.split(",")) >= processors:
        raise bad("cpuset_cpus", f"{cpus!r}: this host's processors are 0 to {processors - 1}; write --cpuset-cpus 0")
    return cpus


def _block(options: RunOptions, host: Host) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if (weight := value(options, "blkio_weight", parse.block_weight)) is not None:
        found["weight"] = weight
    for name, (key, parser) in _THROTTLES.items():
        for device, rate in values(options, name, parser):
            node = host.node(device)
            if node is None or node.kind != "b":
                raise bad(name, f"{device} is no block device of this host; lsblk shows them")
            found.setdefault(key, []).append({"major": node.major, "minor": node.minor, "rate": rate})
    return found


def rlimits(options: RunOptions, host: Host) -> list[dict[str, Any]]:
    """`process.rlimits`: Podman's number of open files as far as the host allows, no core files, and what was asked."""
    files = defaults.OPEN_FILES if host.open_files < 0 else min(defaults.OPEN_FILES, host.open_files)
    limits = {"RLIMIT_NOFILE": (files, files), "RLIMIT_CORE": (0, host.hard_limit("RLIMIT_CORE"))}
    for asked in values(options, "ulimit", parse.ulimit):
        _allowed(asked, host)
        limits[asked.type] = (asked.soft, asked.hard)
    return [{"type": kind, "soft": _u64(soft), "hard": _u64(hard)} for kind, (soft, hard) in sorted(limits.items())]


def _allowed(asked: parse.Ulimit, host: Host) -> None:
    """Nobody without CAP_SYS_RESOURCE gets above their own hard limit: setrlimit(2)."""
    hard = host.hard_limit(asked.type)
    if host.raises_limits or hard < 0 or 0 <= asked.hard <= hard:
        return
    name = asked.type.removeprefix("RLIMIT_").lower()
    wanted = "unlimited" if asked.hard < 0 else asked.hard
    raise HostNotCapable(
        f"--ulimit {name}={wanted}: our own hard limit is {hard}, and raising it needs CAP_SYS_RESOURCE",
        hint=f"type --ulimit {name}={hard}, or raise the limit of the notebook server first (ulimit, limits.conf)",
        option="ulimit",
    )


def _u64(limit: int) -> int:
    """Unlimited is all ones in the runtime-spec, as in the kernel."""
    return 2**64 - 1 if limit < 0 else limit


def devices(options: RunOptions, host: Host) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(`linux.devices`, `linux.resources.devices`): nodes to make and the device cgroup's rules."""
    if options.get("privileged"):
        nodes = [_node(path, path, host) for path in host.devices()]
        return nodes, [{"allow": True, "access": "rwm"}]
    nodes, rules = [], defaults.device_rules()
    for asked in values(options, "device", parse.device):
        for source, target in _expand(asked, host):
            node = _node(source, target, host)
            nodes.append(node)
            numbers = {"major": node["major"], "minor": node["minor"]}
            rules.append({"allow": True, "type": node["type"], **numbers, "access": asked.access})
    return nodes, rules + values(options, "device_cgroup_rule", parse.device_rule)


def _expand(asked: parse.Device, host: Host) -> list[tuple[str, str]]:
    """A folder such as /dev/snd stands for every node in it."""
    if os.path.isdir(asked.source):
        names = sorted(name for name in os.listdir(asked.source) if host.node(f"{asked.source}/{name}"))
        return [(f"{asked.source}/{name}", f"{asked.target}/{name}") for name in names]
    return [(asked.source, asked.target)]


def _node(source: str, target: str, host: Host) -> dict[str, Any]:
    node = host.node(source)
    if node is None:
        exists = "is no device" if host.exists(source) else "does not exist on this host"
        raise bad("device", f"{source} {exists}; ls -l /dev shows them")
    return {"path": target, "type": node.kind, "major": node.major, "minor": node.minor, "fileMode": node.mode,
            "uid": node.uid, "gid": node.gid}  # fmt: skip
