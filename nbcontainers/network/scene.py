"""What a drawing is made of, before it is SVG: boxes with lines of text, wires between them, frames around them.

Lengths are pixels. Text is monospace, so its width follows from its characters: what is too long is cut here, and is
whole in the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nbcontainers.table import plain, width

SIZES = {"name": 11.5, "fact": 10.0, "small": 9.0}
_ADVANCE = 0.605
"""Width of a character by its height: 0.55 to 0.602 in the monospace fonts there are."""

Point = tuple[float, float]


class Label(NamedTuple):
    """A line of text; (x, y) is on its baseline: its start, middle or end. A `faint` one is told less loudly."""

    x: float
    y: float
    text: str
    size: str = "fact"
    anchor: str = "start"
    faint: bool = False

    @property
    def length(self) -> float:
        return length(self.text, self.size)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom)."""
        left = self.x - self.length * {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        return left, self.y - SIZES[self.size] * 0.8, left + self.length, self.y + SIZES[self.size] * 0.25


@dataclass(frozen=True)
class Box:
    """`key` names it in the drawing, `kind` says what it is and so its colour, `facts` are told on hover: a head first."""

    key: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    labels: tuple[Label, ...] = ()
    facts: tuple[str, ...] = ()
    dashed: bool = False
    link: str = ""
    """What a browser may open."""

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True)
class Wire:
    """A line through `points`, each straight above or beside the one before."""

    key: str
    kind: str
    points: tuple[Point, ...]
    labels: tuple[Label, ...] = ()
    facts: tuple[str, ...] = ()
    arrow: bool = False
    dashed: bool = False


@dataclass
class Scene:
    """The drawing: frames hold boxes, and wires run between boxes, all within `width` and `height`."""

    width: float = 0.0
    height: float = 0.0
    frames: list[Box] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    gauges: list[tuple[str, float, float]] = field(default_factory=list)
    """Where the rate of a wire may be written, ending at (x, y): by the wire's key."""

    def box(self, key: str) -> Box:
        return next(one for one in self.boxes if one.key == key)


def length(text: str, size: str = "fact") -> float:
    """How wide it is."""
    return width(text) * SIZES[size] * _ADVANCE


def cut(text: str, room: float, size: str = "fact") -> str:
    """As much of it as fits, with … where that is not all."""
    shown = plain(text)
    columns = int(room / (SIZES[size] * _ADVANCE))
    if width(shown) <= columns:
        return shown
    shown = shown[: 4 * max(columns, 0)]  # of a name as long as somebody chose: each turn measures all of it
    while shown and width(shown) > columns - 1:
        shown = shown[:-1]
    return shown + "…" if columns > 0 else ""


def lines(
    x: float, y: float, room: float, texts: Sequence[str], pitch: float = 12.0, size: str = "fact", *, faint: bool = False
) -> tuple[Label, ...]:  # fmt: skip
    """Texts below each other from the baseline `y` on, each cut to the room."""
    return tuple(
        Label(x, y + pitch * number, cut(one, room, size), size, faint=faint) for number, one in enumerate(texts)
    )
