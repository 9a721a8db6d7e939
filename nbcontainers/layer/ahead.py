"""Work one step ahead: an iterator whose pieces are made in a thread while the last ones are being used; and aside:
a function that uses pieces in a thread of its own while others use them too.

Reading, inflating and hashing release the GIL, and so do the system calls of the thread that unpacks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


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


class Aside(Generic[T]):
    """Runs `use(pieces)` in a thread; `give` brings the pieces, at most `depth` of them wait; `result` ends them."""

    def __init__(self, use: Callable[[Iterator[bytes]], T], depth: int = 4) -> None:
        self._use = use
        self._waiting: deque[bytes | BaseException | None] = deque()
        self._items = threading.Semaphore(0)
        self._room = threading.Semaphore(depth)
        self._failure: BaseException | None = None
        self._ended = False
        self._found: list[T] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found.append(self._use(self._pieces()))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever gives
            self._failure = error
        self._ended = True
        self._room.release()

    def _pieces(self) -> Iterator[bytes]:
        while True:
            self._items.acquire()
            piece = self._waiting.popleft()
            if isinstance(piece, BaseException):
                raise piece
            if piece is None:
                return
            self._room.release()
            yield piece

    def give(self, piece: bytes) -> None:
        """One more. Raises what the function raised; one that has seen enough gets no more."""
        self._room.acquire()
        if self._ended:
            self._room.release()
            if self._failure:
                raise self._failure
            return
        self._put(piece)

    def _put(self, piece: bytes | BaseException | None) -> None:
        self._waiting.append(piece)
        self._items.release()

    def result(self) -> T:
        """There are no more: what the function returns. Raises what it raised."""
        self._put(None)
        self._thread.join()
        if self._failure:
            raise self._failure
        return self._found[0]

    def close(self) -> None:
        """Let the function fail, if it has not ended: not all pieces came."""
        self._put(EOFError("the pieces ended early"))
        self._thread.join()
