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
from typing import Any, Protocol

from nbcontainers.errors import ImageError, RegistryError
from nbcontainers.oci import digest as digests
from nbcontainers.oci.image import Descriptor

_PIECE = 512 << 10
_TRIES = 5
_PAUSES_S = (0.1, 0.5, 2.0, 5.0)
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


Tell = Callable[[str, int, str], None]
"""State, bytes so far, note."""


class Fetch:
    """One blob, into the open file `partial`. `run` in a thread; then `error` is None, or why it failed."""

    def __init__(self, source: Source, wanted: Descriptor, partial: Any, tell: Tell) -> None:
        self.wanted = wanted
        self.partial = partial
        self.size = 0
        self.error: BaseException | None = None
        self.done = False
        self._source = source
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
        tries = 0
        self._tell("downloading", 0, "")
        while self.size < self.wanted["size"]:
            before = self.size
            try:
                self._read_on()
                continue
            except RegistryError as error:
                tries = 1 if self.size > before else tries + 1
                if not error.details.get("retry") or tries >= _TRIES:
                    raise
                self._tell("retrying", self.size, error.message)
            time.sleep(_PAUSES_S[min(tries, len(_PAUSES_S)) - 1])

    def _read_on(self) -> None:
        """From where we are to the end of what this connection gives."""
        buffer = memoryview(bytearray(min(_PIECE, self.wanted["size"])))
        with self._source.open_blob(self.wanted, self.size) as blob:
            while count := blob.readinto(buffer):
                if self.size + count > self.wanted["size"]:
                    raise ImageError(f"{self._name} is larger than the {self.wanted['size']} bytes it should have")
                self._add(buffer[:count])
        if self.size < self.wanted["size"]:
            raise RegistryError(f"{self._name} ends after {self.size} of {self.wanted['size']} bytes", retry=True)

    @property
    def _name(self) -> str:
        return f"blob {self.wanted['digest']}"

    def _add(self, piece: memoryview) -> None:
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
        os.fchmod(self.partial.fileno(), 0o644)
        os.fsync(self.partial.fileno())

    def publish(self, target: Path) -> None:
        """Rename it in. Whoever does it for all syncs the folder once."""
        os.rename(self.partial.name, target)

    def close(self) -> None:
        for reader in self._readers:
            os.close(reader)


def start(fetches: list[Fetch], connections: int, wake: int) -> None:
    """Fetch in threads, the largest first; a byte goes to `wake` whenever one has ended."""
    todo = sorted(fetches, key=lambda one: one.wanted["size"])
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not todo:
                    return
                one = todo.pop()
            one.run()
            os.write(wake, b"!")

    for _ in range(min(connections, len(fetches))):
        threading.Thread(target=work, daemon=True).start()
