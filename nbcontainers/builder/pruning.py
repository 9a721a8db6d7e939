"""`builder prune`: what builds keep for the next ones goes: results of steps, and cache mounts nobody is using."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.image import kept, removal, scratch, work
from nbcontainers.table import Column, Row, Table, since, stored


def listing(engine: Engine) -> Table:
    """Results of steps, the one used last at the top: what, size (bytes of files), created, used, key."""
    rows = sorted((_row(path, one) for path, one in kept.every(engine)), key=lambda row: row["used_at"], reverse=True)
    for row in rows:
        row["used"] = time.time() - row.pop("used_at")
    columns = [
        Column("what", "STEP", _cut),
        Column("size", format=stored),
        Column("created", format=since),
        Column("key"),
    ]
    return Table(rows, columns)


def _row(path: Path, one: kept.Kept) -> Row:
    return {
        "what": one["what"],
        "size": one["size"],
        "created": one["created"],
        "key": path.stem[:12],
        "used_at": kept.used(path),
    }


def _cut(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= 60 else f"{line[:59]}…"


def prune(engine: Engine, *, unused: float, mounts: bool) -> Table:
    """Remove results not used for so many seconds, with `mounts` also cache mounts; one row for each kind of thing."""
    scratch.sweep(engine)
    going = [path for path, _ in kept.every(engine) if time.time() - kept.used(path) >= unused]
    for path in going:
        path.unlink(missing_ok=True)
    gone = removal.sweep(engine)
    rows: list[Row] = [{"what": "steps", "count": len(going), "bytes": gone["bytes"]}]
    if mounts:
        rows.append({"what": "cache mounts", "count": len(_remove_mounts(engine)), "bytes": None})
    return Table(rows, [Column("what"), Column("count"), Column("bytes", "RECLAIMED", stored)])


def _remove_mounts(engine: Engine) -> list[Path]:
    """Those that no RUN holds, each under its lock."""
    removed = []
    for lock in (engine.cache / "mounts").glob("*.lock"):
        file = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = lock.with_suffix("")
            work.discard([folder, *lock.parent.glob(f"{folder.name}.*.new")])
            removed.append(folder)
        except BlockingIOError:
            continue
        finally:
            os.close(file)
    return removed
