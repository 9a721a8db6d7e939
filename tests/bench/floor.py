"""What the kernel alone takes for a `run`: a small C program, with ever more of what a container needs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests import peers
from tests.bench.sampling import table

LEVELS = ("fork, execve, exit", "… in new namespaces", "… overlay, /proc, /dev, pivot_root", "… cgroups, 3 limits")


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Not alternating: this is no comparison, but what every comparison has in it."""
    program, bundle = folder / "floor", folder / "floor.d"
    peers.busybox_rootfs(bundle / "rootfs")
    subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_suffix(".c")], check=True)
    samples = {name: once(program, level, rounds, bundle) for level, name in enumerate(LEVELS)}
    print(f"\nfloor: {__doc__}\n{table(samples)}")
    return {"samples_ms": samples}


def once(program: Path, level: int, rounds: int, bundle: Path) -> list[float]:
    words = [str(program), str(level), str(rounds), str(bundle)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return [float(line) for line in done.stdout.split()]
