"""`wait`: until a container is as one wants it, Docker's and podman's conditions in one list."""

from __future__ import annotations

import time

from nbcontainers.container import health, lifecycle
from nbcontainers.container.container import RUNNING, Container
from nbcontainers.container.failure import too_late
from nbcontainers.container.options import CONDITIONS
from nbcontainers.errors import InvalidArgument, InvalidState, NotFound

_ENDS = ("stopped", "exited", "not-running")
_HEALTH = ("healthy", "unhealthy")
_PAUSE_S = 0.02
_NO_STATUS = -1
"""As podman has it: what has not ended has no exit status."""


def wait(container: Container, condition: str = "stopped", timeout: float | None = None) -> int:
    """The exit status; -1 for a condition of one that goes on. Raises TimedOut, InvalidState if it cannot come."""
    if condition not in CONDITIONS:
        hint = f"write one of {', '.join(CONDITIONS)}"
        raise InvalidArgument(f"--condition: {condition!r} is none", hint=hint, option="condition")
    deadline = None if timeout is None else time.monotonic() + timeout
    if condition in _ENDS or (condition == "next-exit" and container.running):
        return lifecycle.wait(container, timeout)
    if condition == "next-exit":
        _until(container, "running", deadline)
        return lifecycle.wait(container, None if deadline is None else deadline - time.monotonic())
    if condition == "removed":
        return _until_removed(container, deadline)
    (_until_well if condition in _HEALTH else _until)(container, condition, deadline)
    return _NO_STATUS


def _until(container: Container, state: str, deadline: float | None) -> None:
    while container.status != state:
        _pause(container, deadline)


def _until_well(container: Container, condition: str, deadline: float | None) -> None:
    record = container.record
    while health.status(container) != condition:
        if (status := container.status) not in RUNNING:
            hint = f"container logs {record['name']} shows what it wrote"
            message = f"container {record['name']} will not be {condition}: it is {status}"
            raise InvalidState(message, hint=hint, status=status)
        if not record.get("health"):
            raise health.no_check(record)
        _pause(container, deadline)


def _until_removed(container: Container, deadline: float | None) -> int:
    status = _NO_STATUS
    while not container.removed:
        try:
            code = container.exit_code
        except NotFound:
            break
        status = status if code is None else code
        _pause(container, deadline)
    return status


def _pause(container: Container, deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise too_late(container.name, f"is {container.status} still")
    time.sleep(_PAUSE_S)
