"""Programs of machines on a terminal of ours: `vm run -it` and `vm exec -it` for a notebook page and for Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from nbcontainers.container.session import Streams
from nbcontainers.container.terminal import Terminal
from nbcontainers.engine import Engine
from nbcontainers.image.progress import Listener
from nbcontainers.vm import executing, running
from nbcontainers.vm.machine import Machine
from nbcontainers.vm.options import CommandOptions, MachineOptions


def run(
    engine: Engine, image: str, command: Sequence[str], options: MachineOptions, on_pull: Listener | None = None
) -> Terminal:
    """A new machine, which ends with its terminal."""
    asked = cast(MachineOptions, {**options, "tty": True})

    def begin(streams: Streams) -> object:
        return running.run(engine, image, command, asked, streams, on_pull, raise_error=True)

    return Terminal("run", tuple(command) or (image,), begin, ends=True).start()


def execute(machine: Machine, command: Sequence[str], options: CommandOptions) -> Terminal:
    """One more program in a machine, which ends with its terminal."""
    asked = cast(CommandOptions, {**options, "tty": True})

    def begin(streams: Streams) -> object:
        return executing.run(machine, command, asked, streams, raise_error=True)

    return Terminal("exec", tuple(command), begin, ends=True).start()
