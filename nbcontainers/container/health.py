"""What a container's health check says of it: `run/ID/health.json`, which its monitor writes (monitor/health.py)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.container.failure import not_running
from nbcontainers.errors import ContainerFailed, InvalidState
from nbcontainers.launcher import client
from nbcontainers.monitor.files import Files
from nbcontainers.monitor.health import FILE


def document(container: Container) -> dict[str, Any]:
    """`status`, `failing_streak` and `log`; that of the last run where it does not run; empty without a check."""
    return store.state(container.engine, container.id, FILE) or container.ended.get("health") or {}


def status(container: Container) -> str:
    """`starting`, `healthy` or `unhealthy`; "" without a check."""
    return str(document(container).get("status", ""))


def check(container: Container) -> str:
    """One check now, beside those that its monitor makes; returns the status that comes of it.

    Raises ContainerFailed for a check that failed, InvalidState where there is none, or the container does not run.
    """
    record, engine = container.record, container.engine
    name = str(record["name"])
    if not record.get("health"):
        raise no_check(record)
    if container.status != "running":
        raise not_running(name, container.status)
    found = client.call(
        "nbcontainers.container.health:check_here", root=str(engine.root), run=str(engine.run), id=container.id,
        age=container.wall_s or 0.0,
    )  # fmt: skip
    last = found["log"][-1]
    if last["exit_code"]:
        said = f": {last['output'].strip()}" if last["output"].strip() else ""
        error = ContainerFailed(
            f"the health check of {name} failed (exit {last['exit_code']}){said}",
            hint=f"it is {found['status']}; container exec {name} SHELL lets you look",
            exit_code=1, id=container.id, name=name,
        )  # fmt: skip
        error.container = container
        raise error
    return str(found["status"])


def no_check(record: Mapping[str, Any]) -> InvalidState:
    return InvalidState(f"container {record['name']} has no health check", hint="make it with --health-cmd COMMAND")


def check_here(root: str, run: str, id: str, age: float) -> dict[str, Any]:
    """In a process of the launcher: make the check; returns health.json."""
    from nbcontainers.monitor.check import Check

    files = Files(root, run, id)
    Check(files, time.monotonic() - age).run()
    return files.read_state(FILE)
