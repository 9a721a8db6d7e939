"""The cgroup of a container: its path in every hierarchy, each limit's file, and the value read back from it now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from nbcontainers.cgroups import limits as kernel
from nbcontainers.cgroups.layout import Layout, folders, layout
from nbcontainers.container.isolation.sight import Truth
from nbcontainers.table import Row, amount

_LONGEST = 2000


class File(NamedTuple):
    """A kernel file that limits: by what words its value is said, and the file that says what is in use."""

    name: str
    words: Callable[[str], str]
    used: str = ""


def _size(text: str) -> str:
    number = kernel.parse(text)
    return "no limit" if number < 0 else amount(number)


def _count(text: str) -> str:
    return "no limit" if text in ("max", "-1") else text


def _protected(text: str) -> str:
    return "nothing protected" if text == "0" else f"{_size(text)} protected"


def _quota(text: str) -> str:
    """cpu.max of v2: `QUOTA PERIOD`."""
    quota, period = text.split()
    if quota == "max":
        return "no limit"
    return f"{int(quota) / int(period):g} CPUs: {int(quota) / 1000:g} ms of every {int(period) / 1000:g} ms"


def _microseconds(text: str) -> str:
    return "no limit" if text.startswith("-") else f"{int(text) / 1000:g} ms"


def _weight(text: str) -> str:
    return f"weight {text}"


def _lines(text: str) -> str:
    count = len(text.splitlines())
    return "nothing set" if not count else text if count == 1 else f"{count} lines"


def _list(text: str) -> str:
    return text or "as above it"


_V2 = {
    "memory": (File("memory.max", _size, "memory.current"), File("memory.high", _size), File("memory.low", _protected),
               File("memory.min", _protected), File("memory.swap.max", _size, "memory.swap.current")),
    "cpu": (File("cpu.max", _quota), File("cpu.max.burst", _microseconds), File("cpu.weight", _weight),
            File("cpu.idle", _count)),
    "cpuset": (File("cpuset.cpus", _list), File("cpuset.cpus.effective", _list), File("cpuset.mems", _list),
               File("cpuset.mems.effective", _list)),
    "pids": (File("pids.max", _count, "pids.current"),),
    "io": (File("io.max", _lines), File("io.weight", _lines), File("io.bfq.weight", _lines)),
    "rdma": (File("rdma.max", _lines),),
    "misc": (File("misc.max", _lines),),
}  # fmt: skip
_V1 = {
    "memory": (File("memory.limit_in_bytes", _size, "memory.usage_in_bytes"),
               File("memory.memsw.limit_in_bytes", _size, "memory.memsw.usage_in_bytes"),
               File("memory.soft_limit_in_bytes", _size), File("memory.swappiness", str)),
    "cpu": (File("cpu.cfs_quota_us", _microseconds), File("cpu.cfs_period_us", _microseconds),
            File("cpu.cfs_burst_us", _microseconds), File("cpu.shares", _weight), File("cpu.idle", _count)),
    "cpuset": (File("cpuset.cpus", _list), File("cpuset.mems", _list)),
    "pids": (File("pids.max", _count, "pids.current"),),
    "blkio": (*(File(f"blkio.throttle.{way}_{what}_device", _lines) for what in ("bps", "iops")
                for way in ("read", "write")), File("blkio.bfq.weight", str)),
    "devices": (File("devices.list", _lines),),
    "freezer": (File("freezer.state", str.lower),),
}  # fmt: skip


def rows(membership: str) -> list[Row]:
    """Rows: controller, path (of the folder), file, value (as it is there), words, used (bytes or a number, or None) and
    used_words.

    `membership` is the text of /proc/PID/cgroup. A hierarchy whose folder has none of the files gives one row with
    file None: there nothing limits it.
    """
    found: list[Row] = []
    host = layout()
    for name, path in sorted(folders(membership, host).items()):
        known = _V1.get(name, ()) if name else tuple(file for several in _V2.values() for file in several)
        if not known and name:
            continue
        files = [row for file in known if (row := _row(name, path, file))]
        label = name or ("cgroup v2" if not host.v1 else "v2 beside v1")
        found += files or [{"controller": label, "path": path, "file": None, "value": None, "words": "no limits here",
                            "used": None, "used_words": ""}]  # fmt: skip
    return found


def _row(controller: str, path: str, file: File) -> Row | None:
    value = _read(f"{path}/{file.name}")
    if value is None:
        return None
    try:
        words = file.words(value)
    except (ValueError, IndexError, ZeroDivisionError):
        words = value
    found = _read(f"{path}/{file.used}") if file.used else None
    used = int(found) if found and found.isdecimal() else None
    said = "" if used is None else amount(used) if file.used.startswith("memory") else str(used)
    return {
        "controller": controller or file.name.partition(".")[0], "path": path, "file": file.name,
        "value": value[:_LONGEST], "words": words, "used": used, "used_words": said,
    }  # fmt: skip


def truth(membership: str) -> Truth:
    """The least that a container's cgroup and those above it allow. v1 counts memory and swap together."""
    host, found, files = layout(), dict[str, Any](), dict[str, str]()
    for name, path in folders(membership, host).items():
        for key, number, file in _allowed(name, path, host):
            if number is not None and (found.get(key) is None or number < found[key]):
                found[key], files[key] = number, file
        used = _read(f"{path}/{'memory.usage_in_bytes' if name == 'memory' else 'memory.current'}")
        if used and name in ("memory", ""):
            found.setdefault("used", int(used))
    return Truth(found.get("cpus"), found.get("memory"), found.get("swap"), found.get("pids"), found.get("used"), files)


def _allowed(name: str, path: str, host: Layout) -> Iterator[tuple[str, float | None, str]]:
    """(key of Truth, limit or None, file) of a cgroup and of each above it, its root left out."""
    hierarchy = host.v1[name] if name else host.v2
    top = hierarchy.mount if hierarchy else path
    while path.startswith(f"{top}/"):
        for key, file, number in _LIMITS.get(name, ()):
            if (text := _read(f"{path}/{file}")) is not None:
                yield key, number(text, path), f"{path}/{file}"
        path = os.path.dirname(path)


def _bounded(text: str, path: str) -> int | None:
    number = kernel.parse(text)
    return None if number < 0 else number


def _quota_v1(text: str, path: str) -> float | None:
    period = _read(f"{path}/cpu.cfs_period_us")
    return int(text) / int(period) if period and int(text) > 0 else None


def _quota_v2(text: str, path: str) -> float | None:
    quota, period = text.split()
    return None if quota == "max" else int(quota) / int(period)


def _processors(text: str, path: str) -> int | None:
    """How many a list as `0-3,6` names."""
    ends = [part.partition("-") for part in text.split(",") if part]
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends) or None


_Number = Callable[[str, str], float | None]
_LIMITS: dict[str, tuple[tuple[str, str, _Number], ...]] = {
    "memory": (("memory", "memory.limit_in_bytes", _bounded), ("swap", "memory.memsw.limit_in_bytes", _bounded)),
    "cpu": (("cpus", "cpu.cfs_quota_us", _quota_v1),),
    "cpuset": (("cpus", "cpuset.cpus", _processors),),
    "pids": (("pids", "pids.max", _bounded),),
    "": (
        ("memory", "memory.max", _bounded), ("swap", "memory.swap.max", _bounded), ("cpus", "cpu.max", _quota_v2),
        ("cpus", "cpuset.cpus.effective", _processors), ("pids", "pids.max", _bounded),
    ),
}  # fmt: skip


def recorded(found: dict[str, Any]) -> list[Row]:
    """The same rows of what a record has kept (`linux.resources` of the runtime-spec): without files."""
    rows = []
    for controller, section in found.items():
        for key, value in section.items() if isinstance(section, dict) else ():
            words = amount(value) if controller == "memory" and isinstance(value, int) and value > 0 else str(value)
            if key != "devices":
                rows.append({"controller": controller, "path": None, "file": key, "value": str(value)[:_LONGEST],
                             "words": words, "used": None, "used_words": ""})  # fmt: skip
    return rows


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
