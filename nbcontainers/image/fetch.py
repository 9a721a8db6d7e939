"""Blobs on their way into the store: read once, written, hashed, and read on by who unpacks while they still grow.

A thread a connection; reading, writing and hashing release the GIL. A blob lies in a locked partial file until its
digest and size are right, and is renamed in by `publish` when the whole image is. After a broken connection the same
file and the same hash go on where they were, by Range.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from nbcontainers.errors import ImageError, RegistryError
from nbcontainers.image import layout
from nbcontainers.oci import digest as digests
from nbcontainers.oci.image import Descriptor

_PIECE = 512 << 10
_PROGRESS = 64 << 10
"""Bytes after which a connection that broke was worth its while: the next one is given all tries again."""
_TELL_S = 0.1


class Blob(Protocol):
    """An open blob: a context manager that fills buffers; 0 is its end."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *exception: object) -> None: ...
    def readinto(self, buffer: Any, /) -> int: ...


class Source(Protocol):
    """Where manifests and blobs are: a repository of a registry, or a layout (see image/source.py).

    `name` is a tag or a digest. Raises RegistryError, or ImageError and NotFound for files.
    """

    def head(self, name: str) -> Descriptor | None: ...
    def manifest(self, name: str, expected: Descriptor | None = None) -> tuple[Descriptor, bytes]: ...
    def open_blob(self, one: Descriptor, offset: int = 0) -> Any: ...
    def close(self) -> None: ...


class Manner(NamedTuple):
    """How a source is read: blobs at the same time, tries after a break, seconds before the first of them."""

    at_once: int
    tries: int = 1
    backoff: float = 0.0


Tell = Callable[[str, int, str], None]
"""State, bytes so far, note."""


class Fetch:
    """One blob, into the open file `partial`. `run` in a thread; then `error` is None, or why it failed."""

    def __init__(self, source: Source, manner: Manner, wanted: Descriptor, partial: Any, tell: Tell) -> None:
        self.wanted = wanted
        self.partial = partial
        self.size = 0
        self.error: BaseException | None = None
        self.done = False
        self.stopped = threading.Event()
        self._source, self._manner = source, manner
        self._tell = tell
        self._hash = digests.hasher(wanted["digest"])
        self._readers: list[int] = []
        self._told = 0.0

    def feed(self) -> int:
        """The reading end of a pipe that says when there is more in the file. To be asked before the thread begins."""
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(theirs, False)
        self._readers.append(theirs)
        return ours

    def run(self) -> None:
        try:
            self._fetch()
            self._verify()
            self.done = True
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for all
            self.error = error

    def _fetch(self) -> None:
        """Opening is patient by itself; a connection that breaks while it is read is gone on with here."""
        failures = 0
        self._tell("downloading", 0, "")
        while self.size < self.wanted["size"] and not self.stopped.is_set():
            before = self.size
            with self._source.open_blob(self.wanted, self.size) as blob:
                broken = self._read(blob)
            if broken is None:
                continue
            failures = 1 if self.size - before >= _PROGRESS else failures + 1
            if not broken.details.get("retry") or failures > self._manner.tries:
                raise broken
            self._tell("retrying", self.size, broken.message)
            self.stopped.wait(self._manner.backoff * 2 ** (failures - 1))

    def _read(self, blob: Blob) -> RegistryError | None:
        """To the end of what this connection gives; why it broke."""
        buffer = memoryview(bytearray(min(_PIECE, self.wanted["size"])))
        try:
            while count := blob.readinto(buffer):
                if self.size + count > self.wanted["size"]:
                    raise ImageError(f"{self._name} is larger than the {self.wanted['size']} bytes it should have")
                self._add(buffer[:count])
        except RegistryError as error:
            return error
        if self.size < self.wanted["size"]:
            return RegistryError(f"{self._name} ends after {self.size} of {self.wanted['size']} bytes", retry=True)
        return None

    @property
    def _name(self) -> str:
        return f"blob {self.wanted['digest']}"

    def _add(self, piece: memoryview) -> None:
        if self.stopped.is_set():
            raise RegistryError("the transfer was ended")
        count = self.partial.write(piece)
        while count < len(piece):
            count += self.partial.write(piece[count:])
        self.size += len(piece)
        for reader in self._readers:
            try:
                os.write(reader, b"+")
            except BlockingIOError:
                pass  # it knows
        self._hash.update(piece)
        if (now := time.monotonic()) >= self._told:
            self._told = now + _TELL_S
            self._tell("downloading", self.size, "")

    def _verify(self) -> None:
        self._tell("verifying", self.size, "")
        found = self.wanted["digest"].partition(":")[0] + ":" + self._hash.hexdigest()
        if found != self.wanted["digest"]:
            raise ImageError(f"{self._name} turned out to be {found}", hint="the source lies or is damaged: try again")
        layout.settle(self.partial)

    def publish(self, target: Path) -> None:
        """Rename it in. Whoever does it for all syncs the folder once."""
        os.rename(self.partial.name, target)

    def close(self) -> None:
        for reader in self._readers:
            os.close(reader)


def start(fetches: list[Fetch], connections: int, wake: int) -> list[threading.Thread]:
    """Fetch in threads, the largest first; a byte goes to `wake` whenever one has ended."""
    todo = sorted(fetches, key=lambda one: one.wanted["size"])
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not todo or todo[-1].stopped.is_set():
                    return
                one = todo.pop()
            one.run()
            os.write(wake, b"!")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(connections, len(fetches)))]
    for thread in threads:
        thread.start()
    return threads
