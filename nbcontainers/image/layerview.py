"""What `image layers` gives: a row a layer, what each does to the files, and the bytes that nobody sees.

Facts are read once and shown by `image/layerdrawing.py`; all of them are DataFrames too. Where a tree is too long for a
view its heaviest paths are shown and the others counted: `.tree()` shows more of them, `.files()` has all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidArgument
from nbcontainers.image import growing, indexing, kept, layout, listing, portrait
from nbcontainers.image.filetree import FileTree
from nbcontainers.image.growing import Branch
from nbcontainers.image.image import Image, of_descriptor
from nbcontainers.image.merging import CHANGES, Entry, Merged, Waste, efficiency
from nbcontainers.image.progress import Listener
from nbcontainers.image.store import short
from nbcontainers.layer.tree import show
from nbcontainers.oci.image import REF_NAME
from nbcontainers.table import Column, Row, Table, stored
from nbcontainers.view import View

if TYPE_CHECKING:
    import pandas

LINES, MOST_LINES = 120, 300
"""Paths of all trees together in one view."""
KINDS = {
    "f": "file",
    "d": "folder",
    "l": "link",
    "c": "character device",
    "b": "block device",
    "p": "fifo",
    "s": "socket",
}
_OF_FILES = "path change kind size mode uid gid link layer first".split()


@dataclass(frozen=True)
class Layer:
    """One layer, `number` 1 the lowest. `row` is its step of the history; `hides` the bytes below that nobody sees because
    of it; `images` the names of those that have it; `cached` whether a result of a build needs it."""

    number: int
    row: Row
    chain: str
    diff_id: str
    content_size: int
    summary: indexing.Summary
    hides: int
    images: Sequence[str]
    cached: bool

    @property
    def instruction(self) -> str:
        return portrait.said(self.row)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return self.summary["held"]

    @property
    def total(self) -> int:
        """Bytes of the files of it and all below."""
        return self.summary["stored"]

    @property
    def counts(self) -> dict[str, int]:
        """Files by change."""
        return dict(zip(CHANGES, self.summary["counts"], strict=True))

    @property
    def tree(self) -> Branch:
        """Its heaviest paths, at most `indexing.KEPT_LINES`."""
        return growing.load(self.summary["tree"])

    @property
    def shared(self) -> str:
        """`3 images, build cache`; nothing for a layer that only this image has."""
        return shared(self.images, cached=self.cached)

    @property
    def facts(self) -> Row:
        """One row of the DataFrame."""
        return {
            "layer": self.number, "instruction": self.instruction, "created": self.row.get("created"), "size": self.size,
            "total": self.total, **self.counts, "hides": self.hides, "images": len(self.images), "cached": self.cached,
            "digest": self.row["digest"], "diff_id": self.diff_id, "chain_id": self.chain, "content_size": self.content_size,
        }  # fmt: skip


Found = tuple[Sequence[Layer], indexing.Whole]


class Layers(View):
    """The layers of an image, lowest first, with the files each changes. `read` gives them when they are first asked for;
    `lines`: how many paths a view shows."""

    def __init__(self, image: Image, read: Callable[[], Found], lines: int = LINES) -> None:
        self.image = image
        self.lines = max(1, min(lines, MOST_LINES))
        self._read = read

    @cached_property
    def _found(self) -> Found:
        return self._read()

    @property
    def layers(self) -> Sequence[Layer]:
        return self._found[0]

    @property
    def whole(self) -> indexing.Whole:
        return self._found[1]

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def name(self) -> str:
        return named(self.image)

    @property
    def stored(self) -> int:
        """Bytes of all files in all layers."""
        return self.layers[-1].total if self.layers else 0

    @property
    def wasted(self) -> int:
        """Those that nobody sees: of a path stored in N layers N - 1 copies, and all N where it was removed in the end."""
        return self.layers[-1].summary["wasted"] if self.layers else 0

    @property
    def efficiency(self) -> float:
        """(stored - wasted) / stored, from 0 to 1; see image/merging.py for how dive's differs."""
        return efficiency(self.stored, self.wasted)

    @property
    def wasted_part(self) -> float:
        """Wasted bytes as a part of what the layers above the lowest hold (dive's userWastedPercent); 0 of one layer."""
        above = self.stored - self.layers[0].size if self.layers else 0
        return self.wasted / above if above else 0.0

    @cached_property
    def worst(self) -> list[Waste]:
        """The paths with the most hidden bytes, at most `indexing.KEPT_WASTE` of `whole["wasteful"]`."""
        return [Waste(*one) for one in self.whole["waste"]]

    @property
    def waste(self) -> Table:
        """The same as rows: path, copies (in how many layers it is stored), wasted (bytes), removed (in the end)."""
        rows = [
            {"path": printed(one.path), "copies": one.copies, "wasted": one.bytes, "removed": not one.there}
            for one in self.worst
        ]
        return Table(rows, [
            Column("wasted", format=stored), Column("copies"),
            Column("removed", format=lambda removed: "yes" if removed else ""), Column("path"),
        ])  # fmt: skip

    def to_pandas(self) -> pandas.DataFrame:
        """A row a layer, lowest first: layer, instruction, created, size, total, files by change (added, changed,
        attributes, again, removed), hides, images, cached, digest, diff_id, chain_id, content_size. Bytes and counts are
        int64, `created` datetime64 (UTC)."""
        import pandas

        frame = pandas.DataFrame([one.facts for one in self.layers])
        if len(frame):
            frame["created"] = pandas.to_datetime(frame["created"], utc=True, format="ISO8601")
        return frame

    def files(self, layer: int | None = None) -> pandas.DataFrame:
        """What layer number `layer` does to each path, or every layer: path, change, kind, size, mode, uid, gid, link,
        layer, first (the layer in which the path came; 0 is the host's own). Sizes are bytes; `size` of what is removed is
        what it had.

        Raises InvalidArgument for a layer there is not, NotFound where the image was removed meanwhile.
        """
        import pandas

        numbers = range(1, len(self) + 1) if layer is None else [self.checked(layer)]
        rows = [_row(one, number) for number in numbers for one in self.entries(number)]
        frame = pandas.DataFrame(rows, columns=_OF_FILES)
        frame["change"] = pandas.Categorical(frame["change"], categories=list(CHANGES))
        frame["kind"] = pandas.Categorical(frame["kind"], categories=list(KINDS.values()))
        return frame

    def tree(self, layer: int | None = None, *, lines: int = 400) -> FileTree:
        """What layer number `layer` does, or (None) the files that are seen in the end: the heaviest `lines` paths.

        Raises as `files`.
        """
        if layer is None:
            grown = indexing.seen(self.merged())
            return FileTree(f"{self.name}: all layers together", growing.cut(grown, lines))
        grown = indexing.changed(self.entries(self.checked(layer)))
        heading = f"{self.name}, layer {layer}: {portrait.cut(self.layers[layer - 1].instruction)}"
        return FileTree(heading, growing.cut(grown, lines))

    def entries(self, number: int) -> list[Entry]:
        """All that layer `number` does. NotFound where the image was removed meanwhile."""
        with indexing.present(self.image):
            return indexing.entries(self.image.engine, self.layers[number - 1].chain)

    def merged(self) -> Merged:
        """What the layers are together. NotFound where the image was removed meanwhile."""
        with indexing.present(self.image):
            return indexing.merged(self.image.engine, [one.chain for one in self.layers])

    def checked(self, number: int) -> int:
        """The number of a layer. Raises InvalidArgument for another."""
        if number in range(1, len(self) + 1):
            return number
        hint = f"its layers are 1 to {len(self)}, the lowest first" if self.layers else "it has none"
        raise InvalidArgument(f"{self.name} has no layer {number!r}", hint=hint)

    def document(self) -> dict[str, Any]:
        """For `--format json`, which a program can check."""
        return {
            "image": self.name, "id": self.image.id, "stored": self.stored, "wasted": self.wasted,
            "efficiency": self.efficiency, "wasted_part": self.wasted_part, "files": self.whole["seen"],
            "layers": [one.facts for one in self.layers], "waste": self.waste.rows,
        }  # fmt: skip

    def text(self) -> str:
        from nbcontainers.image import layerdrawing

        return layerdrawing.text(self)

    def html(self) -> str:
        from nbcontainers.image import layerdrawing

        return layerdrawing.html(self)

    def _live_(self) -> tuple[str, dict[str, Any]]:
        """The explorer (widgets/layers.py)."""
        one = self.image
        return "layers", {"image": one.reference if one.is_host else one.digest, "name": one.reference}


def of(image: Image, *, lines: int = LINES, told: Listener | None = None) -> Layers:
    """Unpacks and reads what was not; `told` hears of that where it takes more than a second.

    Raises ImageError for a damaged layer, NotFound for an image that is removed meanwhile.
    """
    found = read(image, told)
    return Layers(image, lambda: found, lines)


def read(image: Image, told: Listener | None = None) -> Found:
    """The facts of `of`, which raises the same."""
    found, whole = indexing.read(image, told)
    owners, before, layers = Owners(image), 0, []
    for number, (chain, summary, row) in enumerate(zip(image.chain_ids, found, steps(image), strict=True), 1):
        diff_id, content_size = image.config["rootfs"]["diff_ids"][number - 1], image.layers[number - 1]["size"]
        hides, before = summary["wasted"] - before, summary["wasted"]
        layers.append(Layer(
            number, row, chain, diff_id, content_size, summary, hides, owners.images[chain], owners.cached(chain)
        ))  # fmt: skip
    return layers, whole


def named(image: Image) -> str:
    """What a view calls it."""
    return short(image.reference) if image.reference else image.id[7:19]


def steps(image: Image) -> list[Row]:
    """The step of the history that made each layer; the history may be shorter than it should."""
    made = [step for step in listing.steps(image) if step["digest"]]
    rest = [{"created": None, "created_by": "", "comment": "", "digest": one["digest"]} for one in image.layers]
    return [*made, *rest[len(made) :]]


class Owners:
    """Who has the layers of an image besides it."""

    def __init__(self, image: Image) -> None:
        self.images = _users(image.engine, set(image.chain_ids))
        self._cached = kept.reachable(image.engine)[1]

    def cached(self, chain: str) -> bool:
        """Whether a result of a build needs that layer."""
        return chain.rpartition(":")[2] in self._cached


def shared(images: Sequence[str], *, cached: bool) -> str:
    """`3 images, build cache`; nothing for a layer that only one image has."""
    words = [f"{len(images)} images"] if len(images) > 1 else []
    return ", ".join([*words, *(["build cache"] if cached else [])])


def _users(engine: Engine, chains: set[str]) -> dict[str, list[str]]:
    """Names of the images that have each of these layers, each image once."""
    found: dict[str, list[str]] = {chain: [] for chain in chains}
    seen = set()
    for one in layout.read_index(engine).manifests:
        if one["digest"] in seen:
            continue
        seen.add(one["digest"])
        image = of_descriptor(engine, one, one.get("annotations", {}).get(REF_NAME, ""))
        try:
            shared = chains.intersection(image.chain_ids)
        except Error:
            continue  # damaged, which `image ls` says
        for chain in shared:
            found[chain].append(short(image.reference) if image.reference else image.digest[7:19])
    return found


def _row(entry: Entry, number: int) -> tuple[Any, ...]:
    kind = KINDS[entry.kind]
    return (
        printed(entry.path), entry.change, kind, entry.size, entry.mode, entry.uid, entry.gid, printed_link(entry), number,
        entry.first,
    )  # fmt: skip


def printed(path: str) -> str:
    """An absolute path whose every letter can be encoded."""
    return f"/{path}" if path.isascii() else show(path.encode("utf-8", "surrogateescape"))


def printed_link(entry: Entry) -> str:
    """Where a link points, as it was written; the absolute path of a hard link's first name."""
    if entry.kind == "f" and entry.link:
        return printed(entry.link)
    return entry.link if entry.link.isascii() else os.fsencode(entry.link).decode("utf-8", "backslashreplace")
