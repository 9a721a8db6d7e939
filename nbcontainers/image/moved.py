"""What a name meant before: `root/moved.jsonl`, a line for every time a name came to mean an image.

It is written with the index, under the same lock, a moment before it: so a line may tell of a move that a kill
prevented, and the reader holds the lines to the index. The lines of a name go with the name. The file is bounded.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.image import layout
from nbcontainers.monitor import events
from nbcontainers.oci.image import REF_NAME, Descriptor
from nbcontainers.table import Row

LONGEST = 256 << 10
"""Bytes of the file above which it is written anew, without the names that are gone and with the last moves only."""
KEPT = 20


def read(engine: Engine, reference: str) -> list[Row]:
    """What a whole reference has meant, the present first: digest, when (seconds since the epoch), why, current, here.

    `here` says whether that manifest is still in the store. Nothing for a name that means nothing.
    """
    present = layout.read_index(engine).names.get(reference)
    if present is None:
        return []
    lines = [line for line in _lines(engine) if line["reference"] == reference]
    last = max((number for number, line in enumerate(lines) if line["digest"] is None), default=-1)
    lines = lines[last + 1 :]
    digests = [line["digest"] for line in lines]
    if present["digest"] in digests:
        lines = lines[: len(digests) - digests[::-1].index(present["digest"])]
    else:  # another program moved it
        lines.append({"reference": reference, "digest": present["digest"], "when": None, "why": ""})
    rows = [line | {"current": False, "here": layout.blob(engine, line["digest"]).exists()} for line in lines]
    rows[-1]["current"] = True
    return rows[::-1]


@contextmanager
def recording(engine: Engine, before: Sequence[Descriptor], after: Sequence[Descriptor], why: str) -> Generator[None]:
    """Add the moves between two versions of the index, whose writing is the block; if it fails, they are taken back."""
    moves = list(_moves(before, after, why))
    if not moves:
        yield
        return
    path = engine.root / "moved.jsonl"
    with open(path, "ab", buffering=0) as file:
        size = file.tell()
        try:
            content = b"".join(b"\n" + json.dumps(move).encode() for move in moves)  # also after half a line
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
            yield
        except BaseException:
            file.truncate(size)
            raise
    if size > LONGEST:
        _shorten(engine, path, {name for one in after if (name := _name(one))})


def tell(engine: Engine, before: Sequence[Descriptor], after: Sequence[Descriptor], why: str) -> None:
    """Write into the engine's events what came of it: `why` or tag for each name, untag, and delete for an image."""
    old, kept = {_name(one): one["digest"] for one in before}, {one["digest"] for one in after}
    for move in _moves(before, after, why):
        name, digest = move["reference"], move["digest"]
        events.record(engine.root, "image", (why or "tag") if digest else "untag", digest or old[name], name=name)
    for digest in sorted({one["digest"] for one in before} - kept):
        events.record(engine.root, "image", "delete", digest)


def _moves(before: Sequence[Descriptor], after: Sequence[Descriptor], why: str) -> Iterator[dict[str, Any]]:
    old, new = ({name: one["digest"] for one in some if (name := _name(one))} for some in (before, after))
    for name in sorted(old | new):
        if old.get(name) != new.get(name):
            yield {"reference": name, "digest": new.get(name), "when": round(time.time(), 3), "why": why}


def _name(one: Descriptor) -> str:
    return one.get("annotations", {}).get(REF_NAME, "")


def _lines(engine: Engine) -> list[dict[str, Any]]:
    """All that can be read: a kill or a power cut may have left half a line."""
    try:
        content = (engine.root / "moved.jsonl").read_bytes()
    except FileNotFoundError:
        return []
    found = []
    for line in content.split(b"\n"):
        try:
            document = json.loads(line)
            if document.keys() >= {"reference", "digest", "when", "why"}:
                found.append(document)
        except (ValueError, AttributeError):
            continue
    return found


def _shorten(engine: Engine, path: Path, names: set[str]) -> None:
    kept: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for line in reversed(_lines(engine)):
        name = line["reference"]
        counts[name] = counts.get(name, 0) + 1
        if name in names and counts[name] <= KEPT:
            kept.append(line)
    content = [json.dumps(line).encode() for line in kept]
    while sum(map(len, content)) > LONGEST // 2:
        content = content[: len(content) // 2]
    layout.write(engine, path, [b"\n" + line for line in reversed(content)])
