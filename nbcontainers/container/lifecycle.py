"""`wait`, `kill`, `stop` and `rm`: the end of a container, by its process's descriptor and its files."""

from __future__ import annotations

import errno
import json
import os
import select
import signal as signals
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nbcontainers.container import defaults, parse, store
from nbcontainers.container.container import RUNNING, Container
from nbcontainers.container.failure import not_running, too_late
from nbcontainers.container.options import bad
from nbcontainers.container.selection import raise_all
from nbcontainers.errors import Error, InvalidState, NotFound
from nbcontainers.launcher import client
from nbcontainers.launcher.channel import Channel
from nbcontainers.linux import process
from nbcontainers.monitor import protocol, restart
from nbcontainers.monitor.stop import drops

_PATIENCE = 10.0
"""Seconds for the monitor's own tidying after the program's end."""
_PAUSE_S = 0.01


def wait(container: Container, timeout: float | None = None) -> int:
    """Until the container has ended; its exit status. Raises TimedOut, InvalidState if it was never started.

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
            waiting = store.state(container.engine, container.id, "exit.json")  # for room on the disk
            if waiting and (code := _final(waiting)) is not None:
                return code
            raise _never_ends(container)
        if _ended(monitor, _slice(deadline)):
            monitor = -1
        elif deadline is not None and time.monotonic() >= deadline:
            raise too_late(container.name, "still runs")
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
                raise too_late(container.name, "still runs") from None
            if frame is None:
                return None
            if frame[0] == protocol.EXIT and (code := _final(json.loads(frame[1]))) is not None:
                return code


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
        return _final(json.load(content))


def _final(record: Mapping[str, Any]) -> int | None:
    """The exit status, unless its policy starts it again."""
    return None if record.get("restarting") else int(record["exit_code"])


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
    """Send a signal to pid 1; returns the container's name. Raises InvalidState where it does not run.

    One that is meant to end it keeps its restart policy from starting it again.
    """
    number, record = _number(signal), container.record
    met = ""
    if number in (signals.SIGKILL, record.get("stop_signal")):
        met = container.status
        _hold(container)  # its next run may be about to begin
    with _descriptor(store.state(container.engine, container.id)) as init:
        if init < 0 or not _send(init, number):
            if met in RUNNING:  # its monitor was told by the hold, and was quicker
                return str(record["name"])
            raise not_running(str(record["name"]), container.status)
    if number == signals.SIGKILL:
        _thaw(container)
    store.happened(container.engine, record, "kill", signal=number)
    return str(record["name"])


def _hold(container: Container) -> None:
    """Keep its policy from starting it again; without one a full disk is no reason to leave it running."""
    try:
        restart.hold(_run_folder(container))
    except OSError as error:
        policy = (container.record.get("restart") or {}).get("name", "no")
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or policy != "no":
            raise


def _run_folder(container: Container) -> str:
    return f"{container.engine.run}/{container.id}"


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


def stop(containers: Iterable[Container], timeout: int | None = None, signal: str | int | None = None) -> list[str]:
    """The stop signal to all of them, and SIGKILL to what still runs after `timeout` seconds; returns their names when
    all is tidied. One that has ended is fine."""
    number = None if signal is None else _number(signal)
    return _together([_stopping(container, timeout, number) for container in containers])


def _together(going: Iterable[Iterator[str]]) -> list[str]:
    """The first step of all, then the second of those whose first went well; errors are raised when all is done."""
    begun: list[Iterator[str]] = []
    done: list[str] = []
    failed: list[Error] = []
    for one in going:
        try:
            next(one)
            begun.append(one)
        except Error as error:
            failed.append(error)
    for one in begun:
        try:
            done.append(next(one))
        except Error as error:
            failed.append(error)
    raise_all(failed)
    return done


def _number(signal: str | int) -> int:
    try:
        return parse.signal(signal)
    except ValueError as error:
        raise bad("signal", str(error)) from None


def _stopping(container: Container, timeout: int | None, signal: int | None) -> Iterator[str]:
    """Two steps: the signal is sent, and the end is waited for. Yields the name after each."""
    record = container.record
    _hold(container)  # before the look: its next run may be about to begin
    state = store.state(container.engine, container.id)
    name = str(record["name"])
    seconds = record.get("stop_timeout", defaults.STOP_TIMEOUT) if timeout is None else timeout
    number = signal or record.get("stop_signal", signals.SIGTERM)
    deadline, runs = time.monotonic() + seconds, False
    with (
        _descriptor(state) as init,
        _descriptor(store.state(container.engine, container.id, "monitor.json")) as monitor,
    ):
        if runs := init >= 0:
            if container.status == "paused":
                _thaw(container)
            _send(init, number)
            store.happened(container.engine, record, "kill", signal=number)
            deadline = 0.0 if drops(state["pid"], number) else deadline
        yield name
        if runs and not _ended(init, max(0.0, deadline - time.monotonic()) * 1000):
            _send(init, signals.SIGKILL)
            _thaw(container)
            store.happened(container.engine, record, "kill", signal=int(signals.SIGKILL))
        if monitor >= 0:
            _tidied(container, monitor)
            store.happened(container.engine, record, "stop")
    yield name


def restart_all(containers: Sequence[Container], timeout: int | None, signal: str | int | None) -> list[str]:
    """Stop those that run, and start all of them; returns their names."""
    number = None if signal is None else _number(signal)
    return _together([_restarting(container, timeout, number) for container in containers])


def _restarting(container: Container, timeout: int | None, signal: int | None) -> Iterator[str]:
    """Two steps, as `_stopping`: a running one is told to its monitor, which keeps its addresses and ports."""
    from nbcontainers.container import running
    from nbcontainers.container.session import Streams

    name, before = container.name, store.state(container.engine, container.id)
    channel = _told_to_restart(container, timeout, signal) if store.alive(before) else None
    if channel is None:
        stopping = _stopping(container, timeout, signal)
        yield next(stopping)
        next(stopping)
        running.start(container, Streams(), attach=False, raise_error=True)
    else:
        yield name
        with channel:
            _until_new(container, before, channel)
    store.happened(container.engine, container.record, "restart")
    yield name


def _told_to_restart(container: Container, timeout: int | None, signal: int | None) -> Channel | None:
    """The channel to its monitor; None where that does not listen."""
    try:
        channel = client.attach(container.engine.run, container.id)
    except InvalidState:
        return None
    order = {"stop": True, "again": True, "signal": signal, "timeout": timeout}
    channel.socket.sendall(protocol.frame(protocol.KILL, json.dumps(order).encode()))
    return channel


def _until_new(container: Container, before: dict[str, int], channel: Channel) -> None:
    """Until the next run has begun, as its monitor says. Raises what it failed with, InvalidState where there is none."""
    for _ in channel.frames():  # to the end of the one before
        pass
    while True:
        try:
            with client.attach(container.engine.run, container.id) as channel:
                frame = channel.receive()
        except InvalidState:
            break
        if frame and frame[0] == protocol.STARTED and json.loads(frame[1])["pid"] != before["pid"]:
            return
        time.sleep(_PAUSE_S)
    error = container.ended.get("error")
    raise Error.from_json(error) if error else not_running(container.name, container.status)


def remove(container: Container, *, force: bool, volumes: bool) -> str:
    """Take a container away; returns its name. With `force` it is killed first."""
    record = container.record
    name, status = str(record["name"]), container.status
    if status in RUNNING and not force:
        raise InvalidState(
            f"container {name} is {status}",
            hint=f"type container stop {name} first, or container rm -f {name}",
            status=status,
        )
    _end(container)
    if not container.removed:
        store.remove(container.engine, container.id, anonymous_volumes=volumes or bool(record.get("remove")))
        store.happened(container.engine, record, "destroy")  # else its monitor, which removed it, has said so
    return name


def _end(container: Container) -> None:
    """Kill what runs, and wait for its monitor to finish."""
    with _descriptor(store.state(container.engine, container.id, "monitor.json")) as monitor:
        try:
            kill(container)
        except (InvalidState, NotFound):
            pass
        if monitor >= 0:
            _tidied(container, monitor)


def _tidied(container: Container, monitor: int) -> None:
    """Wait for the end of the monitor, a pidfd. Raises InvalidState."""
    if not _ended(monitor, _PATIENCE * 1000):
        raise InvalidState(f"the monitor of container {container.short_id} does not end", hint="type system prune")
