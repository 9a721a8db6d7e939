"""What is run on every target: a cell, or axes of the workloads that come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import NamedTuple

from nbcontainers.errors import InvalidArgument
from nbcontainers.launcher.client import interpreter
from nbcontainers.table import Column, Table

_INSIDE = Path(__file__).parent / "inside"
CELL, START = "cell", "start-up"
"""Axes that every workload has: the time by its own clock, and what the target itself takes before and after."""
ALL = "all"
SYNCED = ("write_sync", "sqlite")
"""Axes that wait for the disk in the target's own root file system."""
_EITHER = 'if command -v python3 >/dev/null; then exec python3 -c "$@"; fi; shift; exec /bin/sh -c "$0" sh "$@"'
"""Of a shell whose $0 is the form for a shell and $1 the one for Python."""


class Axis(NamedTuple):
    """`group` is another name by which several are asked for."""

    name: str
    group: str
    what: str
    shell: bool = False
    """Whether there is a form for images without Python."""


AXES = (
    Axis("integer", "cpu", "a loop of whole numbers in Python", shell=True),
    Axis("sha256", "cpu", "SHA-256 of a MiB, with the processor's own instructions where it shows them", shell=True),
    Axis("matmul", "cpu", "numpy: product of two matrices of 256 × 256 (Linpack's kernel)"),
    Axis("bandwidth", "memory", "numpy: STREAM's triad on three arrays of 32 MiB"),
    Axis("latency", "memory", "numpy: a chase through 32 MiB in random order"),
    Axis("page_fault", "memory", "the first touch of fresh memory, page by page"),
    Axis("syscall", "system", "getppid"),
    Axis("switch", "system", "a byte through pipes to another process and back"),
    Axis("fork", "system", "fork, exit, wait", shell=True),
    Axis("execute", "system", "a small program from start to end", shell=True),
    Axis("read_cached", "disk", "a file of 8 MiB that is in the page cache", shell=True),
    Axis("write_sync", "disk", "4 KiB to the disk (fsync), in the target's own root file system", shell=True),
    Axis("volume_write_sync", "disk", "the same in a folder shared with the host", shell=True),
    Axis("small_files", "disk", "make, look at and remove a file", shell=True),
    Axis("round_trip", "network", "a byte over TCP on the loopback interface and back"),
    Axis("loopback", "network", "a MiB over TCP on the loopback interface"),
    Axis("sqlite", "real", "SQLite: a transaction of one row, on the disk before the next"),
    Axis("http", "real", "HTTP requests over one connection, answered by Python's own server"),
    Axis("importing", "real", "another Python that imports a good deal of the standard library"),
    Axis("fit", "real", "scikit-learn: a random forest on its digits"),
    Axis("iperf3", "tools", "a second of TCP on the loopback interface, by iperf3"),
    Axis("sysbench", "tools", "prime numbers, by sysbench"),
    Axis("stress_ng", "tools", "64-bit integers, by stress-ng"),
    Axis("fio", "tools", "random reads from a small file, by fio"),
)


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
        return _ours(token, self.axes, on_host)

    @staticmethod
    def about(token: str, *, on_host: bool) -> list[str]:
        """What tells facts of a target."""
        return _ours(token, ["about"], on_host)


def _ours(token: str, axes: Sequence[str], on_host: bool) -> list[str]:
    if on_host:
        return [interpreter(), "-c", _source("axes.py"), token, *axes]
    return ["/bin/sh", "-c", _EITHER, _source("axes.sh"), _source("axes.py"), token, *axes]


def service(token: str, role: str, numbers: Sequence[str], *, on_host: bool) -> list[str]:
    """A program of the demonstration of interference."""
    return [interpreter() if on_host else "python3", "-c", _source("service.py"), token, role, *numbers]


@cache
def _source(name: str) -> str:
    return (_INSIDE / name).read_text()


def named(words: str) -> Workload:
    """The workload of names of axes and groups, separated by commas. Raises InvalidArgument."""
    groups = dict.fromkeys(axis.group for axis in AXES)
    own = [axis.name for axis in AXES if axis.group != "tools"]
    known = {axis.name: [axis.name] for axis in AXES} | {ALL: own, START: [], "start": []}
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
    """Rows: name, group, what, without_python."""
    rows = [{**axis._asdict(), "without_python": "yes" if axis.shell else "no"} for axis in AXES]
    rows.append({"name": START, "group": START, "what": "the target's own time before and after: in every comparison",
                 "without_python": "yes"})  # fmt: skip
    return Table(rows, [Column("name"), Column("group"), Column("what"), Column("without_python", "WITHOUT PYTHON")])
