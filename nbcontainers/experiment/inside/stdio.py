"""Standard output and error: ordinary descriptors 1 and 2, written through at once and counted.

The count goes with every display, so that the notebook can put text and displays in the order they were made.
"""

from __future__ import annotations

import builtins
import io
import os
import sys

TYPE_CHECKING = False  # typing's own import takes 3 ms
if TYPE_CHECKING:
    from typing import Any


class Counted(io.RawIOBase):
    """A descriptor that knows how many bytes went through it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self.count = descriptor, 0
        self.mode = "wb"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        written = os.write(self._descriptor, data)
        self.count += written
        return written


class Stream(io.TextIOWrapper):
    """Text that is on its way when `write` returns: a notebook shows progress as it happens."""

    def __init__(self, descriptor: int, name: str, errors: str) -> None:
        self.counted = Counted(descriptor)
        super().__init__(io.BufferedWriter(self.counted), "utf-8", errors)
        self.buffer.raw.name = name  # type: ignore[attr-defined]

    def write(self, text: str, /) -> int:
        written = super().write(text)
        self.flush()
        return written


def write_whole(
    *values: object, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
) -> None:
    """print() in one write: Python's own writes the end of a line apart from the line."""
    if file is None and isinstance(sys.stdout, Stream) and isinstance(sep, str) and isinstance(end, str):
        sys.stdout.write(sep.join(map(str, values)) + end)
    else:
        _print(*values, sep=sep, end=end, file=file, flush=flush)


_print = builtins.print
write_whole.__name__ = write_whole.__qualname__ = "print"
write_whole.__module__ = "builtins"


def install() -> tuple[Counted, Counted]:
    """Take the place of sys.stdout and sys.stderr, and give the counters back."""
    out, err = Stream(1, "<stdout>", "surrogateescape"), Stream(2, "<stderr>", "backslashreplace")
    sys.stdout = sys.__stdout__ = out  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = err  # type: ignore[misc]
    builtins.print = write_whole
    return out.counted, err.counted
