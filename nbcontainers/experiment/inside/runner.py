"""Process 1 of a Python cell: take the inputs, run the cell, hand the outputs over, say how it ended."""

from __future__ import annotations

import builtins
import linecache
import os
import signal
import sys

from . import source, stdio, wire
from .channel import Channel, Outputs
from .show import Show

TYPE_CHECKING = False  # typing's own import takes 3 ms
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, NoReturn

INTERRUPTED, TERMINATED = 130, 143


def main(path: str) -> NoReturn:
    """Run the one cell that comes through the socket at `path`; the process ends with it."""
    counters = stdio.install()
    channel = Channel(path)
    header, memory = channel.header()
    signal.signal(signal.SIGTERM, _terminate)
    module = prepare(header)
    show = Show(channel, counters, module, header)
    end: dict[str, Any]
    try:
        end = run(module.__dict__, show, channel, header, memory)
    except BaseException as error:  # noqa: BLE001 (the cell's own: it is told, not swallowed)
        end = failure(error, header)
    finish(channel, end)


def _terminate(*_: object) -> NoReturn:
    raise SystemExit(TERMINATED)


def prepare(header: dict[str, Any]) -> ModuleType:
    """The interpreter as the notebook's own: import path, folder, an empty `__main__`, the cell's source lines."""
    sys.path[:] = [entry for entry in header["path"] if not entry or os.path.exists(entry)]
    sys.argv = [""]
    if header["cwd"] and os.path.isdir(header["cwd"]) and os.access(header["cwd"], os.X_OK):
        os.chdir(header["cwd"])
    lines = source.shifted(header["code"], header["first_line"])
    linecache.cache[header["file"]] = len(lines), None, lines.splitlines(keepends=True), header["file"]
    builtins.input = _no_input
    module = type(sys)("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    return module


def _no_input(prompt: object = "", /) -> NoReturn:
    raise EOFError("input() has nobody to ask in a container's cell; pass the value in with -i NAME")


def run(names: dict[str, Any], show: Show, channel: Channel, header: dict[str, Any], memory: int) -> dict[str, Any]:
    """The whole cell. Returns how it ended; raises what the cell raised."""
    if problem := take_inputs(names, header, memory):
        return problem
    before = set(names)
    try:
        code = 0
        try:
            source.execute(header, names, show)
        finally:
            show.figures()
    except SystemExit as exit:
        if code := _exit_code(exit):
            return {"status": "exit", "code": code, "line": _last_line(exit, header["file"])}
    problem = hand_over(names, channel, header["outputs"], before)
    return problem or {"status": "ok", "code": code}


def take_inputs(names: dict[str, Any], header: dict[str, Any], memory: int) -> dict[str, Any] | None:
    """Bind the inputs. Large buffers are private pages of the notebook's memfd: they are shared until written to."""
    if not header["inputs"]:
        os.close(memory)
        return None
    import mmap

    from . import binary

    whole = memoryview(mmap.mmap(memory, 0, access=mmap.ACCESS_COPY))
    buffers = (
        whole[start : start + size].toreadonly() if read_only else whole[start : start + size]
        for start, size, read_only in header["buffers"]
    )
    try:
        with open(memory, "rb") as file:
            file.seek(0)  # the position is the notebook's too, who left it at the end
            names.update(binary.load(header["inputs"], file, buffers))
    except binary.NotLoaded as error:
        return {"status": "input", "code": 1, "name": error.name, "reason": error.reason, "module": error.module}
    return None


def hand_over(names: dict[str, Any], channel: Channel, wanted: list[str], before: set[str]) -> dict[str, Any] | None:
    """Send the outputs, all or none."""
    if not wanted:
        return None
    if missing := [name for name in wanted if name not in names]:
        hidden = {"__builtins__", *(name for name in before if name.startswith("__"))}
        defined = sorted(str(name) for name in names if name not in hidden and not str(name).startswith("_"))
        return {"status": "missing", "code": 1, "missing": missing, "defined": defined}
    from . import binary

    try:
        binary.dump({name: names[name] for name in wanted}, Outputs(channel, wanted))
    except binary.NotPickled as error:
        return {"status": "output", "code": 1, "name": error.name, "reason": error.reason, "by_value": error.by_value}
    return None


def failure(error: BaseException, header: dict[str, Any]) -> dict[str, Any]:
    from . import explain

    code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return {"status": "error", "code": code, "error": explain.describe(error, header["file"])}


def _exit_code(exit: SystemExit) -> int:
    """As Python itself: None is 0, a number is itself (modulo 256), any other value is told on stderr and 1."""
    if exit.code is None or isinstance(exit.code, int):
        return (exit.code or 0) & 0xFF
    sys.stderr.write(f"{exit.code}\n")
    return 1


def _last_line(error: BaseException, file: str) -> int | None:
    """The cell's line the exit came from."""
    line, step = None, error.__traceback__
    while step:
        if step.tb_frame.f_code.co_filename == file:
            line = step.tb_lineno
        step = step.tb_next
    return line


def finish(channel: Channel, end: dict[str, Any]) -> NoReturn:
    """Leave as Python does (threads, atexit) in a forked child; process 1 tells the notebook first."""
    if channel.ours:
        channel.send(wire.END, end)
    sys.exit(end["code"])
