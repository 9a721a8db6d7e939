"""One of the three drawings: what runs on what, from the program down to the machine, and what was measured of each layer."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nbcontainers.compare.details import number
from nbcontainers.compare.overview import WIDTH, aligned
from nbcontainers.compare.rounds import Row
from nbcontainers.table import AMBER, BLUE, GREEN, GREY, MONOSPACE, amount, duration, plain, safe
from nbcontainers.table import stored as on_disk

_KINDS = {"host": "programs on", "vm": "virtual machines", "container": "containers"}
_APPS = 3
_WIDTH, _HIGH, _GAP, _TOP, _LINE = 280, 46, 5, 24, 15
FLEXIBLE = "flex: 1 1 232px; min-width: 232px; max-width: 310px; height: auto;"
"""Three of them stand side by side in a cell, and below each other in a narrow one."""
_LINES = 3
"""Below each, so that their machines stand on one ground."""
_COLOURS = {
    "app": (BLUE, 0.16),
    "files": (GREEN, 0.16),
    "kernel": (AMBER, 0.2),
    "engine": (GREY, 0.3),
    "machine": (GREY, 0.1),
}
"""Of a kind of layer: the same in each drawing, so that one sees how many kernels there are."""


class Layer(NamedTuple):
    """`own` is whether each program has one for itself; `note` what was measured of it."""

    kind: str
    name: str
    note: str = ""
    own: bool = False


def title(row: Row) -> str:
    label = row["label"].removesuffix(", no limits")
    return f"{_KINDS[row['kind']]} {label}" if row["kind"] == "host" else f"{_KINDS[row['kind']]}: {label}"


def stack(row: Row, image: str, machine: Mapping[str, Any]) -> list[Layer]:
    """What runs on what, the program first."""
    app = Layer("app", "App", _memory(row["program_bytes"]), own=True)
    ground = [
        Layer("kernel", f"kernel {os.uname().release}", "one for all"),
        Layer("machine", f"{machine.get('processor', 'processor')} × {machine['processors']}",
              f"{amount(machine['memory_bytes'])}{', itself a virtual machine' if machine['hypervisor'] else ''}"),
    ]  # fmt: skip
    if row["kind"] == "host":
        return [app, Layer("files", "the host's libraries", "one for all"), *ground]
    size = f"{amount(row['size_bytes'], on_disk)} once" if row["size_bytes"] else ""
    files = Layer("files", f"image {image}", size, own=True)
    if row["kind"] == "vm":
        release = "-".join((row["kernel"] or "").split("-")[:2])
        return [
            app,
            files,
            Layer("kernel", "own kernel", release, own=True),
            Layer("engine", row["label"], _each(row)),
            *ground,
        ]
    return [app, files, Layer("engine", f"{row['label']}: namespaces, cgroup", _each(row)), *ground]


def _memory(value: int | None) -> str:
    """All in one unit, to be compared."""
    return "" if value is None else f"{value / (1 << 20):.3g} MiB"


def _each(row: Row) -> str:
    memory = _memory(row["engine_bytes"])
    if not memory:
        return "memory not measured"
    return f"{memory} each, with all above" if row["kind"] == "vm" else f"a monitor each, {memory}"


def costs(row: Row, first: Row | None) -> list[str]:
    """Of one instance: when its program starts, what memory it takes, how many there is room for."""
    times = row["start_s"] / first["start_s"] if first and first is not row else None
    start = f"starts in {duration(row['start_s'])}{f' ({number(times)} × the host)' if times else ''}"
    memory = _memory(row["memory_bytes"])
    holds = [] if row["holds"] is None else [f"free memory holds about {row['holds']}"]
    return [start, f"idle: {memory} of memory" if memory else "memory not measured", *holds]


def text(row: Row, layers: list[Layer], first: Row | None) -> list[str]:
    """A line a layer: what is there, and what it takes."""
    rows = [
        [" | ".join(f"App{n + 1}" if one.kind == "app" else one.name for n in range(_APPS if one.own else 1)), one.note]
        for one in layers
    ]
    if max(len(left) for left, _ in rows) > WIDTH - 40:
        rows = [[f"{one.name}{f', {_APPS} times' if one.own else ''}", one.note] for one in layers]
    lines = [f"  {line}" for line in aligned(rows)]
    return [plain(title(row)), *lines, *(f"  > {line}" for line in costs(row, first))]


def svg(row: Row, layers: list[Layer], first: Row | None) -> str:
    """Three programs next to each other; what each has for itself is drawn thrice, what they share once."""
    below = costs(row, first)
    height = _TOP + _HIGH * len(layers) + _LINE * _LINES + 8
    parts = [f'<text x="0" y="13" font-size="12" font-weight="600">{safe(title(row))}</text>']
    for place, layer in enumerate(layers):
        count = _APPS if layer.own else 1
        for column in range(count):
            parts += _box(column, count, _TOP + _HIGH * place, layer)
    y = _TOP + _HIGH * len(layers) + 12
    parts += [f'<text x="0" y="{y + _LINE * at}">{safe(words)}</text>' for at, words in enumerate(below)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{safe(title(row))}" fill="currentColor" style="font: 10.5px {MONOSPACE}; {FLEXIBLE}">'
        f"{''.join(parts)}</svg>"
    )


def _box(column: int, count: int, y: float, layer: Layer) -> Iterator[str]:
    wide = (_WIDTH - 2 - _GAP * (count - 1)) / count
    x = 1 + column * (wide + _GAP)
    colour, opacity = _COLOURS[layer.kind]
    yield (
        f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{_HIGH - _GAP}" rx="5" fill="{colour}" '
        f'fill-opacity="{opacity}" stroke="{colour}"/>'
    )
    name = f"App{column + 1}" if layer.kind == "app" else layer.name
    lines = _broken(name, int(wide / 6.6), 1 if layer.note and count == 1 else 2)
    lines = [*lines, *([layer.note] if layer.note else [])]
    for at, line in enumerate(lines):
        below = y + (_HIGH - _GAP) / 2 + 4 + (at - (len(lines) - 1) / 2) * 12.5
        faded = ' opacity=".8"' if layer.note and at == len(lines) - 1 else ""
        yield f'<text x="{x + wide / 2:.1f}" y="{below:.1f}" text-anchor="middle"{faded}>{safe(line)}</text>'


def _broken(words: str, room: int, most: int) -> list[str]:
    """In so many lines; the rest is cut."""
    return textwrap.wrap(words, room, max_lines=most, placeholder="…") or [words[: room - 1] + "…"]
