"""All layers of an image from a source into the store, in one pass: fetched, hashed, inflated, hashed, unpacked.

Threads fetch (image/fetch.py) into partial files, processes unpack them while they still grow (image/crew.py).
Nothing shows before every layer is verified: then the blobs are renamed in, and after them the snapshots, bottom up.
Runs in a process of the launcher.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.image import layout, lease
from nbcontainers.image.crew import Crew
from nbcontainers.image.fetch import Fetch, Manner, Source, start
from nbcontainers.image.progress import Listener
from nbcontainers.image.unpacking import Feed, Job, hold, whole
from nbcontainers.layer.tar import Budget
from nbcontainers.oci.image import Descriptor, chain_ids

_PATIENCE_S = 0.5
"""Until a thread has noticed that its connection was closed; one that still looks up a name writes nothing."""


class Report:
    """The `layer` events, from any thread."""

    def __init__(self, emit: Listener | None) -> None:
        self._emit = emit
        self._lock = threading.Lock()

    def __call__(self, **event: Any) -> None:
        if self._emit:
            with self._lock:
                self._emit(event)

    def layer(self, digest: str, state: str, count: int = 0, note: str = "") -> None:
        self(event="layer", digest=digest, state=state, bytes=count, note=note)


def layers(
    engine: Engine,
    source: Source,
    wanted: Sequence[Descriptor],
    diff_ids: Sequence[str],
    report: Report,
    manner: Manner,
) -> None:
    """Bring in the layers (bottom first), as blobs and as snapshots; what is there already is not fetched or made.

    To be called while `layout.adding` is held. Raises ImageError for a layer that is not what the manifest and the
    config say, RegistryError when it cannot be had, OSError when the disk is full; then nothing was added.
    """
    layout.make(engine)
    with ExitStack() as stack:
        transfer = _Transfer(engine, source, manner, report, stack)
        transfer.plan(wanted, diff_ids)
        transfer.run()


class _Transfer:
    def __init__(self, engine: Engine, source: Source, manner: Manner, report: Report, stack: ExitStack) -> None:
        self._engine, self._source, self._manner, self._report, self._stack = engine, source, manner, report, stack
        self._fetches: dict[str, Fetch] = {}
        self._jobs: list[Job] = []
        self._blobs: list[Descriptor] = []
        self._feeds: list[Feed] = []
        self._states: dict[str, str] = {}

    def plan(self, wanted: Sequence[Descriptor], diff_ids: Sequence[str]) -> None:
        """Find out what is missing and lock it. Waits for whoever else makes one of the snapshots."""
        chain = [chain_id.rpartition(":")[2] for chain_id in chain_ids(diff_ids)]
        for number, (one, diff_id) in enumerate(zip(wanted, diff_ids, strict=True)):
            to_make = self._to_make(chain[number], one["digest"])
            self._need(one)
            if to_make:
                blob, below = str(layout.blob(self._engine, one["digest"])), chain[:number][::-1]
                self._jobs.append(
                    {"blob": blob, "diff_id": diff_id, "chain": chain[number], "below": below, "base": []}
                )
                self._blobs.append(one)
                self._feeds.append(self._feed(one, blob))
        needed = {one["digest"] for one in self._blobs} | self._fetches.keys()
        for one in wanted:
            self._report.layer(one["digest"], "waiting" if one["digest"] in needed else "exists", 0)

    def _to_make(self, chain: str, digest: str) -> bool:
        def waiting() -> None:
            self._report.layer(digest, "waiting", 0, "another process unpacks it")

        while not hold(self._stack, self._engine.snapshots, chain, waiting):
            if lease.claim(self._engine, [self._engine.snapshots / chain]):
                return False
        return True

    def _need(self, one: Descriptor) -> None:
        digest = one["digest"]
        if digest not in self._fetches and not lease.claim(self._engine, [layout.blob(self._engine, digest)]):
            partial = self._stack.enter_context(layout.partial(self._engine)).raw
            fetch = self._fetches[digest] = Fetch(self._source, self._manner, one, partial, self._teller(digest))
            self._stack.callback(fetch.close)

    def _teller(self, digest: str) -> Callable[[str, int, str], None]:
        def tell(state: str, count: int, note: str) -> None:
            self._states[digest] = state
            self._report.layer(digest, state, count, note)

        return tell

    def _feed(self, one: Descriptor, blob: str) -> Feed:
        if fetch := self._fetches.get(one["digest"]):
            grown = fetch.feed()
            self._stack.callback(os.close, grown)
            descriptor = os.open(fetch.partial.name, os.O_RDONLY | os.O_CLOEXEC)
            self._stack.callback(os.close, descriptor)
            return Feed(descriptor, one["size"], grown)
        return whole(self._stack, blob)

    def run(self) -> None:
        """Fork first, then start threads; publish when all is well."""
        wake, woken = os.pipe2(os.O_CLOEXEC)
        self._stack.callback(os.close, wake)
        self._stack.callback(os.close, woken)
        folder, rootless = self._engine.snapshots, self._engine.rootless
        with Crew(folder, self._jobs, self._feeds, rootless, Budget(), self._unpacked) as crew:
            threads = start(list(self._fetches.values()), self._manner.at_once, woken)
            try:
                crew.extract(lambda: self._check(wake), wake)
                while not all(fetch.done for fetch in self._fetches.values()):
                    self._check(wake)
            except BaseException:
                self._stop()
                raise
            finally:
                for thread in threads:
                    thread.join(_PATIENCE_S)  # none may write into a descriptor that we close
            self._publish()
            crew.commit()
        for digest in {one["digest"]: one for one in self._blobs} | self._fetches:
            self._report.layer(digest, "done", self._size(digest))

    def _stop(self) -> None:
        for fetch in self._fetches.values():
            fetch.stopped.set()
        self._source.close()

    def _size(self, digest: str) -> int:
        return layout.blob(self._engine, digest).stat().st_size

    def _unpacked(self, job: int, used: int) -> None:
        """A worker tells how far it is; while the blob itself still comes, that is the better thing to show."""
        digest = self._blobs[job]["digest"]
        if digest not in self._fetches or self._fetches[digest].done:
            self._report.layer(digest, "extracting", used)

    def _check(self, wake: int) -> None:
        os.read(wake, 4096)
        for fetch in self._fetches.values():
            if fetch.error:
                raise fetch.error

    def _publish(self) -> None:
        folders = set()
        for digest, fetch in self._fetches.items():
            target = layout.blob(self._engine, digest)
            target.parent.mkdir(exist_ok=True)
            fetch.publish(target)
            folders.add(target.parent)
        for folder in folders:
            layout.sync_folder(folder)
