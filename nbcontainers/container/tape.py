"""The end of a stream of bytes, by each byte's place in it: those who read it take what they have not had yet."""

from __future__ import annotations


class Tape:
    """Bytes from `start` to `end`, at most `size` of them: what was longer ago is gone."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.start = self.end = 0
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        self._kept += data
        self.end += len(data)
        if (over := len(self._kept) - self.size) > 0:
            del self._kept[:over]
            self.start += over

    def read(self, at: int, limit: int | None = None) -> bytes:
        """What lies from `at` on, which must not be gone."""
        first = at - self.start
        return bytes(self._kept[first : None if limit is None else first + limit])

    def line(self, at: int) -> int:
        """The place of the first line that begins at or after `at`, or `at` itself where none does: control sequences
        and characters do not go over a line's end."""
        at = max(at, self.start)
        if at == 0:
            return 0
        found = self._kept.find(b"\n", at - self.start)
        return at if found < 0 else self.start + found + 1
