"""The three drawings every course has (programs on the bare machine, in virtual machines, in containers), made from this
very host: what runs on what, and what each layer costs here. What this host cannot measure is left out, or said."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbcontainers.compare import conditions, rootfs, rounds, running, workload
from nbcontainers.compare.rounds import Row, Tell
from nbcontainers.compare.target import Limits, Plan, Target, names
from nbcontainers.engine import Engine
from nbcontainers.errors import Error
from nbcontainers.image.store import resolve
from nbcontainers.monitor.files import rfc3339
from nbcontainers.table import (
    AMBER,
    AS_IT_IS,
    BLUE,
    GREEN,
    GREY,
    MONOSPACE,
    Column,
    Table,
    amount,
    duration,
    plain,
    safe,
)
from nbcontainers.table import stored as on_disk
from nbcontainers.view import View

if TYPE_CHECKING:
    import pandas

_STARTS = 5
_SETTLES_S = 6.0
"""Until a monitor that has nothing to do has given back what it does not need (monitor/idle.py)."""
_KINDS = {"host": "the host", "vm": "virtual machines", "container": "containers"}
_APPS = 3
_WIDTH, _GAP, _HIGH = 310, 20, 40
_SMALL = "opacity: .75; font-size: 12px;"


@dataclass(frozen=True, eq=False, repr=False)
class Layers(View):
    """`rows`: kind, target, kernel, start_s (to the first instruction of a shell, the median of 5), memory_bytes (of an idle
    instance: the proportional set size of all its processes on the host), processes, size_bytes (of the image on the disk,
    shared by all instances), holds (how many such instances the free memory would hold: computed). None: not measured."""

    rows: Sequence[Row]
    absent: Mapping[str, str]
    machine: Mapping[str, Any]
    image: str
    at: str

    def to_pandas(self) -> pandas.DataFrame:
        import pandas

        return pandas.DataFrame(list(self.rows))

    def document(self) -> dict[str, Any]:
        return {"rows": list(self.rows), "absent": dict(self.absent), "machine": dict(self.machine), "image": self.image,
                "at": self.at}  # fmt: skip

    @property
    def ground(self) -> str:
        """The lowest layer."""
        machine = self.machine
        words = f"{machine.get('processor', 'processor')} × {machine['processors']}, {amount(machine['memory_bytes'])}"
        return f"{words}{' (itself virtual)' if machine['hypervisor'] else ''}"

    def text(self) -> str:
        columns = [Column("kind", "DRAWING"), Column("target"), Column("stack", "FROM THE TOP"), Column("start_s", "START",
                   format=duration), Column("memory_bytes", "MEMORY OF AN IDLE ONE", format=_memory),
                   Column("size_bytes", "IMAGE", format=on_disk), Column("holds", "HOLDS ABOUT")]  # fmt: skip
        rows = [{**row, "stack": " > ".join(stack(row, self))} for row in self.rows]
        lines = [f"{name} is absent: {why}" for name, why in self.absent.items()]
        return "\n".join([plain(self._heading), "", Table(rows, columns).text(), "", *map(plain, [*lines, _NOTE])])

    def html(self) -> str:
        drawings = "".join(_drawing(row, self) for row in self.rows)
        absent = "".join(
            f'<div style="{_SMALL}">{safe(name)} is absent: {safe(why)}</div>' for name, why in self.absent.items()
        )
        return (
            f'<div {AS_IT_IS} style="font-size: 13px;"><b style="font-weight: 600;">{safe(self._heading)}</b>'
            f'<div style="display: flex; flex-wrap: wrap; gap: {_GAP}px; align-items: flex-end;">{drawings}</div>{absent}'
            f'<div style="{_SMALL}">{safe(_NOTE)}</div></div>'
        )

    @property
    def _heading(self) -> str:
        return f"what runs on what: measured on this host with image {self.image}, {self.at[:19].replace('T', ' ')} UTC"


_NOTE = (
    "start: until a shell's first instruction, median of 5; memory: proportional set size of all processes of an idle "
    "instance on the host, its monitor or virtual machine too; holds: free memory by that, computed and not tried"
)


def stack(row: Row, seen: Layers) -> list[str]:
    """What runs on what, the program first."""
    kernel = f"kernel {os.uname().release}"
    if row["kind"] == "host":
        return ["App", "the host's libraries", kernel, seen.ground]
    if row["kind"] == "vm":
        own = f"kernel {row['kernel']}" if row["kernel"] else "a kernel of its own"
        return ["App", f"image {seen.image}", own, row["label"], kernel, seen.ground]
    return ["App", f"image {seen.image}", row["label"], kernel, seen.ground]


def measure(engine: Engine, image: str, on: Sequence[str], tell: Tell) -> Layers:
    """Of each kind of target the first that can run here."""
    rows: list[Row] = []
    absent: dict[str, str] = {}
    at = rfc3339(time.time_ns())
    with running.planned(engine, image, Limits()) as plan:
        for name in on:
            if not (make := names().get(name)):
                absent[name] = "there is no such target here"
                continue
            tell(f"measures {name}")
            try:
                rows.append(_row(_own(plan, made := make()), made))
            except (Error, rounds.Failed, OSError) as error:
                absent[name] = " ".join(str(error).split("\nhint: "))
    return Layers(rows, absent, conditions.recorded(), image, at)


def _own(plan: Plan, target: Target) -> Plan:
    """A program of the host runs on the host's own files, whatever the image."""
    return (
        replace(plan, image="host", environment=rootfs.config(replace(plan, image="host")))
        if target.kind == "host"
        else plan
    )


def _row(plan: Plan, target: Target) -> Row:
    if missing := target.missing(plan):
        raise rounds.Failed(str(missing))
    starts = []
    nothing = workload.cell("true", python=False)
    with target.opened(plan) as execute:
        for _ in range(_STARTS + 1):
            starts.append(rounds.once(execute, nothing.command, on_host=plan.on_host).start_s)
    memory, processes = _idle(plan, target)
    free = _available()
    return {
        "kind": target.kind, "target": target.name, "label": target.label, "kernel": target.facts().get("kernel"),
        "start_s": statistics.median(starts[1:]), "memory_bytes": memory, "processes": processes,
        "size_bytes": _size(plan) if target.kind != "host" else None,
        "holds": free // memory if memory and free and target.kind != "host" else None,
    }  # fmt: skip


def _idle(plan: Plan, target: Target) -> tuple[int | None, int | None]:
    """Bytes and processes of an instance that does nothing."""
    with ExitStack() as stack:
        if (instance := target.idle(plan)) is None:
            return None, None
        pids = stack.enter_context(instance)
        time.sleep(_SETTLES_S if len(pids) > 1 else 0)
        sizes = [_pss(pid) for pid in pids]
    known = [size for size in sizes if size is not None]
    return (sum(known), len(pids)) if len(known) == len(pids) else (None, len(pids))


def _pss(pid: int) -> int | None:
    """proc(5), smaps_rollup; None where it may not be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)


def _available() -> int | None:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _size(plan: Plan) -> int | None:
    """Of the image's files; of `host` nothing is copied."""
    return 0 if plan.on_host else resolve(plan.engine, plan.image).size


def _memory(value: object) -> str:
    return amount(value) if isinstance(value, (int, float)) else "not measured"


def _drawing(row: Row, seen: Layers) -> str:
    """Three programs next to each other; what each has for itself is drawn thrice, what they share once."""
    layers = stack(row, seen)
    own = {"host": 1, "container": 2, "vm": 3}[row["kind"]]
    colours = (BLUE, GREEN, AMBER, GREY, GREY, GREY)
    height = 24 + _HIGH * len(layers) + 52
    parts = [f'<text x="0" y="13" font-weight="600">{safe(_KINDS[row["kind"]])}: {safe(row["label"])}</text>']
    for number, words in enumerate(layers):
        count = _APPS if number < own else 1
        for column in range(count):
            said = words if number else f"App{column + 1}"
            parts += _box(column, count, 24 + _HIGH * number, said, colours[number])
    parts += [
        f'<text x="0" y="{height - 36 + 14 * number}" opacity=".85">{safe(words)}</text>'
        for number, words in enumerate(_costs(row))
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{safe(_KINDS[row["kind"]])}" fill="currentColor" style="font: 10.5px {MONOSPACE};">'
        f"{''.join(parts)}</svg>"
    )


def _box(column: int, count: int, y: float, words: str, colour: str) -> Iterator[str]:
    wide = (_WIDTH - 6 * (count - 1)) / count
    x = column * (wide + 6)
    room = int(wide / 6.4)
    yield (
        f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{_HIGH - 5}" rx="4" fill="{colour}" fill-opacity=".16" '
        f'stroke="{colour}"/>'
    )
    lines = _broken(words, room)
    for number, line in enumerate(lines):
        place = y + _HIGH / 2 + 1 + (number - (len(lines) - 1) / 2) * 12
        yield f'<text x="{x + wide / 2:.1f}" y="{place:.1f}" text-anchor="middle">{safe(line)}</text>'


def _broken(words: str, room: int) -> list[str]:
    """In two lines at most; the rest is cut."""
    import textwrap

    lines = textwrap.wrap(words, room, max_lines=2, placeholder="…")
    return lines or [words[:room]]


def _costs(row: Row) -> list[str]:
    memory = "memory not measured" if row["memory_bytes"] is None else f"{amount(row['memory_bytes'])} of memory idle"
    size = f", image {amount(row['size_bytes'], on_disk)}, shared" if row["size_bytes"] else ""
    holds = "" if row["holds"] is None else f"free memory holds about {row['holds']}"
    return [f"starts in {duration(row['start_s'])}{size}", memory, holds]
