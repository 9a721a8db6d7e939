"""Leases: what keeps a sweep away from content that nothing names yet.

Whoever adds blobs or snapshots, or makes a container of them, holds a lease: a locked file in `root/leases`. A sweep
leaves alone what is younger than the oldest living lease and takes the older garbage: any number may add at once, for
hours, and removing an image still gives its room back. What is written now is young by itself; what was there already
has to be claimed. A lease ends with its process, whatever becomes of it.

`content.lock` is the gate: held for an instant by who takes a lease, begins a file or claims something, and alone by
who sweeps. Beside it, `images.lock` is held for one change of index.json.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import of_the_host
from nbcontainers.linux import flock

_DRIFT = 0.001  # of the time since: more than a clock that is corrected gently ever loses
_TICK_NS = 20_000_000


def lock(engine: Engine, name: str, *, shared: bool = False) -> AbstractContextManager[None]:
    """Hold `root/NAME`."""
    return flock.held(engine.root / name, shared=shared)


@contextmanager
def adding(engine: Engine) -> Generator[None]:
    """Held by whoever adds content or needs it, until the index or a container's record names it.

    Raises Error where there is no room for it on the disk, or no right to write there.
    """
    try:
        path, file = _begun(engine)
    except OSError as error:
        if refused := of_the_host(error):
            raise refused from None
        raise
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


def _begun(engine: Engine) -> tuple[Path, int]:
    """A new lease, and what locks it."""
    folder = engine.root / "leases"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / os.urandom(8).hex()
    with lock(engine, "content.lock", shared=True):
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        os.write(file, b"%d" % _set_ahead())  # last, so that its time is the begin of the lease
    except BaseException as error:
        path.unlink(missing_ok=True)
        os.close(file)
        if isinstance(error, OSError):
            error.filename = str(path)  # write(2) knows none
        raise
    return path, file


def claim(engine: Engine, paths: Iterable[Path | str]) -> bool:
    """Whether all of these are there; then no sweep takes them while our lease lives."""
    with lock(engine, "content.lock", shared=True):
        try:
            for path in paths:
                os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def oldest(engine: Engine) -> float:
    """Garbage whose mtime (ns) is below this can go. For who holds the gate alone; removes the leases of the dead."""
    found = float("inf")
    for path in (engine.root / "leases").glob("*"):
        try:
            with open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except BlockingIOError:
            found = min(found, _begin(path))
        except FileNotFoundError:
            continue  # it ends just now
    return found


def _begin(path: Path) -> float:
    """When a living lease began, by the clock of the files; 0, which protects all, if that was set back since."""
    try:
        begin, set_ahead = path.stat().st_mtime_ns, path.read_bytes()
    except FileNotFoundError:
        return float("inf")
    if not set_ahead:
        return 0.0  # just begun
    lost = int(set_ahead) - _set_ahead()
    return begin if lost < _TICK_NS + _DRIFT * max(0, time.time_ns() - begin) else 0.0


def _set_ahead() -> int:
    """Nanoseconds between the clock that files are dated by and the one that nobody can set."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
