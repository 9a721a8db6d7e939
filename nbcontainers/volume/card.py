"""What a cell shows of a volume: its size, who uses it, and what was decided when it was made. Text and HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from nbcontainers.table import BOX, GREEN, GREY, HEAD, MONOSPACE, amount, plain, since, stored
from nbcontainers.volume.listing import glance
from nbcontainers.volume.volume import Volume

_LABEL = "display: inline-block; min-width: 84px; opacity: .75;"
_VALUE = f"font-family: {MONOSPACE}; font-size: 12px; overflow-wrap: anywhere;"


class Card:
    """The facts of one moment. Raises NotFound once the volume is removed."""

    def __init__(self, volume: Volume) -> None:
        self.name = plain(volume.name)
        self.facts = [(label, plain(value)) for label, value in facts_of(volume)]
        self.colour = GREEN if volume.containers else GREY

    def text(self) -> str:
        return "\n".join([f"volume {self.name}", *(f"  {label:<12}{value}" for label, value in self.facts)])

    def html(self) -> str:
        lines = "".join(
            f'<div><span style="{_LABEL}">{label} </span><span style="{_VALUE}">{escape(value)}</span></div>'
            for label, value in self.facts
        )
        dot = f'<span style="color: {self.colour}; font-size: 15px;" aria-hidden="true">●</span>'
        return (
            f'<div style="{BOX}"><div style="{HEAD}">{dot} <span style="opacity: .75;">volume</span> '
            f'<b style="font-weight: 600; overflow-wrap: anywhere;">{escape(self.name)}</b></div>{lines}</div>'
        )


def facts_of(volume: Volume) -> Iterator[tuple[str, str]]:
    """(label, value), those that say something."""
    users = volume.containers
    found, whole = glance(volume.engine, volume.name)
    yield "size", amount(found, stored) if whole else f"more than {amount(found, stored)} (all: volume ls --size)"
    yield "containers", ", ".join(users) or "none"
    yield "files", str(volume.mountpoint)
    if options := volume.options:
        yield "options", " ".join(f"{key}={value}" for key, value in options.items())
    if labels := volume.labels:
        yield "labels", " ".join(f"{key}={value}" for key, value in labels.items())
    yield "created", since(volume.created)
