"""Files with holes: where they have data, copying and comparing them without touching the holes (lseek(2)).

A file of a terabyte may cost four kilobytes; whoever reads it from one end to the other is busy for minutes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

_PIECE = 256 << 10


def extents(file: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the parts below `size` that have data, in their order."""
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # a hole up to the end
        if start >= size:
            return
        end = min(size, os.lseek(file, start, os.SEEK_HOLE))
        yield start, end


def write(target: int, data: Iterable[memoryview], parts: Iterable[tuple[int, int]], size: int) -> None:
    """Make the new file `target` of `size` bytes; `data`, end to end, is its (offset, length) parts."""
    left = iter(parts)
    offset = length = 0
    for view in data:
        while view:
            while not length:
                offset, length = next(left)
            done = os.pwrite(target, view[:length], offset)
            view, offset, length = view[done:], offset + done, length - done
    os.ftruncate(target, size)


def copy(source: int, target: int) -> None:
    """Write what `source` has into the new file `target`; its holes stay holes."""
    size = os.fstat(source).st_size
    for start, end in extents(source, size):
        os.lseek(target, start, os.SEEK_SET)
        while start < end:
            done = os.sendfile(target, source, start, min(end - start, 1 << 30))
            if not done:
                break
            start += done
    os.ftruncate(target, size)


def same(one: int, other: int) -> bool:
    """Whether two open files have the same content."""
    size = os.fstat(one).st_size
    if size != os.fstat(other).st_size:
        return False
    return all(
        _same_part(one, other, start, end) for file in (one, other) for start, end in extents(file, size)
    )  # what is a hole in both is the same


def _same_part(one: int, other: int, start: int, end: int) -> bool:
    while start < end:
        piece = os.pread(one, min(_PIECE, end - start), start)
        if not piece or piece != os.pread(other, len(piece), start):
            return False
        start += len(piece)
    return True
