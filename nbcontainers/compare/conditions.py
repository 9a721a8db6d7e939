"""Under what conditions a comparison was measured, and what of them makes it noisy."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nbcontainers.cgroups.layout import layout

Facts = dict[str, Any]

_BUSY, _STEAL, _PRESSURE, _LOAD = 0.10, 0.01, 0.05, 0.5
"""Of a host at rest: the part of its processors' time in use by others, or stolen; the part of the time in which somebody
waited for a processor; runnable tasks on average. Above these a comparison is marked."""
_LOOK_S = 0.5


def bare_metal() -> bool:
    """Whether this host is no guest itself, as far as anybody can tell: only then is it called so."""
    flags = _field("/proc/cpuinfo", "flags")
    if flags is None or "hypervisor" in flags.split():
        return False  # where processors have no such flag (not x86) it is left open
    return _first_pids() and not any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv", "/proc/xen")))


def _first_pids() -> bool:
    """Whether the numbers of processes here are the kernel's own: in a pod there is no file that says it is one. The first
    namespace of a kernel has a number of its own: PROC_PID_INIT_INO in include/linux/proc_ns.h."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == 0xEFFFFFFC
    except OSError:
        return False


def recorded() -> Facts:
    """What does not change during a comparison."""
    host = layout()
    flags = (_field("/proc/cpuinfo", "flags") or "").split()
    mitigated = _folder("/sys/devices/system/cpu/vulnerabilities")
    found: Facts = {
        "kernel": os.uname().release, "machine": os.uname().machine, "python": platform.python_version(),
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor(), "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "hypervisor": "hypervisor" in flags, "bare_metal": bare_metal(),
        "cgroups": "hybrid" if host.v1 and host.v2 else "v2" if host.v2 else "v1" if host.v1 else "none",
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "turbo": _turbo(),
        "mitigations": sorted(name for name, text in mitigated.items() if text.startswith("Mitigation")),
        "transparent_huge_pages": _chosen(_read("/sys/kernel/mm/transparent_hugepage/enabled")),
    }  # fmt: skip
    return {key: value for key, value in found.items() if value not in (None, "")}


class Counters(NamedTuple):
    """Of the whole host, since it was started: processor time in ticks, waiting in µs, pages swapped."""

    busy: int
    idle: int
    steal: int
    waited: int | None
    swapped: int
    throttled: int
    at: float


def counters() -> Counters:
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, _lines("/proc/stat")[0].split()[1:9])
    swaps = dict(line.split() for line in _lines("/proc/vmstat") if line.startswith("pswp"))
    throttled = _read("/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count")
    return Counters(
        user + nice + system + irq + softirq, idle + iowait, steal, _waited(),
        sum(map(int, swaps.values())), int(throttled or 0), time.monotonic(),
    )  # fmt: skip


def at_rest() -> Facts:
    """How busy the host is before anything is measured; takes half a second."""
    before = counters()
    time.sleep(_LOOK_S)
    now = counters()
    ticks = max(1, now.busy + now.idle + now.steal - before.busy - before.idle - before.steal)
    found: Facts = {
        "load": os.getloadavg()[0],
        "busy_part": (now.busy - before.busy) / ticks,
        "steal_part": (now.steal - before.steal) / ticks,
    }
    if now.waited is not None and before.waited is not None:
        found["pressure_part"] = (now.waited - before.waited) / 1e6 / (now.at - before.at)
    return found


def during(before: Counters, after: Counters) -> Facts:
    """What happened to the host while it was measured."""
    ticks = max(1, after.busy + after.idle + after.steal - before.busy - before.idle - before.steal)
    found = {
        "seconds": after.at - before.at,
        "busy_part": (after.busy - before.busy) / ticks,
        "steal_part": (after.steal - before.steal) / ticks,
        "swapped_pages": after.swapped - before.swapped,
        "thermal_throttles": after.throttled - before.throttled,
    }
    if after.waited is not None and before.waited is not None:
        found["pressure_part"] = (after.waited - before.waited) / 1e6 / max(1e-9, after.at - before.at)
    return found


def noise(rest: Mapping[str, Any], run: Mapping[str, Any], after: Mapping[str, Any] | None = None) -> list[str]:
    """What makes the figures doubtful, in words; nothing where all is quiet. `rest` and `after` are `at_rest` before and
    after it, `run` is `during`: there the workload is the one who is busy."""
    found = []
    for when, seen in (("before it began", rest), ("after it ended", after or {})):
        if seen.get("busy_part", 0) > _BUSY:
            found.append(f"other programs took {seen['busy_part']:.0%} of the processors {when}")
        if seen.get("pressure_part", 0) > _PRESSURE:
            found.append(f"somebody waited for a processor in {seen['pressure_part']:.0%} of the time {when}")
    if rest.get("load", 0) > _LOAD * (os.cpu_count() or 1):
        found.append(f"the load was {rest['load']:.1f} before it began")
    if max(rest.get("steal_part", 0), run.get("steal_part", 0)) > _STEAL:
        found.append(
            f"the hypervisor took {max(rest['steal_part'], run.get('steal_part', 0)):.1%} of the processors' time"
        )
    if run.get("swapped_pages"):
        found.append(f"{run['swapped_pages']} pages were swapped meanwhile")
    if run.get("thermal_throttles"):
        found.append("the processor was throttled by its temperature meanwhile")
    return found


def _waited() -> int | None:
    """Microseconds in which some task waited for a processor: pressure stall information."""
    for line in _lines("/proc/pressure/cpu"):
        if line.startswith("some"):
            return int(line.rpartition("=")[2])
    return None


def _turbo() -> bool | None:
    """Whether the processor may go above its usual frequency, where that is told."""
    off = _read("/sys/devices/system/cpu/intel_pstate/no_turbo")
    boost = _read("/sys/devices/system/cpu/cpufreq/boost")
    return off == "0" if off else boost == "1" if boost else None


def _chosen(text: str) -> str:
    """The word in brackets: `always [madvise] never`."""
    return text.partition("[")[2].partition("]")[0]


def _field(path: str, name: str) -> str | None:
    """The first value of a file of `name : value` lines."""
    for line in _lines(path):
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return None


def _folder(path: str) -> dict[str, str]:
    try:
        return {name: _read(f"{path}/{name}") for name in os.listdir(path)}
    except OSError:
        return {}


def _lines(path: str) -> list[str]:
    return _read(path).splitlines()


def _read(path: str) -> str:
    """What is in it; "" where there is none, or the kernel refuses (PSI that is compiled in and off)."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""
