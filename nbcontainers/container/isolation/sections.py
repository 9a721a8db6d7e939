"""How an X-ray is laid out: a heading, lines of verdict, and sections that fold, each a table with a line above it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from nbcontainers.table import AS_IT_IS, BORDER, BOX, HEAD, MONOSPACE, Column, Row, Table, plain, safe, shortened

_ROWS = 60
_LONGEST, _BRIEF = 160, 40
_NULLABLE = {frozenset({int}): "Int64", frozenset({bool}): "boolean"}


class Facts(Table):
    """A table whose DataFrame has every key of its rows, also what is not shown."""

    def to_pandas(self) -> Any:
        import pandas

        names = list(
            dict.fromkeys([column.name for column in self.columns] + [key for row in self.rows for key in row])
        )
        frame = pandas.DataFrame(self.rows, columns=names)
        for name in names:
            values = [row.get(name) for row in self.rows]
            kinds = {type(value) for value in values}
            if type(None) in kinds and (dtype := _NULLABLE.get(frozenset(kinds - {type(None)}))):
                frame[name] = pandas.array(values, dtype=dtype)
        return frame


def cut(value: object, longest: int = _LONGEST) -> str:
    """A text that may be long, for a table; ids in it have twelve digits."""
    text = "" if value is None else shortened(str(value))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def brief(value: object) -> str:
    return cut(value, _BRIEF)


@dataclass(frozen=True)
class Section:
    """One part: what it is about, the gist in a line, its rows, and words below them. `open`: shown unfolded."""

    title: str
    gist: str
    table: Facts
    below: Sequence[str] = ()
    open: bool = False

    def text(self) -> Iterator[str]:
        yield f"{self.title}: {plain(self.gist)}" if self.gist else self.title
        if self.table.rows:
            yield textwrap.indent(self._shown().text(), "  ")
        if left := len(self.table) - _ROWS:
            yield from [f"  … {left} more; .to_pandas() has all"] * (left > 0)
        for words in self.below:
            yield textwrap.fill(plain(words), 116, initial_indent="  ", subsequent_indent="  ")

    def html(self) -> str:
        left = len(self.table) - _ROWS
        more = f'<div style="{_SMALL}">… {left} more; .to_pandas() has all</div>' if left > 0 else ""
        words = "".join(f'<div style="{_SMALL}">{safe(line)}</div>' for line in self.below)
        body = (self._shown().html() if self.table.rows else "") + more + words
        return (
            f'<details style="{_SECTION}"{" open" if self.open else ""}><summary style="cursor: pointer;">'
            f'<b style="font-weight: 600;">{escape(self.title)}</b>'
            f'<span style="opacity: .75;">: {safe(self.gist)}</span></summary>'
            f'<div style="overflow-x: auto;">{body}</div></details>'
        )

    def _shown(self) -> Table:
        """Its first rows, without columns that nothing stands in: of one that has ended there are fewer facts."""
        rows = self.table.rows[:_ROWS]
        return Table(rows, [column for column in self.table.columns if any(map(column.show, rows))])


def text(heading: Sequence[str], verdict: Sequence[str], sections: Sequence[Section]) -> str:
    head = ["  ".join(map(plain, heading)), *(f"  {plain(line)}" for line in verdict)]
    return "\n".join([*head, *(line for section in sections for line in ("", *section.text()))])


def html(heading: Sequence[str], verdict: Sequence[str], sections: Sequence[Section], colour: str) -> str:
    name, id, *rest = (safe(word) for word in heading)
    lines = "".join(f"<div>{safe(line)}</div>" for line in verdict)
    return (
        f'<div {AS_IT_IS} style="{BOX} {_WIDE}"><div style="{HEAD}">'
        f'<span style="color: {colour}; font-size: 15px;" aria-hidden="true">●</span> '
        f'<b style="font-weight: 600;">{name}</b> <code style="{_CODE}">{id}</code> '
        f'<span style="opacity: .75;">{" · ".join(rest)}</span></div>'
        f'<div style="margin: 4px 0 6px;">{lines}</div>{"".join(section.html() for section in sections)}</div>'
    )


def columns(*names: str | Column) -> list[Column]:
    return [Column(name, format=cut) if isinstance(name, str) else name for name in names]


def yes(value: object) -> str:
    return "" if value is None else "yes" if value else "no"


def facts(rows: Sequence[Row], *names: str | Column) -> Facts:
    return Facts(rows, columns(*names))


_WIDE = "width: 1000px; max-width: 100%;"
_SECTION = f"border-top: 1px solid {BORDER}; padding: 4px 0;"
_SMALL = "opacity: .75; font-size: 12px; max-width: 900px; overflow-wrap: anywhere;"
_CODE = f"font-family: {MONOSPACE}; font-size: 12px; background: none; opacity: .75;"
