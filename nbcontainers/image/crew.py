"""The processes that unpack layers: one a processor, each taking the next layer when it is free.

Nothing is committed before everybody has extracted everything; then the snapshots are renamed in, bottom up. Whoever
stops in between (an error, an interrupt) kills the processes and removes what they had unpacked; when they die with
us, by kill -9, the parts are left without a lock, for the next one or a sweep.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from nbcontainers.errors import Error, ImageError
from nbcontainers.image import snapshot
from nbcontainers.image.unpacking import Extraction, Feed, Job
from nbcontainers.launcher.server import as_error
from nbcontainers.layer.tar import Budget
from nbcontainers.linux import process

_MOST = 8
"""Each takes about 8 MB: all together stay far below the 150 MB that a pull may take."""
_TELL_S = 0.1
_PACKET = 1 << 18


class _Worker(NamedTuple):
    pid: int
    channel: socket.socket


class Crew:
    """`extract`, then `commit`; leaving the block ends all processes. `told(job, bytes)` hears how far they are."""

    def __init__(
        self,
        folder: Path,
        jobs: Sequence[Job],
        feeds: Sequence[Feed],
        userxattr: bool,
        budget: Budget,
        told: Callable[[int, int], None] = lambda job, used: None,
    ) -> None:
        self._folder, self._jobs, self._feeds = folder, jobs, feeds
        self._settings = (userxattr, budget)
        self._told = told
        self._holders: dict[int, _Worker] = {}
        self._workers: list[_Worker] = []
        self._committed = not jobs
        self._count = min(os.cpu_count() or 1, _MOST, len(jobs))

    def __enter__(self) -> Self:
        """Fork. The largest layer goes first: it bounds the whole."""
        order = sorted(range(len(self._jobs)), key=lambda number: -self._feeds[number].size)
        self._todo, todo = os.pipe()
        os.write(todo, b"".join(number.to_bytes(2, "big") for number in order))
        os.close(todo)
        try:
            for _ in range(self._count):
                self._workers.append(self._fork())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
            worker.channel.close()
        os.close(self._todo)
        if not self._committed:
            snapshot.discard([str(self._folder / f"{job['chain']}.partial") for job in self._jobs])

    def extract(self, failed: Callable[[], None] = lambda: None, wake: int = -1) -> None:
        """Wait until all is extracted. `failed` is called whenever `wake` can be read: it raises to end it all."""
        poll = select.poll()
        by_fd = {worker.channel.fileno(): worker for worker in self._workers}
        for descriptor in [*by_fd, *([wake] if wake >= 0 else [])]:
            poll.register(descriptor, select.POLLIN)
        while len(self._holders) < len(self._jobs):
            for descriptor, _ in poll.poll():
                if descriptor == wake:
                    failed()
                else:
                    self._hear(by_fd[descriptor])

    def _hear(self, worker: _Worker) -> dict[str, Any]:
        packet = worker.channel.recv(_PACKET)
        if not packet:
            raise ImageError("a process that unpacked a layer died", hint="try again; see dmesg")
        report: dict[str, Any] = json.loads(packet)
        if "errno" in report:
            raise OSError(report["errno"], report["text"], report["path"])
        if "error" in report:
            raise Error.from_json(report["error"])
        if "extracted" in report:
            self._holders[report["extracted"]] = worker
            self._told(report["extracted"], self._feeds[report["extracted"]].size)
        if "used" in report:
            self._told(report["job"], report["used"])
        return report

    def commit(self) -> None:
        """The snapshots appear, bottom first."""
        for number in range(len(self._jobs)):
            worker = self._holders[number]
            worker.channel.send(number.to_bytes(2, "big"))
            while "committed" not in self._hear(worker):
                pass
        self._committed = True

    def _fork(self) -> _Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's ^C is for whoever commands us
                process.set_pdeathsig(signal.SIGKILL)
                ours.close()
                if os.getppid() == parent:
                    self._work(theirs)
            finally:
                os._exit(0)
        theirs.close()
        return _Worker(pid, ours)

    def _work(self, channel: socket.socket) -> None:
        os.umask(0)
        try:
            held: dict[int, Extraction] = {}
            while word := os.read(self._todo, 2):
                number = int.from_bytes(word, "big")
                held[number] = self._extract(channel, number)
                send(channel, extracted=number)
            while word := channel.recv(2):
                held.pop(int.from_bytes(word, "big")).commit()
                send(channel, committed=int.from_bytes(word, "big"))
        except OSError as error:
            send(channel, errno=error.errno, text=error.strerror, path=os.fsdecode(error.filename or ""))
        except Exception as error:  # noqa: BLE001 - the last frame of this process: tell it to whoever commands us
            send(channel, error=as_error(error).to_json())

    def _extract(self, channel: socket.socket, number: int) -> Extraction:
        next_time = 0.0

        def told(used: int) -> None:
            nonlocal next_time
            if (now := time.monotonic()) >= next_time:
                next_time = now + _TELL_S
                send(channel, job=number, used=used)

        return Extraction(self._folder, self._jobs[number], self._feeds[number], *self._settings, told)


def send(channel: socket.socket, **report: Any) -> None:
    channel.send(json.dumps(report).encode())
