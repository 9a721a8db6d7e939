"""Completion in the body of `%%image build`: instructions, their flags, stages, images, files of the context."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from nbcontainers.dockerfile import mount
from nbcontainers.dockerfile.meaning import BOOL, KNOWN, READERS

Found = Iterable[tuple[str, str]]
_BUILD = re.compile(r"\s*%%image\s+build\b")
_STAGE = re.compile(r"^\s*FROM\s.*\sAS\s+(\S+)", re.IGNORECASE | re.MULTILINE)


class At(NamedTuple):
    """The cursor in a Dockerfile: the words of its instruction before it, the one it is in, the stages above it."""

    words: list[str]
    fragment: str
    stages: list[str]


def at(text: str, row: int, column: int) -> At | None:
    """None where the cursor is in no such body. A line that goes on from the one above belongs to its instruction."""
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    if not _BUILD.match(lines[first] if first < len(lines) else ""):
        return None
    while first < len(lines) and lines[first].endswith("\\"):
        first += 1
    if row <= first:
        return None
    begin = row
    while begin > first + 1 and lines[begin - 1].rstrip().endswith("\\"):
        begin -= 1
    before = " ".join(line.rstrip().removesuffix("\\") for line in lines[begin:row])
    *words, fragment = f"{before} {lines[row][:column].lstrip()}".lstrip().split(" ")
    return At([word for word in words if word], fragment, _STAGE.findall("\n".join(lines[first + 1 : begin])))


def candidates(here: At, images: Callable[[], Found], paths: Callable[[str], Found]) -> Iterator[tuple[str, str]]:
    """What may stand at the cursor, with its kind; nothing in the middle of a shell's command."""
    words = here.words[1:] if here.words[:1] and here.words[0].upper() == "ONBUILD" else here.words
    if not words:
        is_lower = here.fragment.islower()
        known = ((name.lower() if is_lower else name, "instruction") for name in READERS)
        yield from _starting(here.fragment, known)
        return
    name = words[0].upper()
    key, equals, value = here.fragment.partition("=")
    if key.startswith("--"):
        yield from _flags(name, here) if not equals else ()
        if equals and key in ("--from", "--mount"):
            yield from ((f"{key}={word}", kind) for word, kind in _sources(key, value, here, images))
    elif name == "FROM" and all(word.startswith("--") for word in words[1:]):
        yield from _starting(here.fragment, [*_named(here.stages), ("scratch", "image"), *images()])
    elif name in ("COPY", "ADD") and not any(word.startswith("--from=") for word in words):
        yield from paths(here.fragment)


def _flags(name: str, here: At) -> Found:
    flags = KNOWN.get(name, {}).items()
    return _starting(here.fragment, ((f"--{flag}{'' if kind == BOOL else '='}", "option") for flag, kind in flags))


def _sources(key: str, value: str, here: At, images: Callable[[], Found]) -> Found:
    """Of --from the stages and images, of --mount the types."""
    if key == "--mount":
        return _starting(value, ((f"type={one}", "value") for one in mount.KEYS))
    return _starting(value, [*_named(here.stages), *images()])


def _named(stages: list[str]) -> Found:
    return [(name, "stage") for name in stages]


def _starting(typed: str, found: Found) -> Found:
    return ((word, kind) for word, kind in found if word.startswith(typed))
