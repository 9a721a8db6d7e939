"""Folders that a step works in: root/cache/build/work/NAME, locked while somebody does; a dead one's are swept."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.image import kept, work
from nbcontainers.linux import flock, process

_PARTS = ("upper", "work", "root", "from", "mounts")
_HALF_MADE_S = 10.0
_SECRET = ".build"


@contextmanager
def folder(engine: Engine) -> Generator[Path]:
    """A new folder with all parts that a step may need; gone at the end, whoever owns what is in it."""
    place = kept.folder(engine) / "work"
    place.mkdir(mode=0o700, exist_ok=True)
    here = place / os.urandom(8).hex()
    here.mkdir(mode=0o700)
    lock = os.open(here, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in _PARTS:
            (here / name).mkdir()
            (here / name).chmod(0o755)
        yield here
    finally:
        try:
            _remove(engine, here)
        finally:
            os.close(lock)


def _remove(engine: Engine, here: Path) -> None:
    """By ourselves while every part is empty, else by a process that may."""
    try:
        for part in here.iterdir():
            part.rmdir()
        here.rmdir()
    except OSError:
        work.discard([here])


@contextmanager
def secrets(engine: Engine) -> Generator[Path]:
    """A folder of the run directory, which is in memory, for one RUN's secrets."""
    here = engine.run / f"{_SECRET}.{os.getpid()}.{os.urandom(4).hex()}"
    here.mkdir(mode=0o700)
    try:
        yield here
    finally:
        with suppress(FileNotFoundError):
            for file in here.iterdir():
                file.unlink(missing_ok=True)
            here.rmdir()


def sweep(engine: Engine) -> list[str]:
    """Remove what killed builds left; their names."""
    dead = [path for path in (engine.cache / "build/work").glob("*") if _abandoned(path)]
    work.discard(dead)
    for path in engine.run.glob(f"{_SECRET}.*"):
        if process.start_time(int(path.name.split(".")[2])) is None:
            work.discard([path])
            dead.append(path)
    return [path.name for path in dead]


def _abandoned(path: Path) -> bool:
    try:
        if time.time() - path.stat().st_mtime < _HALF_MADE_S and not any(path.iterdir()):
            return False  # its maker may not have locked it yet
    except FileNotFoundError:
        return False
    return flock.folder_free(path)
