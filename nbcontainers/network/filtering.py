"""`--filter KEY=VALUE` of `network ls` and `prune`: Docker's words. All labels must hold, of other kinds one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbcontainers.errors import InvalidArgument
from nbcontainers.network import store
from nbcontainers.option import moment

Row = Mapping[str, Any]
Test = Callable[[Row], bool]

#: network.json, or a built-in one, and `containers`: the names of those that were made for it.
_KNOWN = "name=TEXT, id=ID, label=KEY[=VALUE], driver=NAME, type=custom|builtin, dangling=true|false, until=24h"


def tests(texts: Sequence[str] | str | None) -> list[tuple[str, Test]]:
    """(kind, test) of each. Raises InvalidArgument for what is no filter."""
    found = []
    for text in [texts] if isinstance(texts, str) else texts or ():
        key, equals, value = str(text).partition("=")
        try:
            if not equals:
                raise ValueError
            found.append((key, _MAKERS[key](value)))
        except (KeyError, ValueError):
            raise InvalidArgument(
                f"--filter: {text!r} is no filter of networks", hint=f"write one of {_KNOWN}", option="filter"
            ) from None
    return found


def passes(row: Row, wanted: Sequence[tuple[str, Test]]) -> bool:
    for kind in dict.fromkeys(kind for kind, _ in wanted):
        holds = (test(row) for one, test in wanted if one == kind)
        if not (all(holds) if kind.startswith("label") else any(holds)):
            return False
    return True


def _name(value: str) -> Test:
    return lambda row: value in row["name"]


def _id(value: str) -> Test:
    return lambda row: bool(row["id"]) and row["id"].startswith(value)


def _driver(value: str) -> Test:
    return lambda row: row["driver"] == value


def _label(value: str) -> Test:
    key, equals, text = value.partition("=")
    return lambda row: key in row.get("labels", {}) and (not equals or row["labels"][key] == text)


def _no_label(value: str) -> Test:
    has = _label(value)
    return lambda row: not has(row)


def _kind(value: str) -> Test:
    built_in = {"builtin": True, "custom": False}[value]
    return lambda row: (row["name"] in (store.DEFAULT, *store.BUILT_IN)) is built_in


def _dangling(value: str) -> Test:
    unused = {"true": True, "1": True, "false": False, "0": False}[value]
    return lambda row: (not row["containers"] and row["name"] not in (store.DEFAULT, *store.BUILT_IN)) is unused


def _until(value: str) -> Test:
    latest = moment(value)
    return lambda row: bool(row.get("created")) and moment(row["created"]) < latest


_MAKERS: dict[str, Callable[[str], Test]] = {
    "name": _name, "id": _id, "driver": _driver, "label": _label, "label!": _no_label, "type": _kind,
    "dangling": _dangling, "until": _until,
}  # fmt: skip
