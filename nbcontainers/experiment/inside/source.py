"""The cell's source: compiled with its own line numbers, run, its last expression shown."""

from __future__ import annotations
import __future__

import _ast
from types import CodeType

TYPE_CHECKING = False  # typing's own import takes 3 ms
if TYPE_CHECKING:
    from typing import Any

    from .show import Show

_COROUTINE = 0x80  # inspect.CO_COROUTINE: the code awaits at its top level
_FUTURES = 0
for _name in __future__.all_feature_names:
    _FUTURES |= getattr(__future__, _name).compiler_flag
_TREE = _ast.PyCF_ONLY_AST | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def shifted(code: str, first_line: int) -> str:
    """The source at the lines it has in the notebook's cell, below the magic's own line."""
    return "\n" * (first_line - 1) + code


def execute(header: dict[str, Any], names: dict[str, Any], show: Show) -> None:
    """Run the cell in `names`; show its last expression unless a semicolon ends it."""
    text, file = shifted(header["code"], header["first_line"]), header["file"]
    try:
        body, last = split(text, file)
    except SyntaxError:
        if not has_magics(text):
            raise
        text = shifted(*_without_magics(header, show))
        body, last = split(text, file)
    with _Loop() as loop:
        loop.run(body, names)
        if last:
            value = loop.run(last, names)
            if not silenced(text):
                show.value(value)


def split(text: str, file: str) -> tuple[CodeType, CodeType | None]:
    """Everything but a last expression, and that expression."""
    tree = compile(text, file, "exec", _TREE, dont_inherit=True)
    assert isinstance(tree, _ast.Module)
    final = tree.body.pop() if tree.body and isinstance(tree.body[-1], _ast.Expr) else None
    body = compile(tree, file, "exec", _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if final is None:
        return body, None
    flags = (body.co_flags & _FUTURES) | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    expression = _ast.Expression(final.value)  # type: ignore[attr-defined]
    return body, compile(expression, file, "eval", flags, dont_inherit=True)


def silenced(text: str) -> bool:
    """Whether the last expression is followed by a semicolon."""
    if ";" not in text:
        return False
    tree = compile(text, "", "exec", _TREE, dont_inherit=True)
    last = tree.body[-1]
    lines = text.encode().split(b"\n")[last.end_lineno - 1 :]
    return b"\n".join(lines)[last.end_col_offset :].lstrip().startswith(b";")


def has_magics(text: str) -> bool:
    """Whether a line looks like IPython's own syntax, which plain Python refuses."""
    for line in text.splitlines():
        word = line.strip()
        if word.startswith(("%", "!", "?")) or (word.endswith("?") and not word.startswith("#")):
            return True
        if word.partition("=")[2].lstrip().startswith(("%", "!")):
            return True
    return False


def _without_magics(header: dict[str, Any], show: Show) -> tuple[str, int]:
    """IPython's translation of `%time f()` or `!ls`; it drops empty lines at the top, which are counted here."""
    code: str = header["code"]
    lines = code.splitlines(keepends=True)
    blank = next((count for count, line in enumerate(lines) if line.strip()), 0)
    shell = show.shell()
    return shell.transform_cell("".join(lines[blank:])), header["first_line"] + blank


class _Loop:
    """Runs code; one event loop serves every part of the cell that awaits, and is made only for them."""

    def __enter__(self) -> _Loop:
        self._runner: Any = None
        return self

    def run(self, code: CodeType, names: dict[str, Any]) -> Any:
        if not code.co_flags & _COROUTINE:
            return eval(code, names)
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        return self._runner.run(eval(code, names))

    def __exit__(self, *_: object) -> None:
        if self._runner:
            self._runner.close()
