"""What a cell shows of a network: its subnet and bridge, who is on it, and the ports that lead to them.

Read from the disk alone, so it costs nothing and cannot wait: what the kernel has of it shows `network topology`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbcontainers.errors import NotFound
from nbcontainers.monitor.files import Files
from nbcontainers.network import members, ports, state, store
from nbcontainers.table import AS_IT_IS, BLUE, BOX, GREY, HEAD, MONOSPACE, few, pad, plain, safe, width

if TYPE_CHECKING:
    from nbcontainers.network.network import Network

MOST = 30
"""So many containers are shown; .containers has all."""
_CODE = f"font-family: {MONOSPACE}; font-size: 12px; background: none; color: inherit;"
_CELL = "padding: 1px 14px 1px 0; border: 0; text-align: left; vertical-align: top; background: none;"
_LABEL = "display: inline-block; min-width: 76px; padding-right: 8px; opacity: .75;"


@dataclass(frozen=True)
class Card:
    """The facts of one network: `facts` are (label, value), `rows` (container, interface, addresses, some ports) of those
    that run on it, `waiting` the names of those made for it that do not, `left` how many rows are not shown."""

    name: str
    driver: str
    facts: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[str, str, str, str], ...] = ()
    waiting: tuple[str, ...] = ()
    left: int = 0

    @property
    def verdict(self) -> str:
        count = len(self.rows) + self.left
        return f"{count} container{'s' if count != 1 else ''} on it" if count else "nobody is on it"

    @property
    def notes(self) -> list[str]:
        found = [f"and {self.left} more"] if self.left else []
        more = f" and {len(self.waiting) - 10} more" if len(self.waiting) > 10 else ""
        return found + ([f"made for it, not running: {', '.join(self.waiting[:10])}{more}"] if self.waiting else [])

    def text(self) -> str:
        lines = [f"network {self.name}  {self.driver}  {self.verdict}"]
        lines += [f"  {label:<9} {value}" for label, value in self.facts]
        widths = [max((width(row[column]) for row in self.rows), default=0) for column in range(3)]
        for row in self.rows:
            lines.append("  " + "  ".join([*map(pad, row[:3], widths), row[3]]).rstrip())
        return "\n".join(map(plain, [*lines, *(f"  {note}" for note in self.notes)]))

    def html(self) -> str:
        dot = BLUE if self.rows else GREY
        head = (
            f'<div style="{HEAD}"><span style="color: {dot}; font-size: 15px;" aria-hidden="true">●</span> '
            f'<span style="opacity: .75;">network</span> <b style="font-weight: 600;">{safe(self.name)}</b> '
            f'<span style="opacity: .75;">{safe(self.driver)}</span> '
            f'<span style="margin-left: auto; padding-left: 20px; opacity: .75;">{safe(self.verdict)}</span></div>'
        )
        said = "".join(
            f'<div><span style="{_LABEL}">{safe(label)} </span><code style="{_CODE}">{safe(value)}</code></div>'
            for label, value in self.facts
        )
        notes = "".join(f'<div style="opacity: .75; font-size: 12px;">{safe(note)}</div>' for note in self.notes)
        return f'<div {AS_IT_IS} style="{BOX}">{head}{said}{self._table()}{notes}</div>'

    def _table(self) -> str:
        if not self.rows:
            return ""
        heads = "".join(
            f'<th style="{_CELL} font-weight: 600;">{one}</th>' for one in ("container", "in it", "addresses", "ports")
        )
        body = "".join(
            '<tr style="background: none;">'
            + "".join(f'<td style="{_CELL}"><code style="{_CODE}">{safe(cell)}</code></td>' for cell in row)
            + "</tr>"
            for row in self.rows
        )
        return (
            '<table style="border-collapse: collapse; border: 0; margin: 6px 0 0; font-size: 13px;">'
            f'<thead><tr style="background: none;">{heads}</tr></thead><tbody>{body}</tbody></table>'
        )


def of(network: Network) -> Card:
    """Raises NotFound once it is removed."""
    if network.name in store.BUILT_IN:
        words = {"host": "the host's own interfaces, addresses and ports", "none": "a loopback alone"}
        return Card(network.name, "built in", (("gives", words[network.name]),))
    root, run, record = str(network.engine.root), str(network.engine.run), network.record
    rows = sorted(_rows(root, run, network.name))
    there = {name for name, *_ in rows}
    waiting = sorted(name for name in members.users(root).get(network.name, ()) if name not in there)
    return Card(
        network.name,
        network.driver,
        tuple(_facts(record)),
        tuple(rows[:MOST]),
        tuple(waiting),
        max(0, len(rows) - MOST),
    )


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in record["subnets"]:
        yield (
            "subnet",
            f"{one['subnet']}  gateway {one['gateway']}" + (f"  from {one['range']}" if one.get("range") else ""),
        )
    if record["driver"] == "bridge":
        yield "bridge", record["bridge"]
    else:
        yield "parent", f"{record['parent']}  mode {record['mode']}"
    if record["internal"]:
        yield "internal", "no way in or out: its containers reach each other"
    if record.get("mtu"):
        yield "mtu", str(record["mtu"])
    if labels := record.get("labels"):
        yield "labels", "  ".join(f"{key}={value}" for key, value in labels.items())


def _rows(root: str, run: str, network: str) -> Iterator[tuple[str, str, str, str]]:
    """Of the containers that run on it."""
    if not os.path.isdir(run):
        return
    for id, made in state.running(root, run):
        if (entry := made["networks"].get(network)) is None:
            continue
        try:
            name = str(Files(root, run, id).read("container.json")["name"])
        except NotFound:
            continue
        led = dict.fromkeys(ports.published(one) for one in made["ports"] if one["target"] in entry["addresses"])
        yield name, entry["interface"], " ".join(entry["addresses"]), few(list(led))
