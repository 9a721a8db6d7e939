"""Facts of a target."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from nbcontainers.compare.inside.step import Absent, file_system, numpy_, scratch


def about() -> dict[str, str]:
    """Which Python, which libraries, how many processors, which BLAS for which processor."""
    found = {"python": sys.version.split()[0], "kernel": os.uname().release, "processors": str(os.cpu_count())}
    if hasattr(os, "sched_getaffinity"):
        found["allowed processors"] = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    found |= {"scratch": file_system(scratch()), "memory limit": _memory_limit(), "cpu limit": _cpu_limit()}
    try:
        numpy = numpy_()
        a = numpy.ones((2, 2))
        a @ a
        found |= {"numpy": numpy.__version__, "blas": _blas(numpy)}
    except Absent as absent:
        found["numpy"] = str(absent)
    return found


def _memory_limit() -> str:
    """As the kernel has it: cgroups(7), whichever version limits memory here."""
    said = _limit("memory", "memory.limit_in_bytes") or _limit("", "memory.max")
    if said.isdecimal() and int(said) < 1 << 60:
        return f"{int(said) >> 20} MiB"
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return f"none; the machine has {total} MiB"


def _cpu_limit() -> str:
    """Processors, of the quota in a period."""
    both = _limit("", "cpu.max").split()
    quota, period = both or (_limit("cpu", "cpu.cfs_quota_us"), _limit("cpu", "cpu.cfs_period_us"))
    return f"{int(quota) / int(period):g}" if quota.isdecimal() and period.isdecimal() else "none"


def _limit(controller: str, name: str) -> str:
    """What a file of our cgroup says; "" where there is none. In a cgroup namespace ours is the mount's top."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return ""
    for _, controllers, path in lines:
        if controller in controllers.split(","):
            top = Path("/sys/fs/cgroup", controller)
            for place in (top / path.lstrip("/") / name, top / name):
                if place.exists():
                    return place.read_text().strip()
    return ""


def _blas(numpy: Any) -> str:
    """Its name and version, and the processor it chose its code for: openblas_get_corename."""
    import ctypes

    said = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    words = f"{said.get('name')} {said.get('version')}"
    paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "blas" in line.lower()}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        for name in ("openblas_get_corename", "scipy_openblas_get_corename64_", "openblas_get_corename64_"):
            if hasattr(library, name):
                corename = getattr(library, name)
                corename.restype = ctypes.c_char_p
                return f"{words} for {corename().decode()}"
    return words
