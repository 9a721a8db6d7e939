"""`{name}` and `{expression}` on a magic's line, and with --fill `{{ name }}` in its body: Python's values, nothing else.

Only what is a Python expression naming something is a field. `${VAR}`, `$VAR`, `{{…}}`, `{8}`, `{}`, `{a..z}` and
awk's `{print $1}` stay as they are. What is a field but has no value is an error, never left silently.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping
from typing import Any

from nbcontainers.errors import InvalidArgument

_HOLE = re.compile(r"\{\{(.+?)\}\}")


def fill(body: str, names: Mapping[str, Any]) -> str:
    """The body of a cell with values in the place of each `{{ name }}` or `{{ expression }}`, a list's with blanks between."""

    def filled(hole: re.Match[str]) -> str:
        field = f"{{{hole[1].strip()}}}"
        found = value(field, names, "in the body", "leave --fill out")
        if found is field:
            return hole[0]
        return " ".join(map(str, found)) if isinstance(found, list) else str(found)

    return _HOLE.sub(filled, body)


def value(field: str, names: Mapping[str, Any], where: str = "on the line", otherwise: str = "") -> Any:
    """The value of `field` (braces included) among `names`; `field` itself if it is no expression of ours.

    A format follows a colon and a conversion an exclamation mark, as in an f-string. An error says `where` that was, and
    what to do `otherwise`.
    """
    otherwise = otherwise or f"write \\{field} to pass the braces on"
    tree = _parsed(field)
    if tree is None or _bare_builtin(tree, names):
        return field
    try:
        return _word(_evaluate(tree, dict(names)))
    except NameError as error:
        raise InvalidArgument(
            f"{field} {where}: no variable is named {error.name!r}",
            hint=f"give {error.name} a value first, or {otherwise}",
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever the expression raises is the line's fault
        raise InvalidArgument(
            f"{field} {where}: {type(error).__name__}: {error}",
            hint=f"try {field[1:-1]} in a cell of its own, or {otherwise}",
        ) from None


def _parsed(field: str) -> ast.FormattedValue | None:
    """The one field of an f-string, if it is one and names something."""
    quote = '"""' if "'" in field else "'''"
    try:
        tree = ast.parse(f"f{quote}{field}{quote}", mode="eval").body
    except (SyntaxError, ValueError):
        return None
    parts = tree.values if isinstance(tree, ast.JoinedStr) else []
    if len(parts) != 1 or not isinstance(parts[0], ast.FormattedValue):
        return None
    names_something = any(isinstance(node, ast.Name) for node in ast.walk(parts[0].value))
    return parts[0] if names_something else None


def _bare_builtin(tree: ast.FormattedValue, names: Mapping[str, Any]) -> bool:
    """Whether it is a lone word that only Python itself knows, like awk's `{print}`."""
    return isinstance(tree.value, ast.Name) and tree.value.id not in names and hasattr(builtins, tree.value.id)


def _evaluate(tree: ast.FormattedValue, names: dict[str, Any]) -> Any:
    """The value itself where nothing formats it, so that a list can become words; else the formatted text."""
    plain = tree.conversion == -1 and tree.format_spec is None
    source = tree.value if plain else ast.JoinedStr([tree])
    return eval(compile(ast.fix_missing_locations(ast.Expression(source)), "<the magic's line>", "eval"), names)


def _word(value: Any) -> Any:
    """A handle of ours stands for its id, or for its reference or name."""
    if isinstance(value, (list, tuple)):
        return [_word(item) for item in value]
    if type(value).__module__.startswith("nbcontainers."):
        return next((getattr(value, key) for key in ("id", "reference", "name") if hasattr(value, key)), value)
    return value
