"""The health checks of a running container, as its monitor plans them. `idle` goes on with them while it sleeps."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from nbcontainers.linux import process
from nbcontainers.monitor import health, settle
from nbcontainers.monitor.files import Document, Files, replace

if TYPE_CHECKING:
    from nbcontainers.monitor.running import Running

_AGAIN_S = 0.1
_CHECK = "import sys; sys.path.append(sys.argv[1]); from nbcontainers.monitor import check; check.main(sys.argv[2:])"


def reset(files: Files, settings: Document) -> None:
    """health.json of a container that is being started: there before anybody hears that it runs."""
    if settings.get("health"):
        replace(f"{files.state}/{health.FILE}", health.begin(files.read_state(health.FILE)))


class Checks:
    """One process for each check, see `check`; a container without a health check costs nothing."""

    def __init__(self, running: Running, unwell: Callable[[str], None]) -> None:
        self.settings: Document = running.settings.get("health") or {}
        self.files, self.watch, self.started = running.files, running.watch, running.start.monotonic
        self.unwell = unwell
        """Called with what to do about a container that has become unhealthy."""
        self.init = running.start.pid
        self.due = 0.0
        self.pid = self.pidfd = 0

    def begin(self) -> None:
        """From the start of the container on."""
        if self.settings:
            self.plan(self.started + self.every())

    def go_on(self, due: float, pid: int) -> None:
        """After a sleep: the next is planned for `due`, or the process `pid` is at it."""
        if pid:
            self.follow(pid)
        elif self.settings:
            self.reap_orphans()
            self.plan(due)
            self.consider()

    def every(self) -> float:
        status = self.files.read_state(health.FILE)
        return health.interval(self.settings, status, time.monotonic() - self.started)

    def duty(self) -> tuple[float, float, list[str]] | None:
        """For `settle.become_idle`."""
        return (self.due, self.every(), self.command()) if self.settings else None

    def command(self) -> list[str]:
        return settle.command(
            _CHECK, settle.PACKAGE_ROOT, self.files.root, self.files.run, self.files.id, repr(self.started)
        )

    def plan(self, due: float) -> None:
        self.due = due
        self.watch.timers["health"] = (due, self.check)

    def check(self) -> None:
        try:
            self.follow(os.posix_spawn("/proc/self/exe", self.command(), os.environ))
        except OSError:  # the host has no room for one more process
            self.plan(time.monotonic() + self.every())

    def follow(self, pid: int) -> None:
        self.pid, self.pidfd = pid, process.pidfd_open(pid)
        self.watch.add(self.pidfd, 1, lambda _: self.ended())

    def ended(self) -> None:
        self.watch.remove(self.pidfd)
        self.reap()
        self.plan(time.monotonic() + self.every())
        self.consider()

    def consider(self) -> None:
        if self.files.read_state(health.FILE).get("status") == health.UNHEALTHY:
            self.unwell(self.settings["on_failure"])

    def reap(self) -> None:
        os.close(self.pidfd)
        os.waitpid(self.pid, 0)
        self.pid = self.pidfd = 0
        self.reap_orphans()

    def reap_orphans(self, attempts: int = 50) -> None:
        """The command of a check that was killed became our child. As long as nobody has waited for it, its pid
        namespace cannot end, and the container's first process with it: pid_namespaces(7)."""
        left = False
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            ours = [int(pid) for pid in file.read().split()]
        for pid in set(ours) - {self.init, self.pid}:
            left |= os.waitpid(pid, os.WNOHANG)[0] == 0
        if left and attempts:
            self.watch.timers["orphans"] = (time.monotonic() + _AGAIN_S, lambda: self.reap_orphans(attempts - 1))

    def end(self) -> None:
        """With the container: a check at work has nothing more to tell."""
        if self.pid:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            self.reap()
