"""The three drawings every course has (programs on the bare machine, in virtual machines, in containers), made from this
very host: what runs on what, and what each layer costs here. What this host cannot measure is left out, or said."""

from __future__ import annotations

import statistics
import textwrap
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbcontainers.compare import conditions, outside, rootfs, rounds, running, stacks, stored, workload
from nbcontainers.compare.card import cut
from nbcontainers.compare.overview import WIDTH
from nbcontainers.compare.rounds import Row, Tell
from nbcontainers.compare.target import Limits, Plan, Target
from nbcontainers.engine import Engine
from nbcontainers.errors import Error
from nbcontainers.image.store import resolve
from nbcontainers.monitor.files import rfc3339
from nbcontainers.table import AMBER, AS_IT_IS, ink, plain, safe
from nbcontainers.view import View

if TYPE_CHECKING:
    import pandas

_STARTS = 5
_LOADS_S = 0.2
"""Until a small program has loaded its libraries."""
_SETTLES_S = 6.0
"""Until a monitor that has nothing to do has given back what it does not need (monitor/idle.py)."""
_GAP = 14
_SMALL = "opacity: .75; font-size: 12px;"


@dataclass(frozen=True, eq=False, repr=False)
class Layers(View):
    """`rows`: kind, target, kernel, start_s (to the first instruction of a shell, the median of 5), memory_bytes (of an idle
    instance: the proportional set size of all its processes on the host; of these program_bytes are the program's, engine_bytes
    those of what runs it, which in a virtual machine is all), processes, size_bytes (of the image on the disk,
    shared by all instances), holds (how many such instances the free memory would hold: computed). None: not measured."""

    rows: Sequence[Row]
    absent: Mapping[str, str]
    machine: Mapping[str, Any]
    image: str
    at: str

    def to_pandas(self) -> pandas.DataFrame:
        import pandas

        frame = pandas.DataFrame(list(self.rows))
        whole = [name for name in frame.columns if name.endswith("_bytes") or name in ("processes", "holds")]
        return frame.astype(dict.fromkeys(whole, "Int64"))

    def document(self) -> dict[str, Any]:
        return {"rows": list(self.rows), "absent": dict(self.absent), "machine": dict(self.machine), "image": self.image,
                "at": self.at}  # fmt: skip

    @property
    def _drawn(self) -> list[tuple[Row, list[stacks.Layer], Row | None]]:
        """Of each its layers, and what its start is compared with."""
        first = next((row for row in self.rows if row["kind"] == "host"), None)
        return [(row, stacks.stack(row, self.image, self.machine), first) for row in self.rows]

    def text(self) -> str:
        drawings = ["\n".join(stacks.text(*one)) for one in self._drawn]
        absent = [f"{name} is absent: {cut(why)}" for name, why in self.absent.items()]
        wrapped = ["\n".join(textwrap.wrap(plain(line), WIDTH)) for line in (self._heading, *absent, _NOTE)]
        return "\n\n".join([wrapped[0], *drawings, *wrapped[1:]])

    def html(self) -> str:
        drawings = "".join(stacks.svg(*one) for one in self._drawn)
        absent = "".join(
            f'<div style="color: {ink(AMBER)};">{safe(name)} is absent: {safe(cut(why))}</div>'
            for name, why in self.absent.items()
        )
        return (
            f'<div {AS_IT_IS} style="font-size: 13px; max-width: 1000px;"><b style="font-weight: 600;">'
            f"{safe(self._heading)}</b>{absent}"
            f'<div style="display: flex; flex-wrap: wrap; gap: {_GAP}px; align-items: flex-end; margin: 8px 0;">{drawings}</div>'
            f'<div style="{_SMALL}">{safe(_NOTE)}</div></div>'
        )

    @property
    def _heading(self) -> str:
        return f"what runs on what: measured on this host with image {self.image}, {self.at[:19].replace('T', ' ')} UTC"


_NOTE = (
    "start: until a shell's first instruction, median of 5; memory: proportional set size of all processes of an idle "
    "instance on the host, its monitor or virtual machine too; the image is on the disk once, whoever runs of it; holds: free "
    "memory by that, computed and not tried"
)


def measure(engine: Engine, image: str, on: Sequence[Target], tell: Tell) -> Layers:
    """Of each target that can run here."""
    rows: list[Row] = []
    absent: dict[str, str] = {}
    at = rfc3339(time.time_ns())
    with running.planned(engine, image, Limits()) as plan:
        for one in on:
            tell(f"measures {one.name}")
            try:
                rows.append(_row(_own(plan, one), one))
            except (Error, rounds.Failed, OSError) as error:
                absent[one.name] = " ".join(str(error).split("\nhint: "))
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
    sizes, processes = _idle(plan, target)
    memory = sum(sizes) if sizes else None
    whole = target.kind == "vm"  # the program is somewhere in the machine's memory
    free = outside.available()
    return {
        "kind": target.kind, "target": target.name, "label": target.label, "kernel": target.facts().get("kernel"),
        "start_s": statistics.median(starts[1:]), "memory_bytes": memory,
        "program_bytes": sizes[0] if sizes and not whole else None,
        "engine_bytes": None if sizes is None else sum(sizes if whole else sizes[1:]), "processes": processes,
        "size_bytes": _size(plan) if target.kind != "host" else None,
        "holds": free // memory if memory and target.kind != "host" else None,
    }  # fmt: skip


def _idle(plan: Plan, target: Target) -> tuple[list[int] | None, int | None]:
    """Bytes of each process of an instance that does nothing, and how many these are; None for what cannot be told."""
    with ExitStack() as stack:
        if (instance := target.idle(plan)) is None:
            return None, None
        pids = stack.enter_context(instance)
        time.sleep(_SETTLES_S if len(pids) > 1 else _LOADS_S)
        sizes = [stored.pss(pid) for pid in pids]
    known = [size for size in sizes if size is not None]
    return (known if len(known) == len(pids) else None), len(pids)


def _size(plan: Plan) -> int | None:
    """Of the image's files; of `host` nothing is copied."""
    return 0 if plan.on_host else resolve(plan.engine, plan.image).size
