"""Processor, memory and system, one function an axis, in plain Python and, where it is there, numpy.

Each returns a figure and its unit, by its own clock; what it needs and does not find it says by `Absent`.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from nbcontainers.compare.inside.step import BUDGET_S, MIB, Absent, beyond, numpy_, per


def integer() -> tuple[float, str]:
    def step() -> None:
        total = 0
        for number in range(100_000):
            total += number & 7

    return per(step) * 1e3, "ms"


def sha256() -> tuple[float, str]:
    data = b"x" * MIB
    return 1 / per(lambda: hashlib.sha256(data).digest()), "MiB/s"


def matmul() -> tuple[float, str]:
    numpy, size = numpy_(), 256
    a = numpy.random.default_rng(1).random((size, size))
    return 2 * size**3 / per(lambda: a @ a) / 1e9, "GFLOP/s"


def bandwidth() -> tuple[float, str]:
    """STREAM's triad, a = 3 b + c, on arrays of 32 MiB. Two passes, as numpy has no fused one: 5 words an element move."""
    numpy, size = numpy_(), 4 * MIB
    a, b, c = numpy.ones(size), numpy.ones(size), numpy.ones(size)

    def step() -> None:
        numpy.multiply(b, 3.0, out=a)
        numpy.add(a, c, out=a)

    return 5 * 8 * size / per(step) / 2**30, "GiB/s"


def latency() -> tuple[float, str]:
    """A chase through 32 MiB, each place of which says the next, beyond the same chase in the first cache.

    The order is that of a congruential generator that goes through all places (Hull and Dobell, 1962)."""
    numpy = numpy_()

    def chase(size: int) -> Callable[[], object]:
        chain = memoryview((numpy.arange(size, dtype="uint64") * 1103515245 + 12345) & numpy.uint64(size - 1))
        places = [0]

        def step() -> None:
            place = places[0]
            for _ in range(1000):
                place = chain[place]
            places[0] = place

        return step

    return beyond(chase(4 * MIB), chase(256)) / 1000 * 1e9, "ns"


def page_fault() -> tuple[float, str]:
    """The loop is Python's: a tenth of a microsecond a page of it."""
    count, private = 512, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

    def step() -> None:
        with mmap.mmap(-1, count * mmap.PAGESIZE, flags=private) as memory:
            with suppress(OSError):  # a kernel without huge pages
                memory.madvise(mmap.MADV_NOHUGEPAGE)
            for place in range(0, count * mmap.PAGESIZE, mmap.PAGESIZE):
                memory[place] = 1

    return per(step) / count * 1e6, "µs"


def syscall() -> tuple[float, str]:
    """Beyond the same loop with a call that stays in Python."""

    def calls(function: Callable[[], object]) -> Callable[[], object]:
        def step() -> None:
            for _ in range(1000):
                function()

        return step

    return beyond(calls(os.getppid), calls(sys.getrecursionlimit)) / 1000 * 1e9, "ns"


def switch() -> tuple[float, str]:
    """A byte to another process and back: two context switches, four system calls."""
    here, there = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        while os.read(there[0], 1) == b"x":
            os.write(here[1], b"x")
        os._exit(0)

    def step() -> None:
        os.write(there[1], b"x")
        os.read(here[0], 1)

    took = per(step, 50)
    os.write(there[1], b".")
    os.waitpid(child, 0)
    return took * 1e6, "µs"


def fork() -> tuple[float, str]:
    """In a small interpreter: a large process takes the longer the more memory it has."""
    words = [sys.executable, "-I", "-S", "-c", _FORKS]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout) * 1e3, "ms"


_FORKS = f"""
import os, time
def fork():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
fork()
begun, count = time.perf_counter(), 0
while time.perf_counter() - begun < {BUDGET_S} or count < 10:
    fork()
    count += 1
print((time.perf_counter() - begun) / count)
"""


def execute() -> tuple[float, str]:
    program = next((path for path in ("/bin/true", "/usr/bin/true") if os.path.exists(path)), "")
    if not program:
        raise Absent("there is no /bin/true")
    return per(lambda: os.waitpid(os.posix_spawn(program, [program], os.environ), 0), 10) * 1e3, "ms"
