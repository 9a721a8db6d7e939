"""What all axes use.

A target has nothing of this package: the files an axis needs are joined into one source for `python3 -c`
(nbcontainers.compare.workload), which all begin with this one and end with main.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

clock = time.perf_counter
MIB = 1 << 20
BUDGET_S, SLOW_S = 0.04, 0.2


FACTS: dict[str, str] = {}
"""What is to be said besides."""


class Absent(Exception):
    """Why an axis cannot be measured on this target."""


def per(step: Callable[[], object], least: int = 3) -> float:
    """Seconds a step takes: one to warm up, then as many as fit into BUDGET_S; where one takes SLOW_S, no more than that."""
    begun = clock()
    step()
    least = least if clock() - begun < SLOW_S else 1
    begun, count = clock(), 0
    while clock() - begun < BUDGET_S or count < least:
        step()
        count += 1
    return (clock() - begun) / count


def beyond(step: Callable[[], object], empty: Callable[[], object]) -> float:
    """Seconds a step takes longer than one that has the same loop and does not do what is measured: the median of pairs,
    so that both see the same machine."""
    step(), empty()
    found: list[float] = []
    begun = clock()
    while clock() - begun < 2 * BUDGET_S or len(found) < 3:
        times = [clock()]
        for one in (step, empty):
            one()
            times.append(clock())
        found.append(times[1] - times[0] - (times[2] - times[1]))
    if (took := sorted(found)[len(found) // 2]) <= 0:
        raise Absent("it cannot be told from the time of Python's loop here")
    return took


def numpy_() -> Any:
    try:
        import numpy
    except ImportError:
        raise Absent("Python here has no numpy") from None
    return numpy


def scratch() -> Path:
    return Path(os.environ.get("NBC_SCRATCH", "/tmp"))


def volume() -> Path:
    folder = os.environ.get("NBC_VOLUME", "")
    if not os.path.isdir(folder):
        raise Absent("this target shares no folder with the host")
    return Path(folder)


def kept(folder: Path) -> Path:
    """The folder, if what is synced in it is on a disk: else the fastest of all would be the one that does nothing."""
    kind, own = file_system(folder), folder == scratch()
    why = os.environ.get("NBC_UNSYNCED", "") if own else ""
    if kind.endswith("volatile"):
        why = "its root is a volatile overlay, where fsync does nothing"
    elif kind in ("tmpfs", "ramfs"):
        why = "it is in memory, where fsync does nothing"
    if why:
        raise Absent(f"{why}; volume_write_sync is to be compared" if own else why)
    return folder


def file_system(folder: Path) -> str:
    """Its type, and whether it keeps the promise of fsync (overlayfs.rst, Volatile mount)."""
    mounts = [line.split()[1:4] for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [mount for mount in mounts if folder.is_relative_to(mount[0])]
    _, kind, options = max(above, key=lambda mount: len(mount[0]), default=("", "unknown", ""))
    return f"{kind}, volatile" if {"volatile", "fsync=volatile"} & {*options.split(",")} else kind
