"""A cell run by the container's own runner, in a process of this machine: everything but the container."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import nbcontainers.experiment
from nbcontainers.engine import Engine
from nbcontainers.experiment import settings
from nbcontainers.experiment.exchange import SOCKET, Exchange
from nbcontainers.experiment.inside import binary, wire
from nbcontainers.experiment.memory import Memory
from nbcontainers.experiment.order import Ordered

RUNNER = Path(nbcontainers.experiment.__file__).parent / "inside"


@dataclass
class Ran:
    """What came of a cell: text and displays in order, the exit status, the last frame, the outputs."""

    shown: list = field(default_factory=list)
    status: int = 0
    end: dict | None = None
    outputs: dict = field(default_factory=dict)

    @property
    def text(self) -> str:
        return b"".join(data for kind, data in self.shown if kind == "stdout").decode()

    @property
    def errors(self) -> str:
        return b"".join(data for kind, data in self.shown if kind == "stderr").decode()

    @property
    def displays(self) -> list:
        return [document for kind, document in self.shown if kind == wire.SHOW]

    @property
    def plain(self) -> list[str]:
        return [document["data"]["text/plain"] for document in self.displays]

    @property
    def error(self) -> dict:
        """The exception that ended it."""
        assert self.end
        return self.end["error"]["chain"][0]


class Cells:
    """Runs cells in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.engine = Engine(folder, folder, os.geteuid() != 0)
        self.package = folder / "_nbcontainers_cell"
        self.package.symlink_to(RUNNER)

    def __call__(
        self, code: str, *, inputs: dict | None = None, outputs: tuple[str, ...] = (), first_line: int = 1, **env: str
    ) -> Ran:
        ran, given = Ran(), inputs or {}
        with Exchange(self.engine) as exchange, Memory() as memory:
            binary.dump(given, memory)
            header = settings.header(code, "Cell In[3]", first_line, given, list(outputs))
            exchange.offer(memory.descriptor, memory.seal(header), list(outputs), 2**30)
            command = [sys.executable, "-P", self.package, exchange.folder / SOCKET]
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | env
            ) as process:
                follow(process, exchange, ran)
            ran.status = process.returncode
            if exchange.receiver:
                ran.end = exchange.receiver.end
                if exchange.receiver.outputs and exchange.receiver.outputs.committed:
                    ran.outputs = exchange.receiver.outputs.load()
        return ran


def follow(process: subprocess.Popen, exchange: Exchange, ran: Ran) -> None:
    ordered = Ordered(lambda stream, data: ran.shown.append((stream, data)), lambda *frame: ran.shown.append(frame))
    pipes = {process.stdout.fileno(): "stdout", process.stderr.fileno(): "stderr"}
    while pipes:
        ready = select.select([*pipes, exchange.fileno()] if exchange.open else [*pipes], [], [], 5)[0]
        texts = [(pipe, os.read(pipe, 65536)) for pipe in ready if pipe in pipes]
        for frame in exchange.read():  # a display made before a text was sent before it
            ordered.frame(*frame)
        for pipe, data in texts:
            ordered.text(pipes[pipe], data)
            if not data:
                del pipes[pipe]
    while exchange.receiver and exchange.open:
        for frame in exchange.read():
            ordered.frame(*frame)
    ordered.flush(all=True)
