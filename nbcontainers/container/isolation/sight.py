"""What a program in a container is told of the machine when it asks, beside what its cgroup lets it have.

It is measured: a process of the launcher enters the container's mount, UTS, cgroup and time namespaces and asks as
`nproc`, `free`, `uptime` and psutil do. The answers are the whole machine's, for none of these is namespaced.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nbcontainers.container.isolation.look import read
from nbcontainers.linux import libc, namespaces, process
from nbcontainers.table import Row, amount, duration

_PATIENCE_S = 3
_MEMINFO = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")


def measure(pid: int, start_time: int, inner: int) -> dict[str, Any]:
    """In a process of the launcher, which is thrown away. `inner` is the pid of the same process in its own namespace.

    Sizes are bytes, times seconds; what the container's /proc does not have is left out. Raises OSError, where a
    namespace may not be entered. Whatever the container has put below its /proc, this ends within seconds.
    """
    signal.alarm(_PATIENCE_S)
    target = process.pidfd_open(pid)
    if not process.alive(pid, start_time):
        raise ProcessLookupError(f"process {pid} has ended")
    affinity = len(os.sched_getaffinity(pid))
    for kind in ("time", "uts", "cgroup"):
        if not namespaces.same(pid, kind):
            namespaces.setns(target, namespaces.FLAGS[kind])
    with namespaces.inside_mounts(target):
        return {"nproc": affinity, **_inside(inner)}


def _inside(pid: int) -> dict[str, Any]:
    """Nothing may be imported here: it would be the container's."""
    found: dict[str, Any] = {"cpu_count": os.cpu_count(), **_sysinfo()}
    for key, path, parse in _QUESTIONS:
        try:
            found[key] = parse(read(path))
        except (OSError, ValueError, IndexError):
            continue
    try:
        found["cgroup"] = read(f"/proc/{pid}/cgroup")
    except OSError:
        pass
    disk = os.statvfs("/")
    return {**found, "disk_total": disk.f_blocks * disk.f_frsize, "disk_free": disk.f_bavail * disk.f_frsize}


def _sysinfo() -> dict[str, int]:
    """sysinfo(2) on 64 bits: uptime, three loads, total, free, shared and buffer memory, swap twice, processes, unit."""
    answer = ctypes.create_string_buffer(128)
    libc.check(libc.sysinfo(ctypes.addressof(answer)), "sysinfo")
    fields = struct.unpack_from("q3Q6QH6x2QI", answer.raw)
    return {"sysinfo_memory": fields[4] * fields[13], "sysinfo_swap": fields[8] * fields[13]}


def _meminfo(text: str) -> dict[str, int]:
    lines = (line.split() for line in text.splitlines())
    return {words[0][:-1]: int(words[1]) * 1024 for words in lines if words and words[0][:-1] in _MEMINFO}


_QUESTIONS = (
    ("meminfo", "/proc/meminfo", _meminfo),
    ("cpuinfo", "/proc/cpuinfo", lambda text: sum(line.startswith("processor") for line in text.splitlines())),
    ("uptime", "/proc/uptime", lambda text: float(text.split()[0])),
    ("load", "/proc/loadavg", lambda text: float(text.split()[0])),
    ("threads_max", "/proc/sys/kernel/threads-max", int),
)


class Truth(NamedTuple):
    """What the cgroup allows, the least of it and all above it; None for no limit. `files` says where each is from."""

    cpus: float | None
    memory: int | None
    swap: int | None
    pids: int | None
    memory_used: int | None
    files: Mapping[str, str]


def rows(seen: Mapping[str, Any], truth: Truth, elapsed: float | None) -> list[Row]:
    """Rows: what, asked (how), sees and allowed (numbers: processors, bytes, seconds), `shown` and `really` in words,
    file (which says so) and fits (whether both agree; None where there is nothing to compare)."""
    memory = seen.get("meminfo") or {}
    found = [
        *_compared("processors", (("nproc", "nproc"), ("os.cpu_count()", "cpu_count"), ("/proc/cpuinfo", "cpuinfo")), seen,
                   (truth.cpus, truth.files.get("cpus", "")), _cpus),
        *_compared("memory", (("free, psutil", "MemTotal"),), memory, (truth.memory, truth.files.get("memory", "")), _size),
        *_compared("memory", (("sysinfo(2)", "sysinfo_memory"),), seen, (truth.memory, truth.files.get("memory", "")),
                   _size),
        *_compared("free memory", (("free, psutil", "MemAvailable"),), memory, (_left(truth), truth.files.get("memory", "")),
                   _size),
        *_compared("swap", (("free", "SwapTotal"),), memory, (truth.swap, truth.files.get("swap", "")), _size),
        *_compared("processes", (("threads-max", "threads_max"),), seen, (truth.pids, truth.files.get("pids", "")), str),
        *_compared("disk", (("df /", "disk_total"),), seen, (None, ""), _size),
        *_compared("load", (("uptime", "load"),), seen, (None, ""), str),
    ]  # fmt: skip
    if "uptime" in seen and elapsed is not None:
        found.append(
            _row("up for", "uptime", (seen["uptime"], elapsed), (duration(seen["uptime"]), duration(elapsed)), "")
        )
    return found


def _left(truth: Truth) -> int | None:
    if truth.memory is None or truth.memory_used is None:
        return None
    return max(0, truth.memory - truth.memory_used)


def _compared(what: str, asked: Iterable[tuple[str, str]], seen: Mapping[str, Any], allowed: tuple[Any, str], words: Any) -> list[Row]:  # fmt: skip
    limit, file = allowed
    really = "no limit" if limit is None else words(limit)
    return [
        _row(what, how, (seen[key], limit), (words(seen[key]), really), file)
        for how, key in asked if seen.get(key) is not None
    ]  # fmt: skip


def _row(what: str, how: str, numbers: tuple[Any, Any], words: tuple[str, str], file: str) -> Row:
    sees, allowed = numbers
    fits = None if allowed is None else sees <= allowed
    return {
        "what": what, "asked": how, "sees": float(sees), "allowed": None if allowed is None else float(allowed),
        "shown": words[0], "really": words[1], "file": file, "fits": fits,
    }  # fmt: skip


def _cpus(number: float) -> str:
    return f"{number:g}"


def _size(number: float) -> str:
    return amount(number)
