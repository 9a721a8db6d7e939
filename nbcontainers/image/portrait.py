"""What an image shows of itself: its name and size, what it runs, and its layers with the instruction that made each.

The same facts as text and as HTML (inline styles, no script; see container/card.py). A layer that was never unpacked
here has no size.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nbcontainers.errors import Error
from nbcontainers.image import listing
from nbcontainers.image.image import Image, of_descriptor
from nbcontainers.image.store import short
from nbcontainers.oci.image import MANIFEST, descriptor
from nbcontainers.table import AS_IT_IS, BLUE, BORDER, BOX, GREY, HEAD, MONOSPACE, amount, plain, safe, stored

_BASE = "org.opencontainers.image.base"
_ROWS = 30
_LONGEST = 100
_NO_COMMAND = re.compile(r"^/bin/sh -c #\(nop\) +")
_SHELL = re.compile(r"^(RUN )?(\|\d+ .*? )?/bin/sh -c ", re.DOTALL)


class Layer(NamedTuple):
    """One layer, or several of the base as one. Bytes of its files, and of all up to it; None of what is not known."""

    text: str
    size: int | None
    total: int | None
    is_base: bool = False


@dataclass(frozen=True)
class Portrait:
    """What is shown of an image: `facts` are what its config says to whoever wants to run it; `layers` bottom first."""

    name: str
    id: str
    size: str
    platform: str
    facts: Sequence[tuple[str, str]]
    layers: Sequence[Layer]

    @property
    def heading(self) -> str:
        """`greeting 4f2a1b3c4d5e · 1.17 MiB in 2 layers · linux/amd64`."""
        return " · ".join(filter(None, (f"{self.name} {self.id}", self.size, self.platform)))

    @property
    def more(self) -> str:
        """Where the files of the layers are shown."""
        return f"image layers {self.id if self.name == '<none>' else self.name} shows what each does to the files"

    def text(self) -> str:
        """The heading, its facts, a line a layer (size, total so far, instruction), and where there is more."""
        lines = [self.heading, *(f"  {label:<8} {value}" for label, value in self.facts)]
        for layer in self.layers:
            lines.append(f"  {known(layer.size):>10} {known(layer.total):>10}  {cut(layer.text)}")
        lines += [f"  ({self.more})"] if self.layers else []
        return "\n".join(map(plain, lines))

    def html(self) -> str:
        """The whole card."""
        head = (
            f'<div style="{HEAD}"><b style="font-weight: 600;">{safe(self.name)}</b> '
            f'<code style="{_CODE}">{safe(self.id)}</code> '
            f'<span style="opacity: .75;">{safe(" · ".join(filter(None, (self.size, self.platform))))}</span></div>'
        )
        return f'<div {AS_IT_IS} style="{BOX} {WIDE}">{head}{self.body()}</div>'

    def body(self) -> str:
        """Facts and layers as HTML, without a frame."""
        said = "".join(
            f'<div><span style="{_LABEL}">{label} </span><span style="{_CODE}">{safe(value)}</span></div>'
            for label, value in self.facts
        )
        whole = max((layer.total or 0 for layer in self.layers), default=0)
        rows = "".join(_row(layer, whole) for layer in self.layers)
        heads = "".join(f'<th style="{_CELL} {style}">{word}</th>' for word, style in _HEADS)
        head = f'<thead><tr style="background: none;">{heads}</tr></thead>'
        more = f'<div style="opacity: .7; font-size: 12px;">{safe(self.more)}</div>'
        return said + (f'<table style="{_TABLE}">{head}<tbody>{rows}</tbody></table>{more}' if rows else "")


def of(image: Image) -> Portrait:
    """Raises NotFound and ImageError for one that is damaged, or gone from the store meanwhile."""
    config = image.config
    return Portrait(
        short(image.reference) if image.reference else "<none>", image.id[7:19], _size(image),
        "/".join(str(config[key]) for key in ("os", "architecture", "variant") if config.get(key)),
        list(_facts(config.get("config") or {})), _layers(image),
    )  # fmt: skip


def _facts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    if words:
        user = f"as {config['User']} " if config.get("User") else ""
        yield "runs", f"{cut(shlex.join(words))}  {user}in {config.get('WorkingDir') or '/'}"
    for label, key in (("ports", "ExposedPorts"), ("volumes", "Volumes")):
        if config.get(key):
            yield label, ", ".join(sorted(config[key]))


def _size(image: Image) -> str:
    count, size = len(image.chain_ids), image.size
    layers = f"{count} layer{'s' * (count != 1)}"
    return f"{amount(size, stored)} in {layers}" if size is not None else layers


def _layers(image: Image) -> list[Layer]:
    """Those of the base are one."""
    if image.is_host:
        return []
    steps = [step for step in listing.steps(image) if step["digest"]]
    below = _base(image)
    found = [Layer(below[0], *_sum(steps[: below[1]]), True)] if below[1] else []
    for number, step in enumerate(steps[below[1] :], below[1] + 1):
        found.append(Layer(said(step), step["size"], _sum(steps[:number])[1]))
    if len(found) <= _ROWS:
        return found
    rest = len(found) - _ROWS + 1
    return [Layer(f"{rest} layers", found[rest - 1].total, found[rest - 1].total, True), *found[rest:]]


def _sum(steps: Sequence[dict[str, Any]]) -> tuple[int | None, int | None]:
    """What these take, twice: their own size is the total so far."""
    sizes = [step["size"] for step in steps]
    total = None if None in sizes else sum(sizes)
    return total, total


def _base(image: Image) -> tuple[str, int]:
    """The name of what it was built on and how many layers that has; 0 where that cannot be said."""
    notes = image.manifest.get("annotations") or {}
    name, digest = notes.get(f"{_BASE}.name", ""), notes.get(f"{_BASE}.digest", "")
    if not name or not digest:
        return "", 0
    try:
        below = of_descriptor(image.engine, descriptor(MANIFEST, digest, 0)).chain_ids
    except (Error, OSError):
        return "", 0
    if not below or image.chain_ids[: len(below)] != below:
        return "", 0
    return f"FROM {short(name)}{f' ({len(below)} layers)' if len(below) > 1 else ''}", len(below)


def said(step: Mapping[str, Any]) -> str:
    """What its history says of a layer; a squashed one has no instruction of its own."""
    return instruction(step["created_by"] or "") or step["comment"] or "(several instructions)"


def instruction(created_by: str) -> str:
    """The instruction as it stood in the Dockerfile, nearly: a history has it with its shell."""
    text = created_by.removesuffix("# buildkit").strip()
    bare = _NO_COMMAND.sub("", text)
    return bare if bare != text else _SHELL.sub("RUN ", text)


def _row(layer: Layer, whole: int) -> str:
    before = (layer.total or 0) - (layer.size or 0)
    start, part = (before / whole, (layer.size or 0) / whole) if whole else (0.0, 0.0)
    colour = GREY if layer.is_base else BLUE
    fill = f"margin-left: {start:.1%}; width: {part:.1%}; min-width: 2px; height: 6px; background: {colour};"
    text = f'<td style="{_CELL} {_TEXT}" title="{safe(layer.text[:1000])}">{safe(cut(layer.text))}</td>'
    return (
        f'<tr style="background: none;">{text}'
        f'<td style="{_CELL} width: 150px;"><div style="{_TRACK}"><div style="{fill}"></div></div></td>'
        f'<td style="{_CELL} {_NUMBER}">{known(layer.size)}</td>'
        f'<td style="{_CELL} {_NUMBER} opacity: .7;">{known(layer.total)}</td></tr>'
    )


def known(number: int | None) -> str:
    """A size for reading; `?` where there is none."""
    return "?" if number is None else amount(number, stored)


def cut(line: str) -> str:
    """What of an instruction is shown in one line."""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


WIDE = "width: 860px; max-width: 100%;"
_CODE = f"font-family: {MONOSPACE}; font-size: 12px; background: none; overflow-wrap: anywhere;"
_LABEL = "display: inline-block; min-width: 52px; padding-right: 8px; opacity: .75;"
_TABLE = (
    f"table-layout: auto; border-collapse: collapse; border: 0; border-color: {BORDER}; margin: 3px 0 0; "
    "font-size: 12px; width: 100%;"
)
_CELL = (
    "padding: 1px 12px 1px 0; border: 0; line-height: 1.35; text-align: left; vertical-align: middle; background: none;"
)
_TEXT = f"font-family: {MONOSPACE}; white-space: pre-wrap; overflow-wrap: anywhere;"
_NUMBER = "text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums;"
_TRACK = "height: 6px; border-radius: 3px; overflow: hidden; background: rgba(128, 128, 128, .28);"
_HEADS = (
    ("layer", "font-weight: 400; opacity: .75;"), ("", ""),
    ("size", "font-weight: 400; opacity: .75; text-align: right;"),
    ("together", "font-weight: 400; opacity: .75; text-align: right;"),
)  # fmt: skip
