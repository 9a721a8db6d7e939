"""The handle of a virtual machine that has run: what it was, how its command ended, how long each part took."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from nbcontainers.network.ports import published
from nbcontainers.table import AMBER, AS_IT_IS, BOX, GREEN, HEAD, MONOSPACE, RED, bytes_, duration, ink, plain
from nbcontainers.view import View
from nbcontainers.vm.hardware import LABELS, TCG

_LABEL = "display: inline-block; min-width: 84px; opacity: .75;"
_VALUE = f"font-family: {MONOSPACE}; font-size: 12px; overflow-wrap: anywhere;"
_PARTS = ("firmware", "kernel", "init")


@dataclass(frozen=True, repr=False)
class Machine(View):
    """`kind` is kvm, uml or tcg, `release` its kernel's, `boot` seconds by part (see vm/boot.py), `memory` bytes,
    `console` the end of what its kernel said, `ports` those of the host that led to it, `addresses` its own (see vm/network.py)."""

    id: str
    image: str
    command: tuple[str, ...]
    kind: str
    reason: str
    release: str
    memory: int
    cpus: int
    exit_code: int | None = None
    wall_s: float = 0.0
    boot: Mapping[str, float] = field(default_factory=dict)
    console: str = ""
    ports: Sequence[Mapping[str, Any]] = ()
    addresses: Sequence[str] = ()

    @property
    def label(self) -> str:
        """What it is, in words that belong wherever a number of it stands."""
        return LABELS[self.kind]

    def facts(self) -> list[tuple[str, str]]:
        """(label, value)."""
        parts = " + ".join(f"{name} {duration(self.boot[name])}" for name in _PARTS if name in self.boot)
        boot = f"{duration(self.boot['boot'])}{f' = {parts}' if parts else ''}" if "boot" in self.boot else ""
        others = ", ".join(
            f"{name} {duration(self.boot[name])}" for name in ("command", "shutdown") if name in self.boot
        )
        why = f" ({self.reason})" if self.reason else ""
        found = [
            ("machine", f"{self.label}{why}"), ("kernel", f"{self.release}, its own"),
            ("has", f"{bytes_(self.memory)}, {self.cpus} processor{'s' * (self.cpus > 1)}"),
            ("address", ", ".join(self.addresses)), ("ports", ", ".join(map(published, self.ports))), ("boot", boot), ("then", others), ("command", shlex.join(self.command)),
            ("ended", f"exit {self.exit_code} after {duration(self.wall_s)}"),
        ]  # fmt: skip
        return [(label, plain(value)) for label, value in found if value]

    def document(self) -> dict[str, object]:
        return {
            "id": self.id, "image": self.image, "command": list(self.command), "kind": self.kind, "label": self.label,
            "reason": self.reason, "kernel": self.release, "memory": self.memory, "cpus": self.cpus, "ports": [dict(port) for port in self.ports], "addresses": list(self.addresses),
            "exit_code": self.exit_code, "wall_s": self.wall_s, "boot": dict(self.boot),
        }  # fmt: skip

    def text(self) -> str:
        return "\n".join([f"vm {plain(self.image)}", *(f"  {label:<10}{value}" for label, value in self.facts())])

    def html(self) -> str:
        lines = "".join(
            f'<div><span style="{_LABEL}">{label} </span><span style="{_VALUE}">{escape(value)}</span></div>'
            for label, value in self.facts()
        )
        colour = RED if self.exit_code else AMBER if self.kind == TCG else GREEN
        dot = f'<span style="color: {ink(colour)}; font-size: 15px;" aria-hidden="true">●</span>'
        return (
            f'<div {AS_IT_IS} style="{BOX}"><div style="{HEAD}">{dot} <span style="opacity: .75;">vm</span> '
            f'<b style="font-weight: 600; overflow-wrap: anywhere;">{escape(plain(self.image))}</b></div>{lines}</div>'
        )
