"""From a verb's signature to the parameters a line may carry.

`Annotated[type, Option(…)]` (also inside the TypedDict of `**options: Unpack[…]`) is an option,
`Annotated[type, Argument(…)]` and every other positional text or path is an argument, a bare `*words` takes what
remains. Any other parameter without an annotation of ours (a callback, an engine) is Python's alone.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from nbcontainers.option import Argument, Option

FLAG, VALUE, LIST, MAPPING, ARGUMENT, REST = "flag", "value", "list", "mapping", "argument", "rest"


@dataclass(frozen=True)
class Parameter:
    """One option or argument. `kind` says how many words it takes; `convert` makes one word its value."""

    name: str
    kind: str
    flags: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    metavar: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    complete: str = ""
    required: bool = False
    convert: Callable[[str], Any] = str

    @property
    def long(self) -> str:
        """The flag that names it in messages."""
        return next((flag for flag in self.flags if flag.startswith("--")), (self.flags or self.off)[0])

    @property
    def positional(self) -> bool:
        return self.kind in (ARGUMENT, REST)


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """What a line for `function` may carry: arguments in their order, options in theirs."""
    found: list[Parameter] = []
    for one in inspect.signature(function).parameters.values():
        hint = _hint(function, one.annotation)
        if one.kind is one.VAR_KEYWORD:
            found += _of_typed_dict(hint)
        else:
            found += _of_parameter(one, hint)
    return found


def _hint(function: Callable[..., Any], annotation: Any) -> Any:
    """An annotation as a type. One that names what only a type checker imports is nobody's on a line: None."""
    if annotation is inspect.Parameter.empty:
        return str
    try:
        holder = types.SimpleNamespace(__annotations__={"it": annotation})
        return typing.get_type_hints(holder, function.__globals__, include_extras=True)["it"]
    except NameError:
        return types.NoneType


def _of_parameter(one: inspect.Parameter, hint: Any) -> Iterator[Parameter]:
    plain, note = _note(hint)
    if isinstance(note, Option):
        yield _option(one.name, plain, note, one.default)
    elif one.kind is one.VAR_POSITIONAL:
        yield _argument(one.name, REST, plain, note, required=False)
    elif isinstance(note, Argument) or (one.kind is not one.KEYWORD_ONLY and {str, Path} & {*_members(plain)}):
        yield _argument(one.name, ARGUMENT, plain, note, required=one.default is one.empty)


def _of_typed_dict(hint: Any) -> Iterator[Parameter]:
    """The keys of `Unpack[Options]`; a key without an Option is Python's alone."""
    table = (typing.get_args(hint) or (hint,))[0]
    if not typing.is_typeddict(table):
        return
    for name, annotation in typing.get_type_hints(table, include_extras=True).items():
        plain, note = _note(annotation)
        if isinstance(note, Option):
            yield _option(name, plain, note, inspect.Parameter.empty)


def _note(hint: Any) -> tuple[Any, Option | Argument | None]:
    """The type and our annotation of it, through `NotRequired` and the like."""
    if typing.get_origin(hint) in (typing.Required, typing.NotRequired):
        return _note(typing.get_args(hint)[0])
    if typing.get_origin(hint) is not Annotated:
        return hint, None
    plain, *notes = typing.get_args(hint)
    return plain, next((note for note in notes if isinstance(note, (Option, Argument))), None)


def _argument(name: str, kind: str, hint: Any, note: Option | Argument | None, *, required: bool) -> Parameter:
    note = note if isinstance(note, Argument) else Argument(name.strip("_").replace("_", "-").upper())
    base = _members(hint)[0]
    return Parameter(
        name, kind, metavar=note.metavar, help=note.help, complete=note.complete,
        required=required, convert=Path if base is Path else str,
    )  # fmt: skip


def _option(name: str, hint: Any, note: Option, default: Any) -> Parameter:
    """`raise_error=True`, or a declared `--no-raise-error`, gives the flag that says no."""
    word = name.strip("_").replace("_", "-")
    kind, convert, choices = _form(hint)
    off = tuple(flag for flag in note.flags if flag.startswith("--no-") and kind == FLAG)
    if default is True:
        off = off or (f"--no-{word}",)
    own = () if off else (f"--{word}",)
    flags = tuple(dict.fromkeys((*own, *(flag for flag in note.flags if flag not in off))))
    choices = note.choices or choices
    metavar = note.metavar or ("|".join(choices) if 0 < len(choices) < 4 else _metavar(kind, convert))
    return Parameter(
        name, kind, flags, off, metavar, note.help, choices, note.complete, convert=note.parse or convert
    )  # fmt: skip


def _form(hint: Any) -> tuple[str, Callable[[str], Any], tuple[str, ...]]:
    """How a type is written on a line: the kind, how one word is converted, the words allowed."""
    members = _members(hint)
    for member in members:
        origin, inner = typing.get_origin(member) or member, typing.get_args(member)
        if origin in (list, tuple, Sequence) and str not in members:  # `str | list[str]` is one text on a line
            return LIST, _form(inner[0])[1] if inner else str, ()
        if origin is Literal:
            return VALUE, str, tuple(str(choice) for choice in inner)
    if any((typing.get_origin(member) or member) is dict for member in members):
        return MAPPING, str, ()
    if members == [bool]:
        return FLAG, str, ()
    simple = (str, Path, int, float)
    return VALUE, next((kind for kind in simple if kind in members), str), ()


def _members(hint: Any) -> list[Any]:
    """The types of a union, None left out."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [member for member in typing.get_args(hint) if member is not types.NoneType]
    return [hint]


def _metavar(kind: str, convert: Callable[[str], Any]) -> str:
    if kind == FLAG:
        return ""
    names: dict[Any, str] = {int: "N", float: "NUMBER", Path: "PATH"}
    return "KEY=VALUE" if kind == MAPPING else names.get(convert, "VALUE")
