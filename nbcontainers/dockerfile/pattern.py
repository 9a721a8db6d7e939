"""Glob patterns: of the shell's `${v#…}` (only `*` and `?`) and of file names as Go's filepath.Match reads them.

A pattern is a list of parts: `STAR`, or a piece of regular expression that matches exactly one character. Stars are
compiled to atomic groups, so no pattern makes matching slower than length times stars.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

STAR, DEEP = "*", "**"
Match = Callable[[str], "re.Match[str] | None"]


def shell_parts(pattern: str) -> list[str]:
    r"""The parts of a pattern of `${v#p}`, `${v%p}` or `${v/p/r}`. ValueError for an escape of anything but `* ? \ } /`."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
            char = pattern[at : at + 1]
            if char not in ("*", "?", "\\", "}", "/"):
                raise ValueError(rf"invalid escape \{char} in the pattern {pattern!r}: write \*, \? or \\")
            parts.append(re.escape(char))
        else:
            parts.append(STAR if char == "*" else "." if char == "?" else re.escape(char))
        at += 1
    return parts


def trim(parts: Sequence[str], value: str, *, prefix: bool, longest: bool) -> str:
    """`value` without the shortest or longest match of the pattern at its start or its end."""
    found = (_ahead(tuple(parts if prefix else parts[::-1]), longest)).match(value if prefix else value[::-1])
    if not found:
        return value
    return value[found.end() :] if prefix else value[: len(value) - found.end()]


def replace(parts: Sequence[str], value: str, replacement: str, *, all: bool) -> str:
    """`value` with the first or every match (the longest at each place) replaced, `replacement` taken as it is."""
    compiled = _ahead(tuple(parts), True)
    out: list[str] = []
    at, last = 0, -1
    while at <= len(value):
        found = compiled.search(value, at)
        if not found:
            break
        if found.end() > found.start() or found.start() != last:
            out += value[at : found.start()], replacement
            at = last = found.end()
            if not all:
                break
        if found.end() == found.start():
            out.append(value[at : at + 1])
            at += 1
    return "".join(out) + value[at:]


@lru_cache(256)
def _ahead(parts: tuple[str, ...], longest: bool) -> re.Pattern[str]:
    """A pattern that matches at a start and may end anywhere."""
    *middle, last = split(parts)
    if not middle:
        return re.compile(last)
    first, *between = middle
    tail = f"(?>.*{last})" if longest else f"(?>.*?{last})"
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in between) + tail)


def split(parts: Sequence[str]) -> list[str]:
    """The pieces between stars; there is one more of them than stars."""
    pieces = [""]
    for part in parts:
        if part == STAR:
            pieces.append("")
        else:
            pieces[-1] += part
    return pieces


def file_parts(pattern: str, *, deep: bool = False) -> list[str]:
    """The parts of a pattern of filepath.Match: `*`, `?`, `[a-z]`, `[^a-z]` and backslash escapes. ValueError if bad.

    `deep` knows `**` and `**/` too, parts of their own.
    """
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if deep and pattern.startswith(DEEP, at):
            parts.append(f"{DEEP}/" if pattern.startswith(f"{DEEP}/", at) else DEEP)
            at += len(parts[-1])
            continue
        if char == "[":
            part, at = _class(pattern, at + 1)
            parts.append(part)
            continue
        if char == "\\":
            at += 1
            if at == len(pattern):
                raise ValueError(f"the pattern {pattern!r} ends with a lone backslash")
            parts.append(re.escape(pattern[at]))
        else:
            parts.append(STAR if char == "*" else "[^/]" if char == "?" else re.escape(char))
        at += 1
    return parts


def _class(pattern: str, at: int) -> tuple[str, int]:
    """A character class that begins at `at`, and where it ends."""
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[str] = []
    while pattern[at : at + 1] != "]" or not ranges:
        low, at = _one(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _one(pattern, at + 1)
        if low <= high:  # an empty range matches nothing
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")
    body = "".join(ranges)
    if not body:
        return ("(?s:.)" if negated else "(?!)"), at + 1
    return f"[{'^' if negated else ''}{body}]", at + 1


def _one(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at : at + 1]
    if char in ("", "-", "]"):
        raise ValueError(f"the pattern {pattern!r} has a bad or unclosed character class [")
    if char == "\\":
        at += 1
        char = pattern[at : at + 1]
    if not char or at + 1 >= len(pattern):
        raise ValueError(f"the pattern {pattern!r} has an unclosed character class [")
    return char, at + 1


@lru_cache(1024)
def compile(pattern: str) -> Match:
    """A function that matches a whole path or name against a pattern of filepath.Match. ValueError for a bad one."""
    return re.compile(anchored(file_parts(pattern)) + r"\Z", re.DOTALL).match


def anchored(parts: Sequence[str]) -> str:
    """The expression of a file pattern from where it begins; only its last star may be tried in more than one way."""
    first, *pieces = split(parts)
    if not pieces:
        return first
    return first + "".join(f"(?>[^/]*?{piece})" for piece in pieces[:-1]) + f"[^/]*{pieces[-1]}"


def is_wild(path: str) -> bool:
    r"""Whether COPY takes this source for a pattern: it has a `*`, `?` or `[` without a backslash before."""
    return re.search(r"(?s)^(?:[^\\*?\[]|\\.)*[*?\[]", path) is not None


def literal(path: str) -> str:
    """A source that is no pattern, without its escapes."""
    return re.sub(r"(?s)\\(.)", r"\1", path)


def escape(path: str) -> str:
    r"""A pattern that matches this name alone."""
    return re.sub(r"([*?\[\\])", r"\\\1", path)
