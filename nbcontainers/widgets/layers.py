"""The explorer of an image's layers: what each does to the files, to be looked around in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from nbcontainers.engine import default_engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import browsing, layerdrawing, layerview, portrait, store
from nbcontainers.image.browsing import Browser, Wanted
from nbcontainers.image.image import Image
from nbcontainers.image.layerview import Layer
from nbcontainers.image.merging import Waste
from nbcontainers.image.portrait import cut, known
from nbcontainers.table import digest, plain
from nbcontainers.widgets.live import Live, action

_MOST_OPEN = 5000
_MOST_ROWS = 400
_LONGEST = 240
"""Bytes, as JSON, of an instruction and of a path to be looked for: there may be 127 and 100 of them."""


class Layers(Live):
    """`image` is a digest or a name, `name` what to call it, `card`: begin with the image's card, which reads no files.
    Nothing changes by itself, so there is nothing to look at: the page asks for `facts` once and for `rows` of a tree as
    they are scrolled to."""

    def __init__(self, image: str, name: str = "", card: bool = False) -> None:
        self.image = image
        self.name = name
        self._browser: Browser | None = None

    @action
    def card(self) -> dict[str, Any]:
        """What the image's card says."""
        found = portrait.of(self._image())
        return {
            "name": plain(found.name), "id": found.id, "about": " · ".join(filter(None, (found.size, found.platform))),
            "facts": [[label, plain(value)] for label, value in found.facts],
            "layers": [
                [plain(cut(one.text)), one.size, one.total, one.is_base, known(one.size), known(one.total)]
                for one in found.layers
            ],
        }  # fmt: skip

    @action
    def facts(self) -> dict[str, Any]:
        """The layers, lowest first, and the paths that waste most. Reads what was not read."""
        layers = self._opened().layers
        return {
            "heading": plain(layerdrawing.heading(layers)), "verdict": layerdrawing.verdict(layers),
            "efficiency": layers.efficiency, "stored": layers.stored, "wasted": layers.wasted,
            "layers": [_layer(one) for one in layers.layers], "waste": [_waste(one) for one in layers.worst],
            "wasteful": layers.whole["wasteful"], "notes": list(layerdrawing.notes(layers)),
        }  # fmt: skip

    @action
    def rows(
        self, layer: int, mode: str, shown: list[str], path: str, sort: str, opened: list[str], start: int, count: int
    ) -> dict[str, Any]:
        """A window of the tree of one layer, or of it and all below (`browsing.Wanted`, `Browser.rows`)."""
        if mode not in (browsing.BY_LAYER, browsing.TOGETHER) or sort not in browsing.SORTS:
            raise InvalidArgument(f"no tree of {mode!r} sorted by {sort!r}")
        browser = self._opened()
        browser.layers.checked(layer)
        wanted = Wanted(layer, mode, tuple(shown), path, sort)
        return browser.rows(wanted, set(opened[:_MOST_OPEN]), start, min(count, _MOST_ROWS))

    def closed(self) -> None:
        self._browser = None

    def _opened(self) -> Browser:
        if self._browser is None:
            self._browser = Browser(layerview.of(self._image()))
        return self._browser

    def _image(self) -> Image:
        found = store.resolve(default_engine(), self.image)
        return replace(found, reference=self.name or found.reference)


def _layer(one: Layer) -> dict[str, Any]:
    return {
        "number": one.number, "instruction": _fitting(plain(cut(one.instruction))), "size": one.size, "total": one.total,
        "counts": list(one.counts.values()), "hides": one.hides, "shared": one.shared,
        "digest": digest(one.row["digest"]),
    }  # fmt: skip


def _waste(one: Waste) -> list[Any]:
    return [_fitting(layerview.printed(one.path)), one.copies, one.bytes, one.there]


def _fitting(text: str) -> str:
    """Its beginning, in `_LONGEST` bytes."""
    while len(json.dumps(text)) > _LONGEST:
        text = text[: len(text) * 9 // 10]
    return text
