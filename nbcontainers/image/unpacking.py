"""Making snapshots: once whoever asks at the same time, several layers at a time, never half.

Whoever makes one holds the lock of that ChainID, unpacks into CHAINID.partial and renames it in; a dead maker leaves
a partial folder that the next one, or a sweep, removes. Layers are unpacked in parallel, a process each; what
depends on the layers below (whiteouts, links, attributes) is done when those are complete. Not synced: after a power
cut an ext4 file may be empty, as with every other engine.

All of this runs where files may be chowned: in a process of the launcher.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypedDict

from nbcontainers.errors import Error, ImageError
from nbcontainers.image import snapshot
from nbcontainers.layer import codec
from nbcontainers.layer.ahead import Ahead
from nbcontainers.layer.tar import Budget
from nbcontainers.layer.unpack import Layer
from nbcontainers.linux import process


class Job(TypedDict):
    """One layer to unpack. `below`: hex ChainIDs of the layers under it, top first."""

    blob: str
    diff_id: str
    chain: str
    below: list[str]


def make(snapshots: str, jobs: list[Job], userxattr: bool, budget: dict[str, int] | None = None) -> None:
    """Unpack the jobs, bottom first, several at a time. Runs in the launcher's child.

    Raises ImageError for a bad layer; nothing of it stays. OSError when the disk is full.
    """
    os.umask(0)
    folder, limits = Path(snapshots), Budget(**(budget or {}))
    with ExitStack() as stack:
        waiting: list[_Worker | _Extraction] = []
        try:
            for job in jobs:
                _hold(stack, folder, job["chain"])
                if snapshot.path(folder, job["chain"]).exists():
                    continue
                while len(waiting) >= (os.cpu_count() or 1):
                    waiting.pop(0).commit()
                kind = _Extraction if len(jobs) == 1 else _Worker
                waiting.append(kind(folder, job, userxattr, limits))
            while waiting:
                waiting.pop(0).commit()
        finally:
            for worker in waiting:
                worker.stop()


def _hold(stack: ExitStack, folder: Path, chain: str) -> None:
    """The lock of a snapshot, until the stack ends; then its file goes. Bottom-up order: nobody waits in a circle."""
    name = folder / f"{chain}.lock"
    while True:
        descriptor = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _same(descriptor, name):
            stack.callback(os.close, descriptor)
            stack.callback(name.unlink)
            return
        os.close(descriptor)  # its holder has removed it: what we locked is no longer the lock


def _same(descriptor: int, name: Path) -> bool:
    try:
        return os.stat(name).st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


class _Extraction:
    """One layer, in this process: extract, then `commit`."""

    def __init__(self, folder: Path, job: Job, userxattr: bool, budget: Budget) -> None:
        self._folder = folder
        self._job = job
        self._partial = folder / f"{job['chain']}.partial"
        snapshot.discard([str(self._partial)])
        (self._partial / "fs").mkdir(parents=True)
        (self._partial / "fs").chmod(0o755)
        try:
            self._root = os.open(self._partial / "fs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._layer = Layer(self._root, userxattr=userxattr, squash=_squash(), budget=budget)
            _extract(self._layer, job, budget)
        except BaseException:
            self.stop()
            raise

    def commit(self) -> None:
        """Needs the layers below; at the end the snapshot is there."""
        try:
            with ExitStack() as stack:
                below = [self._open(stack, chain) for chain in self._job["below"]]
                found = self._layer.finish(below) | {"diff_id": self._job["diff_id"]}
            (self._partial / "layer.json").write_text(json.dumps(found))
            os.rename(self._partial, self._folder / self._job["chain"])
        except BaseException:
            self.stop()
            raise
        os.close(self._root)

    def _open(self, stack: ExitStack, chain: str) -> int:
        descriptor = os.open(snapshot.path(self._folder, chain), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        return descriptor

    def stop(self) -> None:
        snapshot.discard([str(self._partial)])


class _Worker:
    """The same in a process of its own: it reports when it has extracted, and commits when it is told to."""

    def __init__(self, folder: Path, job: Job, userxattr: bool, budget: Budget) -> None:
        self._partial = folder / f"{job['chain']}.partial"
        self._job = job
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            status = 1
            try:
                process.set_pdeathsig(signal.SIGKILL)
                if os.getppid() == parent:
                    _work(theirs, folder, job, userxattr, budget)
                    status = 0
            finally:
                os._exit(status)
        theirs.close()
        self._channel = ours

    def commit(self) -> None:
        """Wait for the worker's end. Its exception is raised here."""
        with self._channel, self._channel.makefile("rwb") as channel:
            report: dict[str, Any] = {}
            while line := channel.readline():
                report = json.loads(line)
                if "extracted" in report:
                    channel.write(b"commit\n")
                    channel.flush()
        os.waitpid(self._pid, 0)
        if "done" in report:
            return
        snapshot.discard([str(self._partial)])
        if "errno" in report:
            raise OSError(report["errno"], report["text"], report["path"])
        if "error" in report:
            raise Error.from_json(report["error"])
        raise ImageError(f"the process that unpacked layer {self._job['diff_id']} died", hint="try again; see dmesg")

    def stop(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._channel.close()
        snapshot.discard([str(self._partial)])


def _work(channel: socket.socket, folder: Path, job: Job, userxattr: bool, budget: Budget) -> None:
    try:
        layer = _Extraction(folder, job, userxattr, budget)
        channel.sendall(b'{"extracted":true}\n')
        if channel.recv(16):
            layer.commit()
            channel.sendall(b'{"done":true}\n')
    except OSError as error:
        report = {"errno": error.errno, "text": error.strerror, "path": str(error.filename or "")}
        channel.sendall(json.dumps(report).encode() + b"\n")
    except Error as error:
        channel.sendall(json.dumps({"error": error.to_json()}).encode() + b"\n")


def _extract(layer: Layer, job: Job, budget: Budget) -> None:
    """Read, inflate and hash in one thread, unpack in this one; the DiffID is checked over every byte."""
    hashed = hashlib.new(job["diff_id"].partition(":")[0])
    with open(job["blob"], "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        with closing(Ahead(_pieces(file, hashed.update, budget))) as pieces:
            layer.extract(pieces)
    found = f"{hashed.name}:{hashed.hexdigest()}"
    if found != job["diff_id"]:
        raise ImageError(f"a layer should be {job['diff_id']} when unpacked and is {found}")


def _pieces(file: Any, update: Any, budget: Budget) -> Iterator[bytes]:
    count = 0
    for piece in codec.chunks(file):
        count += len(piece)
        budget.check_bytes(count, file.tell())
        update(piece)
        yield piece


def _squash() -> bool:
    """Whether only our own id exists here: no root, or a user namespace with a one-entry map."""
    with open("/proc/self/uid_map", "rb") as map_:
        ranges = map_.read().split()[2::3]
    return os.geteuid() != 0 or sum(map(int, ranges)) == 1
