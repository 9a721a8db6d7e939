"""`vm ls`: which machines there are, and how they are; `vm inspect`."""

from __future__ import annotations

import time
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.network.ports import published
from nbcontainers.table import Column, Row, Table, age, bytes_, command, digest, since, timestamp
from nbcontainers.vm import finding
from nbcontainers.vm.machine import ALIVE, Machine


def ls(engine: Engine, *, everything: bool) -> Table:
    """Rows: id, image, command, created, status (in words), state (one word), kind, kernel, memory, cpus, ports, exit_code,
    pid, name."""
    machines = [one for one in finding.known(engine) if everything or one.status in ALIVE]
    return Table([_row(one) for one in machines], _COLUMNS)


_COLUMNS = [
    Column("id", "MACHINE ID", digest),
    Column("image"),
    Column("command", format=command),
    Column("created", format=since),
    Column("status"),
    Column("kind"),
    Column("kernel"),
    Column("memory", format=bytes_),
    Column("ports"),
    Column("name", "NAMES"),
]


def _row(machine: Machine) -> Row:
    state = machine.status
    return {
        "id": machine.id, "image": machine.image, "command": list(machine.command),
        "created": machine.record.get("created"), "status": _words(machine, state), "state": state, "kind": machine.kind,
        "kernel": machine.release, "memory": machine.memory, "cpus": machine.cpus,
        "ports": ", ".join(map(published, machine.ports)), "exit_code": machine.exit_code, "pid": machine.pid,
        "name": machine.name,
    }  # fmt: skip


def _words(machine: Machine, state: str) -> str:
    """Docker's: `Up 5 minutes`, `Exited (143) 2 hours ago`."""
    if state == "running":
        started = timestamp(machine.state.get("started_at"))
        return f"Up {age(time.time() - started)}" if started else "Up"
    if state != "exited":
        return {"dead": "Dead (its keeper was killed)"}.get(state, state.capitalize())
    ended = machine.ended
    finished = timestamp(ended.get("finished_at"))
    ago = f" {age(time.time() - finished)} ago" if finished else ""
    return f"Exited ({ended['exit_code']}){ago}" if ended.get("exit_code") is not None else f"Failed{ago}"


def inspect(machine: Machine) -> dict[str, Any]:
    """Everything known of it."""
    record = {name: text for name, text in machine.record.items() if name != "layers"}
    ended = machine.ended
    return {
        **record, **machine.document(), "started_at": machine.state.get("started_at"),
        "finished_at": ended.get("finished_at"), "error": (ended.get("error") or {}).get("message"),
    }  # fmt: skip
