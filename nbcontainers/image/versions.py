"""What a tag says of itself: which kind it is, how it moves, where it sorts.

A registry promises nothing about tags: any of them can be put on another image at any time. These are the habits of
the field (semver.org's form, Docker's official images, calendar versions), so `fixed` means fixed by convention; only
a digest is fixed in truth.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MOVES = {
    "latest": "with every release: never in production",
    "channel": "whenever its owner moves it",
    "major": "with every release of {}",
    "minor": "with every patch of {}",
    "fixed": "fixed by convention",
    "pre-release": "until {} is released",
    "dated": "fixed by convention",
    "hash": "fixed by convention",
    "other": "nobody knows",
}
"""The kinds, and when a tag of that kind is put on another image; {} is the version it names."""

_DATE = re.compile(r"(?:19|20)\d\d([-.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?:[-T.]?\d{4,6}Z?)?")
_VERSION = re.compile(r"(?:v|V|release-|version-)?(\d+(?:\.\d+)*)(.*)")
_STAGES = ("rc", "c", "beta", "b", "alpha", "a", "milestone", "m", "pre", "preview", "ea", "dev", "snapshot", "canary",
           "nightly", "next")  # fmt: skip
_STAGE = re.compile(rf"({'|'.join(sorted(_STAGES, key=len, reverse=True))})[.]?(\d*)(?:[.]\d+)*", re.IGNORECASE)
_LETTER = frozenset("abcm")
_DIGEST = re.compile(r"sha256-[0-9a-f]{64}(?:\.\w+)?")
_COMMIT = re.compile(r"(?=[0-9a-f]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,40}")
_LONGEST_NUMBER = 4
"""Digits of a number that still is a major version; more are a build's."""
_GROUPS = {"latest": 0, "channel": 1, "dated": 3, "hash": 4, "other": 5}
_VERSIONS = 2
_LAST = float("-inf")


class Tag(NamedTuple):
    """A tag and what its name says. `stage` is a pre-release's (word, number), `variant` the rest behind a version."""

    name: str
    kind: str
    numbers: tuple[int, ...] = ()
    stage: tuple[str, str] | None = None
    variant: str = ""

    @property
    def version(self) -> str:
        return ".".join(map(str, self.numbers))

    @property
    def fixed(self) -> bool:
        """Whether by convention it is never put on another image."""
        return self.kind in ("fixed", "dated", "hash") or bool(self.stage and self.stage[1])

    @property
    def moves(self) -> str:
        """When it moves, in words."""
        kind = "fixed" if self.fixed else self.kind
        return MOVES[kind].format(self.version)

    @property
    def key(self) -> tuple[object, ...]:
        """Newest first; `1` before `1.21` before `1.21.7`; a release before what led to it; variants last."""
        group = _VERSIONS if self.numbers else _GROUPS[self.kind]
        numbers = (*(-number for number in self.numbers), _LAST)
        word, number = self.stage or ("", "")
        stage = (_STAGES.index(word) + 1, -int(number) if number else _LAST) if word else (0, 0)
        return (group, numbers, stage, natural(self.variant or ("" if self.numbers else self.name)))


def read(name: str) -> Tag:
    """What the tag `name` says of itself."""
    if _DIGEST.fullmatch(name):
        return Tag(name, "hash")
    if name == "latest" or name.startswith("latest-"):
        return Tag(name, "latest", variant=name[len("latest-") :])
    if _DATE.fullmatch(name):
        return Tag(name, "dated")
    if _COMMIT.fullmatch(name):
        return Tag(name, "hash")
    if match := _VERSION.fullmatch(name):
        return _version(name, tuple(map(int, match[1].split("."))), match[2])
    return Tag(name, _kind_of_word(name))


def _version(name: str, numbers: tuple[int, ...], rest: str) -> Tag:
    if rest and rest[0].isalnum() and not _STAGE.match(rest):  # 8u292, 2x
        return Tag(name, "other")
    stage, left = None, []
    for word in re.split(r"[-_+]", rest.lstrip("-_+.")) if rest else ():
        found = None if stage else _stage(word)
        stage = stage or found
        left += [] if found else [word]
    return Tag(name, _kind(numbers, stage, left), numbers, stage, "-".join(left))


def _stage(word: str) -> tuple[str, str] | None:
    match = _STAGE.fullmatch(word)
    if not match or (match[1].lower() in _LETTER and not match[2]):
        return None
    return match[1].lower(), match[2]


def _kind(numbers: tuple[int, ...], stage: tuple[str, str] | None, words: list[str]) -> str:
    if stage:
        return "pre-release"
    if len(numbers) > 2 or (len(numbers) == 1 and numbers[0] >= 10**_LONGEST_NUMBER):
        return "fixed"
    if any(_DATE.fullmatch(word) for word in words):
        return "dated"
    return "major" if len(numbers) == 1 else "minor"


def _kind_of_word(name: str) -> str:
    words = re.split(r"[-_.]", name)
    if any(_DATE.fullmatch(word) for word in words) or re.search(rf"(?:^|[-_]){_DATE.pattern}$", name):
        return "dated"
    if _COMMIT.fullmatch(words[-1]):
        return "hash"
    return "channel" if name[0].isalpha() else "other"


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sort key in which numbers count as such: alpine3.9 before alpine3.18."""
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
