"""Completion of our magics, by IPython's matcher API v2: verbs, options, names, tags, transports, host paths.

One matcher serves `%container …`, `x = %container …` and the first line of `%%container …`. It answers from the disk
of this machine alone, and keeps other matchers (which would offer Python's names) off our lines. See
IPython.core.completer, "Matchers".
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.completer import SimpleCompletion, context_matcher

from nbcontainers.cli import verbs
from nbcontainers.cli.parser import Parser
from nbcontainers.cli.signature import Parameter
from nbcontainers.errors import Error

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from nbcontainers.magics.magics import ObjectMagic

_STATEMENT = re.compile(r"\s*(?:[^=%\n]*=\s*)?(%%?)(\w+)\s+(.*)", re.DOTALL)
_RAW_WORD = re.compile(
    r"""(?: [^\s"'\\] | \\. | "(?:\\.|[^"\\])*("|$) | '[^']*('|$) | \\$ )+""", re.VERBOSE | re.DOTALL
)

Found = Iterable[tuple[str, str]]
"""Words and their types: what a front end shows beside a word is one, in a word."""


class Line(NamedTuple):
    """A line of ours up to the cursor: whole words before it, the raw text of the word at it."""

    magic: str
    cell: bool
    words: list[str]
    fragment: str


class Matcher:
    """Completes the lines of the given magics. `names` is the notebook's namespace."""

    def __init__(self, magics: dict[str, ObjectMagic], names: dict[str, Any]) -> None:
        self.magics = magics
        self.names = names

        @context_matcher(identifier="nbcontainers", priority=1000)  # type: ignore[untyped-decorator, unused-ignore]
        def matcher(context: CompletionContext) -> SimpleMatcherResult:
            return self.match(context)

        self.matcher = matcher

    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        line = line_at(context.full_text, context.cursor_line, context.cursor_position)
        magic = self.magics.get(line.magic) if line else None
        if line is None or magic is None:
            return self._body(context)
        quote, typed, prefix = _typed(line.fragment)
        try:
            found = list(self.candidates(magic, line, typed))
        except Error:  # an unknown verb, for one: nothing to offer
            found = []
        shown = [SimpleCompletion(_quoted(word, quote), type=kind) for word, kind in found]
        keep = [SimpleCompletion(line.fragment, type="")]  # an empty answer would not keep the others off
        return {"completions": shown or keep, "matched_fragment": prefix, "suppress": True, "ordered": True}

    def _body(self, context: CompletionContext) -> SimpleMatcherResult:
        """In the Dockerfile of a cell; nothing anywhere else."""
        if not context.full_text.lstrip().startswith("%%image"):
            return {"completions": []}
        from nbcontainers.magics import dockerfile

        here = dockerfile.at(context.full_text, context.cursor_line, context.cursor_position)
        if here is None:
            return {"completions": []}
        found = [SimpleCompletion(word, type=kind) for word, kind in dockerfile.candidates(here, _images, _paths)]
        keep = [SimpleCompletion(here.fragment, type="")]
        return {"completions": found or keep, "matched_fragment": here.fragment, "suppress": True, "ordered": True}

    def candidates(self, magic: ObjectMagic, line: Line, typed: str) -> Iterator[tuple[str, str]]:
        """What can stand at the cursor. `typed` is the word so far, its quotes removed."""
        if not line.words:
            yield from _starting(typed, ((name, "verb") for name in magic.verbs()))
            usual = verbs.with_usual(magic.object, [])
            found = _options(magic.parser(usual[0])) if usual else [("--help", "option")]
            yield from _starting(typed, found if typed.startswith("-") else [])
            return
        verb, *words = verbs.with_usual(magic.object, line.words)
        parser = magic.parser(verb, cell=line.cell)
        slot, options = parser.slot(words)
        flag, equals, value = typed.partition("=")
        if options and typed.startswith("-") and equals:
            known = parser.flags.get(flag)
            yield from self._values(known, value) if known else ()
        elif options and typed.startswith("-"):
            yield from _starting(typed, _options(parser))
        else:
            yield from self._values(slot, typed) if slot else ()
            yield from _options(parser) if options and not typed else ()

    def _values(self, parameter: Parameter, typed: str) -> Iterator[tuple[str, str]]:
        if parameter.choices:
            yield from _starting(typed, ((choice, "value") for choice in parameter.choices))
        elif parameter.complete == "path":
            yield from _paths(typed)
            yield from _starting(typed, _named("volume")) if parameter.name == "volume" else ()
        elif parameter.complete == "copy":
            yield from _starting(typed, ((f"{name}:", kind) for name, kind in _containers()))
            yield from _paths(typed)
        elif parameter.complete == "transport":
            yield from _of_transports(typed)
            yield from _starting(typed, _named("image"))
        elif parameter.complete == "variable":
            yield from self._variables(typed)
        elif parameter.complete in ("target", "workload"):
            before, comma, last = typed.rpartition(",")
            yield from ((f"{before}{comma}{name}", kind) for name, kind in _starting(last, _named(parameter.complete)))
        else:
            yield from _starting(typed, _named(parameter.complete))

    def _variables(self, typed: str) -> Iterator[tuple[str, str]]:
        """Names of the notebook; the last of a comma-separated list."""
        before, comma, last = typed.rpartition(",")
        for name in sorted(self.names):
            if name.startswith(last) and not name.startswith("_"):
                yield before + comma + name, type(self.names[name]).__name__


def line_at(text: str, row: int, column: int) -> Line | None:
    """Our line at the cursor, continued lines joined; None where the cursor is in no magic's line."""
    lines = text.split("\n")
    upto, first = lines[row][:column], row
    while first > 0 and lines[first - 1].endswith("\\"):
        first -= 1
        upto = f"{lines[first][:-1]} {upto}"
    match = _STATEMENT.fullmatch(upto)
    if not match or (match[1] == "%%" and any(line.strip() for line in lines[:first])):
        return None
    start = len(match[3])
    for word in _RAW_WORD.finditer(match[3]):
        start = word.start() if word.end() == len(match[3]) else start
    try:
        words = shlex.split(match[3][:start])
    except ValueError:
        return None
    return Line(match[2], match[1] == "%%", words, match[3][start:])


def _typed(fragment: str) -> tuple[str, str, str]:
    """The quote a word is in, the word so far without quotes, and the text completions are put in the place of."""
    if fragment[:1] in ("'", '"') and fragment[:1]:
        return fragment[0], fragment[1:], fragment[1:]
    typed = re.sub(r"\\(.)", r"\1", fragment)
    flag = re.match(r"--[\w-]+=", fragment)
    return "", typed, fragment[flag.end() :] if flag else fragment


def _quoted(word: str, quote: str) -> str:
    return word if quote else re.sub(r"([\s\"'\\;#])", r"\\\1", word)


def _starting(typed: str, found: Found) -> Iterator[tuple[str, str]]:
    return ((word, note) for word, note in found if word.startswith(typed))


def _options(parser: Parser) -> Iterator[tuple[str, str]]:
    """Every option once, under its long name."""
    return ((flag, "option") for flag in sorted(parser.flags) if flag.startswith("--"))


def _paths(typed: str) -> Iterator[tuple[str, str]]:
    """Paths of this machine up to the first colon, which ends SOURCE."""
    if ":" in typed:
        return
    folder, slash, name = typed.rpartition("/")
    try:
        entries = sorted(os.scandir(os.path.expanduser(folder + slash) or "."), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            ends = "/" if entry.is_dir() else ""
            yield f"{folder}{slash}{entry.name}{ends}", "folder" if ends else "file"


def _named(kind: str) -> Found:
    """What exists of a kind, by name."""
    return _KINDS[kind]() if kind in _KINDS else ()


def _containers() -> Found:
    return [(name, "container") for name in _folder("names")]


def _volumes() -> Found:
    return [(name, "volume") for name in _folder("volumes") if not name.startswith(".")]


def _networks() -> Found:
    return [(name, "network") for name in (*_folder("networks"), "none", "host") if not name.startswith(".")]


def _machines() -> Found:
    from nbcontainers.engine import default_engine
    from nbcontainers.vm import finding

    return [(one.name, "virtual machine") for one in finding.known(default_engine())]


def _folder(name: str) -> list[str]:
    from nbcontainers.engine import default_engine

    try:
        return sorted(os.listdir(default_engine().root / name))
    except OSError:
        return []


def _images() -> Found:
    from nbcontainers.engine import default_engine
    from nbcontainers.image import store

    return [(name, "image") for name in store.names(default_engine())]


def _repositories() -> Found:
    """Those that have an image here."""
    from nbcontainers.engine import default_engine
    from nbcontainers.image import remote

    return [(name, "repository") for name in remote.repositories(default_engine())]


def _registries() -> Found:
    return [(name, "registry") for name in dict.fromkeys(name.partition("/")[0] for name, _ in _repositories())]


def _targets() -> Found:
    """Of comparisons."""
    from nbcontainers.compare.target import names

    return [(name, "target") for name in names()]


def _workloads() -> Found:
    from nbcontainers.compare.workload import AXES

    return [(axis.name, "workload") for axis in AXES]


def _of_transports(typed: str) -> Iterator[tuple[str, str]]:
    """`oci:` and the others, and the paths behind them."""
    transport, colon, path = typed.partition(":")
    if colon and typed.startswith(_TRANSPORTS):
        yield from ((f"{transport}:{found}", kind) for found, kind in _paths(path))
    else:
        yield from _starting(typed, ((one, "transport") for one in _TRANSPORTS))


def _signals() -> Found:
    import signal

    return [(one.name.removeprefix("SIG"), "signal") for one in signal.Signals]


def _capabilities() -> Found:
    from nbcontainers.linux import capabilities

    return [("ALL", "capability"), *((name.removeprefix("CAP_"), "capability") for name in capabilities.NUMBERS)]


def _security_options() -> Found:
    words = ("no-new-privileges", "no-new-privileges=false", "seccomp=unconfined", "unmask=ALL")
    return [(word, "value") for word in words]


_TRANSPORTS = ("docker-archive:", "oci-archive:", "oci:")
_KINDS: dict[str, Callable[[], Found]] = {
    "container": _containers,
    "machine": _machines,
    "image": _images,
    "repository": _repositories,
    "registry": _registries,
    "volume": _volumes,
    "network": _networks,
    "signal": _signals,
    "capability": _capabilities,
    "security-opt": _security_options,
    "target": _targets,
    "workload": _workloads,
}
