"""The files of a container's log as one that grows: read whole, from its end, or followed (see monitor/log.py)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

from nbcontainers.errors import InvalidState

_BLOCK = 1 << 16
_ATTEMPTS = 10
_LINE_END = re.compile(rb'\\n",\s*"stream"')
"""In a record whose text ends a line: quotes within the text are escaped."""


def opened(path: str) -> list[IO[bytes]]:
    """The files, the oldest first. Raises InvalidState where one is none."""
    for _ in range(_ATTEMPTS):
        files = _look(path)
        if not files or is_newest(files[-1], path):
            break
        for file in files:
            file.close()
    else:
        files = _look(path)
    return files


def is_newest(file: IO[bytes], path: str) -> bool:
    """Whether it is still the one that is written to: then nothing was put away while we looked."""
    try:
        return os.stat(path).st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _look(path: str) -> list[IO[bytes]]:
    """One that was put away while we looked is there once."""
    found: list[IO[bytes]] = []
    seen: set[int] = set()
    number = missing = 0
    with ExitStack() as stack:
        while missing < 2:  # of one alone the file is just on its way to its next name
            try:
                file = _open(f"{path}.{number}" if number else path)
            except FileNotFoundError:
                missing += 1
            else:
                missing = 0
                inode = os.fstat(file.fileno()).st_ino
                if inode in seen:
                    file.close()
                else:
                    found.append(stack.enter_context(file))
                    seen.add(inode)
            number += 1
        stack.pop_all()
    return found[::-1]


def _open(path: str) -> IO[bytes]:
    """Without waiting, as open(2) does for a FIFO's other end. Raises FileNotFoundError, InvalidState."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        hint = f"remove it (rm -r {path}): the container's next start makes a new log"
        raise InvalidState(f"the log {path} is no file: something else was put in its place", hint=hint, path=path)
    return open(file, "rb")


def lines(path: str) -> Iterator[bytes]:
    """Every whole record, the oldest first; the end of one being written is left out."""
    with ExitStack() as stack:
        for file in [stack.enter_context(file) for file in opened(path)]:
            yield from (line for line in file if line.endswith(b"\n"))


def last(path: str, count: int) -> list[bytes]:
    """Records that hold at least the last `count` lines of text; of a long log only its end is read."""
    with ExitStack() as stack:
        files = [stack.enter_context(file) for file in opened(path)]
        return _last(files, count)[0]


def _last(files: list[IO[bytes]], count: int | None) -> tuple[list[bytes], bytes]:
    """Whole records of the end, or all, and what of the newest file's last record was there. It is left at its end."""
    found: list[bytes] = []
    ends, left = 0, b""
    for file in files[::-1]:
        data, more = (file.read(), 0) if count is None else _end(file, count - ends)
        cut = data.rfind(b"\n") + 1
        if file is files[-1]:
            left = data[cut:]
        found[:0] = data[:cut].splitlines(keepends=True)
        ends += more
        if count is not None and ends > count:
            break
    return found, left


def _end(file: IO[bytes], count: int) -> tuple[bytes, int]:
    """What it ends with, from the beginning of a record on, with more than `count` line ends; and how many it has."""
    size = at = file.seek(0, os.SEEK_END)
    data, ends = b"", 0
    while at > 0 and ends <= count:
        start = max(0, at - _BLOCK)
        file.seek(start)
        data, at = file.read(at - start) + data, start
        ends = len(_LINE_END.findall(data))
    file.seek(size)
    return data[data.find(b"\n") + 1 :] if at > 0 else data, ends


class Tail:
    """The end of a growing log, also when it is full and others take its place."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file: IO[bytes] | None = None
        self.left = b""

    def close(self) -> None:
        if self.file:
            self.file.close()

    def first(self, count: int | None = None) -> list[bytes]:
        """The whole records so far, or those that hold at least the last `count` lines."""
        files = opened(self.path)
        found, self.left = _last(files, count)
        for file in files[:-1]:
            file.close()
        self.file = files[-1] if files else None
        return found

    def read(self) -> list[bytes]:
        """The whole records that are new."""
        data = self.left
        newer = self._newer()  # asked before the last reading of ours
        if self.file:
            data += self.file.read()
        for file in newer:
            if self.file:
                self.file.close()
            self.file = file
            data += file.read()
        end = data.rfind(b"\n") + 1
        self.left = data[end:]
        return data[:end].splitlines(keepends=True)

    def _newer(self) -> list[IO[bytes]]:
        """The files after ours, the oldest first: all of them where ours is none of them any more."""
        ours = os.fstat(self.file.fileno()).st_ino if self.file else 0
        try:
            if ours and os.stat(self.path).st_ino == ours:
                return []
        except FileNotFoundError:
            return []
        files = opened(self.path)
        inodes = [os.fstat(file.fileno()).st_ino for file in files]
        behind = inodes.index(ours) + 1 if ours in inodes else 0
        for file in files[:behind]:
            file.close()
        return files[behind:]
