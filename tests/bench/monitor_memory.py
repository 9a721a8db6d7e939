"""PSS (proportional set size, proc(5) smaps_rollup) of a container's monitor."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.bench.kernel import Kernel

IDLE_S = 6.0


def pss(pid: int) -> int:
    """KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no Pss line")


def idle_monitor(kernel: Kernel) -> dict[str, int]:
    """With the launcher alive its pages are shared; killed, the monitor pays for all of them alone."""
    pid = int(kernel.execute(PID, "monitor"))
    time.sleep(IDLE_S)
    found = {"launcher alive": pss(pid)}
    for launcher in launchers(int(kernel.value("__import__('os').getpid()"))):
        os.kill(launcher, signal.SIGKILL)
    time.sleep(IDLE_S)
    return found | {"launcher killed": pss(pid)}


PID = """
import json
from nbcontainers.engine import default_engine
(one,) = [found for found in default_engine().run.glob("*/monitor.json")]
monitor = json.loads(one.read_text())["pid"]
"""


def launchers(parent: int) -> list[int]:
    """Processes started by the kernel that run our launcher."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"launcher" in words:
            found.append(int(folder.name))
    if not found:
        raise RuntimeError(f"process {parent} has no launcher")
    return found
