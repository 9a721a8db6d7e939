"""How an object shows itself in a cell: one bundle with a live widget, static HTML and plain text, each of which says
every fact of the one before it.

Nothing below the faces knows ipywidgets: `%load_ext` sets `live`. HTML has inline styles only, no script and no address;
it reads in order with every style stripped, escapes what it is told (names, labels and logs are an attacker's to choose),
inherits text and background, and takes colours from the front end's variables, so that light and dark need no switch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, Protocol

from nbcontainers.errors import NotFound, plain

Bundle = dict[str, Any]
"""Content by MIME type."""

WIDGET = "application/vnd.jupyter.widget-view+json"

live: Callable[[object, Bundle], Bundle | None] | None = None
"""What makes the bundle of an object live, given its text and HTML: what it answers takes their place; None for what has
no live view, or where no front end could show one."""

patience = 1.0
"""Seconds of work before it is shown how far it is. `%config NBContainers.progress_after`"""


class Follow(Protocol):
    """How a cell shows something now and something else in its place later, also when it has ended."""

    def wanted(self) -> bool:
        """Whether somebody looks at the cell that runs."""

    def __call__(self, now: Bundle, later: Iterator[Bundle]) -> None:
        """Each of `later`, which a thread asks for and may wait for, takes the place of the one before it."""


follow: Follow | None = None
"""Set by `%load_ext` as well."""


class Seen(Protocol):
    """The facts of one moment, in words and as HTML."""

    def text(self) -> str: ...
    def html(self) -> str: ...


class View(ABC):
    """What shows itself by `text` and `html`, and whose repr is its text."""

    @abstractmethod
    def text(self) -> str: ...

    @abstractmethod
    def html(self) -> str: ...

    def document(self) -> Any:
        """The facts as JSON, for `--format json`; a view that has a better form than its text gives that."""
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        return bundle(self, lambda: self)


def bundle(shown: object, look: Callable[[], Seen]) -> Bundle:
    """The bundle of `shown`, whose facts `look` reads. It never raises, which would fail the whole cell
    (ipykernel#1521): what cannot be read is said in a line, and so is why there is no widget."""
    try:
        seen = look()
        found: Bundle = {"text/plain": seen.text(), "text/html": seen.html()}
    except Exception as error:  # noqa: BLE001
        return {"text/plain": _instead(shown, error)}
    try:
        return found | ((live(shown, found) if live else None) or {})
    except Exception as error:  # noqa: BLE001
        why = f"not live: {_said(error)}"
        note = f'<div style="opacity: .7; font-size: 12px;">{escape(why)}</div>'
        return {"text/plain": f"{found['text/plain']}\n({why})", "text/html": found["text/html"] + note}


def in_a_line(name: str, look: Callable[[], str]) -> str:
    """The repr of a handle in one line: what `look` reads of it, or why it cannot. It never raises either."""
    try:
        return f"<{plain(look(), '')}>"
    except NotFound:
        return f"<{name} removed>"
    except Exception as error:  # noqa: BLE001
        return f"<{name} ({_said(error).partition(chr(10))[0]})>"


def _instead(shown: object, error: Exception) -> str:
    """The repr of `shown`, which may be what failed."""
    try:
        line = object.__repr__(shown) if isinstance(shown, View) else repr(shown)
    except Exception:  # noqa: BLE001
        line = object.__repr__(shown)
    return f"{line} ({_said(error)})"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {plain(str(error))}" if str(error) else type(error).__name__
