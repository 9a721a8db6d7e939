"""A line's words by the rules of the POSIX shell: quotes are removed, nothing is expanded.

The values of `{name}` arrive inside a word as they are: they are never split again, so that a path with a space
stays one word.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

from nbcontainers.errors import InvalidArgument

_WORD = re.compile(r"""(?: [^\s"'\\] | \\. | "(?:\\.|[^"\\])*" | '[^']*' | \\$ )+""", re.VERBOSE | re.DOTALL)
_MARK = "\ue000{}\ue001"
_MARKED = re.compile("\ue000([0-9]+)\ue001")


def split(line: str, value: Callable[[str], Any] | None = None) -> list[str]:
    """The words of `line`; with `value`, `{expression}` is what `value("{expression}")` says (see `braces`)."""
    values: list[Any] = []
    if value is not None:
        line = braces(line, lambda field: _keep(value(field), field, values))
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InvalidArgument(
            f"the line has {_quote_error(error)}", hint='close it, or write \\" for the sign'
        ) from None
    for match in _WORD.finditer(line):
        if match[0].startswith("#"):
            _refuse_comment(line[match.start() :].strip())
    return [filled for word in words for filled in _fill(word, values)]


def braces(line: str, replace: Callable[[str], str]) -> str:
    r"""Replace every `{…}` of `line`, but neither `{{…}}` nor `${…}` nor `\{…}`; braces inside nest."""
    parts, at = [], 0
    while (start := line.find("{", at)) >= 0:
        end = _closing(line, start)
        if start > at and line[start - 1] == "\\":
            parts.append(line[at : start - 1] + "{")
            at = start + 1
        else:
            parts.append(line[at:start])
            untouched = line[start - 1 : start] == "$" or (line.startswith("{{", start) and line[end - 2 : end] == "}}")
            parts.append(line[start:end] if untouched or end - start < 3 else replace(line[start:end]))
            at = end
    return "".join([*parts, line[at:]])


def quiet(line: str) -> tuple[str, bool]:
    """The line without the `;` that ends it, and whether there was one (IPython's "show nothing")."""
    stripped = line.rstrip()
    ends = stripped.endswith(";") and not stripped.endswith("\\;")
    return (stripped[:-1], True) if ends else (line, False)


def _closing(line: str, start: int) -> int:
    """Where the brace opened at `start` has closed; just after it when it never does."""
    depth = 0
    for at in range(start, len(line)):
        depth += (line[at] == "{") - (line[at] == "}")
        if depth == 0:
            return at + 1
    return start + 1


def _keep(value: Any, field: str, values: list[Any]) -> str:
    if value is field:
        return str(field)
    values.append(value)
    return _MARK.format(len(values) - 1)


def _fill(word: str, values: list[Any]) -> list[str]:
    """A word with its values; a list or tuple that is a whole word is as many words."""
    whole = _MARKED.fullmatch(word)
    if whole and int(whole[1]) < len(values) and isinstance(values[int(whole[1])], (list, tuple)):
        return [str(item) for item in values[int(whole[1])]]
    return [_MARKED.sub(lambda mark: str(values[int(mark[1])]), word)] if values else [word]


def _refuse_comment(comment: str) -> None:
    raise InvalidArgument(
        f"{comment!r} starts no comment here: a line is one command",
        hint=f"put the comment on a line of its own, or quote it: '{comment}'",
    )


def _quote_error(error: ValueError) -> str:
    return "nothing after its last backslash" if "escaped" in str(error) else "a quote that is never closed"
