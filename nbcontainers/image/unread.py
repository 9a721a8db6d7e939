"""What a cell shows of layers whose files were not read yet: at once what the image says of them itself, the whole when
it is there.

Reading takes as long as there are files, and longer where layers have to be unpacked for it. So where somebody looks
at the cell a thread reads, and what is not there after a moment follows (`view.follow`). Everywhere else, and for
whoever asks for a fact rather than for a picture, it is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from threading import Thread

from nbcontainers import view
from nbcontainers.errors import Error
from nbcontainers.image import layerdrawing, layerview, listing
from nbcontainers.image.image import Image
from nbcontainers.image.layerview import LINES, Found, Layers, Owners
from nbcontainers.image.portrait import said
from nbcontainers.image.progress import Listener
from nbcontainers.table import Column, Row, Table, amount, digest, duration, plain, stored
from nbcontainers.view import View

_PATIENCE_S = 0.15
"""What comes sooner needs no second picture; half of what a first one may take."""
_EVERY_S = 2.0


def of(image: Image, *, lines: int = LINES, told: Listener | None = None) -> Layers:
    """The layers; those of an image that takes longer to read are an `Unread` where somebody looks at the cell.

    Raises as `layerview.of`, an `Unread` when it is first asked for a fact.
    """
    if not image.chain_ids or view.follow is None or not view.follow.wanted():
        return layerview.of(image, lines=lines, told=told)
    found: Future[Found] = Future()
    Thread(target=_read, args=(image, found), name="nbcontainers-layers", daemon=True).start()
    try:
        known = found.result(_PATIENCE_S)
    except TimeoutError:
        if not found.done():
            return Unread(image, found, lines)
        raise
    return Layers(image, lambda: known, lines)


def _read(image: Image, found: Future[Found]) -> None:
    try:
        found.set_result(layerview.read(image))
    except BaseException as error:  # noqa: BLE001 - raised where somebody waits for it
        found.set_exception(error)


class Unread(Layers):
    """Layers whose files are being read."""

    def __init__(self, image: Image, found: Future[Found], lines: int) -> None:
        super().__init__(image, found.result, lines)
        self._coming = found

    def _ipython_display_(self) -> None:
        """Show the `Outline` and have the whole follow. Raises NotImplementedError, which is how IPython is told to go on,
        where it is there or nobody looks."""
        if self._coming.done() or view.follow is None or not view.follow.wanted():
            raise NotImplementedError
        view.follow(Outline(self.image)._repr_mimebundle_(), self._later())

    def _later(self) -> Iterator[view.Bundle]:
        """What takes the place of the outline: now and then one that says how long it has been, at last the whole."""
        begun = time.monotonic()
        while not wait([self._coming], _EVERY_S).done:
            yield Outline(self.image, taken=time.monotonic() - begun)._repr_mimebundle_()
        error = self._coming.exception()
        if isinstance(error, Error):
            failed = f"{error.message} ({error.hint})" if error.hint else error.message
            yield Outline(self.image, failed=failed)._repr_mimebundle_()
        else:
            yield view.bundle(self, lambda: self)


@dataclass(frozen=True)
class Outline(View):
    """The layers as the image itself and what was unpacked of it says. `taken`: the seconds for which its files have been
    read, `failed`: why they could not be."""

    image: Image
    taken: float = 0.0
    failed: str = ""

    @cached_property
    def rows(self) -> list[Row]:
        """A row a layer, lowest first: layer, instruction, packed, size and total (None where it is not unpacked),
        shared, digest."""
        owners, steps = Owners(self.image), layerview.steps(self.image)
        sizes = [listing.unpacked(self.image, chain) for chain in self.image.chain_ids]
        totals = accumulate(sizes, _sum)
        return [
            {
                "layer": number, "instruction": said(step), "packed": blob["size"], "size": size, "total": total,
                "shared": layerview.shared(owners.images[chain], cached=owners.cached(chain)), "digest": blob["digest"],
            }
            for number, (step, blob, chain, size, total) in enumerate(
                zip(steps, self.image.layers, self.image.chain_ids, sizes, totals, strict=True), 1
            )
        ]  # fmt: skip

    @property
    def heading(self) -> str:
        """`web:1 4f2a1b3c4d5e · 83.2 MB in 4 layers`; where it is not unpacked `31.1 MB packed in 4 layers`."""
        count, total = len(self.rows), self.rows[-1]["total"]
        size = f"{amount(self.image.content_size, stored)} packed" if total is None else amount(total, stored)
        on_host = " on this machine's own folders" if self.image.base else ""
        return f"{layerview.named(self.image)} {self.image.id[7:19]} · {size} in {count} layer{'s' * (count != 1)}{on_host}"

    @property
    def note(self) -> str:
        """What is not here, in words that stay true in a saved notebook."""
        if self.failed:
            return f"its files could not be read: {self.failed}"
        yet = f"not read yet{f' after {duration(round(self.taken))}' if self.taken else ''}"
        again = f"image layers {layerview.named(self.image)} shows it too"
        return f"its files were {yet}: what each layer does to them, and what is wasted, comes here; {again}"

    def text(self) -> str:
        rows = [{**row, "bar": layerdrawing.bar(*place)} for row, place in zip(self.rows, self._places(), strict=True)]
        columns = [
            Column("layer", "#"), Column("packed", format=stored), Column("size", format=_known),
            Column("total", format=_known), Column("bar", ""), Column("shared"), Column("digest", format=digest),
            Column("instruction", format=listing.cut),
        ]  # fmt: skip
        return f"{plain(self.heading)}\n\n{Table(rows, columns).text()}\n\n({plain(self.note)})"

    def html(self) -> str:
        rows = "".join(
            layerdrawing.cells(
                row["layer"], row["instruction"], layerdrawing.track(before / whole, size / whole, shared=bool(row["shared"])),
                _known(row["size"]), _known(row["total"]), "…", "…", row["shared"],
                f"{digest(row['digest'])} ({stored(row['packed'])} packed)",
            )
            for row, (before, size, whole) in zip(self.rows, self._places(), strict=True)
        )  # fmt: skip
        return layerdrawing.frame(self.heading, "", rows, layerdrawing.small(self.note))

    def _places(self) -> list[tuple[int, int, int]]:
        """Of each the bytes before it, its own and all, as far as these are known; else those of the blobs."""
        key = "packed" if None in [row["size"] for row in self.rows] else "size"
        ends = list(accumulate(row[key] for row in self.rows))
        return [(end - row[key], row[key], ends[-1] or 1) for row, end in zip(self.rows, ends, strict=True)]


def _sum(one: int | None, more: int | None) -> int | None:
    return None if one is None or more is None else one + more


def _known(size: object) -> str:
    return "?" if size is None else stored(size)
