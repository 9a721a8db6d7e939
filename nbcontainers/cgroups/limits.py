"""Writing one limit and reading it back, and the arithmetic that v1 and v2 share."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from nbcontainers.cgroups.cgroup import MEMORY_MINIMUM, Limits, Resources
from nbcontainers.cgroups.folder import Folder
from nbcontainers.errors import Error, HostNotCapable, InvalidArgument

#: Gives the folder of a controller, or raises HostNotCapable saying how to get it.
Find = Callable[[str], Folder]
#: By section of `linux.resources` the function that puts it in force and returns its limits, read back.
Sections = Mapping[str, Callable[[Find, Any], Any]]

PAGE = os.sysconf("SC_PAGESIZE")
#: v1 says PAGE_COUNTER_MAX for "no limit", 9223372036854771712 with pages of 4 KiB.
V1_UNLIMITED = (1 << 63) // PAGE * PAGE - PAGE
SHARES = (2, 262144)

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def refused(error: OSError, file: str, value: object, hint: str = "") -> Error:
    """The error of a limit the kernel did not take; it tells a host that cannot from a value that cannot be."""
    if error.errno == errno.ENOENT:
        name = os.path.basename(file)
        return HostNotCapable(f"this kernel has no {name} ({file})", hint=hint, errno=error.errno, path=file)
    if error.errno in _FORBIDDEN:
        return HostNotCapable(f"may not write {file}: {error.strerror}", hint=hint, errno=error.errno, path=file)
    reasons = {errno.EBUSY: "less than what is in use", errno.ENODEV: "no such device", errno.ENOSPC: "no room for it"}
    reason = reasons.get(error.errno or 0, error.strerror)
    return InvalidArgument(f"the kernel refuses {value!r} for {file}: {reason}", errno=error.errno, path=file)


def put(folder: Folder, name: str, *values: str, hint: str = "") -> str:
    """Write, then return what the file says now. Raises HostNotCapable, InvalidArgument."""
    try:
        folder.write(name, *values)
        return folder.read(name)
    except OSError as error:
        raise refused(error, f"{folder.path}/{name}", values[-1], hint) from error


def get(folder: Folder, name: str) -> int | None:
    """The number in a file, -1 for none set, None where there is no such file."""
    try:
        return parse(folder.read(name))
    except FileNotFoundError:
        return None


def parse(text: str) -> int:
    if text == "max":
        return -1
    value = int(text)
    return -1 if value >= V1_UNLIMITED else value


def put_number(folder: Folder, name: str, value: int, *, unlimited: str = "-1", unit: int = 1, hint: str = "") -> int:
    """Write a number (below 0: no limit) and insist that the kernel keeps it, but for rounding down to `unit`."""
    got = parse(put(folder, name, str(value) if value >= 0 else unlimited, hint=hint))
    kept(folder, name, value // unit * unit if value >= 0 else -1, got)
    return got


def put_sections(sections: Sections, find: Find, resources: Resources) -> Limits:
    """Put every section in force that asks for something and that `sections` knows."""
    asked = {key: section for key, section in resources.items() if section and key in sections}
    found = {key: sections[key](find, section) for key, section in asked.items()}
    return {key: limits for key, limits in found.items() if limits}


def kept(folder: Folder, name: str, asked: object, got: object) -> None:
    """Law 5: a limit that is not in force is an error."""
    if asked != got:
        raise HostNotCapable(f"{folder.path}/{name}: asked for {asked}, the kernel keeps {got}", asked=asked, got=got)


def given(section: dict[str, Any], key: str) -> int | None:
    """A number of the configuration; 0 and null mean not given, as for runc and crun."""
    value = section.get(key)
    return int(value) if value else None


def check_memory(section: dict[str, Any]) -> tuple[int | None, int | None]:
    """(limit, memory + swap), in bytes, -1 for none; raises InvalidArgument for what can never work."""
    limit, swap = given(section, "limit"), given(section, "swap")
    if limit is not None and 0 < limit < MEMORY_MINIMUM:
        raise InvalidArgument(f"a memory limit of {limit} bytes is too small to start anything", hint="use at least 6m")
    if swap is not None and swap > 0:
        if limit is None or limit < 0:
            raise InvalidArgument("a limit on memory and swap together needs a memory limit", hint="add -m")
        if swap < limit:
            raise InvalidArgument(
                f"memory and swap together ({swap}) are less than the memory limit ({limit})",
                hint="--memory-swap is the sum; give it the value of -m for no swap at all",
            )
    return limit, swap


def check_unused(folder: Folder, name: str, section: dict[str, Any], limit: int | None) -> None:
    """`checkBeforeUpdate`: refuse a limit below what is in use instead of killing."""
    used = get(folder, name) if section.get("checkBeforeUpdate") and limit else None
    if used is not None and limit is not None and 0 < limit < used:
        raise InvalidArgument(f"a memory limit of {limit} bytes is less than the {used} in use", used=used)


def check_shares(shares: int) -> int:
    low, high = SHARES
    if not low <= shares <= high:
        raise InvalidArgument(f"cpu shares of {shares}", hint=f"use a number from {low} to {high}; 1024 is usual")
    return shares


def check_quota(quota: int | None, period: int | None) -> None:
    """sched-bwc.rst: a quota is at least 1 ms, a period 1 ms to 1 s."""
    if quota is not None and 0 < quota < 1000:
        raise InvalidArgument(f"a CPU quota of {quota} µs", hint="the kernel's smallest is 1000 µs: --cpus 0.01")
    if period is not None and not 1000 <= period <= 1_000_000:
        raise InvalidArgument(f"a CPU period of {period} µs", hint="use 1000 to 1000000 µs; 100000 is usual")


def weight(shares: int) -> int:
    """cpu.weight for cpu.shares: 2 → 1, 1024 → 100, 262144 → 10000 on one curve, as runc 1.3.2 and crun 1.23 have it.

    The straight line used before gave 1024 shares, everybody's default, a weight of 39 against others' 100.
    """
    power = math.log2(check_shares(shares))
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def io_weight(blkio: int) -> int:
    """io.weight (1-10000) for a blkio weight (10-1000), on the line both runtimes use."""
    return 1 + (blkio - 10) * 9999 // 990


def check_io_weight(value: int) -> int:
    if not 10 <= value <= 1000:
        raise InvalidArgument(f"a block I/O weight of {value}", hint="use a number from 10 to 1000")
    return value


def require_bfq() -> None:
    """A weight means something only to a disk whose scheduler is BFQ; elsewhere it would be silently without effect."""
    for folder in os.scandir("/sys/block"):
        try:
            with open(f"{folder.path}/queue/scheduler") as file:
                if "[bfq]" in file.read():
                    return
        except FileNotFoundError:
            continue
    raise HostNotCapable(
        "no disk of this host shares its time by weight",
        hint="echo bfq | sudo tee /sys/block/DISK/queue/scheduler, or limit with --device-read-bps",
    )


def has_swap() -> bool:
    """Whether the host can swap at all: /proc/swaps has a line below its head."""
    with open("/proc/swaps") as file:
        return len(file.readlines()) > 1


def check_swap_file(folder: Folder, name: str, swap: int) -> bool:
    """Whether a swap limit is to be written; without swap on the host it holds by itself."""
    if folder.has(name):
        return True
    if swap > 0 and has_swap():
        raise HostNotCapable(
            f"this kernel does not count swap ({folder.path}/{name} is missing)",
            hint="boot with swapaccount=1, or allow swap with --memory-swap -1",
        )
    return False


def device(entry: dict[str, Any]) -> str:
    return f"{int(entry['major'])}:{int(entry['minor'])}"


def cpu_list(text: str) -> set[int]:
    """The numbers in a list such as `0-2,5` (cpuset(7), List format). Raises InvalidArgument."""
    found: set[int] = set()
    try:
        for part in filter(None, text.strip().split(",")):
            first, _, last = part.partition("-")
            low, high = int(first), int(last or first)
            if not 0 <= low <= high < 65536:
                raise ValueError(part)
            found.update(range(low, high + 1))
    except ValueError:
        raise InvalidArgument(f"{text!r} is no list of CPUs or nodes", hint="write it as 0-2,5") from None
    return found


def put_list(folder: Folder, name: str, value: str, there: str) -> str:
    """cpuset.cpus or cpuset.mems; `there` lists what the host has."""
    if surplus := cpu_list(value) - cpu_list(there):
        kind = "CPU" if name.endswith("cpus") else "memory node"
        raise InvalidArgument(f"there is no {kind} {min(surplus)} here", hint=f"this container may use {there}")
    got = put(folder, name, value)
    kept(folder, name, cpu_list(value), cpu_list(got))
    return got
