"""Text and displays in the order the cell made them, though they come by two ways.

Each display says how many bytes of standard output and error were written before it. It is shown when that much text
has been shown, and no text after it is shown earlier. Text that the count does not know (a C library, a child
process) may come a little sooner or later; where counted text never comes, a display waits `PATIENCE` seconds at most.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

PATIENCE = 0.5
Frame = tuple[bytes, dict[str, Any]]


class Ordered:
    """Feed `text` and `frame` as they arrive; `write` and `show` are called in order."""

    def __init__(self, write: Callable[[str, bytes], object], show: Callable[[bytes, dict[str, Any]], object]) -> None:
        self._write, self._show = write, show
        self._waiting: deque[tuple[float, Frame]] = deque()
        self._held: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._shown = {"stdout": 0, "stderr": 0}

    @property
    def deadline(self) -> float | None:
        """When `flush` has something to do again (time.monotonic); None: not before the next text or frame."""
        return self._waiting[0][0] if self._waiting else None

    def text(self, stream: str, data: bytes) -> None:
        self._held[stream] += data
        self.flush()

    def frame(self, kind: bytes, document: dict[str, Any]) -> None:
        self._waiting.append((time.monotonic() + PATIENCE, (kind, document)))
        self.flush()

    def flush(self, *, all: bool = False) -> None:
        """Hand on what is due; with `all`, everything."""
        while self._waiting:
            deadline, (kind, document) = self._waiting[0]
            before = {stream: _count(document.get(stream)) for stream in self._held}
            for stream, count in before.items():
                self._hand_on(stream, max(0, count - self._shown[stream]))
            if any(self._shown[stream] < count for stream, count in before.items()):
                if not all and time.monotonic() < deadline:
                    return
            self._waiting.popleft()
            self._show(kind, document)
        for stream in self._held:
            self._hand_on(stream, len(self._held[stream]))

    def _hand_on(self, stream: str, count: int) -> None:
        data = bytes(self._held[stream][:count])
        if data:
            del self._held[stream][:count]
            self._shown[stream] += len(data)
            self._write(stream, data)


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
