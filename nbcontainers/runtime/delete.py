"""`delete`: undo what `create` made, and nothing else (runtime.md, Delete)."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time

from nbcontainers.errors import CreateFailed, InvalidState
from nbcontainers.linux import process
from nbcontainers.runtime import hooks
from nbcontainers.runtime.kill import kill
from nbcontainers.runtime.state import State, require

_GRACE = 10.0


def delete(state: State, *, force: bool = False) -> list[str]:
    """Remove a stopped container (with `force`, or before it was started: kill it first). Returns warnings."""
    config = state.config
    if force or state.status == "created":
        _end(state)
    require(state, "stopped", verb="delete")
    state.cgroup.destroy()
    stopped = state.oci()
    shutil.rmtree(state.folder)
    try:
        hooks.run_hooks(config, "poststop", stopped)
    except (CreateFailed, OSError) as error:  # the spec: a warning only
        return [str(error)]
    return []


def _end(state: State) -> None:
    with contextlib.suppress(InvalidState):
        kill(state, signal.SIGKILL)
    end = time.monotonic() + _GRACE
    while process.alive(state.pid, state.start_time) and time.monotonic() < end:
        time.sleep(0.002)
