"""How long each part of a boot took, by the guest's own clock; and why one did not come to its end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from nbcontainers.errors import Error, HostNotCapable, InvalidArgument
from nbcontainers.vm.hardware import KVM, TCG

_MARK = re.compile(r"\[\s*(\d+\.\d+)\](?:\[[^\]]*\])? (?:nbcontainers: (\w+)|(Run /init))")
_MEMORY = re.compile(
    r"out of memory|Out of memory|System is deadlocked on memory|Cannot allocate memory|No working init|"
    r"Failed to allocate|failed to allocate|Initramfs unpacking failed|not enough memory",
)
_KILLED = re.compile(r".*ut of memory.*: Killed.*")
"""A program: it may be long ago when its machine ends."""
_LINES = 6


def breakdown(times: Mapping[str, float], marks: Iterable[str]) -> dict[str, float]:
    """Seconds: `firmware` (from our start of the machine to the first tick of its kernel's clock: firmware, loading and
    unpacking the kernel), `kernel` (to its first program), `init` (to the image's command), together `boot`; `command`,
    and `shutdown` besides. `times` are the host's, `marks` lines of the guest's kernel log; what neither tells is left
    out."""
    seen = {name: at for name, at in (_read(line) for line in marks) if name}
    found: dict[str, float] = {}
    if "started" in times:
        found["boot"] = times["started"] - times["begin"]
        if {"kernel", "command"} <= seen.keys():
            found["firmware"] = max(0.0, found["boot"] - seen["command"])
            found["kernel"] = seen["kernel"]
            found["init"] = seen["command"] - seen["kernel"]
    if {"started", "exit"} <= times.keys():
        found["command"] = times["exit"] - times["started"]
    if {"exit", "end"} <= times.keys():
        found["shutdown"] = times["end"] - times["exit"]
    return {name: round(seconds, 6) for name, seconds in found.items()}


def is_mark(line: str) -> bool:
    """Whether `breakdown` reads it."""
    return bool(_MARK.search(line))


def _read(line: str) -> tuple[str, float]:
    """(which moment, seconds of the guest's clock) of a line of its log."""
    match = _MARK.search(line)
    return (match[2] or "kernel", float(match[1])) if match else ("", 0.0)


def failed(plan: Mapping[str, Any], problem: str, console: str, *, overdue: bool) -> Error:
    """The error for a machine that ended, or was ended, without the end of a command."""
    kind, megabytes = plan["kind"], plan["memory"] >> 20
    last = " / ".join(line.strip() for line in console.splitlines()[-_LINES:] if line.strip())
    said = f"; it said last: {last}" if last else "; it said nothing"
    survived = not (problem or overdue or "Kernel panic" in console)
    if _MEMORY.search(_KILLED.sub("", console) if survived else console):
        return InvalidArgument(
            f"{megabytes} MiB are too little memory for this virtual machine{said}",
            hint=f"give it more, as -m {megabytes * 2}m",
        )
    if problem:
        return HostNotCapable(f"the virtual machine ({kind}) started no command: {problem}{said}", console=console)
    if not overdue:
        return HostNotCapable(
            f"the virtual machine ({kind}) ended before the command did{said}",
            hint=_HINTS.get(kind, ""),
            console=console,
        )
    how = f"the virtual machine ({kind}) did not boot within {plan['boot_s']:g} s{said}"
    silent = "" if last else "; of a kernel given by --kernel that is no wonder: leave it out, or type vm fetch-kernel"
    return HostNotCapable(how, hint=_HINTS.get(kind, "") + silent, console=console)


_HINTS = {KVM: "take another kind: --kind uml or --kind tcg", TCG: "a busy host is slow: try again, or take --kind uml"}
