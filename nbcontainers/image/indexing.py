"""What is known of the files of unpacked layers, kept beside each: SNAPSHOT/files.z and SNAPSHOT/summary.json,
and beside the top layer of an image what all of them are together, SNAPSHOT/image.json.

A snapshot is named by its ChainID, which says what lies below it as well, so all stay true as long as the
snapshot is there and go with it. The first look at a layer walks its folder in a process of the launcher, which can
read files of all owners; every later look reads the summaries alone. Layers on the host's own folders, which change,
are walked each time.
"""

from __future__ import annotations

import gc
import json
import os
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypedDict, cast

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError
from nbcontainers.image import growing, lease, snapshot, work
from nbcontainers.image.image import Image, missing
from nbcontainers.image.merging import ADDED, ATTRIBUTES, CHANGES, ON_HOST, Entry, Merged
from nbcontainers.image.progress import Event, Listener
from nbcontainers.image.store import short

_FORM = 2
"""Of the files; those of another form are made anew."""
_FILES, _SUMMARY, _IMAGE = "files.z", "summary.json", "image.json"
KEPT_LINES = 120
"""Paths of a tree that are kept for the first look: no static view shows more."""
KEPT_WASTE = 100
_EVERY_S = 0.2
_PATIENCE_S = 1.0


class Summary(TypedDict):
    """One layer. Sizes in bytes; `counts` files by change, as in CHANGES; `stored` and `wasted` are of it and all below;
    `left_out` devices that an ordinary user cannot make."""

    form: int
    counts: list[int]
    held: int
    gone: int
    stored: int
    wasted: int
    tree: list[list[Any]]
    left_out: int


class Whole(TypedDict):
    """All layers together: files that are seen, paths with hidden bytes (`wasteful` of them), the tree of the end."""

    form: int
    seen: int
    waste: list[list[Any]]
    wasteful: int
    tree: list[list[Any]]


def read(image: Image, told: Listener | None = None) -> tuple[list[Summary], Whole]:
    """What is known of each layer, bottom first, and of all; unpacks and reads what was not. `told` hears of layers
    that are being read.

    Raises ImageError for a damaged layer and for paths longer than Linux has.
    """
    with lease.adding(image.engine):
        work.ensure_unpacked(image)
        folders = [_folder(image.engine, chain) for chain in image.chain_ids]
        if not folders:
            return [], _whole(Merged())
        found = None if image.base else _read(folders)
        if found is None:
            _index(image, folders, told)
            found = _read(folders)
        if found is None:
            raise missing(str(image), [])
        return found


def entries(engine: Engine, chain: str) -> list[Entry]:
    """All of one layer that was read. FileNotFoundError where it went meanwhile."""
    return _entries(_folder(engine, chain))


def merged(engine: Engine, chains: Sequence[str]) -> Merged:
    """What layers that were read, bottom first, are together."""
    found = Merged()
    for number, chain in enumerate(chains, 1):
        found.apply(number, entries(engine, chain))
    return found


@contextmanager
def present(image: Image) -> Generator[None]:
    """Around what reads files of layers: NotFound where these went."""
    try:
        yield
    except FileNotFoundError:
        raise missing(str(image), []) from None


def _folder(engine: Engine, chain: str) -> Path:
    return snapshot.path(engine.snapshots, chain).parent


def _read(folders: Sequence[Path]) -> tuple[list[Summary], Whole] | None:
    """What is kept of all these; None where something is missing."""
    whole, found = _document(folders[-1], _IMAGE), [_document(folder, _SUMMARY) for folder in folders]
    return None if whole is None or None in found else (cast("list[Summary]", found), cast("Whole", whole))


def _document(folder: Path, name: str) -> dict[str, Any] | None:
    """None where there is none, or one of another form."""
    try:
        found: dict[str, Any] = json.loads((folder / name).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if found.get("form") == _FORM else None


def _entries(folder: Path) -> list[Entry]:
    """Raises ImageError for a damaged file, and then the next look reads the layer again."""
    try:
        content = json.loads(zlib.decompress((folder / _FILES).read_bytes()))
        count, columns = content["count"], content["columns"]
        spread = [column * count if len(column) == 1 else column for column in columns]
        return list(map(Entry._make, zip(*spread, strict=True)))
    except (ValueError, KeyError, TypeError, zlib.error):
        (folder / _SUMMARY).unlink(missing_ok=True)
        raise ImageError(
            "what was kept of a layer's files is damaged", hint="%image layers IMAGE reads them again"
        ) from None


def _index(image: Image, folders: Sequence[Path], told: Listener | None) -> None:
    base: list[str] = []
    if image.base:
        from nbcontainers.image import host

        base = host.lowers(image.engine)
    layers = [{"digest": one["digest"], "size": one["size"]} for one in image.layers]
    patient = _Patient(told) if told else None
    if patient:
        patient({"event": "image", "verb": "read", "reference": short(str(image)), "layers": layers})
    work.call(
        "indexing:make", folders=[str(folder) for folder in folders], base=base, layers=layers, on_event=patient
    )  # fmt: skip
    if patient:
        patient({"event": "done", "digest": image.digest})


class _Patient:
    """Passes events on after a second: what is over before is not worth a progress bar."""

    def __init__(self, told: Listener) -> None:
        self._told = told
        self._begun = time.monotonic()
        self._held: list[Event] = []

    def __call__(self, event: Event) -> None:
        self._held.append(event)
        if time.monotonic() - self._begun > _PATIENCE_S:
            for one in self._held:
                self._told(one)
            self._held.clear()


# The launcher's side.


def make(
    folders: list[str], base: list[str], layers: list[Event], on_event: Callable[[Event], None] | None = None
) -> None:
    """Write what is missing of the files of these snapshots, bottom first; over a base everything is made anew."""
    from nbcontainers.image.reading import Reading
    from nbcontainers.layer.lower import opened

    gc.disable()  # nothing here refers to itself, and a full collection looks at every path; this process ends soon
    merged, teller = Merged(), _Teller(on_event)
    places = [Path(folder) for folder in folders]
    with ExitStack() as stack:
        descriptors = opened(stack, [f"{folder}/fs" for folder in folders])
        reading = Reading(descriptors, merged, opened(stack, base), teller)
        for number, (place, layer) in enumerate(zip(places, layers, strict=True), 1):
            teller.begin(layer, _facts(place)["entries"])
            known = None if base else _known(place)
            found = list(reading.entries(number)) if known is None else known
            merged.apply(number, found)
            if known is None:
                _keep(place, found, merged)
            teller.done()
    _write(places[-1], _IMAGE, json.dumps(_whole(merged)).encode())


def _known(folder: Path) -> list[Entry] | None:
    """The entries of a layer that was read before."""
    if _document(folder, _SUMMARY) is None:
        return None
    try:
        return _entries(folder)
    except (FileNotFoundError, ImageError):
        return None


def _keep(folder: Path, entries: Sequence[Entry], merged: Merged) -> None:
    """The summary last: where it is, both are."""
    columns = zip(*entries, strict=True) if entries else [()] * len(Entry._fields)
    few = [column if len(set(column)) != 1 else column[:1] for column in columns]  # owners, say, are one and the same
    _write(folder, _FILES, zlib.compress(json.dumps({"count": len(entries), "columns": few}).encode(), 1))
    tree = changed(entries)
    summary: Summary = {
        "form": _FORM, "counts": tree.counts[: len(CHANGES)], "held": tree.held, "gone": tree.gone,
        "stored": merged.stored, "wasted": merged.wasted, "tree": growing.dump(growing.cut(tree, KEPT_LINES)),
        "left_out": _facts(folder)["devices_left_out"],
    }  # fmt: skip
    _write(folder, _SUMMARY, json.dumps(summary).encode())


def _whole(merged: Merged) -> Whole:
    tree, waste = seen(merged), merged.waste()
    return {
        "form": _FORM, "seen": sum(tree.counts), "waste": [list(one) for one in waste[:KEPT_WASTE]],
        "wasteful": len(waste), "tree": growing.dump(growing.cut(tree, KEPT_LINES)),
    }  # fmt: skip


def _facts(folder: Path) -> dict[str, Any]:
    return snapshot.facts(folder.parent, folder.name)


def _write(folder: Path, name: str, content: bytes) -> None:
    temporary = folder / f".{name}.{os.getpid()}"
    temporary.write_bytes(content)
    os.rename(temporary, folder / name)


class _Teller:
    """Tells how much of a layer was read, now and then, as bytes of its blob."""

    def __init__(self, tell: Callable[[Event], None] | None) -> None:
        self._tell = tell
        self._next = 0.0
        self._layer: Event = {}
        self._entries = 1

    def begin(self, layer: Event, entries: int) -> None:
        self._layer, self._entries = layer, max(entries, 1)

    def __call__(self, files: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_S
            self._event("reading", min(files / self._entries, 1.0), f"{files:,} files")

    def done(self) -> None:
        self._event("done", 1.0, "")

    def _event(self, state: str, part: float, note: str) -> None:
        if self._tell:
            digest, size = self._layer["digest"], round(self._layer["size"] * part)
            self._tell({"event": "layer", "digest": digest, "state": state, "bytes": size, "note": note})


# Trees, and how entries are said in them.


def changed(entries: Iterable[Entry]) -> growing.Branch:
    """What a layer does."""
    return growing.grow(entries, lambda one: one, note)


def note(one: Entry) -> str:
    """Where a link points, what the attributes are now, and since when the path is there."""
    words = _link(one)
    words += [f"{one.mode:04o} {one.uid}:{one.gid}"] if one.change == ATTRIBUTES else []
    words += [f"of {named(one.first)}"] if one.change not in (ADDED, "") else []
    return ", ".join(words)


def seen(merged: Merged) -> growing.Branch:
    """What is there in the end, with the layer it is from."""
    return growing.standing(merged.root, lambda node: origin(node.entry, node.layer))


def origin(one: Entry, layer: int) -> str:
    """Where a link points, and the layer something is from."""
    return ", ".join([*_link(one), *([named(layer)] if one.kind != "d" else [])])


def _link(one: Entry) -> list[str]:
    if not one.link or one.kind not in "fl":
        return []
    return [f"→ {one.link}" if one.kind == "l" else f"the same file as {one.link}"]


def named(number: int) -> str:
    return "the host" if number == ON_HOST else f"layer {number}"
