"""`kill`, `pause` and `resume`."""

from __future__ import annotations

import contextlib
import os
import signal

from nbcontainers.errors import InvalidArgument, InvalidState
from nbcontainers.linux import process
from nbcontainers.runtime.state import State, require


def parse_signal(text: str) -> int:
    """The number of `9`, `KILL`, `SIGKILL` or `RTMIN+3`. Raises InvalidArgument."""
    try:
        return process.signal_number(text)
    except ValueError as error:
        raise InvalidArgument(str(error), hint="write a name as TERM, KILL, HUP, or a number from 1 to 64") from None


def kill(state: State, number: int, *, everybody: bool = False) -> None:
    """Signal init, or every process of the container. Raises InvalidState where it is stopped."""
    if everybody:
        _kill_all(state, number)
        return
    require(state, "created", "running", "paused", verb="kill")
    try:
        pidfd = process.pidfd_open(state.pid)
    except ProcessLookupError:
        raise InvalidState(f"cannot kill container {state.id!r}: it has just stopped") from None
    try:
        if process.alive(state.pid, state.start_time):
            signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)
    if number == signal.SIGKILL and state.cgroup.frozen:
        state.cgroup.thaw()  # the freezer of version 1 holds even a killed process


def _kill_all(state: State, number: int) -> None:
    if number == signal.SIGKILL:
        state.cgroup.kill()
        return
    for pid in state.cgroup.procs():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def pause(state: State) -> None:
    """Freeze every process: cgroups(7), freezer."""
    require(state, "created", "running", verb="pause")
    state.cgroup.freeze()


def resume(state: State) -> None:
    require(state, "paused", verb="resume")
    state.cgroup.thaw()
