"""Which of the host's processors a machine's own run on, so that it can be compared with what cpuset(7) pins.

QEMU has a thread for each processor of the guest, named so with `debug-threads=on`; its others, which serve disk and ports,
and virtiofsd belong elsewhere. User-mode-linux is one processor and runs on the chosen ones as a whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nbcontainers.container import parse
from nbcontainers.container.options import RunOptions, value
from nbcontainers.errors import InvalidArgument

NAMED = ("-name", "vm,debug-threads=on")
"""Of qemu(1): a processor's thread is then called `CPU 0/TCG`."""
_APPEARS_S = 5.0
_LOOK_S = 0.005


def processors(words: str) -> list[int]:
    """Numbers of `0-1,3`; none of "". Raises InvalidArgument for what this process may not run on."""
    allowed = os.sched_getaffinity(0)
    found: set[int] = set()
    for part in filter(None, words.split(",")):
        low, _, high = part.partition("-")
        numbers = range(int(low), int(high or low) + 1)
        lacking = next((one for one in numbers if one not in allowed), None)
        if lacking is not None:
            raise InvalidArgument(
                f"--cpuset-cpus {words}: there is no processor {lacking} for it",
                hint=f"write some of {','.join(map(str, sorted(allowed)))}", option="cpuset_cpus",
            )  # fmt: skip
        found.update(numbers)
    return sorted(found)


def wanted(options: RunOptions) -> list[int]:
    """Of the options of `vm run`. Raises InvalidArgument."""
    return processors(value(options, "cpuset_cpus", parse.cpu_list) or "")


def others(chosen: Sequence[int]) -> set[int]:
    """Where what is no processor of the guest runs: beside the chosen ones, if there is such a place."""
    return os.sched_getaffinity(0) - set(chosen) or set(chosen)


def pin(pid: int, chosen: Sequence[int], count: int) -> bool:
    """Move QEMU's `count` processor threads onto the chosen ones, as soon as they are there; whether they came."""
    deadline = time.monotonic() + _APPEARS_S
    while len(found := _threads(pid)) < count:
        if time.monotonic() > deadline or not os.path.exists(f"/proc/{pid}/exe"):
            return False
        time.sleep(_LOOK_S)
    for thread in found:
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread, chosen)
    return True


def _threads(pid: int) -> list[int]:
    found = []
    for place in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            if (place / "comm").read_text().startswith("CPU "):
                found.append(int(place.name))
    return found
