"""The user's own terminal while a program in a container has it: raw, its size passed on, restored at the end."""

from __future__ import annotations

import os
import signal
import termios
import tty
from types import FrameType, TracebackType
from typing import Any, Self

from nbcontainers.errors import InvalidArgument


class Terminal:
    """Context manager: the terminal, raw if asked. `window` is its size when that is new, for the program's terminal.

    Raw means that ^C, ^Z and ^\\ are bytes for the program (termios(3), cfmakeraw). Raises InvalidArgument where
    stdin is no terminal.
    """

    def __init__(self, fd: int, *, raw: bool = True) -> None:
        if not os.isatty(fd):
            raise InvalidArgument(
                "-t needs a terminal, and stdin is none", hint="leave -t out; -i alone passes stdin on"
            )
        self.fd = fd
        self.raw = raw
        self.resized = True
        self.attributes: list[Any] = []
        self.handler: Any = None

    def __enter__(self) -> Self:
        self.attributes = termios.tcgetattr(self.fd)
        self.handler = signal.signal(signal.SIGWINCH, self._resize)
        if self.raw:
            tty.setraw(self.fd, termios.TCSADRAIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        termios.tcsetattr(self.fd, termios.TCSADRAIN, self.attributes)
        signal.signal(signal.SIGWINCH, self.handler)

    def window(self) -> tuple[int, int] | None:
        """(rows, columns) the first time and after each change; else None, as where the terminal does not know."""
        if not self.resized:
            return None
        self.resized = False
        size = os.get_terminal_size(self.fd)
        return (size.lines, size.columns) if size.lines and size.columns else None

    def _resize(self, number: int, frame: FrameType | None) -> None:
        self.resized = True
