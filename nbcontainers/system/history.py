"""`system events`: what happened to containers, images, networks and volumes (monitor/events.py), as rows or lines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nbcontainers.container import log
from nbcontainers.container.session import Sink, to_sys
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.monitor import events
from nbcontainers.monitor.files import rfc3339
from nbcontainers.table import Column, Table, digest, plain, since

Event = events.Event
_OBJECTS = ("container", "image", "network", "volume")
_KEYS = (*_OBJECTS, "type", "event", "label", "id", "name")


def read(engine: Engine, after: str, before: str, filters: Sequence[str] | None) -> Table:
    """Rows: time (RFC 3339), type, action, id, name, attributes."""
    return Table([_row(event) for event in _found(engine, after, before, filters, None)], _columns())


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
        Column("time", "WHEN", since), Column("type"), Column("action"), Column("id", "ID", digest), Column("name"),
        Column("attributes", format=_without_name),
    ]  # fmt: skip


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
