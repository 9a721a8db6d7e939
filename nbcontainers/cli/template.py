"""`--format`: a part of Go's templates, for scripts written for Docker.

    {{.ID}} {{.Config.Env}} {{json .}} {{json .Size}} {{range .Mounts}}{{.Source}} {{end}} {{if .Labels}}…{{else}}…{{end}}
    {{with .State}}{{.Pid}}{{end}} {{index .Config.Labels "key"}} {{join .Args " "}} {{len .Layers}} {{.Name | upper}}
    table {{.ID}}\t{{.Names}}

Functions: json join split upper lower title len index eq ne not and or print println truncate. No variables, no
comments. A row of a table has its columns by Docker's name, by its title and by its key, and shows them as the table
does; a document (inspect) has its own keys. What there is not is an error, not an empty text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nbcontainers.errors import InvalidArgument
from nbcontainers.table import Column, Row, Table, pad, text, width

_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_WORD = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|`[^`]*`|[|()]|[^\s|()"`]+)""")
_FIRST = re.compile(r"(if|range|with|end|else)(?![a-z])")
"""The word a branch begins with; the next one may follow without a space, as in `range.Mounts`."""
_DOCKER = {
    "createdsince": "created", "runningfor": "created", "names": "name", "imageid": "id", "containerid": "id",
    "networkid": "id", "volumename": "name", "cpuperc": "cpu", "memperc": "memory_part",
}  # fmt: skip
_PAIRS = {
    "memusage": ("memory", "memory_limit"), "netio": ("net_received", "net_sent"),
    "blockio": ("io_read_bytes", "io_write_bytes"),
}  # fmt: skip
"""Two of our columns that are one field of Docker's, with a stroke between them."""
_SPELLED = {"id": "ID", "pid": "PID", "ipam": "IPAM", "ipv4": "IPv4", "ipv6": "IPv6"}

Node = tuple[str, Any, list["Node"], list["Node"]]
"""kind (text, value, if, range, with), its text or words, what is inside, what is inside its else."""


def render(result: Any, template: str) -> str:
    """The lines for a verb's result: one a row, one a document, one a text."""
    try:
        return _rendered(result, template)
    except RecursionError:
        raise _bad("too many brackets or blocks stand in each other") from None


def _rendered(result: Any, template: str) -> str:
    header, nodes = template.startswith("table"), _parse(template.removeprefix("table").strip(" "))
    if isinstance(result, Table):
        lines = [_expand(nodes, Fields(row, result.columns)) for row in result]
        head = [_expand(nodes, Heads({}, result.columns))] if header else []
        return _aligned(head + lines) if header else "\n".join(lines)
    many = result if isinstance(result, (list, tuple)) else [result]
    return "\n".join(_expand(nodes, one if isinstance(one, (dict, str)) else str(one)) for one in many)


class Fields(Mapping[str, Any]):
    """A row by field names as Docker has them (`CreatedSince`), by title or by key, as the table shows it."""

    def __init__(self, row: Row, columns: Sequence[Column]) -> None:
        self.row = row
        self.columns = {column.name: column for column in columns}
        names = {_plain(name): name for name in row}
        titles = {_plain(column.heading): column.name for column in columns}
        self.names = titles | {_plain(name): name for name in self.columns} | names

    def __getitem__(self, field: str) -> Any:
        wanted = _plain(field)
        if wanted == "createdat" and wanted not in self.names and "created" in self.row:
            return text(self.row["created"])
        if pair := _PAIRS.get(wanted):
            return " / ".join(self.show(name) or "--" for name in pair if name in self.columns or name in self.row)
        return self.show(self.names[wanted if wanted in self.names else _DOCKER.get(wanted, wanted)])

    def show(self, name: str) -> str:
        return self.columns[name].show(self.row) if name in self.columns else text(self.row.get(name))

    def __iter__(self) -> Iterator[str]:
        several = {name for name, one in self.columns.items() if one.heading == f"{name.upper()}S"}  # as Docker: Names
        return (_camel(f"{name}s" if name in several else name) for name in dict.fromkeys([*self.columns, *self.row]))

    def __len__(self) -> int:
        return len({*self.columns, *self.row})


class Heads(Fields):
    """The titles instead of values."""

    def __getitem__(self, field: str) -> str:
        wanted = _plain(field)
        name = self.names.get(wanted) or self.names.get(_DOCKER.get(wanted, ""))
        return self.columns[name].heading if name else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", field).upper()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("%", "perc"))


def _camel(name: str) -> str:
    return "".join(_SPELLED.get(part, part.capitalize()) for part in name.split("_"))


def _aligned(lines: list[str]) -> str:
    cells = [line.split("\t") for line in lines]
    count = max(map(len, cells))
    widths = [max(width(row[at]) for row in cells if at < len(row)) for at in range(count)]
    return "\n".join("   ".join(map(pad, row, widths)).rstrip() for row in cells)


# The template's form.


def _parse(template: str) -> list[Node]:
    """Nodes of the whole template; `\\t` and `\\n` outside of actions are those characters."""
    pieces: list[tuple[str, str]] = []
    at, trim = 0, False
    for match in _ACTION.finditer(template):
        plain = template[at : match.start()]
        plain = plain.lstrip() if trim else plain
        pieces += [("text", plain.rstrip() if match[1] else plain), ("do", match[2].strip())]
        at, trim = match.end(), bool(match[3])
    pieces.append(("text", template[at:].lstrip() if trim else template[at:]))
    if "{{" in "".join(plain for kind, plain in pieces if kind == "text"):
        raise _bad("{{ without }}")
    left = iter([piece for piece in pieces if piece != ("text", "")])
    nodes, end = _block(left)
    if end:
        raise _bad(f"{{{{{end}}}}} without a beginning")
    return nodes


def _block(pieces: Iterator[tuple[str, str]]) -> tuple[list[Node], str]:
    """Nodes up to `end`, `else` or the end of all, and which of them it was."""
    nodes: list[Node] = []
    for kind, content in pieces:
        first = _FIRST.match(content)
        word = first[0] if first else ""
        if kind == "text":
            nodes.append(("text", content.replace("\\t", "\t").replace("\\n", "\n"), [], []))
        elif word in ("end", "else"):
            return nodes, content
        elif word in ("if", "range", "with"):
            nodes.append(_branch(word, content.removeprefix(word), pieces))
        else:
            nodes.append(("value", _words(content), [], []))
    return nodes, ""


def _branch(word: str, condition: str, pieces: Iterator[tuple[str, str]]) -> Node:
    inner, end = _block(pieces)
    other: list[Node] = []
    if end.startswith("else if"):
        return word, _words(condition), inner, [_branch("if", end[7:], pieces)]
    if end == "else":
        other, end = _block(pieces)
    if end != "end":
        raise _bad(f"{{{{{word}}}}} without {{{{end}}}}")
    return word, _words(condition), inner, other


def _words(content: str) -> list[str]:
    words = [match[1] for match in _WORD.finditer(content)]
    if not words:
        raise _bad("nothing between {{ and }}")
    return words


# What it gives.


def _expand(nodes: list[Node], dot: Any) -> str:
    found = []
    for kind, content, inner, other in nodes:
        if kind == "text":
            found.append(content)
            continue
        value = _pipe(list(content), dot)
        if kind == "value":
            found.append(_go(value))
        elif not value:
            found.append(_expand(other, dot))
        elif kind == "range":
            found += [_expand(inner, item) for item in _items(value)]
        else:
            found.append(_expand(inner, value if kind == "with" else dot))
    return "".join(found)


def _items(value: Any) -> list[Any]:
    return [value[key] for key in sorted(value)] if isinstance(value, Mapping) else list(value)


def _pipe(words: list[str], dot: Any, closing: str = "") -> Any:
    """`COMMAND | COMMAND`: each gets what the one before gave as its last argument. Takes the words it reads."""
    value: list[Any] = []
    while True:
        command: list[Any] = []
        while words and words[0] not in ("|", ")"):
            command.append(_operand(words, dot, first=not command))
        value = [_call(command + value)]
        if words and words[0] == "|":
            words.pop(0)
            continue
        if (words.pop(0) if words else "") != closing:
            raise _bad("a bracket has no other")
        return value[0]


def _operand(words: list[str], dot: Any, *, first: bool) -> Any:
    word = words.pop(0)
    if word == "(":
        return _pipe(words, dot, ")")
    if word[0] in '"`':
        return _text(word)
    if word[0] == ".":
        return _field(dot, word)
    if re.fullmatch(r"-?\d+", word):
        return int(word)
    if word in ("true", "false"):
        return word == "true"
    if first and word in _FUNCTIONS:
        return _FUNCTIONS[word]
    raise _bad(f"{word} is not known", f"functions are {', '.join(sorted(_FUNCTIONS))}")


def _text(word: str) -> str:
    """A text in quotes: Go's escapes are nearly JSON's."""
    try:
        return str(json.loads(word)) if word[0] == '"' else word[1:-1]
    except ValueError:
        raise _bad(f"{word} has an escape that is not known") from None


def _call(command: list[Any]) -> Any:
    if not command:
        raise _bad("nothing to show")
    if not callable(command[0]):
        if len(command) > 1:
            raise _bad("a value is no function")
        return command[0]
    try:
        return command[0](*command[1:])
    except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
        raise _bad(f"a function cannot use what it is given: {error}") from None


def _field(dot: Any, path: str) -> Any:
    """`.A.B`; `.` alone is the whole."""
    for name in filter(None, path.split(".")):
        if not isinstance(dot, Mapping):
            raise _bad(f"{path}: what {name} is looked for in has no fields")
        try:
            dot = dot[name]
        except KeyError:
            some = ", ".join(f".{one}" for one in dot) or "none"
            raise _bad(f"there is no .{name}", f"fields are {some}") from None
    return dot


def _go(value: Any) -> str:
    """As Go prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "<no value>"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_go(value[key])}' for key in sorted(value))}]"
    return f"[{' '.join(map(_go, value))}]" if isinstance(value, (list, tuple)) else str(value)


def _json(value: Any) -> str:
    return json.dumps(dict(value) if isinstance(value, Fields) else value, ensure_ascii=False, default=str)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": _json, "len": len, "not": lambda value: not value,
    "upper": lambda value: _go(value).upper(), "lower": lambda value: _go(value).lower(),
    "title": lambda value: _go(value).title(), "split": lambda value, by: value.split(by),
    "join": lambda values, by: by.join(map(_go, values)), "eq": lambda one, *others: one in others,
    "ne": lambda one, other: one != other, "index": lambda value, *keys: _index(value, keys),
    "and": lambda *values: next((one for one in values if not one), values[-1]),
    "or": lambda *values: next(filter(None, values), values[-1]),
    "print": lambda *values: "".join(map(_go, values)), "println": lambda *values: " ".join(map(_go, values)) + "\n",
    "truncate": lambda value, length: _go(value)[:length],
}  # fmt: skip


def _index(value: Any, keys: Sequence[Any]) -> Any:
    """A list's item, a mapping's value; a key that is not there gives nothing, as in Go."""
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) else value[key]
    return value


def _bad(what: str, hint: str = "") -> InvalidArgument:
    return InvalidArgument(f"--format: {what}", hint=hint or "write as --format '{{.ID}} {{.Name}}', table or json")
