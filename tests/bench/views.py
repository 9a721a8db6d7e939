"""How long a cell waits for the first picture of what is long, in a notebook's kernel, and how many bytes it takes.

200 containers (made, not started), an image of 60,000 files, a log of 1,000,000 lines: see tests/long.py. The image also
as nobody has looked at it yet: what a cell shows at once, and when the whole has taken its place.
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

from nbcontainers import view
from nbcontainers.image import snapshot, work
from nbcontainers.magics.following import Following
from nbcontainers.view import bundle

def forget(unpacked):
    "Nobody has looked at the image yet; without `unpacked` its layers are blobs only."
    folders = [snapshot.path(forest.engine.snapshots, chain).parent for chain in forest.chain_ids]
    if not unpacked:
        work.discard(folders)
    for path in (folder / name for folder in folders for name in ("files.z", "summary.json", "image.json")):
        path.unlink(missing_ok=True)

class Cell(Following):
    def __call__(self, now, later):
        self.size = sum(len(content.encode()) for content in now.values())
        super().__call__(now, later)

def followed(unpacked):
    "The first picture in a cell, its bytes, and when the whole was there; headless, where nothing follows, that alone."
    view.follow = cell = Cell()
    forget(unpacked)
    begun = time.perf_counter()
    shown = image.layers(forest.id)
    get_ipython().display_formatter.format(shown)
    first = time.perf_counter() - begun
    size, _ = cell.size if hasattr(cell, "size") else 0, len(shown)
    whole, view.follow = time.perf_counter() - begun, None
    forget(unpacked)
    return first * 1000, size, whole * 1000, painted(lambda: image.layers(forest.id))[0]
"""
VIEWS = {
    "ps -a of 200": "containers.ps(all=True)",
    "dashboard of 200": "containers.dashboard()",
    "stats -a of 200": "containers.stats(all=True)",
    "layers of 60,000 files": "image.layers(forest.id)",
    "logs, 1,000,000 lines": "containers.logs(crowd[0])",
}


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """First in a process that has not shown it before, and the median of later ones."""
    found: dict[str, Any] = {}
    print("\nviews: the first picture in the kernel, later ones, and their bytes")
    with Kernel(SETUP.format(folder=str(folder))) as kernel:
        found |= _unread(kernel)
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


def _unread(kernel: Kernel) -> dict[str, Any]:
    """Of the image as nobody has looked at it yet; unpacking it takes seconds on a disk."""
    found = {}
    for name, unpacked, rounds in (("layers, not looked at", True, 5), ("layers, not unpacked", False, 2)):
        samples = [kernel.value(f"followed({unpacked})") for _ in range(rounds)]
        first, size = max(one[0] for one in samples), max(one[1] for one in samples)
        whole, headless = (statistics.median(one[place] for one in samples) for place in (2, 3))
        verdict = "ok" if first <= FIRST_PAINT_MS and size <= PAYLOAD else "MISSED"
        print(
            f"  {name:<28}{first:8.0f} ms (longest) {size:9d} bytes   {verdict}  (goal {FIRST_PAINT_MS} ms); "
            f"the whole after {whole:.0f} ms, headless {headless:.0f} ms"
        )
        found[name] = {"first_ms": first, "bytes": size, "whole_ms": whole, "headless_ms": headless}
    return found
