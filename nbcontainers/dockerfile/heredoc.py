"""Here-documents of RUN, COPY and ADD: `<<EOF`, `<<-EOF` (leading tabs go), `<<"EOF"` (nothing is expanded).

Dockerfile reference, «Here-Documents».
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from nbcontainers.dockerfile.expansion import Mode, expand

_FORM = re.compile(r"(?s)([0-9]*)<<(-?)\s*([^<]*)")
_OPENING = re.compile(r"(?s)[0-9]*<<-?")
_SEARCH = Mode(keep_quotes=True, keep_escapes=True, keep_unset=True)
_UNQUOTED = Mode(keep_unset=True)
_TABS = re.compile(r"(?m)^\t+")


@dataclass(frozen=True)
class Heredoc:
    """`content` is the body as written; `tabs_go` for `<<-`; `expand` unless the name was quoted; `fd` of `3<<EOF`."""

    name: str
    expand: bool = True
    tabs_go: bool = False
    fd: int = 0
    content: str = ""

    @property
    def body(self) -> str:
        return _TABS.sub("", self.content) if self.tabs_go else self.content


def parse(word: str) -> Heredoc | None:
    """What a single word like `<<-"EOF"` opens; None when it opens nothing."""
    match = _FORM.fullmatch(word)
    if not match or not match[3]:
        return None
    try:
        names = expand(match[3], {}, mode=_UNQUOTED).words
        raw = expand(match[3], {}, mode=Mode(keep_quotes=True, keep_unset=True)).words
    except ValueError:
        return None
    if len(names) != 1 or len(match[1]) > 9:
        return None
    return Heredoc(names[0], raw == names, match[2] == "-", int(match[1] or 0))


def opened(line: str, ends: Callable[[Heredoc], bool]) -> list[Heredoc]:
    """The here-documents an instruction opens, in order. A line whose quotes do not close opens none.

    After `<<` and a space the name may follow too (Dockerfile 1.15), which `1 << 2` of shell arithmetic looks like:
    such a one is taken only where `ends` finds its last line.
    """
    if "<<" not in line:
        return []
    try:
        words = expand(line, {}, mode=_SEARCH).words
    except ValueError:
        return []
    found: list[Heredoc] = []
    for at, word in enumerate(words):
        if _OPENING.fullmatch(word) and at + 1 < len(words):
            heredoc = parse(f"{word}{words[at + 1]}")
            if heredoc and ends(heredoc):
                found.append(heredoc)
        elif heredoc := parse(word):
            found.append(heredoc)
    return found
