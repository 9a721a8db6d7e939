"""The handle of a virtual machine: what it is, how it is, how its command ended, how long each part of its boot took."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any, Self

from nbcontainers.network.ports import published
from nbcontainers.table import (
    AMBER,
    AS_IT_IS,
    BOX,
    GREEN,
    HEAD,
    MONOSPACE,
    RED,
    age,
    bytes_,
    duration,
    ink,
    plain,
    timestamp,
)
from nbcontainers.view import View
from nbcontainers.vm.hardware import LABELS, TCG
from nbcontainers.vm.places import Places

if TYPE_CHECKING:
    from nbcontainers.container.terminal import Terminal
    from nbcontainers.engine import Engine
    from nbcontainers.vm.executing import Executed

_LABEL = "display: inline-block; min-width: 84px; opacity: .75;"
_VALUE = f"font-family: {MONOSPACE}; font-size: 12px; overflow-wrap: anywhere;"
_PARTS = ("firmware", "kernel", "init")
ALIVE = ("booting", "running")


@dataclass(frozen=True, repr=False)
class Machine(View):
    """`kind` is kvm, uml or tcg, `release` its kernel's, `memory` bytes, `given` the ports of the host that were
    asked to lead to it (see vm/network.py). `known` is how one ended that was followed to its end: nothing of it is on the disk."""

    id: str
    image: str
    command: tuple[str, ...]
    kind: str
    reason: str
    release: str
    memory: int
    cpus: int
    given: Sequence[Mapping[str, Any]] = field(default=(), compare=False)
    name: str = ""
    engine: Engine | None = field(default=None, compare=False)
    known: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, engine: Engine, record: Mapping[str, Any]) -> Self:
        """From machine.json."""
        return cls(
            record["id"], record["image"], tuple(record["command"]), record["kind"], record["reason"], record["kernel"],
            record["memory"], record["cpus"], tuple(record["ports"]), record["name"], engine,
        )  # fmt: skip

    def ended_as(self, ended: Mapping[str, Any]) -> Self:
        """The same, with what its keeper said of its end."""
        return replace(self, known=ended)

    # -- how it is -------------------------------------------------------------------------------------------------

    @property
    def places(self) -> Places:
        assert self.engine
        return Places(str(self.engine.root), str(self.engine.run), self.id)

    @property
    def record(self) -> Mapping[str, Any]:
        """machine.json; {} of one that was removed."""
        return self.places.read("machine.json")

    @property
    def label(self) -> str:
        """What it is, in words that belong wherever a number of it stands."""
        return LABELS[self.kind]

    @property
    def status(self) -> str:
        """booting, running, exited, dead (its keeper was killed) or removed."""
        if self.known or not self.engine:
            return "exited"
        return self.places.status if self.record else "removed"

    @property
    def running(self) -> bool:
        return self.status in ALIVE

    @property
    def state(self) -> Mapping[str, Any]:
        """What its keeper says of one that runs: pid (of QEMU or user-mode-linux), started_at, boot."""
        return self.places.read("state.json") if self.engine and not self.known else {}

    @property
    def pid(self) -> int | None:
        return self.state.get("pid")

    @property
    def ended(self) -> Mapping[str, Any]:
        """exit.json; {} before its end."""
        return self.known or (self.places.read("exit.json") if self.engine else {})

    @property
    def ports(self) -> Sequence[Mapping[str, Any]]:
        """Those of the host that lead to it."""
        return (self.ended or self.state).get("ports") or self.given

    @property
    def addresses(self) -> Sequence[str]:
        """Its own, on a network of ours."""
        return tuple((self.ended or self.state).get("addresses") or ())

    @property
    def exit_code(self) -> int | None:
        return self.ended.get("exit_code")

    @property
    def wall_s(self) -> float:
        return float(self.ended.get("wall_s", 0.0))

    @property
    def boot(self) -> Mapping[str, float]:
        """Seconds by part: see vm/boot.py."""
        return (self.ended or self.state).get("boot") or {}

    @property
    def console(self) -> str:
        """What its kernel said."""
        return str(self.ended.get("console", ""))

    # -- what can be done with it ----------------------------------------------------------------------------------

    def exec(self, *command: str, **options: Any) -> Executed:
        """`vm exec`."""
        from nbcontainers.vm import api

        return api.exec_(self, *command, engine=self.engine, **options)

    def terminal(self, *command: str, **options: Any) -> Terminal:
        """`vm exec -it`: a terminal that goes on when the cell has ended; its keys come from the page or by `write`."""
        from nbcontainers.vm import opening

        return opening.execute(self, command, options)  # type: ignore[arg-type]

    def stop(self, timeout: float | None = None) -> Self:
        """`vm stop`; `timeout` in seconds."""
        from nbcontainers.vm import api

        api.stop(self, time=timeout, engine=self.engine)
        return self

    def kill(self, signal: str | int = "KILL") -> Self:
        """`vm kill`."""
        from nbcontainers.vm import api

        api.kill(self, signal=signal, engine=self.engine)
        return self

    def rm(self, *, force: bool = False) -> None:
        """`vm rm`."""
        from nbcontainers.vm import api

        api.rm(self, force=force, engine=self.engine)

    def wait(self) -> int:
        """`vm wait`: its command's exit status."""
        from nbcontainers.vm import api

        return api.wait(self, engine=self.engine)[0]

    def logs(self) -> str:
        """What its command has written."""
        from nbcontainers.vm import words

        return "".join(line["log"] for line in words.lines(self))

    # -- how it shows itself ---------------------------------------------------------------------------------------

    def facts(self) -> list[tuple[str, str]]:
        """(label, value)."""
        boot = self.boot
        parts = " + ".join(f"{name} {duration(boot[name])}" for name in _PARTS if name in boot)
        booted = f"{duration(boot['boot'])}{f' = {parts}' if parts else ''}" if "boot" in boot else ""
        others = ", ".join(f"{name} {duration(boot[name])}" for name in ("command", "shutdown") if name in boot)
        why = f" ({self.reason})" if self.reason else ""
        found = [
            ("machine", f"{self.label}{why}"), ("kernel", f"{self.release}, its own"),
            ("has", f"{bytes_(self.memory)}, {self.cpus} processor{'s' * (self.cpus > 1)}"),
            ("address", ", ".join(self.addresses)), ("ports", ", ".join(map(published, self.ports))), ("boot", booted), ("then", others), ("command", shlex.join(self.command)),
            self.outcome(),
        ]  # fmt: skip
        return [(label, plain(value)) for label, value in found if value]

    def outcome(self) -> tuple[str, str]:
        """How it is, or how it ended."""
        status = self.status
        if status != "exited":
            since = timestamp(self.state.get("started_at"))
            return "is", f"{status}{f', for {age(time.time() - since)}' if since else ''}"
        if self.exit_code is None and (error := self.ended.get("error")):
            return "ended", str(error["message"])
        return "ended", f"exit {self.exit_code} after {duration(self.wall_s)}"

    def document(self) -> dict[str, object]:
        return {
            "id": self.id, "name": self.name, "image": self.image, "command": list(self.command), "kind": self.kind,
            "label": self.label, "reason": self.reason, "kernel": self.release, "memory": self.memory, "cpus": self.cpus,
            "ports": [dict(port) for port in self.ports], "addresses": list(self.addresses), "status": self.status, "pid": self.pid,
            "exit_code": self.exit_code, "wall_s": self.wall_s, "boot": dict(self.boot),
        }  # fmt: skip

    def text(self) -> str:
        lines = [f"  {label:<10}{value}" for label, value in self.facts()]
        return "\n".join([f"vm {plain(self.title)}", *lines])

    @property
    def title(self) -> str:
        """Its name, where it goes on; else what it was made of."""
        return f"{self.name} ({self.image})" if self.name and not self.known else self.image

    def html(self) -> str:
        lines = "".join(
            f'<div><span style="{_LABEL}">{label} </span><span style="{_VALUE}">{escape(value)}</span></div>'
            for label, value in self.facts()
        )
        colour = RED if self.exit_code else AMBER if self.kind == TCG else GREEN
        dot = f'<span style="color: {ink(colour)}; font-size: 15px;" aria-hidden="true">●</span>'
        return (
            f'<div {AS_IT_IS} style="{BOX}"><div style="{HEAD}">{dot} <span style="opacity: .75;">vm</span> '
            f'<b style="font-weight: 600; overflow-wrap: anywhere;">{escape(plain(self.title))}</b></div>{lines}</div>'
        )
