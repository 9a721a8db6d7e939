"""How long a cell waits for the first picture of what is long, in a notebook's kernel, and how many bytes it takes.

200 containers (made, not started), an image of 60,000 files, a log of 1,000,000 lines: see tests/long.py.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from tests.bench.kernel import Kernel

FIRST_PAINT_MS, PAYLOAD = 300, 300_000
SETUP = """
import contextlib, pathlib
from nbcontainers import container as containers, image
from tests import long
stack = contextlib.ExitStack()
crowd = stack.enter_context(long.crowd())
forest = stack.enter_context(long.forest(pathlib.Path({folder!r})))
long.speak(crowd[0])

def painted(look):
    begun = time.perf_counter()
    bundle = look()._repr_mimebundle_()
    return (time.perf_counter() - begun) * 1000, sum(len(content.encode()) for content in bundle.values())
"""
VIEWS = {
    "ps -a of 200": "containers.ps(all=True)",
    "dashboard of 200": "containers.dashboard()",
    "stats -a of 200": "containers.stats(all=True)",
    "image layers, 60,000 files": "image.layers(forest.id)",
    "logs, 1,000,000 lines": "containers.logs(crowd[0])",
}


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """First in a process that has not shown it before, and the median of later ones."""
    found = {}
    print("\nviews: the first picture in the kernel, later ones, and their bytes")
    with Kernel(SETUP.format(folder=str(folder))) as kernel:
        for name, view in VIEWS.items():
            (first, size), *later = [kernel.value(f"painted(lambda: {view})") for _ in range(min(rounds, 10) + 1)]
            again = statistics.median(took for took, _ in later)
            verdict = "ok" if max(first, again) <= FIRST_PAINT_MS and size <= PAYLOAD else "MISSED"
            print(
                f"  {name:<28}{first:8.0f} ms {again:8.0f} ms {size:9d} bytes   {verdict}  (goal {FIRST_PAINT_MS} ms)"
            )
            found[name] = {"first_ms": first, "again_ms": again, "bytes": size}
        kernel.execute("stack.close()")
    return found
