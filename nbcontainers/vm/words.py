"""`vm logs` and `vm console`: what a machine's command has written, and what its kernel said."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from html import escape

from nbcontainers.container import logfile
from nbcontainers.container.session import Sink, to_sys
from nbcontainers.errors import InvalidArgument
from nbcontainers.table import AS_IT_IS, MONOSPACE
from nbcontainers.view import View
from nbcontainers.vm.machine import ALIVE, Machine

_PAUSE_S = 0.1
_SHOWN = 400
"""Lines in a cell."""


def lines(machine: Machine) -> Iterator[dict[str, str]]:
    """The records of its log (monitor/log.py)."""
    for record in logfile.lines(f"{machine.places.record}/log"):
        yield json.loads(record)


def logs(
    machine: Machine, tail: str | int, stdout: Sink | None, stderr: Sink | None, tick: Callable[[], object] | None,
    *, follow: bool,
) -> None:  # fmt: skip
    """Its command's output, each stream to its own; with `follow` also what comes, to its end."""
    sinks = {"stdout": stdout or to_sys("stdout"), "stderr": stderr or to_sys("stderr")}
    count = None if tail == "all" else _count(tail)
    with closing(logfile.Tail(f"{machine.places.record}/log")) as log:
        for record in log.first(count)[-(count or 0) :]:
            _write(sinks, json.loads(record))
        while follow:
            over = machine.status not in ALIVE  # then all is there
            for record in log.read():
                _write(sinks, json.loads(record))
            if tick:
                tick()
            if over:
                return
            time.sleep(_PAUSE_S)


def _count(tail: str | int) -> int:
    if not str(tail).isdecimal() or int(tail) == 0:
        raise InvalidArgument(f"--tail: {tail!r} is no number of lines", hint="write a number, or all", option="tail")
    return int(tail)


def _write(sinks: dict[str, Sink], line: dict[str, str]) -> None:
    sinks[line["stream"]](line["log"].encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, repr=False)
class Console(View):
    """What a kernel said."""

    words: str

    def text(self) -> str:
        return self.words.rstrip("\n")

    def html(self) -> str:
        lines = "\n".join(self.text().splitlines()[-_SHOWN:])
        return (
            f'<pre {AS_IT_IS} style="font-family: {MONOSPACE}; font-size: 12px; background: none; color: inherit;">'
            f"{escape(lines)}</pre>"
        )


def console(machine: Machine) -> Console:
    """Its kernel's log, as dmesg(1) has it; of one that came to no log what was on its console."""
    try:
        with open(f"{machine.places.record}/console", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        text = ""
    return Console("".join(letter for letter in text or machine.console if letter.isprintable() or letter in "\n\t"))
