"""The layers of an image as text and as HTML: a table, a tree of files a layer, one of all together, and the waste."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nbcontainers.image import filetree, growing, listing
from nbcontainers.image.filetree import COLOURS, SIGNS
from nbcontainers.image.growing import Branch
from nbcontainers.image.merging import Waste
from nbcontainers.image.portrait import WIDE, cut
from nbcontainers.table import (
    AS_IT_IS,
    BLUE,
    BORDER,
    BOX,
    GREY,
    HEAD,
    MONOSPACE,
    Column,
    Row,
    Table,
    amount,
    digest,
    plain,
    safe,
    stored,
)  # fmt: skip

if TYPE_CHECKING:
    from nbcontainers.image.layerview import Layer, Layers

_FEWEST, _MOST = 4, 24
"""Paths in one layer's tree, where there are few layers and no more lines are wanted."""
_WORST = 10
_HINT = "image layers --lines 300 shows more of the trees, .tree(2) one of them, .files() every path as a DataFrame"


def heading(layers: Layers) -> str:
    """`web:1 4f2a1b3c4d5e · 83.2 MB in 4 layers · 3,120 files`."""
    start = f"{layers.name} {layers.image.id[7:19]}"
    if not layers.layers:
        return f"{start} · no layers" + (": this machine's own folders" if layers.image.is_host else "")
    count = f"{len(layers)} layer{'s' * (len(layers) != 1)}"
    on_host = " on this machine's own folders" if layers.image.base else ""
    files = f"{layers.whole['seen']:,} file{'s' * (layers.whole['seen'] != 1)}"
    return f"{start} · {amount(layers.stored, stored)} in {count}{on_host} · {files}"


def verdict(layers: Layers) -> str:
    """`efficiency 97.1 %, wasted 2.41 MB in 14 paths`."""
    count = layers.whole["wasteful"]
    where = f" in {count:,} path{'s' * (count != 1)}" if layers.wasted else ""
    return f"efficiency {100 * layers.efficiency:.1f} %, wasted {amount(layers.wasted, stored)}{where}"


def text(layers: Layers) -> str:
    """For a terminal."""
    if not layers.layers:
        return plain(heading(layers))
    parts = [[plain(heading(layers)), verdict(layers)], table(layers).text().splitlines()]
    for layer, tree in trees(layers):
        parts.append([plain(f"layer {layer.number}  {cut(layer.instruction)}"), *filetree.drawn(tree)])
    parts.append(["all layers together", *filetree.drawn(together(layers))])
    parts += [["wasted", *waste(layers)]] if layers.wasted else []
    parts.append([filetree.LEGEND, *notes(layers), f"({_HINT})"])
    return "\n\n".join("\n".join(part) for part in parts)


def table(layers: Layers) -> Table:
    """A row a layer."""
    rows: list[Row] = [
        {"bar": bar(one.total - one.size, one.size, layers.stored), "shared": one.shared, **one.facts}
        for one in layers.layers
    ]
    columns = [
        Column("layer", "#"), Column("size", format=stored), Column("total", format=stored), Column("bar", ""),
        *(Column(change, sign, _count) for change, sign in SIGNS.items()), Column("hides", format=_bytes),
        Column("shared"), Column("digest", format=digest), Column("instruction", format=listing.cut),
    ]  # fmt: skip
    return Table(rows, columns)


def bar(before: int, size: int, whole: int, length: int = 16) -> str:
    """Where the bytes of a layer lie in the image."""
    start, end = (round(length * part / whole) if whole else 0 for part in (before, before + size))
    end = max(end, start + 1) if size else start
    return f"{'.' * start}{'#' * (end - start)}{'.' * (length - end)}"[:length]


def _count(value: object) -> str:
    return f"{value:,}" if value else ""


def _bytes(value: object) -> str:
    return stored(value) if value else ""


def trees(layers: Layers) -> Iterator[tuple[Layer, Branch]]:
    """Of the layers that changed something: of all, or of the largest where there are many."""
    changed = [layer for layer in layers.layers if any(layer.counts.values())]
    each = min(max(_MOST, layers.lines // 5), max(_FEWEST, layers.lines // (len(changed) + 1)))
    largest = sorted(changed, key=lambda one: -one.summary["held"] - one.summary["gone"])[: layers.lines // each]
    for layer in changed:
        if layer in largest:
            yield layer, growing.cut(layer.tree, each)


def together(layers: Layers) -> Branch:
    """What is seen in the end."""
    return growing.cut(growing.load(layers.whole["tree"]), max(_MOST, layers.lines // 5))


def waste(layers: Layers) -> Iterator[str]:
    """The worst paths, a line each."""
    for one in layers.worst[:_WORST]:
        yield f"{stored(one.bytes):>8}  {_copies(one):<18} /{plain(one.path)}"
    if (left := layers.whole["wasteful"] - _WORST) > 0:
        yield f"{'':>8}  … {left:,} more; .waste has them"


def _copies(one: Waste) -> str:
    copies = f"{one.copies} cop{'y' if one.copies == 1 else 'ies'}"
    return copies if one.there else f"{copies}, removed"


def notes(layers: Layers) -> Iterator[str]:
    """What the reader might miss."""
    if left := sum(layer.summary["left_out"] for layer in layers.layers):
        yield f"{left} device{'s' * (left != 1)} left out: an ordinary user cannot make one"


def html(layers: Layers) -> str:
    """For a notebook; trees are folded."""
    if not layers.layers:
        strong = f'<b style="font-weight: 600; overflow-wrap: anywhere;">{safe(heading(layers))}</b>'
        return f'<div {AS_IT_IS} style="{BOX} {WIDE}"><div style="{HEAD}">{strong}</div></div>'
    drawn = {layer.number: tree for layer, tree in trees(layers)}
    top = max(drawn, default=0)
    rows = "".join(_row(one, layers.stored, drawn.get(one.number), is_open=one.number == top) for one in layers.layers)
    worst = "\n".join(map(safe, waste(layers)))
    wasted = (
        f'<details open><summary style="{_SUMMARY}">wasted</summary><pre style="{filetree.PRE}">{worst}</pre></details>'
    )
    said = "".join(map(small, (*notes(layers), _HINT)))
    rest = (
        f"{filetree.legend()}{_folded('all layers together', together(layers))}{wasted if layers.wasted else ''}{said}"
    )
    return frame(heading(layers), _meter(layers), rows, rest)


def small(line: str) -> str:
    """A line of what is said below."""
    return f'<div style="{_SMALL}">{safe(line)}</div>'


def _meter(layers: Layers) -> str:
    """The efficiency as a bar and in words."""
    fill = f"width: {layers.efficiency:.1%}; height: 6px; background: {BLUE};"
    track = f'<div style="{_TRACK};width: 120px; display: inline-block; vertical-align: middle;"><div style="{fill}"></div></div>'
    return f"<div>{track} {safe(verdict(layers))}</div>"


def _row(layer: Layer, whole: int, tree: Branch | None, *, is_open: bool) -> str:
    start, part = ((layer.total - layer.size) / whole, layer.size / whole) if whole else (0.0, 0.0)
    row = cells(
        layer.number, layer.instruction, track(start, part, shared=len(layer.images) > 1), stored(layer.size),
        stored(layer.total), _changes(layer), _bytes(layer.hides), layer.shared, digest(layer.row["digest"]),
    )  # fmt: skip
    if tree is None:
        return row
    return f'{row}{_TR}<td></td><td colspan="8" style="{_CELL}">{_folded("files", tree, is_open=is_open)}</td></tr>'


def cells(
    number: int, instruction: str, bar: str, size: str, total: str, files: str, hides: str, shared: str, digest: str
) -> str:  # fmt: skip
    """One layer as a row of the HTML table; `bar` and `files` are HTML."""
    shown = cut(instruction)
    title = f' title="{safe(instruction[:500])}"' if shown != instruction else ""
    found = [
        (_RIGHT, str(number)), (_TEXT, f"<div{title}>{safe(shown)}</div>"), ("min-width:90px", bar), (_RIGHT, size),
        (f"{_RIGHT};opacity:.7", total), ("white-space:nowrap", files), (_RIGHT, hides), ("", shared), ("", digest),
    ]  # fmt: skip
    row = "".join(f'<td style="{_CELL};{style}">{words}</td>' for style, words in found)
    return f"{_TR}{row}</tr>"


def track(start: float, part: float, *, shared: bool) -> str:
    """Where the bytes of a layer lie in the image, from 0 to 1."""
    colour = GREY if shared else BLUE
    fill = f"margin-left:{start:.1%};width:{part:.1%};min-width:2px;height:6px;background:{colour}"
    return f'<div style="{_TRACK}"><div style="{fill}"></div></div>'


def frame(heading: str, below: str, rows: str, rest: str) -> str:
    """The card around the rows of the HTML table, `below` its heading and `rest` after it."""
    strong = f'<b style="font-weight: 600; overflow-wrap: anywhere;">{safe(heading)}</b>'
    heads = "".join(f'<th style="{_CELL};{_FAINT};{side}">{word}</th>' for word, side in _HEADS)
    head = f"<thead>{_TR}{heads}</tr></thead>"
    table = f'<table style="{_TABLE}">{head}<tbody>{rows}</tbody></table>'
    return f'<div {AS_IT_IS} style="{BOX} {_WIDE}"><div style="{HEAD}">{strong}</div>{below}{table}{rest}</div>'


def _changes(layer: Layer) -> str:
    """`+12 ~3`, coloured."""
    return " ".join(
        f'<span style="color: {COLOURS[change]};">{SIGNS[change]}{count:,}</span>'
        for change, count in layer.counts.items() if count
    )  # fmt: skip


def _folded(words: str, tree: Branch, *, is_open: bool = False) -> str:
    return f'<details{" open" * is_open}><summary style="{_SUMMARY}">{words}</summary>{filetree.pre(tree)}</details>'


_WIDE = "width: 980px; max-width: 100%;"
_FAINT = "font-weight:400;opacity:.7"
_SMALL = "opacity: .7; font-size: 12px; overflow-wrap: anywhere;"
_SUMMARY = "cursor: pointer; opacity: .75; font-size: 12px;"
_TABLE = (
    f"table-layout: auto; border-collapse: collapse; border: 0; border-color: {BORDER}; margin: 3px 0 0; "
    f"font-size: 12px; font-family: {MONOSPACE}; width: 100%;"
)
_TR = '<tr style="background:none">'
_CELL = "padding:1px 10px 1px 0;border:0;text-align:left;vertical-align:top"  # 127 layers have a thousand of them
_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere"
_RIGHT = "text-align:right;white-space:nowrap"
_TRACK = "height:6px;margin-top:5px;border-radius:3px;overflow:hidden;background:rgba(128,128,128,.28)"
_HEADS = (
    ("#", _RIGHT), ("instruction", ""), ("", ""), ("size", _RIGHT), ("together", _RIGHT), ("files", ""),
    ("hides", _RIGHT), ("shared", ""), ("digest", ""),
)  # fmt: skip
