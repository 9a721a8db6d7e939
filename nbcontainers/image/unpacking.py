"""Making snapshots: once whoever asks at the same time, several layers at a time, never half.

Whoever makes one holds the lock of that ChainID, unpacks into CHAINID.partial and renames it in; a dead maker leaves
a partial folder that the next one, or a sweep, removes. Layers are unpacked in parallel (`image/crew.py`); what
depends on the layers below (whiteouts, links, attributes) is done when those are complete. A blob may still be
arriving while it is unpacked (`Feed`).

All of this runs where files may be chowned: in a process of the launcher.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from nbcontainers.errors import ImageError
from nbcontainers.image import snapshot
from nbcontainers.layer import codec
from nbcontainers.layer.ahead import Ahead
from nbcontainers.layer.lower import opened
from nbcontainers.layer.tar import Budget
from nbcontainers.layer.unpack import Layer, squashes


class Job(TypedDict):
    """One layer to unpack. `chain` and `below` are hex ChainIDs: its own, and of the layers under it, top first; `base`:
    the folders under these."""

    blob: str
    diff_id: str
    chain: str
    below: list[str]
    base: list[str]


class Feed(NamedTuple):
    """A blob to read: an open file that is whole, or still grows to `size` bytes and says so through `grown`."""

    descriptor: int
    size: int
    grown: int = -1


def make(snapshots: str, jobs: list[Job], userxattr: bool, budget: dict[str, int] | None = None) -> None:
    """Unpack the jobs, bottom first, several at a time. Runs in the launcher's child.

    Raises ImageError for a bad layer; nothing of it stays. OSError when the disk is full.
    """
    from nbcontainers.image.crew import Crew

    folder = Path(snapshots)
    with ExitStack() as stack:
        missing = [job for job in jobs if hold(stack, folder, job["chain"])]
        feeds = [whole(stack, job["blob"]) for job in missing]
        crew = stack.enter_context(Crew(folder, missing, feeds, userxattr, Budget(**(budget or {}))))
        crew.extract()
        crew.commit()


def whole(stack: ExitStack, blob: str) -> Feed:
    """A blob of the store, open until the stack ends."""
    descriptor = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return Feed(descriptor, os.fstat(descriptor).st_size)


def hold(stack: ExitStack, snapshots: Path, chain: str, waiting: Callable[[], None] | None = None) -> bool:
    """Take the lock of a snapshot until the stack ends, or find, perhaps after waiting for its maker, that it is there.

    To be asked bottom up, so that nobody waits in a circle. `waiting` is called before a wait.
    """
    with ExitStack() as own:
        _lock(own, snapshots / f"{chain}.lock", waiting)
        if snapshot.path(snapshots, chain).exists():
            return False
        stack.push(own.pop_all())
        return True


def _lock(stack: ExitStack, name: Path, waiting: Callable[[], None] | None) -> None:
    """Its file goes with the lock."""
    while True:
        descriptor = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _same(descriptor, name):
                stack.callback(os.close, descriptor)
                stack.callback(name.unlink)
                return
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has removed it: what we locked is no longer the lock


def _same(descriptor: int, name: Path) -> bool:
    try:
        return os.stat(name).st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


class Extraction:
    """One layer, in this process, whose umask must be 0: extracted when made, there as a snapshot after `commit`.

    `told` is called now and then with the bytes of the blob that have been used. On any error its files go.
    """

    def __init__(
        self, folder: Path, job: Job, feed: Feed, userxattr: bool, budget: Budget, told: Callable[[int], None]
    ) -> None:
        self._folder = folder
        self._job = job
        self._partial = folder / f"{job['chain']}.partial"
        snapshot.discard([str(self._partial)])
        (self._partial / "fs").mkdir(parents=True)
        (self._partial / "fs").chmod(0o755)
        self._root = os.open(self._partial / "fs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._layer = Layer(self._root, userxattr=userxattr, squash=squashes(), budget=budget)
        _extract(self._layer, job["diff_id"], Reader(feed), budget, told)
        self._layer.tree.close()  # its descriptors: many layers may wait for their commit

    def commit(self) -> None:
        """Needs the layers below; at the end the snapshot is there."""
        with ExitStack() as stack:
            layers = [str(snapshot.path(self._folder, chain)) for chain in self._job["below"]]
            below = opened(stack, [*layers, *self._job["base"]])
            found = self._layer.finish(below) | {"diff_id": self._job["diff_id"]}
        snapshot.publish(self._partial, self._folder / self._job["chain"], found)
        os.close(self._root)


class Reader:
    """Reads a feed from its beginning, waiting for what has not come yet. Whoever fills it is to kill us if he fails."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.at = 0

    def read(self, size: int, /) -> bytes:
        feed = self._feed
        while not (data := os.pread(feed.descriptor, size, self.at)) and self.at < feed.size:
            if feed.grown < 0 or not os.read(feed.grown, 1 << 16):
                raise ImageError(f"a blob ends after {self.at} of {feed.size} bytes")
        self.at += len(data)
        return data


def _extract(layer: Layer, diff_id: str, file: Reader, budget: Budget, told: Callable[[int], None]) -> None:
    """Read, inflate and hash in one thread, unpack in this one; the DiffID is checked over every byte."""
    hashed = hashlib.new(diff_id.partition(":")[0])
    with closing(Ahead(_pieces(file, hashed.update, budget, told))) as pieces:
        layer.extract(pieces)
    found = f"{hashed.name}:{hashed.hexdigest()}"
    if found != diff_id:
        raise ImageError(f"a layer should be {diff_id} when unpacked and is {found}")


def _pieces(file: Reader, update: Any, budget: Budget, told: Callable[[int], None]) -> Iterator[bytes]:
    count = 0
    for piece in codec.chunks(file):
        count += len(piece)
        budget.check_bytes(count, file.at)
        update(piece)
        told(file.at)
        yield piece
