"""One check of a container's health, as a process beside its monitor: an exec in the container, and what it means.

Its exit status tells the monitor whether to wake up: 1 where the container's state or the time between checks is
another one now, else 0. It dies with the monitor, and the command with it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from nbcontainers.errors import Error, InvalidState
from nbcontainers.linux import flock, process
from nbcontainers.monitor import events, health
from nbcontainers.monitor.files import Document, Files, replace, rfc3339
from nbcontainers.runtime.create import Created
from nbcontainers.runtime.process import exec_process

_END_TREE_S = 5.0
_MOMENT_S = 0.002


def main(arguments: list[str]) -> NoReturn:
    """`arguments`: root, run, id; when the container started, as time.monotonic."""
    root, run, id, started = arguments
    parent = os.getppid()
    process.set_pdeathsig(signal.SIGKILL)
    changed = False
    if os.getppid() == parent:
        changed = Check(Files(root, run, id), float(started)).run()
    sys.stdout.flush()
    os._exit(int(changed))


class Check:
    """`run` makes one check and writes down what came of it."""

    def __init__(self, files: Files, started: float) -> None:
        self.files, self.started = files, started
        self.container = files.read("container.json")
        self.settings: Document = self.container["health"]
        self.timeout = float(self.settings["timeout"])
        self.output = b""

    def run(self) -> bool:
        """Whether the monitor has to know."""
        begun, age = time.time_ns(), time.monotonic() - self.started
        try:
            code = self.execute()
        except InvalidState:  # paused, or ended meanwhile
            return False
        except Error as error:
            code, self.output = -1, str(error.message).encode()
        if not self.running():
            return False
        output = self.output[: health.MAX_OUTPUT].decode("utf-8", "replace")
        result = {"start": rfc3339(begun), "end": rfc3339(time.time_ns()), "exit_code": code, "output": output}
        return self.note(result, age)

    def note(self, result: Document, age: float) -> bool:
        """What the check means; one at a time, because somebody may ask for one besides."""
        with flock.folder_held(self.files.state):
            return self.judge(result, age)

    def judge(self, result: Document, age: float) -> bool:
        before = self.files.read_state(health.FILE)
        after = health.judge(self.settings, before, result, age)
        replace(f"{self.files.state}/{health.FILE}", after)
        if before["status"] != after["status"]:
            name = self.container.get("name")
            events.record(
                self.files.root, "container", f"health_status: {after['status']}", self.files.id,
                name=name, image=self.container.get("image"),
            )  # fmt: skip
            return True
        now = time.monotonic() - self.started
        return health.interval(self.settings, before, age) != health.interval(self.settings, after, now)

    def running(self) -> bool:
        """Whether the container lives and is not paused, so that a failure is its own."""
        state = self.files.read_state("state.json")
        if not process.alive(state.get("pid", 0), state.get("start_time")):
            return False
        from nbcontainers.cgroups.detect import open_record

        return not open_record(state["cgroup"]).frozen

    def execute(self) -> int:
        """Run the command; its exit status, 128 + n after signal n, -1 after the time-out. Raises Error."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        document = {**self.files.read("config.json")["process"], "args": self.settings["args"], "terminal": False}
        created = exec_process(
            self.files.id, Path(self.files.run), document, (null, writer, writer),
            die_with_parent=True, cache=Path(self.files.root, "cache"), at_once=True, reaper=True,
        )  # fmt: skip
        try:
            created.start()
        except BaseException:
            os.waitpid(created.pid, 0)
            raise
        finally:
            created.reap()
        os.close(writer)
        return self.follow(created, reader)

    def follow(self, created: Created, reader: int) -> int:
        """Read what it writes until it ends or its time is up."""
        os.set_blocking(reader, False)
        deadline = time.monotonic() + self.timeout
        poll = select.poll()
        poll.register(created.pidfd, select.POLLIN)
        poll.register(reader, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = [found for found, _ in poll.poll(left * 1000)]
            if reader in ready and not self.read(reader):
                poll.unregister(reader)
            if created.pidfd in ready:
                self.read(reader)  # a pipe's fill (pipe(7)); what it left behind may go on to write without end
                _, status = os.waitpid(created.pid, 0)
                return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        end_tree(created.pid, created.pidfd)
        said = f": {self.output.decode('utf-8', 'replace')}" if self.output else ""
        self.output = f"Health check exceeded timeout ({self.timeout:g}s){said}".encode()
        return -1

    def read(self, reader: int) -> bool:
        """One piece; what is too much is read and dropped. False at the end, and where there is nothing now."""
        try:
            data = os.read(reader, 1 << 16)
        except BlockingIOError:
            return False
        self.output += data[: max(0, health.MAX_OUTPUT - len(self.output))]
        return bool(data)


def end_tree(pid: int, pidfd: int) -> None:
    """Kill a process that is a reaper (prctl(2), PR_SET_CHILD_SUBREAPER), with all that it ever started.

    It is stopped first: then it reaps nobody, so no number of a child can come to mean another process; and whoever
    loses a parent becomes its child, until none is left alive.
    """
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
    deadline = time.monotonic() + _END_TREE_S
    while (alive := living_children(pid)) and time.monotonic() < deadline:
        for child in alive:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(_MOMENT_S)
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.waitpid(pid, 0)


def living_children(pid: int) -> list[int]:
    """proc_tid_children(5), without those that have ended and wait to be reaped."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(child) for child in file.read().split()]
    return [child for child in found if process.start_time(child) is not None]
