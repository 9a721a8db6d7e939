"""`.dockerignore` to the letter: which files of a context stay outside.

Docker's manual, «Build context», and the rules of moby/patternmatcher: the last line that matches a file or a folder
above it decides; `!` takes back; `**` stands for any number of folders; comments begin in the first column.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass

from nbcontainers.dockerfile import pattern
from nbcontainers.dockerfile.directives import BOM
from nbcontainers.dockerfile.source import Source
from nbcontainers.dockerfile.words import SPACE

IGNORED = (".dockerignore", ".containerignore")


@dataclass(frozen=True)
class Rule:
    """One line: the cleaned pattern, and whether it takes back (`!`)."""

    pattern: str
    back: bool
    line: int = 0


def parse(content: bytes | str, name: str = ".dockerignore") -> Ignore:
    """Read a file. BuildError names the line of a pattern that is none."""
    text = content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else content
    lines = tuple(line.rstrip("\r") for line in text.removeprefix(BOM).split("\n"))
    source = Source(name, lines)
    rules = []
    for number, line in enumerate(lines, 1):
        try:
            rule = read_line(line, number)
        except ValueError as error:
            raise source.error(str(error), number, word=line.strip(SPACE)) from None
        if rule:
            rules.append(rule)
    return Ignore(rules)


def read_line(line: str, number: int = 0) -> Rule | None:
    """The rule of one line; None for a comment or an empty line. ValueError for a bad pattern."""
    text = line.strip(SPACE)
    if line.startswith("#") or not text:
        return None
    back = text.startswith("!")
    bare = text[1:].strip(SPACE) if back else text
    if not bare:
        raise ValueError("a line of only ! takes nothing back: write !PATTERN")
    bare = clean(bare)
    bare = bare[1:] if len(bare) > 1 and bare.startswith("/") else bare
    pattern.file_parts(bare)
    return Rule(bare, back, number)


def clean(path: str) -> str:
    """Go's filepath.Clean: no `.`, no `//`, no slash at the end, `..` resolved where it can be."""
    path = re.sub("^/+", "/", path)
    return posixpath.normpath(path) if path else "."


class Ignore:
    """The rules of a context. A path's state is one bit a rule: set when it, or a folder above it, matches."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = tuple(rules)
        self.exact: dict[str, int] = {}
        self.named: dict[str, int] = {}
        self.others: list[tuple[int, re.Pattern[str]]] = []
        self.backs = [rule for rule in rules if rule.back]
        self.taken_back = sum(1 << at for at, rule in enumerate(rules) if rule.back)
        for at, rule in enumerate(rules):
            self._add(1 << at, rule.pattern)
        found = [f"(?:{one.pattern})" for _, one in self.others]
        self.any = re.compile("|".join(found), re.DOTALL) if found else None

    def _add(self, bit: int, text: str) -> None:
        wild = re.search(r"[*?\[\\]", text)
        if not wild:
            self.exact[text] = self.exact.get(text, 0) | bit
        elif re.fullmatch(r"\*\*/[^*?\[\\/]+", text):
            self.named[text[3:]] = self.named.get(text[3:], 0) | bit
        else:
            self.others.append((bit, re.compile(expression(text), re.DOTALL)))

    def state(self, path: str, above: int = 0) -> int:
        """The state of a path whose folder has the state `above`."""
        found = above | self.exact.get(path, 0) | self.named.get(path.rpartition("/")[2], 0)
        if self.any is not None and self.any.match(path):
            for bit, one in self.others:
                if not found & bit and one.match(path):
                    found |= bit
        return found

    def excludes(self, state: int) -> bool:
        """Whether a path of that state stays outside: the last rule that matches decides."""
        return bool(state) and not (1 << (state.bit_length() - 1)) & self.taken_back

    def ignored(self, path: str) -> bool:
        """Whether `path`, relative to the context, stays outside, all folders above it taken into account."""
        state = 0
        names = clean(path).strip("/").split("/")
        for count in range(1, len(names) + 1):
            state = self.state("/".join(names[:count]), state)
        return self.excludes(state)

    def may_take_back(self, folder: str) -> bool:
        """Whether something below an excluded folder can come back."""
        return any(_reaches(rule.pattern, f"{folder}/") for rule in self.backs)


def _reaches(text: str, folder: str) -> bool:
    """Whether a pattern can match below `folder/`: as far as it is literal it must go the same way."""
    fixed = re.split(r"[*?\[\\]", text, maxsplit=1)[0]
    return fixed.startswith(folder) or (folder.startswith(fixed) and fixed != text)


def expression(text: str) -> str:
    """The regular expression of one pattern; it matches whole paths.

    `**` at the end is everything below; before other text it is any number of whole folders, but alone at the start
    of a name without other wildcards (`**name`) any beginning of a path. What cannot match in another way further on
    stands in an atomic group, so that no pattern is slow.
    """
    parts = pattern.file_parts(text, deep=True)
    if parts[0] == pattern.DEEP and not re.search(r"[*?\[\\]", text[2:]):
        return ".*" + "".join(parts[1:]) + r"\Z"
    pieces: list[list[str]] = [[]]
    for part in parts:
        if part.startswith(pattern.DEEP):
            pieces.append([])
        else:
            pieces[-1].append(part)
    out = pattern.anchored(pieces[0])
    for piece in pieces[1:-1]:
        below = f"(?:.*?/)??{pattern.anchored(piece)}"
        out += f"(?>{below})" if piece and piece[-1] == "/" else below
    if len(pieces) > 1:
        out += f"(?:.*/)?{pattern.anchored(pieces[-1])}" if pieces[-1] else ".*"
    return rf"{out}\Z"


def of_dockerfile(context: str, dockerfile: str) -> str:
    """The ignore file that counts: `NAME.dockerignore` beside the Dockerfile, else `.dockerignore`, else Podman's
    `.containerignore`; '' for none."""
    names = (f"{dockerfile}.dockerignore", *(os.path.join(context, name) for name in IGNORED))
    for path in names:
        if os.path.isfile(path):
            return path
    return ""
