"""Rows that show themselves: text as Docker prints it, HTML for a notebook, a DataFrame on request.

    Table([{"name": "web", "size": 7340032}], [Column("name"), Column("size", format=stored)])

A row holds raw values (bytes as int, times as datetime, RFC 3339 text or seconds since the epoch, durations as
seconds); only the view is rounded and coloured. No repr raises, whatever a row holds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from nbcontainers import errors
from nbcontainers.view import Bundle, Seen, View, bundle

if TYPE_CHECKING:
    from datetime import datetime

    import pandas

Row = dict[str, Any]
SHOWN_ROWS = 100
"""A notebook shows this many rows; the others are counted, and are in `to_pandas()`."""

_LONGEST = 200
_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")

BLUE = "var(--jp-brand-color1, var(--vscode-charts-blue, #4493f8))"
GREEN = "var(--jp-success-color1, var(--vscode-charts-green, #2da44e))"
AMBER = "var(--jp-warn-color1, var(--vscode-charts-yellow, #d68f00))"
RED = "var(--jp-error-color1, var(--vscode-charts-red, #e5484d))"
GREY = "#8b949e"
"""Accents, as JupyterLab, VS Code (its theme colour reference, charts) or neither has them."""
_INK = "var(--jp-content-font-color1, var(--vscode-editor-foreground, inherit))"
BORDER = "var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 128, 128, .35)))"
MONOSPACE = "var(--jp-code-font-family, var(--vscode-editor-font-family, ui-monospace, Menlo, Consolas, monospace))"
BOX = (
    f"display: inline-block; min-width: 430px; max-width: 760px; box-sizing: border-box; margin: 4px 0; "
    f"padding: 10px 14px; border: 1px solid {BORDER}; border-radius: 6px; font-size: 13px; line-height: 1.5;"
)
"""The frame of a card."""
AS_IT_IS = 'class="mathjax_ignore tex2jax_ignore"'
"""Of an element whose text is no mathematics, whatever dollar signs are in it: MathJax 3 and 2, option ignoreHtmlClass."""
_TABLE = "border-collapse: collapse; border: 0; margin: 4px 0; font-size: 13px; font-variant-numeric: tabular-nums;"
_ROW = "background:none"
HEAD = "display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 6px;"
_CELL = "padding:3px 14px 3px 0;border:0;vertical-align:top;text-align:"
"""Short, for there is one a cell; what cells inherit stands on the table. Front ends have rules for each of these."""
_WHOLE = ";white-space:nowrap"
"""Of a cell that is one name or number: several words go into more lines before a table is wider than its page, and names
would break at every hyphen."""


def ink(colour: str) -> str:
    """`colour` for words: mixed with the text's own it can be read on light and on dark (4.5 : 1, WCAG 2.2 1.4.3), where
    the colour itself is for dots, bars and lines only. Faded words keep an opacity of .7 for the same reason."""
    return f"color-mix(in srgb, {colour} 60%, currentColor)"


def tint(colour: str, percent: int) -> str:
    """Style of a ground that a little of `colour` shines through, and of the words on it: who changes one of them for a
    place where the other is somebody else's makes them hard to read."""
    return f"background: color-mix(in srgb, {colour} {percent}%, transparent); color: {_INK};"


def plain(text: str) -> str:
    """`text` in one line without control characters, so that no name can drive the terminal it is shown on."""
    return errors.plain(text, "")


def safe(text: str) -> str:
    """`text` for HTML: no markup, no control characters. Names, labels and histories are somebody's to choose."""
    return escape(plain(text))


def text(value: object) -> str:
    """The default format: the value's own text; nothing for None; lists joined by commas."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(text(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={text(item)}" for key, item in value.items())
    return str(value)


def few(value: object) -> str:
    """The first two of a list, or of what commas join, and how many more there are: an image may have dozens of names."""
    items = text(value).split(", ")
    return ", ".join(items if len(items) < 4 else [*items[:2], f"and {len(items) - 2} more"])


def bytes_(value: object) -> str:
    """Memory: powers of 1024 under their IEC names, four digits: `42MiB`, `1.25GiB`."""
    if not isinstance(value, (int, float)):
        return text(value)
    number, units = float(value), iter(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while abs(number) >= 1024 and (larger := next(units, None)):
        number, unit = number / 1024, larger
    return f"{number:.4g}{unit}"


def stored(value: object) -> str:
    """What lies on a disk or travels: powers of 1000, three digits, as Docker and Podman have them: `7.65MB`, `231kB`."""
    if not isinstance(value, (int, float)):
        return text(value)
    number, units = float(value), iter(("B", "kB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while abs(number) >= 999.5 and (larger := next(units, None)):
        number, unit = number / 1000, larger
    return f"{number:.3g}{unit}" if abs(number) < 999.5 else f"{number:.0f}{unit}"


def amount(number: float, form: Callable[[object], str] = bytes_) -> str:
    """Bytes with a space before the unit, for reading rather than for columns."""
    shown = form(number)
    return f"{shown.rstrip('BkKMGTPi')} {shown.lstrip('0123456789.-')}"


def duration(value: object) -> str:
    """Seconds as a person says them: `8.2 ms`, `3.41 s`, `2 min 05 s`, `3 h 12 min`, `5 d 3 h`."""
    if hasattr(value, "total_seconds"):
        value = value.total_seconds()
    if not isinstance(value, (int, float)):
        return text(value)
    if value < 0.0995:
        return f"{value * 1000:.2g} ms" if value >= 5e-4 else f"{value * 1e6:.0f} µs" if value > 0 else "0 s"
    if value < 60:
        return f"{value:.3g} s"
    seconds = round(value)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    if seconds < 172800:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def percent(value: object) -> str:
    """A percentage that is one already: 12.5 is `12.50%`."""
    return f"{value:.2f}%" if isinstance(value, (int, float)) else text(value)


def digest(value: object) -> str:
    """The first twelve digits of a digest or an id, without its algorithm."""
    return text(value).rpartition(":")[2][:12]


def shortened(words: str) -> str:
    """Words in which ids and digests have the first twelve of their digits."""
    return _ID.sub(r"\1…", words)


def command(value: object) -> str:
    """A command in twenty characters and double quotes, as `docker ps` has it."""
    line = " ".join(value) if isinstance(value, (list, tuple)) else text(value)
    return f'"{line if len(line) <= 20 else line[:19] + "…"}"' if line else ""


def since(value: object) -> str:
    """How long ago a time is: `5 seconds ago`, `3 weeks ago`."""
    then = timestamp(value)
    return text(value) if then is None else f"{age(time.time() - then)} ago"


def instant(value: object) -> str:
    """A time that stays true, in UTC to the millisecond: `2026-11-23 08:05:30.082`."""
    from datetime import UTC

    then = moment(value)
    return text(value) if then is None else then.astimezone(UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")


def age(seconds: float) -> str:
    """An age in the one unit that matters, as Docker says it: `45 seconds`, `About an hour`, `3 days`."""
    if seconds < 1:
        return "Less than a second"
    steps = (("second", 1, 60), ("minute", 60, 60), ("hour", 3600, 48), ("day", 86400, 14), ("week", 604800, 9),
             ("month", 2592000, 24), ("year", 31536000, 10**9))  # fmt: skip
    unit, count = "", 0
    for unit, length, limit in steps:  # noqa: B007
        count = int(seconds // length)
        if count < limit:
            break
    if count == 1 and unit in ("minute", "hour"):
        return f"About {'an' if unit == 'hour' else 'a'} {unit}"
    return f"{count} {unit}{'s' if count != 1 else ''}"


def moment(value: object) -> datetime | None:
    """The time (UTC unless it says otherwise) of a datetime, seconds since the epoch or RFC 3339 text; else None."""
    from datetime import UTC, datetime

    try:
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def timestamp(value: object) -> float | None:
    """The same in seconds since the epoch."""
    found = moment(value)
    return None if found is None else found.timestamp()


@dataclass(frozen=True)
class Column:
    """One column: the key in the rows, its title (by default the key in capitals), how a value looks, and of what colour
    the dot before it is in a notebook; the words must say the same."""

    name: str
    title: str = ""
    format: Callable[[Any], str] = text
    colour: Callable[[Row], str] | None = None

    @property
    def heading(self) -> str:
        return self.title or self.name.upper().replace("_", " ")

    @property
    def right(self) -> bool:
        """Whether a notebook lines it up on the right whatever is in it, as numbers are."""
        return self.format in (bytes_, stored, percent, duration)

    def side(self, rows: Sequence[Row]) -> str:
        """`right` where all its values in `rows` are numbers, which are no times; else `left`."""
        values = [value for row in rows if (value := row.get(self.name)) is not None]
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        return "right" if self.right or (values and numbers and self.format not in (since, instant)) else "left"

    def show(self, row: Row) -> str:
        """The value's text in one line; an unprintable value is shown as its type, never raised."""
        value = row.get(self.name)
        try:
            return plain(self.format(value))
        except Exception:  # noqa: BLE001 - a repr that raises fails the whole cell (ipykernel#1521)
            return f"<{type(value).__name__}>"


class Table(View, Sequence[Row]):
    """A sequence of rows (dicts of raw values) with the columns that show them."""

    def __init__(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        self.rows = list(rows)
        self.columns = list(columns)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Table: ...
    def __getitem__(self, index: int | slice) -> Row | Table:
        return Table(self.rows[index], self.columns) if isinstance(index, slice) else self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.rows == other.rows and self.columns == other.columns

    __hash__ = None  # type: ignore[assignment]

    def text(self) -> str:
        """Columns three spaces apart, as Docker prints them."""
        lines = [[column.heading for column in self.columns]]
        lines += [[column.show(row) for column in self.columns] for row in self.rows]
        widths = [max(map(width, cells)) for cells in zip(*lines, strict=True)]
        return "\n".join("   ".join(map(pad, line, widths)).rstrip() for line in lines)

    def html(self) -> str:
        shown = self.rows[:SHOWN_ROWS]
        sides = [(column, column.side(shown)) for column in self.columns]
        heads = "".join(
            f'<th style="{_CELL}{side};border-bottom:1px solid {BORDER}">{escape(column.heading)}</th>'
            for column, side in sides
        )
        body = "".join(f'<tr style="{_ROW}">{_cells(row, sides)}</tr>' for row in shown)
        return (
            f'<table {AS_IT_IS} style="{_TABLE}"><thead><tr style="{_ROW}">{heads}</tr></thead>'
            f'<tbody style="font-family: {MONOSPACE};">{body}</tbody></table>{self._left("div")}'
        )

    def _left(self, element: str = "") -> str:
        """How many rows a notebook does not show."""
        left = len(self.rows) - SHOWN_ROWS
        words = f"… {left} more; .to_pandas() has all" if left > 0 else ""
        return f'<{element} style="opacity: .75; font-size: 12px;">{words}</{element}>' if words and element else words

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        """A cell shows so many rows; `repr` and `text` have all."""
        return bundle(self, self.seen)

    def seen(self) -> Seen:
        """What a cell shows; a table of a kind of its own may show more than rows."""
        return _Bounded(self)

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame of the raw values: sizes as int, times as datetime64 (UTC), durations as timedelta64, yes or no that
        may be missing as boolean."""
        import pandas

        frame = pandas.DataFrame(self.rows, columns=[column.name for column in self.columns])
        for column in self.columns:
            if column.format in (since, instant):
                frame[column.name] = pandas.to_datetime(pandas.Series(map(moment, frame[column.name])), utc=True)
            elif column.format is duration:
                frame[column.name] = pandas.to_timedelta(frame[column.name], unit="s")
            elif column.format in (bytes_, stored) and frame[column.name].hasnans:
                frame[column.name] = frame[column.name].astype("Int64")
            elif frame[column.name].dtype == object and {bool} == set(map(type, frame[column.name].dropna())):
                frame[column.name] = frame[column.name].astype("boolean")
        return frame


class _Bounded(NamedTuple):
    """A table as a cell shows it."""

    table: Table

    def text(self) -> str:
        columns = [Column(one.name, one.heading, _shortly(one.format)) for one in self.table.columns]
        shown = Table(self.table.rows[:SHOWN_ROWS], columns).text()
        return "\n".join(filter(None, (shown, self.table._left())))

    def html(self) -> str:
        return self.table.html()


def _cells(row: Row, sides: Sequence[tuple[Column, str]]) -> str:
    cells = []
    for column, side in sides:
        words = _cut(column.show(row))
        whole = "" if " " in words and side == "left" else _WHOLE
        cells.append(f'<td style="{_CELL}{side}{whole}"{_when(column, row)}>{_dot(column, row)}{escape(words)}</td>')
    return "".join(cells)


def _when(column: Column, row: Row) -> str:
    """A saved notebook grows old, and "2 seconds ago" with it: the time itself is in the cell's title."""
    return (
        f' title="{escape(instant(row.get(column.name)))} UTC"'
        if column.format is since and row.get(column.name)
        else ""
    )


def _shortly(format: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: _cut(plain(format(value)))


def _cut(shown: str) -> str:
    """A cell's text in a notebook, where one may be as long as somebody chose."""
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def width(shown: str) -> int:
    """Columns a terminal needs (Unicode TR 11: wide characters take two, combining marks none)."""
    if shown.isascii():
        return len(shown)
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown)


def pad(shown: str, columns: int) -> str:
    return shown + " " * (columns - width(shown))


def _dot(column: Column, row: Row) -> str:
    return f'<span style="color:{ink(column.colour(row))}" aria-hidden="true">● </span>' if column.colour else ""
