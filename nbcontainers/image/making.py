"""Adding a layer to the store: its blob and its snapshot at once. What `container commit` and the builder share.

`layer_of` is the client's side; its caller holds a lease until an index names the layer. The child works in a partial
folder of a made-up name: the ChainID is known when the last byte is packed. What it leaves behind when it is killed
the next sweep removes.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypedDict

from nbcontainers.engine import Engine
from nbcontainers.image import layout, lease, snapshot, work
from nbcontainers.image.parts import Parts, all_changes, lowers
from nbcontainers.image.unpacking import hold
from nbcontainers.layer.changes import Change, joined
from nbcontainers.layer.lower import opened
from nbcontainers.layer.make import make
from nbcontainers.layer.unpack import Layer, squashes
from nbcontainers.oci.image import LAYER_BY_CODEC, Descriptor, chain_ids, descriptor

_CODEC = "gzip"


class Added(TypedDict):
    """A layer in the store. `entries` 0: nothing had changed, and there is no layer; `files` are those that are no
    folders. `left_out` counts what no layer can hold (sockets), `notes` tells of the first ones."""

    descriptor: Descriptor
    diff_id: str
    entries: int
    files: int
    size: int
    left_out: int
    notes: list[str]


class Below(TypedDict):
    """The layers that the new one comes to lie on, bottom first, and what is below them."""

    diff_ids: list[str]
    base: str


def layer_of(
    engine: Engine, parts: Parts, diff_ids: Sequence[str], base: str = "", *, epoch: int | None = None
) -> Added:  # fmt: skip
    """What changed in the parts as a layer on top of `diff_ids`. Raises ImageError, OSError; then the store is as it
    was."""
    below: Below = {"diff_ids": list(diff_ids), "base": base}
    return work.call(  # type: ignore[no-any-return]
        "making:add", place=work.place(engine), parts=parts, below=below, epoch=epoch
    )


def add(place: dict[str, Any], parts: Parts, below: Below, epoch: int | None) -> Added:
    """`layer_of`, in the launcher's child."""
    with ExitStack() as stack:
        return _add(work.at(place), all_changes(parts), opened(stack, lowers(parts)), below, epoch)


def join(place: dict[str, Any], layers: list[str], lowers: list[str], below: Below, epoch: int | None) -> Added:
    """`layers` (folders, top first) as one, on top of `below`, whose folders are `lowers`; in the launcher's child."""
    with ExitStack() as stack:
        base = opened(stack, lowers)
        return _add(work.at(place), joined(opened(stack, layers), base), base, below, epoch)


def _add(
    engine: Engine, found: Iterator[Change], lowers: list[int], below: Below, epoch: int | None
) -> Added:  # fmt: skip
    first = next(found, None)
    if first is None:
        return {"descriptor": {}, "diff_id": "", "entries": 0, "files": 0, "size": 0, "left_out": 0, "notes": []}
    os.umask(0)
    with lease.adding(engine), partial(engine.snapshots) as folder:
        root = os.open(folder / "fs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            layer = Layer(root, userxattr=engine.rootless, squash=squashes())
            made = make(
                chain([first], found), lambda pieces: layout.put(engine, pieces), layer, codec=_CODEC, epoch=epoch
            )
            facts = layer.finish(lowers) | {"diff_id": made.diff_id}
        finally:
            os.close(root)
        chain_id = chain_ids([*below["diff_ids"], made.diff_id], below["base"])[-1]
        take_place(engine, folder, chain_id.rpartition(":")[2], facts)
    digest, size = made.stored
    facts = made.facts
    return {
        "descriptor": descriptor(LAYER_BY_CODEC[_CODEC], digest, size), "diff_id": made.diff_id,
        "entries": facts["entries"], "files": facts["files"], "size": facts["size"],
        "left_out": facts["left_out"], "notes": facts["notes"],
    }  # fmt: skip


@contextmanager
def partial(snapshots: Path) -> Generator[Path]:
    """A folder that a sweep leaves alone while we live; gone at the end unless it was renamed."""
    name = os.urandom(32).hex()
    folder = snapshots / f"{name}.partial"
    with ExitStack() as stack:
        hold(stack, snapshots, name)
        stack.callback(snapshot.discard, [str(folder)])
        (folder / "fs").mkdir(parents=True)
        (folder / "fs").chmod(0o755)
        yield folder


def take_place(engine: Engine, folder: Path, chain_id: str, facts: dict[str, Any]) -> None:
    """Become the snapshot of that ChainID, unless it is there already."""
    place = engine.snapshots / chain_id
    with ExitStack() as stack:
        if hold(stack, engine.snapshots, chain_id):
            snapshot.publish(folder, place, facts)
        lease.claim(engine, [place])
