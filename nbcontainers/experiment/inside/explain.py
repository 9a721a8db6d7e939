"""An exception as data: its type, message and notes, the frames from the cell's first on with their source lines,
and the exceptions it came from. Everything is bounded; the notebook's side gives it its form."""

from __future__ import annotations

import linecache
from types import TracebackType

TYPE_CHECKING = False  # typing's own import takes 3 ms
if TYPE_CHECKING:
    from typing import Any

MOST_FRAMES = 60
LONGEST_MESSAGE = 20_000
CONTEXT = 4
_OWN = __name__.rpartition(".")[0]


def describe(error: BaseException, file: str) -> dict[str, Any]:
    """The exception and its chain; `file` is the cell's name."""
    chain: list[dict[str, Any]] = []
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen and len(chain) < 10:
        seen.add(id(step))
        cause = (
            step.__cause__ if step.__cause__ is not None else None if step.__suppress_context__ else step.__context__
        )
        chain.append({**_one(step, file), "direct": step.__cause__ is not None})
        step = cause
    return {"chain": chain}


def _one(error: BaseException, file: str) -> dict[str, Any]:
    kind = type(error)
    notes = getattr(error, "__notes__", None)
    described: dict[str, Any] = {
        "type": kind.__qualname__,
        "module": kind.__module__,
        "bases": [f"{base.__module__}:{base.__qualname__}" for base in kind.__mro__[:-1]],
        "message": _message(error),
        "notes": [str(note)[:LONGEST_MESSAGE] for note in notes] if isinstance(notes, (list, tuple)) else [],
        "frames": frames(error.__traceback__, file),
    }
    if isinstance(error, SyntaxError) and error.filename:
        described["syntax"] = _syntax(error)
    if isinstance(error, OSError) and isinstance(error.filename, str):
        described["path"] = error.filename
    if isinstance(error, BaseExceptionGroup):
        described["group"] = _group(error)
    if isinstance(error, ImportError):
        described["missing"] = error.name
    return described


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return str(error.msg)
    try:
        return str(error)[:LONGEST_MESSAGE]
    except Exception as failed:  # noqa: BLE001 (the cell's own __str__)
        return f"<its message raised {type(failed).__name__}>"


def _syntax(error: SyntaxError) -> dict[str, Any]:
    """Where, and the columns of the caret; the line from the cell where it is the cell's."""
    text = error.text or linecache.getline(str(error.filename), error.lineno or 0)
    return {
        "file": error.filename,
        "line": error.lineno,
        "text": text.rstrip("\n")[:1000],
        "column": error.offset or 0,
        "end": (error.end_offset or 0) if error.end_lineno == error.lineno else 0,
    }


def _group(error: BaseException) -> list[str]:
    """Python's own tree of an exception group, without the lines of this runner."""
    import traceback

    tree = traceback.TracebackException.from_exception(error)
    while tree.stack and _OWN in tree.stack[0].filename:
        del tree.stack[0]
    return "".join(tree.format()).splitlines()[:200]


def frames(step: TracebackType | None, file: str) -> list[dict[str, Any]]:
    """The frames from the cell's first on; all of them where none is the cell's. Repeated ones are counted."""
    steps = []
    while step:
        steps.append((step.tb_frame.f_code, step.tb_lineno, step.tb_frame.f_globals))
        step = step.tb_next
    first = next((count for count, (code, _, _) in enumerate(steps) if code.co_filename == file), None)
    steps = [one for one in steps[first or 0 :] if not _is_own(one[0].co_filename)]
    found: list[dict[str, Any]] = []
    for code, line, names in steps:
        if found and found[-1]["at"] == (code.co_filename, line, code.co_name):
            found[-1]["repeated"] += 1
        else:
            found.append({"at": (code.co_filename, line, code.co_name), "repeated": 0, "names": names})
    left = len(found) - MOST_FRAMES
    if left > 0:
        half = MOST_FRAMES // 2
        found[half : half + left] = []
        found[half]["omitted"] = left
    return [_frame(one) for one in found]


def _is_own(file: str) -> bool:
    return f"/{_OWN}/" in file or file.startswith("<frozen ")


def _frame(found: dict[str, Any]) -> dict[str, Any]:
    file, line, function = found["at"]
    linecache.lazycache(file, found["names"])
    lines = linecache.getlines(file)
    low, high = max(1, line - CONTEXT), min(len(lines), line + CONTEXT)
    source = [(number, lines[number - 1].rstrip("\n")[:300]) for number in range(low, high + 1)]
    return {
        "file": file, "line": line, "function": function, "source": source,
        "repeated": found["repeated"], "omitted": found.get("omitted", 0),
    }  # fmt: skip
