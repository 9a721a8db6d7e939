"""Programs that have the command line's own stdin, stdout and terminal: `run`, `exec`, `start -a`, `logs -f`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from nbcontainers.cli import transfer
from nbcontainers.cli.parser import Call
from nbcontainers.cli.terminal import Terminal
from nbcontainers.cli.verbs import Verb
from nbcontainers.image.progress import Progress

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def run(verb: Verb, call: Call) -> int:
    """Run the verb with our descriptors; returns the program's exit status, 0 for what has none."""
    options = dict(call.options)
    detached = bool(options.get("detach"))
    pulling = _pulling(call)
    if verb.accepts("on_pull"):
        options["on_pull"] = pulling
    with _terminal(options, wanted=not detached) as terminal, _hang_ups(), pulling:
        if (options.get("interactive") or "stdin" in options.get("attach", ())) and not detached:
            options["stdin"] = _STDIN
        if terminal is not None:
            options["window"] = terminal.window
        sys.stdout.flush()
        result = verb.function(*call.arguments, **options, stdout=_writer(_STDOUT), stderr=_writer(_STDERR))
    return _status(verb, result, detached=detached)


def _pulling(call: Call) -> transfer.Late:
    """What is shown where the image has to be pulled first."""
    return transfer.Late(lambda: transfer.shown_on(sys.stderr, Progress("pull", transfer.subject(call))))


def _status(verb: Verb, result: Any, *, detached: bool) -> int:
    """The exit status; where the program goes on without us its id (`run -d`) or name (`start`) is printed."""
    status = getattr(result, "exit_code", None)
    if status is None and hasattr(result, "id"):
        print(result.id if detached else result.name)
    return status or 0


def _terminal(options: dict[str, Any], *, wanted: bool) -> Any:
    """The terminal of `-t`: raw for a program that reads it too (-i), only measured for one that does not."""
    if not options.get("tty") or not wanted:
        return nullcontext()
    if options.get("interactive"):
        return Terminal(_STDIN)
    return Terminal(_STDOUT, raw=False) if os.isatty(_STDOUT) else nullcontext()


def _writer(fd: int) -> Any:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    return write


@contextmanager
def _hang_ups() -> Iterator[None]:
    """SIGTERM and SIGHUP to us stop the program as ^C does, and restore the terminal."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
