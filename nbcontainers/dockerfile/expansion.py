"""Words as the builder reads them: quotes and escapes taken away, `$variables` put in.

Dockerfile reference, «Environment replacement». Forms: `$v`, `${v}`, `${v:-w}` `${v-w}` `${v:+w}` `${v+w}` `${v:?e}`
`${v?e}`, `${v#p}` `${v##p}` `${v%p}` `${v%%p}`, `${v/p/r}` `${v//p/r}`; anything else after `${v` is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from nbcontainers.dockerfile import pattern
from nbcontainers.dockerfile.words import SPACE

LARGEST = 16 * 2**20
_SPACES = re.compile(f"[{SPACE}]+")
_NAME = re.compile(r"\d+|[^\W\d]\w*|[@*#?\-$!]")
DEEPEST = 100


class Mode(NamedTuple):
    """What expansion leaves as it is; COPY's here-documents and the search for `<<EOF` need it."""

    keep_quotes: bool = False
    keep_escapes: bool = False
    keep_unset: bool = False
    quotes_are_text: bool = False


@dataclass(frozen=True)
class Expanded:
    """The text; its words (split at spaces outside quotes); the names asked for, and those that nobody set."""

    text: str
    words: tuple[str, ...] = ()
    matched: frozenset[str] = frozenset()
    unmatched: frozenset[str] = frozenset()


def expand(text: str, variables: Mapping[str, str], escape: str = "\\", mode: Mode = Mode()) -> Expanded:
    """Expand `text`. ValueError says what is wrong with it, or `NAME: message` for `${NAME:?message}`."""
    if not _special(escape).search(text):
        return Expanded(text, tuple(word for word in _SPACES.split(text) if word))
    reader = _Reader(text, variables, escape, mode)
    result, words = reader.until("")
    return Expanded(result, tuple(words), frozenset(reader.matched), frozenset(reader.unmatched))


@lru_cache(8)
def _special(stops: str) -> re.Pattern[str]:
    return re.compile(rf"[{re.escape(stops)}$'\"]")


class _Words:
    """Text put together, and the same cut into words where it is not quoted."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.words: list[str] = []
        self._word: list[str] = []

    def add(self, text: str, quoted: bool = False) -> None:
        self.text.append(text)
        first, *rest = [text] if quoted else _SPACES.split(text)
        self._word.append(first)
        for piece in rest:
            self.end()
            self._word.append(piece)

    def end(self) -> None:
        word = "".join(self._word)
        if word:
            self.words.append(word)
        self._word.clear()


class _Reader:
    """One pass over a text."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str, mode: Mode) -> None:
        self.source = text
        self.at = 0
        self.variables = variables
        self.escape = escape
        self.mode = mode
        self.matched: set[str] = set()
        self.unmatched: set[str] = set()
        self.size = 0
        self.depth = 0

    def peek(self) -> str:
        return self.source[self.at : self.at + 1]

    def next(self) -> str:
        char = self.source[self.at : self.at + 1]
        self.at += 1
        return char

    def until(self, stop: str, raw: bool | None = None) -> tuple[str, list[str]]:
        """Text and words up to `stop`, which is passed over; '' is the end. `raw` keeps escapes, also further inside."""
        before = self.mode
        self.mode = before if raw is None else before._replace(keep_escapes=raw)
        plain = re.compile(rf"[^{re.escape(stop + self.escape)}$'\"]+")
        found = _Words()
        while char := self.peek():
            if char == stop:
                self.at += 1
                found.end()
                self.mode = before
                return "".join(found.text), found.words
            run = plain.match(self.source, self.at)
            if run:
                self.at = run.end()
                found.add(run[0])
            else:
                self.piece(char, found)
        if stop:
            raise _Unclosed(f"there is no {stop} to end it")
        found.end()
        self.mode = before
        return "".join(found.text), found.words

    def piece(self, char: str, found: _Words) -> None:
        """What a character with a meaning begins."""
        if char == "$":
            found.add(self.variable())
        elif char == self.escape:
            self.at += 1
            kept = char if self.mode.keep_escapes else ""
            if kept or self.peek():
                found.add(kept + self.next(), quoted=True)
        elif self.mode.quotes_are_text:
            found.add(self.next())
        else:
            found.add(self.single() if char == "'" else self.double(), quoted=True)

    def single(self) -> str:
        end = self.source.find("'", self.at + 1)
        if end < 0:
            raise ValueError("there is no ' to end the quoted text")
        inner = self.source[self.at + 1 : end]
        self.at = end + 1
        return f"'{inner}'" if self.mode.keep_quotes else inner

    def double(self) -> str:
        quote = '"' if self.mode.keep_quotes else ""
        out = [quote]
        self.at += 1
        while char := self.peek():
            if char == '"':
                self.at += 1
                return "".join(out) + quote
            if char == "$":
                out.append(self.variable())
                continue
            self.at += 1
            if char == self.escape:
                out.append(char if self.mode.keep_escapes else "")
                after = self.peek()
                if not after:
                    break
                if after in ('"', "$", self.escape):
                    char = self.next()
            out.append(char)
        raise ValueError('there is no " to end the quoted text')

    def variable(self) -> str:
        """What begins with the `$` here."""
        self.at += 1
        if self.peek() == "{":
            self.depth += 1
            if self.depth > DEEPEST:
                raise ValueError(f"more than {DEEPEST} substitutions inside each other")
            self.at += 1
            value = self.braced()
            self.depth -= 1
            return self.counted(value)
        name = self.name()
        if not name:
            return "$"
        value_or_none = self.value(name)
        if value_or_none is None:
            return f"${name}" if self.mode.keep_unset else ""
        return self.counted(value_or_none)

    def counted(self, value: str) -> str:
        self.size += len(value)
        if self.size > LARGEST:
            raise ValueError(f"it expands to more than {LARGEST >> 20} MiB")
        return value

    def name(self) -> str:
        found = _NAME.match(self.source, self.at)
        self.at = found.end() if found else self.at
        return found[0] if found else ""

    def value(self, name: str) -> str | None:
        value = self.variables.get(name)
        (self.unmatched if value is None else self.matched).add(name)
        return value

    def braced(self) -> str:
        """What stands after `${`."""
        if not self.peek():
            raise ValueError("there is no } to end ${")
        name = "" if self.peek() in "{}:" else self.name()
        if not name and self.peek() in ("{", "}", ":"):
            raise ValueError("bad substitution: after ${ comes a name, as in ${NAME} or ${NAME:-default}")
        sign = self.next()
        if sign == "}":
            value = self.value(name)
            return ("${" + name + "}" if self.mode.keep_unset else "") if value is None else value
        if sign == "/":
            return self.replaced(name)
        colon = sign == ":"
        sign = self.next() if colon else sign
        if not sign:
            raise ValueError("there is no } to end ${" + name)
        if sign not in "+-?#%" or (colon and sign in "#%"):
            raise ValueError(f"unsupported modifier {':' if colon else ''}{sign} in ${{{name}…}}: {_MODIFIERS}")
        word = self.word("}", raw=sign in "#%", name=name)
        return self.modified(name, colon, sign, word)

    def word(self, stop: str, raw: bool, name: str) -> str:
        try:
            return self.until(stop, raw)[0]
        except _Unclosed:
            raise ValueError(f"there is no {stop} to end ${{{name}") from None

    def modified(self, name: str, colon: bool, sign: str, word: str) -> str:
        value = self.variables.get(name) if sign in "+-?" else self.value(name)
        if value is None and self.mode.keep_unset:
            return f"${{{name}{':' if colon else ''}{sign}{word}}}"
        if value is not None:
            self.matched.add(name)
        there = value is not None and not (colon and not value)
        if sign == "-":
            return value or "" if there else word
        if sign == "+":
            return word if there else ""
        if sign == "?":
            if not there:
                state = "unset" if value is None else "empty"
                raise ValueError(f"{name}: {word or f'is not allowed to be {state}'}")
            return value or ""
        longest = word.startswith(sign)
        parts = pattern.shell_parts(word[1:] if longest else word)
        return pattern.trim(parts, value or "", prefix=sign == "#", longest=longest)

    def replaced(self, name: str) -> str:
        all = self.peek() == "/"
        self.at += all
        what = self.word("/", raw=True, name=name)
        replacement = self.word("}", raw=True, name=name)
        value = self.value(name)
        if value is None and self.mode.keep_unset:
            return f"${{{name}/{what}/{replacement}}}"
        return pattern.replace(pattern.shell_parts(what), value or "", replacement, all=all)


_MODIFIERS = "known are :- - :+ + :? ? # ## % %% / //"


class _Unclosed(ValueError):
    """The end of the text came before the end of a substitution."""
