"""Ending a container in order: its stop signal, a time to finish, then SIGKILL to everything in it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from nbcontainers.monitor.watch import Watch

TIMEOUT_S = 10.0
_KILL_AGAIN_S = 1.0


def _nothing() -> None:
    """For what is never frozen."""


class Stop:
    """`begin` may be called any number of times; the first call counts. `thaw` lets a paused container hear of it."""

    def __init__(
        self, watch: Watch, settings: dict[str, Any], kill_all: Callable[[], None], init: int | None,
        thaw: Callable[[], None] = _nothing,
    ) -> None:  # fmt: skip
        self.watch = watch
        self.signal = int(settings.get("stop_signal") or signal.SIGTERM)
        timeout = settings.get("stop_timeout")
        self.timeout = TIMEOUT_S if timeout is None else float(timeout)
        self.kill_all, self.thaw = kill_all, thaw
        self.init = init
        self.begun = False

    def begin(self, number: int | None = None, timeout: float | None = None) -> None:
        """With the container's own signal and seconds to finish, unless others are given."""
        if self.begun:
            return
        self.begun = True
        number = self.signal if number is None else number
        timeout = self.timeout if timeout is None else timeout
        wait = 0.0 if self.init is not None and drops(self.init, number) else timeout
        self.watch.send_signal({"signal": number})
        self.thaw()
        self.watch.timers["kill"] = (time.monotonic() + wait, self._kill)

    def _kill(self) -> None:
        """A process that forks while it is killed is met by the next round."""
        self.watch.send_signal({"signal": signal.SIGKILL})
        self.kill_all()
        self.watch.timers["kill"] = (time.monotonic() + _KILL_AGAIN_S, self._kill)


def drops(pid: int, number: int) -> bool:
    """Whether this pid 1 of a pid namespace never sees the signal: the kernel drops what such a process neither
    catches nor blocks (init programs wait for blocked signals), pid_namespaces(7). Waiting for it would be in vain."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            status = file.read()
        heard = [int(status.partition(field)[2].split(None, 1)[0], 16) for field in (b"SigCgt:", b"SigBlk:")]
    except (OSError, IndexError):
        return False
    return not (heard[0] | heard[1]) >> (number - 1) & 1
