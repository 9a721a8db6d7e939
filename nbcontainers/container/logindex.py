"""The records of a log by their numbers: how many there are, those from a to b, and which of them match a pattern.

    index = Index.of(container)         # or Index("/path/of/log"); `counted=False` reads nothing before count()
    index.refresh()                     # reads only what has come since; 130 MB take a tenth of a second the first time
    index.lines(index.end - 50, index.end)
    found = index.find(Pattern("error"), index.first)    # bounded in time; found.next goes on

A record is one line, or a piece of one that came in pieces or is longer than 16 KiB (see monitor/log.py). Numbers count
from 0 and stay while an index lives: a file that rotation takes away moves `first`, not the others. Of the log only one
number every 256 KiB is remembered. Whoever shows a log keeps one index as long as it is looked at, and closes it then.
"""

from __future__ import annotations

import io
import json
import os
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate, islice, pairwise
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

from nbcontainers.container import logfile
from nbcontainers.container.pattern import Pattern

if TYPE_CHECKING:
    from nbcontainers.container.container import Container

_BLOCK = 1 << 18
_ENDING = 1 << 20
_NOBODY_ELSE = nullcontext()
_LOG, _STREAM = b'{"log":"', b'","stream":"'


class Found(NamedTuple):
    """Numbers of the records that match, rising, and where to go on; None when all were looked at."""

    numbers: list[int]
    next: int | None


class Index:
    """The log at `path` with its rotated files, or one that is in memory (`kept`)."""

    def __init__(self, path: str, kept: bytes | None = None, *, counted: bool = True) -> None:
        self.path = path
        self.files: list[_File] = [_File(io.BytesIO(kept))] if kept is not None else []
        self.kept = kept is not None
        self.first = 0
        if counted:
            self.refresh()
        elif not self.kept:
            self._reopen()

    @classmethod
    def of(cls, container: Container, *, counted: bool = True) -> Self:
        """The log of a container, also of one that was removed at its end. Raises NotFound."""
        from nbcontainers.container import store

        if container.kept:
            return cls("", container.kept.log, counted=counted)
        store.read(container.engine, container.id, "container.json")
        return cls(f"{store.folder(container.engine, container.id)}/log", counted=counted)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        for one in self.files:
            one.file.close()

    @property
    def end(self) -> int:
        """One more than the number of the last whole record; `first` where there is none."""
        return self.first + sum(one.count for one in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.counted for one in self.files)

    def refresh(self) -> int:
        """Take in what was written since; returns `end`. Where whole files came and went meanwhile, their records have no
        numbers. What is left of a container that was removed stays readable."""
        if not self.kept and not (self.files and logfile.is_newest(self.files[-1].file, self.path)):
            self._reopen()
        for one in self.files:
            self.first += one.take_in()
        return self.end

    def sizes(self) -> list[int]:
        """Bytes that each file has now, counted or not."""
        return [one.file.seek(0, os.SEEK_END) for one in self.files]

    def count(self, sizes: Sequence[int]) -> int:
        """Take in the files as they are known here, up to those sizes; returns `end`."""
        for one, size in zip(self.files, sizes, strict=True):
            self.first += one.take_in(size)
        return self.end

    def edges(self, head: int, tail: int) -> tuple[list[bytes], list[bytes]]:
        """The first `head` and the last `tail` records, of long ones fewer, without a look at those between."""
        first: list[bytes] = []
        last: list[bytes] = []
        for one in self.files:
            first += islice(one.beginning(), head - len(first))
        for one in reversed(self.files):
            if len(last) < tail:
                last[:0] = one.ending()
        return first, last[-tail:]

    def _reopen(self) -> None:
        now = logfile.opened(self.path)
        if not now:
            return
        known = {_inode(one.file): one for one in self.files}
        files = []
        for file in now:
            ours = known.pop(_inode(file), None)
            if ours:
                file.close()
            files.append(ours or _File(file))
        for gone in known.values():
            self.first += gone.take_in() + gone.count
            gone.file.close()
        self.files = files

    def records(self, first: int, end: int) -> Iterator[bytes]:
        """The records from number `first` up to `end`, as they are on the disk; those that are gone are left out."""
        at = self.first
        for one in self.files:
            yield from one.records(max(0, first - at), min(one.count, end - at))
            at += one.count

    def lines(self, first: int, end: int) -> list[dict[str, Any]]:
        """Of the same: `number`, `log` (with its line's end), `stream`, `time`. A damaged one is left out: its number is
        missing."""
        first = max(first, self.first)
        found = []
        for number, record in enumerate(self.records(first, end), first):
            if (line := parsed(record)) is not None:
                found.append({"number": number, **line})
        return found

    def find(
        self,
        pattern: Pattern,
        first: int,
        end: int | None = None,
        *,
        stream: str = "",
        backwards: bool = False,
        most: int = 1000,
        seconds: float = 0.2,
        lock: AbstractContextManager[object] = _NOBODY_ELSE,
    ) -> Found:
        """Which of the records `first` to `end` match, `most` of them at most, in about `seconds`.

        `backwards` looks from the end on, and then `next` is the `end` to go on with. `lock` is held while files are read,
        not while their lines are searched. Raises InvalidArgument where the expression takes too long.
        """
        deadline = time.monotonic() + seconds
        numbers: list[int] = []
        stop = self.end if end is None else min(end, self.end)
        while len(numbers) < most:
            with lock:
                first = max(first, self.first)
                block = next(self._blocks(pattern, first, stop, backwards=backwards), None)
            if block is None:
                return Found(sorted(numbers), None)
            start, count, records = block
            here = _matching(records, start, pattern, stream)
            room = most - len(numbers)
            kept = here[-room:] if backwards else here[:room]
            numbers += kept
            if len(numbers) < most:
                first, stop = (first, start) if backwards else (start + count, stop)
            else:
                first, stop = (first, kept[0]) if backwards else (kept[-1] + 1, stop)
            if time.monotonic() > deadline:
                break
        return Found(sorted(numbers), None if first >= stop else stop if backwards else first)

    def _blocks(
        self, pattern: Pattern, first: int, end: int, *, backwards: bool
    ) -> Iterator[tuple[int, int, Sequence[bytes]]]:
        """(number of its first record, how many it has, its records: none where the pattern cannot be) of block after
        block."""
        begins = list(accumulate((one.count for one in self.files), initial=self.first))
        files = list(zip(begins, self.files, strict=False))
        for begin, one in files[::-1] if backwards else files:
            spans = one.spans(max(0, first - begin), min(one.count, end - begin))
            for start, stop in spans[::-1] if backwards else spans:
                records = list(one.records(start, stop)) if pattern.may_match(one.around(start, stop)) else []
                yield begin + start, stop - start, records


class _File:
    """One file: `count` whole records, and for each of its blocks how many line ends come before it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.counted = self.count = 0
        self.before = array("Q", [0])

    def take_in(self, most: int | None = None) -> int:
        """Count what is new, up to `most` bytes. Returns how many records went, for somebody may have cut the file."""
        size, gone = self.file.seek(0, os.SEEK_END), 0
        size = size if most is None else min(size, most)
        if size < self.counted:
            gone, self.counted, self.count, self.before = self.count, 0, 0, array("Q", [0])
        self.file.seek(self.counted)
        while self.counted < size:
            data = self.file.read(min(_BLOCK - self.counted % _BLOCK, size - self.counted))
            if not data:
                break
            self.counted += len(data)
            self.count += data.count(b"\n")
            if self.counted % _BLOCK == 0:
                self.before.append(self.count)
        return gone

    def beginning(self) -> Iterator[bytes]:
        """Its whole records from the first on, counted or not."""
        self.file.seek(0)
        return (record for record in self.file if record.endswith(b"\n"))

    def ending(self) -> list[bytes]:
        """The whole records in its last bytes."""
        start = max(0, self.file.seek(0, os.SEEK_END) - _ENDING)
        self.file.seek(start)
        data = self.file.read()
        return data[data.find(b"\n") + 1 if start else 0 : data.rfind(b"\n") + 1].splitlines(keepends=True)

    def records(self, first: int, end: int) -> Iterator[bytes]:
        """Those from the number `first` in this file up to `end`."""
        if first >= end:
            return
        block = max(0, bisect_left(self.before, first) - 1)  # in which the line end before it is
        number, left = self.before[block], b""
        while number < end and (data := self._block(block)):
            block += 1
            head, *rest = data.split(b"\n")
            if not rest:
                left += data
                continue
            whole = [left + head, *rest[:-1]]
            yield from (record + b"\n" for record in whole[max(0, first - number) : end - number])
            number, left = number + len(whole), rest[-1]

    def around(self, first: int, end: int) -> bytes:
        """The whole blocks in which those records are."""
        block = max(0, bisect_left(self.before, first) - 1)
        return self._block(block, bisect_left(self.before, end) - block)

    def _block(self, number: int, count: int = 1) -> bytes:
        self.file.seek(number * _BLOCK)  # anew each time: several may read
        return self.file.read(count * _BLOCK)

    def spans(self, first: int, end: int) -> list[tuple[int, int]]:
        """From `first` to `end` in parts of about a block."""
        cuts = [first, *(number for number in self.before if first < number < end), end]
        return [(start, stop) for start, stop in pairwise(cuts) if start < stop]


def parsed(record: bytes) -> dict[str, str] | None:
    """`log`, `stream` and `time` of a record; None for one that a killed monitor cut."""
    try:
        line = json.loads(record)
        return {name: str(line[name]) for name in ("log", "stream", "time")}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _matching(records: Sequence[bytes], first: int, pattern: Pattern, stream: str) -> list[int]:
    """The numbers of those that match; `first` is the first's."""
    lines = [
        (number, line["log"].removesuffix("\n"))
        for number, record in enumerate(records, first)
        if pattern.may_match(record) and (line := _quickly(record) or parsed(record)) and stream in ("", line["stream"])
    ]
    return [lines[place][0] for place in pattern.among([text for _, text in lines])]


def _quickly(record: bytes) -> dict[str, str] | None:
    """`log` and `stream` of a record of our own monitor's with nothing escaped in it but the line's end; None of others."""
    cut = record.find(_STREAM)
    text = record[len(_LOG) : cut].removesuffix(b"\\n")
    if cut < 0 or not record.startswith(_LOG) or b"\\" in text or not record.endswith(b'Z"}\n'):
        return None
    return {
        "log": text.decode("ascii", "replace"),
        "stream": record[cut + len(_STREAM) : cut + len(_STREAM) + 6].decode(),
    }


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino
