"""What the builder keeps of finished steps: root/cache/build/KEY.json, one file a step.

A file says which layer the step made (none, if it changed no file) and on which layers. As long as it is there a sweep
leaves the layer's blob and its snapshot alone; `builder prune` takes it away.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from nbcontainers.engine import Engine
from nbcontainers.image import layout, lease
from nbcontainers.oci import digest as digests
from nbcontainers.oci.image import Descriptor, chain_ids, encode

_LASTS_S = 14 * 86400


class Kept(TypedDict):
    """The result of a step. `descriptor` is {} and `diff_id` "" where it made no layer; `size` in bytes of files."""

    created: str
    descriptor: Descriptor
    diff_id: str
    chain: str
    entries: int
    files: int
    size: int
    what: str


def folder(engine: Engine) -> Path:
    """Where the results are; made when it is first asked for."""
    place = engine.cache / "build"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def find(engine: Engine, key: str) -> Kept | None:
    """The result of that key, its blob claimed (under the caller's lease); None where it or its layer is gone."""
    path = _path(engine, key)
    try:
        found: Kept = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    wanted = [layout.blob(engine, found["descriptor"]["digest"])] if found["diff_id"] else []
    return found if lease.claim(engine, [path, *wanted]) else None


def keep(engine: Engine, key: str, result: Kept) -> None:
    """Not synced: after a power cut it may be empty, and then the step is done again."""
    with layout.partial(engine) as file:
        file.write(encode(result))
        file.flush()
        os.rename(file.name, _path(engine, key))


def chain_of(diff_ids: list[str], base: str = "") -> str:
    """The hex ChainID of a stack of layers; "" of none."""
    return chain_ids(diff_ids, base)[-1].rpartition(":")[2] if diff_ids else ""


def every(engine: Engine) -> Iterator[tuple[Path, Kept]]:
    """All results. What cannot be read is passed over."""
    for path in (engine.cache / "build").glob("*.json"):
        try:
            yield path, json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            continue


def reachable(engine: Engine) -> tuple[set[str], set[str]]:
    """Digests of blobs, and hex ChainIDs, that results need."""
    found = [one for _, one in every(engine) if one.get("diff_id")]
    return {one["descriptor"]["digest"] for one in found}, {one["chain"] for one in found}


def expire(engine: Engine) -> None:
    """Forget what no build has asked for in two weeks; the next sweep takes its layers."""
    for path, _ in every(engine):
        try:
            if time.time() - used(path) > _LASTS_S:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue


def used(path: Path) -> float:
    """When the result was last used, in seconds since 1970."""
    return os.stat(path).st_mtime


def _path(engine: Engine, key: str) -> Path:
    return folder(engine) / f"{digests.split(key)[1]}.json"
