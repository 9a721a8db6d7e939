"""A Dockerfile's bytes → its instructions with their lines: comments, continuations, here-documents, exec forms.

Follows the Dockerfile reference and what BuildKit accepts. Every failure is a BuildError that shows the line; what an
instruction means is not looked at here (instructions.py).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nbcontainers.dockerfile import directives, heredoc, words
from nbcontainers.dockerfile.directives import BOM, Directives
from nbcontainers.dockerfile.heredoc import Heredoc
from nbcontainers.dockerfile.source import Source, quoted
from nbcontainers.dockerfile.words import BLANKS, SPACE

LONGEST = 65535
FILES = frozenset({"RUN", "COPY", "ADD"})
_LISTS = frozenset({"ADD", "COPY", "VOLUME"})
_COMMANDS = frozenset({"CMD", "ENTRYPOINT", "RUN", "SHELL"})
_SPLIT = frozenset({"EXPOSE", "FROM"})
_CONTINUED = {char: re.compile(rf"(?:^|(?<=[^{re.escape(char)}])){re.escape(char)}[ \t]*\Z") for char in "\\`"}


@dataclass(frozen=True)
class Node:
    """One instruction as it is written, before its meaning.

    `word` as typed and `name` in capitals; `flags` and `args` by the instruction's own rules of splitting (ENV and LABEL:
    key, value, key, value; shell forms: one text); `text` is the logical line, its continuations joined; `lines` are
    its physical ones, first and last, here-documents included; `empty` those of empty continuation lines.
    """

    word: str
    name: str
    text: str
    lines: tuple[int, int]
    flags: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    is_json: bool = False
    is_legacy: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()
    empty: tuple[int, ...] = ()
    child: Node | None = None

    def unparse(self) -> str:
        """Text that parses to the same instruction: continuations joined, here-documents below."""
        bodies = [f"{one.content}{one.name}\n" for one in self.heredocs]
        return f"{self.text.lstrip(SPACE)}\n{''.join(bodies)}"


@dataclass(frozen=True)
class Parsed:
    """A whole file."""

    source: Source
    directives: Directives
    nodes: tuple[Node, ...]

    def unparse(self) -> str:
        """The same instructions without comments and continuations."""
        escape = self.directives.escape
        text = ("# escape=`\n" if escape == "`" else "") + "".join(node.unparse() for node in self.nodes)
        continued = _CONTINUED[escape].search(text.removesuffix("\n"))  # the file ended in a continuation
        return f"{text.removesuffix(chr(10))}{escape}\n" if continued else text


def parse(content: bytes | str, name: str = "Dockerfile") -> Parsed:
    """Read a file. `name` is what its errors call it. BuildError for anything that is no Dockerfile."""
    text = content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else content
    raw = text.removeprefix(BOM).split("\n")
    if not raw[-1]:
        raw.pop()
    source = Source(name, tuple(line.rstrip("\r") for line in raw))
    _check_length(source, raw)
    found = directives.read(source)
    nodes = tuple(_Lines(source, raw, found).nodes())
    if not nodes:
        raise source.error("there is no instruction in it", 1, hint="begin with FROM, for example: FROM mini")
    return Parsed(source, found, nodes)


def _check_length(source: Source, raw: Sequence[str]) -> None:
    for number, line in enumerate(raw, 1):
        if len(line) > LONGEST // 4 and len(line.encode("utf-8", "surrogatepass")) > LONGEST:
            hint = "break it with the escape character at the end of a line"
            raise source.error(f"the line is longer than {LONGEST} bytes", number, hint=hint)


class _Lines:
    """One pass over the lines of a file."""

    def __init__(self, source: Source, raw: Sequence[str], top: Directives) -> None:
        self.source = source
        self.raw = raw
        self.escape = top.escape
        self.continued = _CONTINUED[top.escape]
        self.at = len(top.lines)  # how many lines are read
        self.found: dict[bool, dict[str, list[int]]] = {}

    def nodes(self) -> list[Node]:
        found: list[Node] = []
        comments: list[str] = []
        while self.at < len(self.source.lines):
            line = self.source.lines[self.at].lstrip(SPACE)
            if line.startswith("#"):
                self.at += 1
                comment = line[1:].strip()
                comments = [*comments, comment] if comment else []
            elif not line:
                self.at += 1
                comments = []
            else:
                found.append(self.instruction(tuple(comments)))
                comments = []
        return found

    def instruction(self, comments: tuple[str, ...]) -> Node:
        """The instruction that begins in the next line."""
        first = self.at + 1
        text, empty = self.logical()
        if not text.strip(SPACE):
            raise self.source.error("the line continues to no instruction", first, self.at, hint="remove it")
        try:
            node = read_line(text, self.escape)
            heredocs = self.heredocs(node, first)
        except ValueError as error:
            word = BLANKS.split(text.strip(SPACE), maxsplit=1)[0]
            raise self.source.error(f"{word.upper()}: {error}", first, self.at, word=quoted(str(error))) from None
        lines = (first, self.at)
        child = node.child and replace(node.child, lines=lines, heredocs=heredocs)
        return replace(node, lines=lines, heredocs=heredocs, comments=comments, empty=empty, child=child)

    def logical(self) -> tuple[str, tuple[int, ...]]:
        """One logical line: comments and empty lines among the continuations are passed over."""
        empty: list[int] = []
        line, more = self.cut(self.source.lines[self.at].lstrip(SPACE))
        self.at += 1
        pieces = [line]
        while more and self.at < len(self.source.lines):
            line = self.source.lines[self.at]
            bare = line.lstrip(SPACE)
            self.at += 1
            if bare.startswith("#"):
                continue
            if not bare:
                empty.append(self.at)
                continue
            line, more = self.cut(line)
            pieces.append(line)
        return "".join(pieces), tuple(empty)

    def cut(self, line: str) -> tuple[str, bool]:
        match = self.continued.search(line) if self.escape in line else None
        return (line[: match.start()], True) if match else (line, False)

    def heredocs(self, node: Node, first: int) -> tuple[Heredoc, ...]:
        opener = node.child or node
        if opener.name not in FILES or opener.is_json:
            return ()
        return tuple(self.body(one, first) for one in heredoc.opened(node.text, lambda one: self.end(one) >= 0))

    def end(self, one: Heredoc) -> int:
        """The index of the line that ends it; -1 when there is none."""
        places = self.places(one.tabs_go).get(one.name, ())
        at = bisect_left(places, self.at)
        return places[at] if at < len(places) else -1

    def places(self, tabs_go: bool) -> dict[str, list[int]]:
        """Where each line stands; made once, so that many here-documents do not each search the file."""
        if tabs_go not in self.found:
            found: dict[str, list[int]] = {}
            for number, line in enumerate(self.source.lines):
                found.setdefault(line.lstrip("\t") if tabs_go else line, []).append(number)
            self.found[tabs_go] = found
        return self.found[tabs_go]

    def body(self, one: Heredoc, first: int) -> Heredoc:
        end = self.end(one)
        if end < 0:
            raise self.source.error(
                f"the here-document <<{one.name} has no end", first, self.at, word="<<",
                hint=f"write {one.name} alone in the line after its text",
            )  # fmt: skip
        content = "".join(f"{line}\n" for line in self.raw[self.at : end])
        self.at = end + 1
        return replace(one, content=content)


def read_line(text: str, escape: str = "\\") -> Node:
    """One logical line into name, flags and arguments; ValueError says what is wrong. Lines are not known here."""
    word, *rest = BLANKS.split(text.strip(SPACE), maxsplit=1)
    flags, tail = words.flags(rest[0]) if rest else ((), "")
    tail = tail.strip(SPACE)
    name = word.upper()
    node = Node(word, name, text, (0, 0), flags)
    if name == "ONBUILD":
        return replace(node, child=read_line(tail, escape)) if tail else node
    if name == "HEALTHCHECK":
        return _healthcheck(node, tail)
    if name in ("ENV", "LABEL"):
        pairs, legacy = words.pairs(tail, escape, name)
        return replace(node, args=tuple(part for pair in pairs for part in pair), is_legacy=legacy)
    if name in _LISTS or name in _COMMANDS:
        args = words.strings(tail)
        if args is not None:
            return replace(node, args=args, is_json=True)
    return replace(node, args=_arguments(name, tail, escape))


def _arguments(name: str, tail: str, escape: str) -> tuple[str, ...]:
    if not tail:
        return ()
    if name == "ARG":
        return tuple(words.words(tail, escape))
    return tuple(BLANKS.split(tail)) if name in _SPLIT or name in _LISTS else (tail,)


def _healthcheck(node: Node, tail: str) -> Node:
    kind, *rest = BLANKS.split(tail, maxsplit=1) if tail else [""]
    if not kind:
        return node
    args = words.strings(rest[0]) if rest else None
    return replace(node, args=(kind, *(rest if args is None else args)), is_json=args is not None)
