"""Long lists, real ones: many containers, an image of many files, a long log. For tests of size, and for tests/bench."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from nbcontainers import container, image
from nbcontainers.container.container import Container
from nbcontainers.image.image import Image
from nbcontainers.monitor.log import Log

CONTAINERS, FILES, LINES = 200, 60_000, 1_000_000


@contextlib.contextmanager
def crowd(count: int = CONTAINERS) -> Iterator[list[Container]]:
    """Containers that were made and never started, with names as long as people give them."""
    made = []
    try:
        for number in range(count):
            name = f"team-{number % 7}-service-with-a-long-name-{number:03d}"
            command = ["sh", "-c", f"exec sleep {number} # <b>not markup</b>"]
            made.append(container.create("mini", *command, name=name, network="none", label=[f"number={number}"]))
        yield made
    finally:
        for one in made:
            container.rm(one.id)


@contextlib.contextmanager
def forest(folder: Path, files: int = FILES, reference: str = "forest:1") -> Iterator[Image]:
    """An image of one layer with so many small files, in as many folders as a real one."""
    path = folder / "forest.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(files):
            one = tarfile.TarInfo(f"usr/lib/package-{number // 200:03d}/part-{number // 20 % 10}/file-{number:05d}.txt")
            content = b"x" * (number % 64)
            one.size = len(content)
            tar.addfile(one, io.BytesIO(content))
    try:
        yield image.import_(str(path), reference)
    finally:
        image.rm(reference, force=True)
        path.unlink()


def speak(one: Container, lines: int = LINES) -> None:
    """Write a log as its monitor would: the lines of a chatty service, in one file."""
    log = Log(str(one.engine.containers / one.id / "log"), max_size=1 << 40)
    for first in range(0, lines, 1000):
        text = "".join(
            f"{n:07d} GET /menu/{n % 97}.html 200 <script>alert({n})</script>\n" for n in range(first, first + 1000)
        )
        log.write("stdout", text.encode())
    log.close()
