"""What a cell shows of `system df`: a bar a kind of thing, with the part of it that can be had back."""

from __future__ import annotations

from html import escape
from typing import Any, NamedTuple

from nbcontainers.table import AMBER, AS_IT_IS, BLUE, MONOSPACE, Row, Table, amount, stored
from nbcontainers.view import Seen

_BACK = {
    "images": "image prune -a",
    "builds": "builder prune -a",
    "containers": "container prune",
    "volumes": "volume prune -a",
}
_CELLS = 30


class Room(Table):
    """The table of `system df`."""

    def seen(self) -> Seen:
        return Shown(self)


class Shown(NamedTuple):
    """The table and its bars."""

    table: Table

    @property
    def together(self) -> str:
        """`together 1.2 GB, 800 MB (67%) of it reclaimable`."""
        size, back = (sum(row[key] for row in self.table) for key in ("size", "reclaimable"))
        part = f" ({back / size:.0%})" if size else ""
        return f"together {amount(size, stored)}, {amount(back, stored)}{part} of it reclaimable"

    @property
    def hint(self) -> str:
        """What to type, for the kinds where that gives something back."""
        words = [_BACK[row["type"]] for row in self.table if row["reclaimable"] and row["type"] in _BACK]
        return f"gives it back: {', '.join(words)}" if words else "nothing can be had back"

    def text(self) -> str:
        rows = [f"{row['type']:<11}[{_bar(row, self._largest)}] {_said(row)}" for row in self.table]
        legend = "# in use   ~ reclaimable"
        return "\n".join([self.table.text(), "", *rows, legend, self.together, self.hint])

    def html(self) -> str:
        rows = "".join(self._row(row) for row in self.table)
        return (
            f'<div {AS_IT_IS} style="font-size: 13px; max-width: 760px;">{self.table.html()}'
            f'<table style="border-collapse: collapse; border: 0; margin: 6px 0;"><tbody>{rows}</tbody></table>'
            f"<div>{_swatch(BLUE)} in use &nbsp; {_swatch(AMBER)} reclaimable</div>"
            f"<div>{escape(self.together)}</div>"
            f'<div style="opacity: .75;">{escape(self.hint)}</div></div>'
        )

    @property
    def _largest(self) -> int:
        return max((row["size"] for row in self.table), default=0)

    def _row(self, row: Row) -> str:
        used, back = _parts(row, self._largest)
        bar = "".join(
            f'<span style="display: inline-block; height: 10px; width: {300 * part:.0f}px; background: {colour};"></span>'
            for part, colour in ((used, BLUE), (back, AMBER))
        )
        return (
            f'<tr style="background:none"><td style="{_CELL}">{escape(row["type"])}</td>'
            f'<td style="{_CELL} width: 304px;">{bar}</td>'
            f'<td style="{_CELL} font-family: {MONOSPACE}; font-size: 12px;">{escape(_said(row))}</td></tr>'
        )


def _parts(row: Row, largest: int) -> tuple[float, float]:
    """(in use, reclaimable) as parts of the largest."""
    back = min(row["reclaimable"], row["size"])
    return ((row["size"] - back) / largest, back / largest) if largest else (0.0, 0.0)


def _bar(row: Row, largest: int) -> str:
    used, back = (round(part * _CELLS) for part in _parts(row, largest))
    return f"{'#' * used}{'~' * back}".ljust(_CELLS, ".")


def _swatch(colour: str) -> str:
    """A piece of a bar, for the legend."""
    return f'<span style="display: inline-block; width: 10px; height: 10px; background: {colour};" aria-hidden="true"></span>'


def _said(row: dict[str, Any]) -> str:
    part = f" ({row['reclaimable'] / row['size']:.0%})" if row["size"] else ""
    return f"{amount(row['size'], stored)}, {amount(row['reclaimable'], stored)}{part} reclaimable"


_CELL = "padding: 2px 14px 2px 0; border: 0; text-align: left; vertical-align: middle; white-space: nowrap;"
