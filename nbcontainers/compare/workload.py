"""What is run on every target: a cell, or axes of the workloads that come with the package."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import NamedTuple

from nbcontainers.compare.report import LESS
from nbcontainers.errors import InvalidArgument
from nbcontainers.launcher.client import interpreter
from nbcontainers.table import Column, Table

_INSIDE = Path(__file__).parent / "inside"
CELL, START = "cell", "start-up"
"""Axes that every workload has: the time by its own clock, and what the target itself takes before and after."""
ALL = "all"
_FUTURE = "from __future__ import annotations\n"
_OURS = re.compile(r"^from nbcontainers\.compare\.inside\.\w+ import (\([^)]*\)|.*)\n", re.M)
_EITHER = 'if command -v python3 >/dev/null; then exec python3 -c "$@"; fi; shift; exec /bin/sh -c "$0" sh "$@"'
"""Of a shell whose $0 is the form for a shell and $1 the one for Python."""


class Axis(NamedTuple):
    """`group` is another name by which several are asked for; `unit` says what is better, as in Figure.cost."""

    name: str
    group: str
    unit: str
    what: str
    shell: bool = False
    """Whether there is a form for images without Python; of what it runs, the start of its small programs is a part."""


AXES = (
    Axis("integer", "cpu", "ms", "a loop of whole numbers in Python", shell=True),
    Axis(
        "sha256",
        "cpu",
        "MiB/s",
        "SHA-256 of a MiB, with the processor's own instructions where it shows them",
        shell=True,
    ),
    Axis("matmul", "cpu", "GFLOP/s", "numpy: product of two matrices of 256 × 256 (Linpack's kernel)"),
    Axis("bandwidth", "memory", "GiB/s", "numpy: STREAM's triad on three arrays of 32 MiB"),
    Axis("latency", "memory", "ns", "a chase through 32 MiB in random order"),
    Axis("page_fault", "memory", "µs", "the first touch of fresh memory, page by page"),
    Axis("syscall", "system", "ns", "getppid"),
    Axis("switch", "system", "µs", "a byte through pipes to another process and back"),
    Axis("fork", "system", "ms", "fork, exit, wait, of a small process", shell=True),
    Axis("execute", "system", "ms", "a small program from start to end", shell=True),
    Axis("read_cached", "disk", "MiB/s", "a file of 8 MiB that is in the page cache, in the target's root", shell=True),
    Axis("volume_read_cached", "disk", "MiB/s", "the same in a folder shared with the host", shell=True),
    Axis("write_cached", "disk", "MiB/s", "a file of 8 MiB into the page cache, in the target's root", shell=True),
    Axis("volume_write_cached", "disk", "MiB/s", "the same in a folder shared with the host", shell=True),
    Axis("write_sync", "disk", "ms", "4 KiB on the disk (fsync), in the target's root", shell=True),
    Axis("volume_write_sync", "disk", "ms", "the same in a folder shared with the host", shell=True),
    Axis("small_files", "disk", "µs", "make, look at and remove a file, in the target's root", shell=True),
    Axis("round_trip", "network", "µs", "a byte over TCP to another process within, and back"),
    Axis("loopback", "network", "MiB/s", "TCP to another process within"),
    Axis("sqlite", "real", "1/s", "SQLite: transactions of one row on a volume, on the disk before the next"),
    Axis("http", "real", "1/s", "HTTP requests over one connection, answered by Python's own server"),
    Axis("importing", "real", "ms", "another Python that imports a good deal of the standard library"),
    Axis("fit", "real", "ms", "scikit-learn: a random forest on its digits"),
    Axis(
        "start_warm",
        "start",
        "ms",
        "until a shell's first instruction, the image's files in the page cache",
        shell=True,
    ),
    Axis("start_cold", "start", "ms", "the same, none of the image's files in the page cache", shell=True),
    Axis(
        "own_round_trip",
        "reached",
        "µs",
        "a byte over TCP from the host to the instance's own address, and back",
        shell=True,
    ),
    Axis("own_throughput", "reached", "MiB/s", "TCP from the instance's own address to the host", shell=True),
    Axis("published_round_trip", "reached", "µs", "a byte over TCP to a published port, and back", shell=True),
    Axis("published_throughput", "reached", "MiB/s", "TCP from a published port", shell=True),
    Axis("nginx", "web", "1/s", "HTTP requests to nginx at the instance's own address, of 1 KiB each", shell=True),
    Axis("nginx_published", "web", "1/s", "HTTP requests to nginx at a published port", shell=True),
    Axis("footprint", "density", "MiB", "memory of one idle instance, all processes that are there for it", shell=True),
    Axis(
        "instances",
        "density",
        "instances",
        "idle instances the free memory would hold, by a trial with a few",
        shell=True,
    ),
    Axis("image_size", "density", "MiB", "the image on the disk, as the target has it", shell=True),
    Axis("iperf3", "tools", "MiB/s", "a second of TCP on the loopback interface, by iperf3"),
    Axis("sysbench", "tools", "1/s", "prime numbers, by sysbench"),
    Axis("stress_ng", "tools", "1/s", "64-bit integers, by stress-ng"),
    Axis("fio", "tools", "1/s", "random reads from a small file, by fio"),
)
REACHED = tuple(axis.name for axis in AXES if axis.group in ("reached", "web"))
"""Axes of services that are asked by the host."""
OUTSIDE = frozenset(axis.name for axis in AXES if axis.group in ("start", "reached", "web", "density"))
"""Axes that are measured from outside of the target: nbcontainers.compare.outside."""
ONCE = tuple(axis.name for axis in AXES if axis.group == "density")
"""Axes that are not in every round: they take long, or are always the same."""
_PARTS = {"cpu": "processor", "memory": "processor", "system": "processor", "disk": "disk", "network": "loopback",
          "real": "real", "tools": "tools", "about": "about"}  # fmt: skip
"""In which file of `inside` a group's functions are."""
_GROUPS = {axis.name: axis.group for axis in AXES}


class Workload(NamedTuple):
    """`commands` are `command(token)` of each image kind; `axes` what it will report besides START."""

    name: str
    axes: tuple[str, ...]
    code: str = ""
    """Of a cell; "" for our own."""
    python: bool = True

    def command(self, token: str, *, on_host: bool) -> list[str]:
        if self.name == CELL and self.python:
            return [interpreter() if on_host else "python3", "-c", _source("cell.py"), token, self.code]
        if self.name == CELL:
            return ["/bin/sh", "-c", _source("cell.sh"), "sh", token, self.code]
        return _ours(token, [axis for axis in self.axes if axis not in OUTSIDE], on_host)

    @property
    def outside(self) -> list[str]:
        return [axis for axis in self.axes if axis in OUTSIDE]

    @property
    def digest(self) -> str:
        """Of all that a target is given to run: the same program and input elsewhere have the same."""
        words = self.command("", on_host=True)[1:]
        return f"sha256:{hashlib.sha256(chr(0).join(words).encode()).hexdigest()}"

    @staticmethod
    def about(token: str, *, on_host: bool) -> list[str]:
        """What tells facts of a target."""
        return _ours(token, ["about"], on_host)


def _ours(token: str, axes: Sequence[str], on_host: bool) -> list[str]:
    source = python(frozenset(_PARTS[_GROUPS.get(axis, axis)] for axis in axes))
    if on_host:
        return [interpreter(), "-c", source, token, *axes]
    return ["/bin/sh", "-c", _EITHER, _source("axes.sh"), source, token, *axes]


def serve(token: str, port: int | str, web: int | str, *, on_host: bool) -> list[str]:
    """What answers on a port, and nginx on another, until it is told to stop; "" is neither."""
    python = interpreter() if on_host else "python3"
    return ["/bin/sh", "-c", _source("serve.sh"), "sh", token, str(port), str(web), python, _source("answer.py")]


def load(token: str, axes: Sequence[str]) -> list[str]:
    """What asks them, on the host."""
    return [interpreter(), "-c", python(frozenset({"load"})), token, *axes]


@cache
def python(parts: frozenset[str]) -> str:
    """One program of files of `inside` that import each other."""
    sources = [_source(f"{part}.py") for part in ("step", *sorted(parts), "main")]
    return _FUTURE + "".join(_OURS.sub("", source.replace(_FUTURE, "")) for source in sources)


def service(token: str, role: str, numbers: Sequence[str], *, on_host: bool) -> list[str]:
    """A program of the demonstration of interference."""
    return [interpreter() if on_host else "python3", "-c", _source("service.py"), token, role, *numbers]


@cache
def _source(name: str) -> str:
    return (_INSIDE / name).read_text()


def named(words: str) -> Workload:
    """The workload of names of axes and groups, separated by commas. Raises InvalidArgument."""
    groups = dict.fromkeys(axis.group for axis in AXES)
    own = [axis.name for axis in AXES if axis.group != "tools" and axis.name not in OUTSIDE]
    known = {axis.name: [axis.name] for axis in AXES} | {ALL: own, START: []}
    known |= {group: [axis.name for axis in AXES if axis.group == group] for group in groups}
    chosen: list[str] = []
    for word in filter(None, map(str.strip, words.split(","))):
        if word not in known:
            close = get_close_matches(word, known, 1, 0.5)
            guess = f"did you mean {close[0]}? " if close else ""
            raise InvalidArgument(
                f"there is no workload {word!r}",
                hint=f"{guess}compare workloads lists them; a script of your own is a cell",
            )
        chosen += known[word]
    return Workload(words, tuple(dict.fromkeys(chosen)))


def cell(code: str, *, python: bool) -> Workload:
    """Somebody's own. Raises InvalidArgument for Python that cannot be compiled, and for what no command line holds."""
    if python:
        try:
            compile(code, "<cell>", "exec")
        except SyntaxError as error:
            raise InvalidArgument(
                f"the cell is no Python: {error}", hint="leave out --python for a shell script"
            ) from None
    if len(code.encode()) > 100_000:
        raise InvalidArgument("the cell is longer than a command line may be (100 kB)", hint="put it into a file")
    return Workload(CELL, (CELL,), code, python)


def listing() -> Table:
    """Rows: name, group, unit, better ("less" or "more"), what, without_python."""
    rows = [
        {**axis._asdict(), "better": better(axis.unit), "without_python": "yes" if axis.shell else "no"}
        for axis in AXES
    ]
    rows.append({"name": START, "group": START, "unit": "ms", "better": "less", "without_python": "yes",
                 "what": "the target's own time before and after: in every comparison"})  # fmt: skip
    columns = [Column("name"), Column("group"), Column("unit"), Column("better"), Column("what"),
               Column("without_python", "WITHOUT PYTHON")]  # fmt: skip
    return Table(rows, columns)


def better(unit: str) -> str:
    """Of figures of that unit: `less` or `more`."""
    return "less" if unit in LESS else "more"
