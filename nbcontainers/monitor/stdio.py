"""The three streams of a contained process, as pipes or as one terminal. The monitor's ends never block."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Self

from nbcontainers.linux import pty

#: No more than this much of stdin waits here for a process that does not read it.
HIGH = 1 << 20
_END_OF_FILE = b"\x04"


class Stdio:
    """`inner` are the process' ends until `started` closes them; `outputs` maps our descriptors to stream names.

    With `console` there are no pipes: the terminal's master, which `started` is given, is input and output. Three
    descriptors `given` are used as they are, and nothing is ours.
    """

    def __init__(self, *, interactive: bool, console: bool, given: Sequence[int] = ()) -> None:
        self.console = console
        self.master: int | None = None
        self.stdin: int | None = None
        self.outputs: dict[int, str] = {}
        self.buffer = bytearray()
        self.ending = False
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._close = [null]
        self.inner = (null, null, null)
        if given:
            self.inner = (given[0], given[1], given[2])
            self._close += given
        elif not console:
            self._make_pipes(null, interactive)

    @classmethod
    def of(cls, outputs: dict[int, str], stdin: int | None, master: int | None, *, ending: bool) -> Self:
        """The streams of a process that runs already, from our descriptors."""
        streams = cls(interactive=False, console=True)
        streams.started(None)
        streams.console = master is not None
        streams.outputs, streams.stdin, streams.master, streams.ending = outputs, stdin, master, ending
        return streams

    def _make_pipes(self, null: int, interactive: bool) -> None:
        stdin = null
        if interactive:
            stdin, self.stdin = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self.stdin, False)
            self._close.append(stdin)
        ends = []
        for name in ("stdout", "stderr"):
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(ours, False)
            self.outputs[ours] = name
            ends.append(theirs)
        self._close += ends
        self.inner = (stdin, ends[0], ends[1])

    def started(self, master: int | None) -> None:
        """The process has its own copies; with a console, `master` takes the place of the pipes."""
        for descriptor in self._close:
            os.close(descriptor)
        self._close = []
        if master is not None:
            os.set_blocking(master, False)
            self.master, self.stdin = master, os.dup(master)
            self.outputs = {master: "stdout"}

    def feed(self, data: bytes) -> None:
        """Queue input; what comes after its end is dropped."""
        if self.stdin is not None and not self.ending:
            self.buffer += data
            self.flush()

    def end_input(self) -> None:
        """No more input: the pipe is closed once it is drained; a terminal gets its end-of-file character."""
        if self.console:
            self.feed(_END_OF_FILE)
            return
        self.ending = True
        self.flush()

    def flush(self) -> None:
        """Write what the process takes; one that no longer reads ends its input."""
        if self.stdin is None:
            return
        try:
            while self.buffer:
                with memoryview(self.buffer) as view:
                    written = os.write(self.stdin, view)
                del self.buffer[:written]
        except BlockingIOError:
            return
        except OSError:  # EPIPE; EIO of a terminal
            self.buffer.clear()
            self.ending = True
        if self.ending:
            os.close(self.stdin)
            self.stdin = None

    def read(self, descriptor: int) -> bytes | None:
        """What there is to read; b"" at the end, None if there is nothing now."""
        try:
            return os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return None
        except OSError:  # EIO: nobody has the terminal open any more
            return b""

    def finish(self, descriptor: int) -> None:
        """Forget an output that has ended."""
        del self.outputs[descriptor]
        os.close(descriptor)

    def resize(self, rows: int, columns: int) -> None:
        if self.master is not None and self.master in self.outputs:
            pty.set_size(self.master, rows, columns)

    def close(self) -> None:
        for descriptor in [*self._close, *self.outputs, *([self.stdin] if self.stdin is not None else [])]:
            os.close(descriptor)
        self._close, self.outputs, self.stdin = [], {}, None
