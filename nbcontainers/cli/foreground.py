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
    return _status(verb, follow(verb, call), detached=bool(call.options.get("detach")))


def follow(verb: Verb, call: Call) -> Any:
    """The same; returns what the verb does. Called by IPython in a terminal, too."""
    options = dict(call.options)
    detached = bool(options.get("detach"))
    pulling = _pulling(call)
    if verb.accepts("on_pull"):
        options["on_pull"] = (lambda event: None) if call.face.get("quiet") else pulling
    tty, ours = _streams(verb, call, detached=detached)
    with _terminal(tty=tty, interactive=ours) as terminal, _hang_ups(), pulling:
        if ours:
            options["stdin"] = _STDIN
        if terminal is not None:
            options["window"] = terminal.window
        sys.stdout.flush()
        return verb.function(*call.arguments, **options, stdout=_writer(_STDOUT), stderr=_writer(_STDERR))


def _streams(verb: Verb, call: Call, *, detached: bool) -> tuple[bool, bool]:
    """(whether the program has a terminal, whether our stdin goes to it): the container says it of one that was made."""
    if detached:
        return False, False
    if verb.name in ("attach", "start") and len(call.arguments) == 1:
        from nbcontainers.container.container import find
        from nbcontainers.engine import default_engine

        record = find(default_engine(), call.arguments[0]).record
        attached = verb.name == "attach" or bool(call.options.get("attach") or call.options.get("interactive"))
        reads = bool(call.options.get("interactive")) if verb.name == "start" else not call.options.get("no_stdin")
        return bool(record["tty"]) and attached, reads and bool(record["interactive"])
    given = call.options.get("attach")
    named = given if isinstance(given, list) else ()
    return bool(call.options.get("tty")), bool(call.options.get("interactive")) or "stdin" in named


def _pulling(call: Call) -> transfer.Late:
    """What is shown where the image has to be pulled first."""
    return transfer.Late(lambda: transfer.shown_on(sys.stderr, Progress("pull", transfer.subject(call))))


def _status(verb: Verb, result: Any, *, detached: bool) -> int:
    """The exit status; where the program goes on without us its id (`run -d`) or name (`start`) is printed, also if it
    has ended since."""
    status = None if detached else getattr(result, "exit_code", None)
    for one in result if isinstance(result, list) else [result]:
        if status is None and hasattr(one, "id") and verb.name != "attach":
            print(one.id if detached else one.name)
    return status or 0


def _terminal(*, tty: bool, interactive: bool) -> Any:
    """The terminal of `-t`: raw for a program that reads it too (-i), only measured for one that does not."""
    if not tty:
        return nullcontext()
    if interactive:
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
        raise KeyboardInterrupt(number)  # for `attach`, which passes on what came

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
