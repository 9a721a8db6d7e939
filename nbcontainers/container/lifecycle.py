"""`wait`, `kill`, `stop` and `rm`: the end of a container, by its process's descriptor and its files."""

from __future__ import annotations

import errno
import json
import os
import select
import signal as signals
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nbcontainers.container import defaults, parse, store
from nbcontainers.container.container import Container
from nbcontainers.container.options import bad
from nbcontainers.errors import InvalidState, NotFound
from nbcontainers.launcher import client
from nbcontainers.linux import process
from nbcontainers.monitor import protocol
from nbcontainers.monitor.stop import drops

_PATIENCE = 10.0
"""Seconds for the monitor's own tidying after the program's end."""


def wait(container: Container, timeout: float | None = None) -> int:
    """Until the container has ended; its exit status. Raises TimeoutError, InvalidState if it was never started.

    What ends is the monitor, which writes exit.json first; with --rm there will be no file, and it is asked itself.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    if container.kept:
        return int(container.kept.ended["exit_code"])
    if container.record.get("remove") and (code := _told(container, deadline)) is not None:
        return code
    folder = os.open(store.folder(container.engine, container.id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _descriptor(store.state(container.engine, container.id, "monitor.json")) as monitor:
            return _written(container, folder, monitor, deadline)
    finally:
        os.close(folder)


def _written(container: Container, folder: int, monitor: int, deadline: float | None) -> int:
    """The status in exit.json, as soon as it is there; `monitor` is a pidfd, -1 if it has ended."""
    while (code := _exit_code(folder)) is None:
        if monitor < 0:
            raise _never_ends(container)
        if _ended(monitor, _slice(deadline)):
            monitor = -1
        elif deadline is not None and time.monotonic() >= deadline:
            raise _too_late(container)
    return code


def _told(container: Container, deadline: float | None) -> int | None:
    """The exit status from the monitor's own mouth; None where it does not listen."""
    try:
        channel = client.attach(container.engine.run, container.id)
    except InvalidState:
        return None
    with channel:
        while True:
            try:
                frame = channel.receive(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise _too_late(container) from None
            if frame is None:
                return None
            if frame[0] == protocol.EXIT:
                return int(json.loads(frame[1])["exit_code"])


def _too_late(container: Container) -> TimeoutError:
    return TimeoutError(f"container {container.name} still runs")


def _never_ends(container: Container) -> InvalidState:
    if container.removed:
        return InvalidState(f"container {container.short_id} removed itself before its exit status was read")
    status = container.status
    hint = "type container start first" if status == "created" else "type system prune to tidy it up"
    return InvalidState(f"container {container.name} will not end: it is {status}", hint=hint, status=status)


def _exit_code(folder: int) -> int | None:
    try:
        file = os.open("exit.json", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    with os.fdopen(file, "rb") as content:
        return int(json.load(content)["exit_code"])


@contextmanager
def _descriptor(record: dict[str, int]) -> Iterator[int]:
    """A pidfd of the very process a record names; -1 if it is gone."""
    try:
        pidfd = process.pidfd_open(record.get("pid", 0)) if record else -1
    except OSError:
        pidfd = -1
    try:
        yield pidfd if pidfd >= 0 and store.alive(record) else -1
    finally:
        if pidfd >= 0:
            os.close(pidfd)


def _ended(pidfd: int, milliseconds: float | None) -> bool:
    """Wait for a process's end."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(milliseconds))


def _slice(deadline: float | None) -> float:
    """How long to wait at once: exit.json comes a little before the monitor's end."""
    left = 50.0 if deadline is None else (deadline - time.monotonic()) * 1000
    return max(0.0, min(50.0, left))


def kill(container: Container, signal: str | int = "KILL") -> str:
    """Send a signal to pid 1; returns the container's name. Raises InvalidState where it does not run."""
    try:
        number = parse.signal(signal)
    except ValueError as error:
        raise bad("signal", str(error)) from None
    name = container.name
    state = store.state(container.engine, container.id)
    with _descriptor(state) as init:
        if init < 0 or not _send(init, number):
            raise InvalidState(
                f"container {name} is not running", hint="container ps -a shows how it is", status=container.status
            )
    if number == signals.SIGKILL:
        _thaw(container)
    return name


def _send(pidfd: int, number: int) -> bool:
    try:
        signals.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def _thaw(container: Container) -> None:
    """A frozen process dies only when it is thawed (cgroups(7), freezer of version 1)."""
    from nbcontainers.cgroups.detect import open_record

    if record := store.state(container.engine, container.id).get("cgroup"):
        try:
            cgroup = open_record(record)
            if cgroup.frozen:
                cgroup.thaw()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):  # it is gone, and the process with it
                raise


def stop(container: Container, timeout: int | None = None) -> str:
    """The stop signal, and SIGKILL after `timeout` seconds; returns when all is tidied. One that has ended is fine."""
    record = container.record
    name = str(record["name"])
    seconds = record.get("stop_timeout", defaults.STOP_TIMEOUT) if timeout is None else timeout
    state = store.state(container.engine, container.id)
    with (
        _descriptor(state) as init,
        _descriptor(store.state(container.engine, container.id, "monitor.json")) as monitor,
    ):
        if init >= 0:
            if container.status == "paused":
                _thaw(container)
            number = record.get("stop_signal", signals.SIGTERM)
            _send(init, number)
            in_vain = drops(state["pid"], number)
            if not _ended(init, 0 if in_vain else seconds * 1000):
                _send(init, signals.SIGKILL)
                _thaw(container)
        if monitor >= 0:
            _ended(monitor, _PATIENCE * 1000)
    return name


def remove(container: Container, *, force: bool, volumes: bool) -> str:
    """Take a container away; returns its name. With `force` it is killed first."""
    record = container.record
    name, status = str(record["name"]), container.status
    if status in ("running", "paused") and not force:
        raise InvalidState(
            f"container {name} is {status}",
            hint=f"type container stop {name} first, or container rm -f {name}",
            status=status,
        )
    _end(container)
    if not container.removed:
        store.remove(container.engine, container.id, anonymous_volumes=volumes or bool(record.get("remove")))
    return name


def _end(container: Container) -> None:
    """Kill what runs, and wait for its monitor to finish."""
    with _descriptor(store.state(container.engine, container.id, "monitor.json")) as monitor:
        try:
            kill(container)
        except (InvalidState, NotFound):
            pass
        if monitor >= 0 and not _ended(monitor, _PATIENCE * 1000):
            raise InvalidState(f"the monitor of container {container.short_id} does not end", hint="type system prune")
