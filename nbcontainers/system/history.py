"""`system events`: what happened to containers, images, networks and volumes (monitor/events.py), as rows or lines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from nbcontainers.container import log
from nbcontainers.container.session import Sink, to_sys
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.monitor import events
from nbcontainers.monitor.files import rfc3339
from nbcontainers.system import timeline
from nbcontainers.table import Column, Table, digest, instant, plain, shortened
from nbcontainers.view import Seen

Event = events.Event
_OBJECTS = ("container", "image", "network", "volume")
_ROWS, _LONGEST = 60, 150
_KEYS = (*_OBJECTS, "type", "event", "label", "id", "name")


class History(Table):
    """The table of `system events`; a cell shows a timeline above its last rows."""

    def seen(self) -> Seen:
        return _Shown(self)


class _Shown(NamedTuple):
    table: Table

    def text(self) -> str:
        return "\n".join(filter(None, (timeline.text(self._line), self._left, self._last.text())))

    def html(self) -> str:
        left = f'<div style="opacity: .75; font-size: 12px;">{self._left}</div>' if self._left else ""
        return timeline.svg(self._line) + left + self._last.html()

    @property
    def _line(self) -> timeline.Timeline:
        return timeline.of(self.table.rows)

    @property
    def _last(self) -> Table:
        return Table(self.table.rows[-_ROWS:], [_SHOWN.get(one.name, one) for one in self.table.columns])

    @property
    def _left(self) -> str:
        left = len(self.table) - _ROWS
        return f"… {left} events before these; .to_pandas() has all" if left > 0 else ""


def read(engine: Engine, after: str, before: str, filters: Sequence[str] | None) -> History:
    """Rows: time (RFC 3339), type, action, id, name, attributes."""
    return History([_row(event) for event in _found(engine, after, before, filters, None)], _columns())


def write(
    engine: Engine, after: str, before: str, filters: Sequence[str] | None, sink: Sink | None,
    *, follow: bool, tick: Callable[[], object] | None, as_json: bool,
) -> None:  # fmt: skip
    """One line each; with `follow` also what comes, from now on unless a time was said; `tick` is called meanwhile."""

    def on() -> bool:
        if tick:
            tick()
        return True

    out = sink or to_sys("stdout")
    after = after or (rfc3339(time.time_ns()) if follow else "")
    for event in _found(engine, after, before, filters, on if follow else None):
        out(f"{json.dumps(event) if as_json else line(event)}\n".encode())


def line(event: Event) -> str:
    """As `docker events` prints it."""
    attributes = ", ".join(f"{name}={text}" for name, text in sorted(event["attributes"].items()))
    return plain(f"{event['time']} {event['type']} {event['action']} {event['id']} ({attributes})")


def _row(event: Event) -> dict[str, Any]:
    return {**event, "name": event["attributes"].get("name", "")}


def _columns() -> list[Column]:
    return [
        Column("time", "WHEN (UTC)", instant), Column("type"), Column("action"), Column("id", "ID", digest), Column("name"),
        Column("attributes", format=_without_name),
    ]  # fmt: skip


def _shortened(attributes: dict[str, str]) -> str:
    words = shortened(_without_name(attributes))
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _without_name(attributes: dict[str, str]) -> str:
    return ", ".join(f"{name}={text}" for name, text in sorted(attributes.items()) if name != "name")


def _found(
    engine: Engine, after: str, before: str, filters: Sequence[str] | None, follow: Callable[[], bool] | None
) -> Iterator[Event]:
    wanted = _tests(filters)
    begin, end = log.moment(after, "since"), log.moment(before, "until")
    for event in events.read(engine.root, since=begin, until=end, follow=follow):
        if all(any(_holds(event, key, value) for value in values) for key, values in wanted.items()):
            yield event


def _tests(filters: Sequence[str] | str | None) -> dict[str, list[str]]:
    """By key the values that are alternatives. Raises InvalidArgument."""
    found: dict[str, list[str]] = {}
    for text in [filters] if isinstance(filters, str) else filters or ():
        key, equals, value = text.partition("=")
        if not equals or key not in _KEYS:
            hint = f"write KEY=VALUE with one of {', '.join(_KEYS)}"
            raise InvalidArgument(f"--filter: {text!r} is no filter", hint=hint, option="filter")
        found.setdefault(key, []).append(value)
    return found


def _holds(event: Event, key: str, value: str) -> bool:
    attributes = event["attributes"]
    if key in _OBJECTS:  # itself, or what happened to another because of it
        own = event["type"] == key and (event["id"].startswith(value) or attributes.get("name") == value)
        return bool(own or attributes.get(key) == value)
    if key == "label":
        name, equals, text = value.partition("=")
        return name in attributes and (not equals or attributes[name] == text)
    if key == "name":
        return bool(attributes.get("name") == value)
    return events.matches(event, {"action" if key == "event" else key: (value,)})


_SHOWN = {"attributes": Column("attributes", format=_shortened)}
