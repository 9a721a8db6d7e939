"""Programs on a terminal of ours: `run -it`, `exec -it`, `attach` and `start -ai` for a notebook page and for Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from nbcontainers.container import attaching, execution, running
from nbcontainers.container.container import Container
from nbcontainers.container.options import ExecOptions, RunOptions
from nbcontainers.container.session import Streams
from nbcontainers.container.terminal import Terminal
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidState
from nbcontainers.image import latest, wanted
from nbcontainers.image.progress import Listener


def run(
    engine: Engine, image: str, command: Sequence[str], options: RunOptions, on_pull: Listener | None = None
) -> Terminal:
    """A new container. It lives on without its terminal, unless it has no name of its own: then `close` ends it."""
    image = wanted.ensure(engine, image, options.get("pull", "missing"), options.get("platform", ""), on_pull)
    latest.warn(engine, image)
    options = {**options, "tty": True, "interactive": True}

    def begin(streams: Streams) -> object:
        return running.run(engine, image, command, options, streams, raise_error=True)

    return Terminal("run", tuple(command) or (image,), begin, ends=not options.get("name")).start()


def execute(container: Container, command: Sequence[str], options: ExecOptions) -> Terminal:
    """One more program in a container, which ends with its terminal."""
    asked = cast(ExecOptions, {**options, "tty": True, "interactive": True})
    keys = running.detach_keys(options.get("detach_keys"))

    def begin(streams: Streams) -> object:
        return execution.run(container, tuple(command), asked, streams, raise_error=True)

    return Terminal("exec", tuple(command), begin, ends=True, keys=keys).start()


def attach(container: Container, detach_keys: str | None = None) -> Terminal:
    """The terminal that a container was given, with the end of what it wrote before. Raises InvalidState."""
    record = container.record
    if not record["tty"]:
        raise InvalidState(
            f"container {record['name']} has no terminal: it was made without -t",
            hint=f"container exec -it {record['name']} sh gives it a shell in one",
        )

    def begin(streams: Streams) -> object:
        return attaching.attach(container, streams, raise_error=True)

    found = Terminal("attach", _command(container), begin, ends=False, keys=running.detach_keys(detach_keys))
    found.deaf = not record["interactive"]
    return found.start()


def start(container: Container, detach_keys: str | None = None) -> Terminal:
    """Start a container that has a terminal of its own, and show it. One that runs is attached to."""
    if container.status == "running":
        return attach(container, detach_keys)

    def begin(streams: Streams) -> object:
        return running.start(container, streams, attach=True, raise_error=True)

    return Terminal("run", _command(container), begin, ends=False, keys=running.detach_keys(detach_keys)).start()


def _command(container: Container) -> tuple[str, ...]:
    return tuple(container.command)
