"""A scene as SVG in HTML: presentation attributes and inline styles only, no `<defs>`, no ids, text that can be selected.

A cell that JupyterLab takes out of the page and back loses nothing so (jupyterlab#13172), and no other cell's style or
definition can change it. Colours are the front end's; text is the text's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbcontainers.network.scene import SIZES, Box, Label, Scene, Wire
from nbcontainers.table import AMBER, BLUE, GREEN, GREY, MONOSPACE, RED, safe

LIT = "#c9308e"
"""Of the way that is followed; white can be read on it."""
_TONES = {
    "interface": BLUE, "network": BLUE, "running": GREEN, "paused": AMBER, "stopped": GREY, "carrier": AMBER, "broken": RED,
    "note": GREY, "outside": GREY, "routing": GREY, "frame": GREY, "route": GREY, "cable": BLUE, "port": AMBER, "shared": GREY,
}  # fmt: skip
_STATES = ("running", "paused", "stopped")
_TALL = 130.0

Lit = Mapping[str, int]
"""Which boxes and wires are on the way that is followed, by key: its step, 0 for a wire."""


def svg(scene: Scene, lit: Lit | None = None, label: str = "") -> str:
    """The whole picture. Its size is its own, smaller where there is less room, and scrolls before it cannot be read."""
    lit = lit or {}
    bare: list[Wire] = []
    told: list[Wire] = []
    for one in scene.wires:
        (told if one.facts or one.labels or one.arrow or one.key in lit else bare).append(one)
    body = [*map(_frame, scene.frames), *_bare(bare, lit), *(_wire(one, lit) for one in told)]
    body += [*(_box(one, lit) for one in scene.boxes), *(_badge(one, lit) for one in scene.boxes if lit.get(one.key))]
    body += [
        f'<text data-rate="{safe(key)}" x="{_n(x)}" y="{_n(y)}" text-anchor="end" font-size="9"/>'
        for key, x, y in scene.gauges
    ]
    width, height = _n(scene.width), _n(scene.height)
    style = f"width: 100%; min-width: {_n(scene.width * 0.8)}px; max-width: {width}px; height: auto; font: 10px {MONOSPACE};"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="group" aria-label="{safe(label)}" fill="currentColor" style="{style}">\n' + "\n".join(body) + "\n</svg>"
    )


def _frame(one: Box) -> str:
    dash = ' stroke-dasharray="5 4"' if one.dashed else ""
    rect = (
        f'<rect x="{_n(one.x)}" y="{_n(one.y)}" width="{_n(one.width)}" height="{_n(one.height)}" rx="8" '
        f'fill="currentColor" fill-opacity=".025" stroke="currentColor" stroke-opacity=".35"{dash}/>'
    )
    return f'<g data-key="{safe(one.key)}">{_title(one.facts)}{rect}{"".join(map(_text, one.labels))}</g>'


def _box(one: Box, lit: Lit) -> str:
    followed = one.key in lit
    tone = LIT if followed else _TONES[one.kind]
    inner = "\n".join([*map(_text, one.labels), *_along(one)])
    if one.link:
        inner = f'<a href="{safe(one.link)}" target="_blank" rel="noopener" style="color: inherit">{inner}</a>'
    return (
        f'<g data-key="{safe(one.key)}" role="img">{_title(one.facts)}'
        f'<g style="color: {tone}"{_dim(followed, lit)}>{_rect(one, followed=followed)}{_dot(one)}</g>{inner}</g>'
    )


def _rect(one: Box, *, followed: bool) -> str:
    stroke = 'stroke-width="2"' if followed else 'stroke-opacity=".6"'
    return (
        f'<rect x="{_n(one.x)}" y="{_n(one.y)}" width="{_n(one.width)}" height="{_n(one.height)}" rx="5" '
        f'fill-opacity=".1" stroke="currentColor" {stroke}{_dash(one.dashed)}/>'
    )


def _dot(one: Box) -> str:
    """A container's state."""
    return f'<circle cx="{_n(one.x + 12)}" cy="{_n(one.y + 10.5)}" r="3.5"/>' if one.kind in _STATES else ""


def _along(one: Box) -> list[str]:
    """The words on a tall bar."""
    if one.kind != "routing" or one.height < _TALL:
        return []
    x, y = one.x + one.width / 2 + 3.5, one.middle
    turn = f"rotate(-90 {_n(x)} {_n(y)})"
    return [f'<text x="{_n(x)}" y="{_n(y)}" transform="{turn}" text-anchor="middle">{safe(one.facts[0])}</text>']


def _wire(one: Wire, lit: Lit) -> str:
    followed = one.key in lit
    drawn = ""
    if one.points:
        path = _path(one)
        tone = LIT if followed else _TONES[one.kind]
        width = 3 if followed else 1.8 if one.kind in ("cable", "port") else 1.2
        drawn = (
            f'{_wide(path, one)}<path class="nbc-line" d="{path}" fill="none" stroke="currentColor" stroke-width="{width}" '
            f'stroke-opacity="{1 if followed else 0.75}"{_dash(one.dashed)} style="color: {tone}"/>'
            f"{_arrow(one, tone) if one.arrow else ''}"
        )
        drawn = f"<g{_dim(followed, lit)}>{drawn}</g>" if lit else drawn
    labels = "\n".join(map(_text, one.labels))
    return f'<g data-key="{safe(one.key)}">{_title(one.facts)}{drawn}{labels}</g>'


def _wide(path: str, one: Wire) -> str:
    """What the mouse meets of a thin line that has something to tell."""
    if not one.facts:
        return ""
    return f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="9" stroke-opacity="0"/>'


def _bare(wires: Sequence[Wire], lit: Lit) -> list[str]:
    """Those of which nothing is said, many in one style."""
    if not wires:
        return []
    paths = "".join(f'<path class="nbc-line" data-key="{safe(one.key)}" d="{_path(one)}"/>' for one in wires)
    style = (
        f'fill="none" stroke="currentColor" stroke-width="1.8" stroke-opacity=".75" style="color: {_TONES["cable"]}"'
    )
    return [f"<g {style}{_dim(False, lit)}>{paths}</g>"]


def _path(one: Wire) -> str:
    first, *rest = one.points
    return f"M{_n(first[0])} {_n(first[1])}" + "".join(f"L{_n(x)} {_n(y)}" for x, y in rest)


def _arrow(one: Wire, tone: str) -> str:
    """A head at the end of a line that is level, which those with one are."""
    (before, _), (x, y) = one.points[-2:]
    back = x - 6 if x > before else x + 6
    points = f"{_n(x)},{_n(y)} {_n(back)},{_n(y - 3.5)} {_n(back)},{_n(y + 3.5)}"
    return f'<polygon points="{points}" fill="currentColor" style="color: {tone}"/>'


def _badge(one: Box, lit: Lit) -> str:
    """The step of the way, at the box's corner."""
    x, y = one.x, one.y
    return (
        f'<g aria-hidden="true"><circle cx="{_n(x)}" cy="{_n(y)}" r="7.5" fill="currentColor" style="color: {LIT}"/>'
        f'<text x="{_n(x)}" y="{_n(y + 3.5)}" text-anchor="middle" font-weight="700" fill="#fff">{lit[one.key]}</text></g>'
    )


def _text(one: Label) -> str:
    words = [f'x="{_n(one.x)}" y="{_n(one.y)}"']
    words += [f'font-size="{SIZES[one.size]:g}"'] if one.size != "fact" else []
    words += ['font-weight="600"'] if one.size == "name" else []
    words += [f'text-anchor="{one.anchor}"'] if one.anchor != "start" else []
    words += ['opacity=".8"'] if one.faint else []
    return f"<text {' '.join(words)}>{safe(one.text)}</text>"


def _title(facts: Sequence[str]) -> str:
    return f"<title>{chr(10).join(map(safe, facts))}</title>" if facts else ""


def _dash(dashed: bool) -> str:
    return ' stroke-dasharray="4 3"' if dashed else ""


def _dim(followed: bool, lit: Lit) -> str:
    """Boxes and lines that are not on the way step back where one is followed; words stay."""
    return ' opacity=".4"' if lit and not followed else ""


def _n(number: float) -> str:
    return f"{round(number, 1):g}"
