"""The overlay of a container as text and as HTML: bands on each other as overlayfs sees them, and what changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nbcontainers.image import filetree, growing
from nbcontainers.image.portrait import cut, known
from nbcontainers.table import (
    AMBER,
    AS_IT_IS,
    BLUE,
    BOX,
    GREEN,
    GREY,
    HEAD,
    MONOSPACE,
    digest,
    plain,
    safe,
    stored,
    tint,
)

if TYPE_CHECKING:
    from nbcontainers.container.stacking import Lower, Overlay, Part

_LINES = 40
_MOST_LOWERS = 30
_WORKS = "overlayfs prepares changes here; nobody sees it"
Band = tuple[str, str, str, str]
"""What it is, where it is, what is said of it, its colour."""


def heading(seen: Overlay) -> str:
    """`web 3f2a9c1b0d4e · mini · running · +3 -1, 12.4kB written · 2026-11-23 07:41:12 UTC`."""
    return " · ".join([f"{seen.name} {seen.id[:12]}", seen.image, seen.status, changes(seen), seen.at])


def changes(seen: Overlay) -> str:
    """`+3 ~1 -2, 12.4kB written, 3MB below hidden`."""
    counts = " ".join(f"{filetree.SIGNS[change]}{count:,}" for change, count in seen.counts.items() if count)
    hidden = f", {stored(seen.removed)} below hidden" if seen.removed else ""
    return f"{counts}, {stored(seen.size)} written{hidden}" if counts else "no file changed"


def bands(seen: Overlay, part: Part) -> Iterator[Band]:
    """From what the container sees down to the lowest folder, and the work folder beside."""
    path = f"/{part.name}"
    for mount in seen.mounts:
        if _lies_in(mount["destination"], part, seen):
            rights = "read and write" if mount["rw"] else "read only"
            source = mount["name"] or mount["source"]
            yield (
                "mounted over",
                mount["destination"],
                f"{mount['type']} {source}, {rights}: not in the overlay",
                AMBER,
            )
    yield "merged", _merged(seen, part), f"{path} of the container", GREEN
    yield "upper", part.upper, changes(seen) if len(seen.parts) == 1 else "what the container changed", BLUE
    shown = part.lowers if len(part.lowers) <= _MOST_LOWERS else part.lowers[: _MOST_LOWERS - 1]
    for one in shown:
        yield f"lower {one.number}", one.path, _layer(one), GREY
    if left := len(part.lowers) - len(shown):
        yield f"lower {left}-1", "", f"{left} more; .layers() has all", GREY
    yield "work", part.work, _WORKS, "transparent"


def _lies_in(destination: str, part: Part, seen: Overlay) -> bool:
    """Whether a mount lies over this part, and over none that is nearer."""
    inside = [one.name for one in seen.parts if not one.name or f"{destination}/".startswith(f"/{one.name}/")]
    return max(inside, key=len, default="") == part.name


def _merged(seen: Overlay, part: Part) -> str:
    if seen.pid is None:
        return "(not mounted while it does not run)"
    return f"/proc/{seen.pid}/root/{part.name}".rstrip("/")


def _layer(one: Lower) -> str:
    size = f", {known(one.size)}" if one.size is not None else ""
    name = f"{one.what} {digest(one.digest)}" if one.digest else one.what
    return f"{name}{size}{f': {cut(one.instruction)}' if one.instruction else ''}"


def text(seen: Overlay) -> str:
    """For a terminal."""
    parts = [[plain(heading(seen))]]
    for part in seen.parts:
        lines = [f"  {what:<13} {where}\n{'':<16}{said}" for what, where, said, _ in bands(seen, part)]
        parts.append(["\n".join(map(plain, line.split("\n"))) for line in lines])
    if seen.changed:
        parts.append(["changed", *filetree.drawn(growing.cut(seen.tree(), _LINES)), filetree.LEGEND])
    return "\n\n".join("\n".join(lines) for lines in parts)


def html(seen: Overlay) -> str:
    """For a notebook."""
    parts = "".join(_stack(seen, part) for part in seen.parts)
    tree = f"{filetree.pre(growing.cut(seen.tree(), _LINES))}{filetree.legend()}" if seen.changed else ""
    return (
        f'<div {AS_IT_IS} style="{BOX} {_WIDE}"><div style="{HEAD}"><b style="font-weight: 600;">'
        f"{safe(heading(seen))}</b></div>{parts}{tree}</div>"
    )


def _stack(seen: Overlay, part: Part) -> str:
    inner = "".join(_band(*band) for band in bands(seen, part))
    if len(seen.parts) == 1:
        return f'<div style="margin: 6px 0;">{inner}</div>'
    is_open = " open" * (not part.name)
    return f'<details{is_open}><summary style="cursor: pointer;">/{safe(part.name)}</summary>{inner}</details>'


def _band(what: str, where: str, said: str, colour: str) -> str:
    border = f"border-left: 5px {'dashed ' + GREY if what == 'work' else 'solid ' + colour};"
    return (
        f'<div style="{_BAND} {border}"><div><b style="{_WHAT}">{safe(what)}</b> '
        f'<span>{safe(said)}</span></div><div style="{_WHERE}">{safe(where).replace("/", "<wbr>/").removeprefix("<wbr>")}</div></div>'
    )


_WIDE = "width: 860px; max-width: 100%;"
_BAND = f"margin: 2px 0; padding: 2px 10px; {tint('gray', 10)} border-radius: 3px; overflow-wrap: anywhere;"
_WHAT = "font-weight: 600; display: inline-block; min-width: 112px;"
_WHERE = f"font-family: {MONOSPACE}; font-size: 12px; opacity: .75;"
