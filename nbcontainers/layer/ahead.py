"""Work one step ahead: an iterator whose pieces are made in a thread while the last ones are being used.

Reading, inflating and hashing release the GIL, and so do the system calls of the thread that unpacks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator


class Ahead:
    """Iterates over `pieces`, at most `depth` ahead. Exceptions of the source come out where it stops."""

    def __init__(self, pieces: Iterator[bytes], depth: int = 4) -> None:
        self._ready: deque[bytes | BaseException | None] = deque()
        self._items = threading.Semaphore(0)
        self._room = threading.Semaphore(depth)
        self._closed = False
        self._thread = threading.Thread(target=self._produce, args=(pieces,), daemon=True)
        self._thread.start()

    def _produce(self, pieces: Iterator[bytes]) -> None:
        end: BaseException | None = None
        try:
            for piece in pieces:
                self._room.acquire()
                if self._closed:
                    return
                self._ready.append(piece)
                self._items.release()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever iterates
            end = error
        self._ready.append(end)
        self._items.release()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._items.acquire()
        piece = self._ready.popleft()
        if isinstance(piece, bytes):
            self._room.release()
            return piece
        self._ready.append(piece)  # again for whoever asks again
        self._items.release()
        if piece is None:
            raise StopIteration
        raise piece

    def close(self) -> None:
        """Let the thread end, whether or not all was used."""
        self._closed = True
        self._room.release()
        self._thread.join()
