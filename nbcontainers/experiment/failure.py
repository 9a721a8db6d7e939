"""What a cell raises in the notebook when its code failed in the container.

The exception keeps its type's name and its message, is an instance of the built-in (or importable) type it was, and
shows the cell's own lines in IPython's form; it is a ContainerFailed too, with the exit code and the run's usage.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from typing import Any

from nbcontainers.errors import ContainerFailed

_WIDTH = 75
_AROUND = 2
_RED, _GREEN, _CYAN, _OFF = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[39m"
#: IPython shows these in a form of its own, from attributes that only a real one has.
_NEVER_BASES = (SyntaxError, BaseExceptionGroup, SystemExit, GeneratorExit)


class CellFailed(ContainerFailed):
    """Code in a container raised. `lines` are its traceback; details: `exit_code`, `id`, `error` (as data)."""

    lines: tuple[str, ...] = ()

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        Exception.__init__(self, message)  # not super(): a foreign base may want other arguments
        self.message, self.hint, self.details = message, hint, details

    def __init_subclass__(cls) -> None:
        """Classes made for one failure are not kinds of ours."""

    def _render_traceback_(self) -> list[str]:
        if not self.lines:
            return super()._render_traceback_()
        return [*self.lines, *([f"hint: {self.hint}"] if self.hint else [])]

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "error": "CellFailed"}


#: For a container that ended without telling where it was.
INTERRUPTED: dict[str, Any] = {
    "chain": [{"type": "KeyboardInterrupt", "bases": ["builtins:KeyboardInterrupt"], "message": ""}]
}


def raised(description: dict[str, Any], *, first_line: int, hint: str, details: dict[str, Any]) -> CellFailed:
    """The exception for what `inside.explain` described."""
    chain = [link for link in description.get("chain", ()) if isinstance(link, dict)] or [{}]
    last = chain[0]
    message = str(last.get("message", ""))
    if (syntax := last.get("syntax")) and isinstance(syntax, dict):
        message += f" ({syntax.get('file')}, line {syntax.get('line')})"
    error = _type(last)(message, hint=hint, error=description, **details)
    error.lines = tuple(render(chain, first_line, _colours()))
    for note in last.get("notes", ()):
        error.add_note(str(note))
    return error


def _type(link: dict[str, Any]) -> type[CellFailed]:
    """A class of the same name, derived from the nearest base that exists here and can be one."""
    name = str(link.get("type", "Exception")).rpartition(".")[2] or "Exception"
    for place in link.get("bases", ()):
        module, _, base = str(place).partition(":")
        found = getattr(sys.modules.get(module), base, None) if module != "__main__" else None
        if not (isinstance(found, type) and issubclass(found, BaseException)) or issubclass(found, _NEVER_BASES):
            continue
        try:
            return type(name, (CellFailed, found), {"__module__": str(link.get("module", ""))})
        except TypeError:  # layouts that cannot be joined, or a class that wants keywords
            continue
    return type(name, (CellFailed,), {"__module__": str(link.get("module", ""))})


def _colours() -> bool:
    """Whether the notebook's shell colours its own tracebacks."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and str(getattr(shell, "colors", "")).lower() != "nocolor"


def render(chain: list[dict[str, Any]], first_line: int, colours: bool = False) -> Iterator[str]:
    """Lines as IPython's own traceback has them; frames of libraries take one line of source each."""
    paint = _Paint(colours)
    if "syntax" not in chain[0]:
        yield paint.red("-" * _WIDTH)
    for index, link in reversed(list(enumerate(chain))):
        yield from _link(link, first_line, paint)
        if index:
            direct = chain[index - 1].get("direct")
            yield ""
            yield (
                "The above exception was the direct cause of the following exception:"
                if direct
                else "During handling of the above exception, another exception occurred:"
            )
            yield ""


def _link(link: dict[str, Any], first_line: int, paint: _Paint) -> Iterator[str]:
    name = str(link.get("type"))
    frames = link.get("frames") or []
    if group := link.get("group"):
        yield from map(str, group)
        return
    if frames:
        yield paint.red(name) + "Traceback (most recent call last)".rjust(_WIDTH - len(name))
    for frame in map(_with_source, frames):
        yield from _frame(frame, first_line, paint)
        yield ""
    if syntax := link.get("syntax"):
        yield from _syntax(syntax, paint)
    yield f"{paint.red(name)}: {link.get('message', '')}"
    yield from map(str, link.get("notes", ()))


def _frame(frame: dict[str, Any], first_line: int, paint: _Paint) -> Iterator[str]:
    if frame.get("omitted"):
        yield f"[... {frame['omitted']} frames left out]"
        yield ""
    line, function = frame.get("line", 0), frame.get("function", "")
    where = "" if function == "<module>" else f", in {paint.cyan(function)}"
    cell = _is_cell(str(frame.get("file")))
    at = f", line {line}" if cell else f":{line}"
    place = frame.get("file") if cell else f"File {frame.get('file')}"
    yield f"{paint.cyan(str(place))}{paint.green(at)}{where}"
    around = _AROUND if cell else 0
    for number, text in frame.get("source", ()):
        if (first_line <= number and abs(number - line) <= around) or number == line:
            yield _source(number, text, number == line, paint)
    if frame.get("repeated"):
        yield f"[... the same frame {frame['repeated']} times more]"


def _with_source(frame: dict[str, Any]) -> dict[str, Any]:
    """A frame of a function that was passed in: its file may be here only, as a cell of the notebook is."""
    if frame.get("source"):
        return frame
    file, line = str(frame.get("file")), int(frame.get("line") or 0)
    text = linecache.getline(file, line).rstrip("\n")
    return {**frame, "file": _cell_name(file), "source": [(line, text)] if text else []}


def _cell_name(file: str) -> str:
    """`Cell In[3]` for the file IPython made of that cell."""
    if "IPython" in sys.modules:
        from IPython import get_ipython

        compiler = getattr(get_ipython(), "compile", None)
        if compiler is not None and (name := compiler.format_code_name(file)):
            return " ".join(name)
    return file


def _source(number: int, text: str, here: bool, paint: _Paint) -> str:
    if here:
        return f"{paint.green(f'> {number}'.rjust(7, '-'))} {text}"
    return f"{paint.green(str(number).rjust(7))} {text}"


def _syntax(syntax: dict[str, Any], paint: _Paint) -> Iterator[str]:
    """The line and a caret below the place, both without the line's indentation, as Python has it."""
    file, line, text = str(syntax.get("file")), syntax.get("line"), str(syntax.get("text", ""))
    place = f"{file}, line {line}" if _is_cell(file) else f"File {file}:{line}"
    stripped = text.lstrip()
    column = max(0, int(syntax.get("column") or 0) - 1 - (len(text) - len(stripped)))
    width = max(1, int(syntax.get("end") or 0) - int(syntax.get("column") or 0))
    yield f"  {paint.cyan(place)}"
    yield f"    {stripped}"
    if syntax.get("column"):
        yield "    " + " " * column + "^" * min(width, max(1, len(stripped) - column))


def _is_cell(file: str) -> bool:
    return file.startswith(("Cell In[", "<cell", "<call"))


class _Paint:
    def __init__(self, colours: bool) -> None:
        self._colours = colours

    def red(self, text: str) -> str:
        return f"{_RED}{text}{_OFF}" if self._colours else text

    def green(self, text: str) -> str:
        return f"{_GREEN}{text}{_OFF}" if self._colours else text

    def cyan(self, text: str) -> str:
        return f"{_CYAN}{text}{_OFF}" if self._colours else text
