"""One cell in one container: prepare, run, and what its end means."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nbcontainers.container import api as containers
from nbcontainers.container.container import Container
from nbcontainers.container.mounts import as_texts
from nbcontainers.container.options import RunOptions
from nbcontainers.container.session import to_sys
from nbcontainers.engine import Engine
from nbcontainers.errors import ContainerFailed, Error, InvalidArgument
from nbcontainers.experiment import advice, failure, settings
from nbcontainers.experiment.exchange import SOCKET, Exchange
from nbcontainers.experiment.inside import binary
from nbcontainers.experiment.memory import Memory
from nbcontainers.experiment.receive import Outputs, memory_free
from nbcontainers.experiment.result import Result
from nbcontainers.experiment.talk import Face, Sink, Talk
from nbcontainers.launcher.client import interpreter

IMAGE = "host"
_RUNNER = str(Path(__file__).parent / "inside")
_PACKAGE = f"{settings.FOLDER}/_nbcontainers_cell"
_EXCHANGE = f"{settings.FOLDER}/exchange"


@dataclass(frozen=True)
class Cell:
    """Code, the objects that go in, the names that come out, and where its lines are."""

    code: str
    inputs: Mapping[str, Any]
    outputs: list[str]
    file: str
    first_line: int


@dataclass(frozen=True)
class Ended:
    """How the run ended on both ways: the container's handle and error, the runner's last word, its outputs."""

    container: Container
    fault: ContainerFailed | None
    end: dict[str, Any] | None
    outputs: Outputs | None


@cache
def _compiled() -> str:
    """The runner's folder, with byte code of this interpreter beside its files: the container cannot keep its own."""
    from compileall import compile_dir

    compile_dir(_RUNNER, quiet=2, maxlevels=0)  # a folder that is not ours to write is used as it is
    return _RUNNER


def run(engine: Engine, cell: Cell, face: Face, options: RunOptions, *, raise_error: bool) -> Result:
    """The whole way. Raises as `api.python` says."""
    with Exchange(engine) as exchange, Memory() as memory:
        _put(cell, options, memory, exchange)
        with Talk(exchange, face) as talk:
            ended = _run(engine, cell, exchange, talk, options)
    try:
        if talk.error:
            raise _about(talk.error, ended.container)
        return Result(ended.container, _concluded(cell, ended))
    except ContainerFailed as error:
        error.container = ended.container
        if raise_error:
            raise
        face.stderr("".join(f"{line}\n" for line in error._render_traceback_()).encode("utf-8", "replace"))
        return Result(ended.container, {}, error)


def _put(cell: Cell, options: RunOptions, memory: Memory, exchange: Exchange) -> None:
    """Inputs and cell into the memfd. Raises InvalidArgument naming the input that cannot be pickled."""
    try:
        binary.dump(cell.inputs, memory)
    except binary.NotPickled as error:
        raise InvalidArgument(
            f"{error.name} cannot be passed in: {error.reason}",
            hint=advice.for_pickling(error.by_value),
            name=error.name,
        ) from None
    except MemoryError:
        raise InvalidArgument("the inputs do not fit into memory a second time", hint="pass in less") from None
    header = settings.header(
        cell.code, cell.file, cell.first_line, cell.inputs, cell.outputs, workdir=options.get("workdir") or ""
    )
    exchange.offer(memory.descriptor, memory.seal(header), cell.outputs, memory_free())


def _run(engine: Engine, cell: Cell, exchange: Exchange, talk: Talk, options: RunOptions) -> Ended:
    """Run the container to its end. An interrupt shows where the code was when it was interrupted."""
    fault: ContainerFailed | None = None
    command = [interpreter(), "-P", _PACKAGE, f"{_EXCHANGE}/{SOCKET}"]
    try:
        container = containers.run(
            IMAGE, *command, stdout=talk.stdout, stderr=talk.stderr, tick=talk.tick, engine=engine,
            **_options(options, exchange.folder),
        )  # fmt: skip
    except ContainerFailed as error:
        container, fault = error.container, error
    except KeyboardInterrupt:
        talk.finish()
        raise _interrupted(cell, exchange) from None
    talk.finish()
    receiver = exchange.receiver
    if receiver is None:
        return Ended(container, fault, None, None)
    return Ended(container, fault, receiver.end, receiver.outputs)


def _options(options: RunOptions, exchange: Path) -> RunOptions:
    """The user's options and what the runner needs: itself and the socket mounted, the environment."""
    mounts = [f"{_compiled()}:{_PACKAGE}:ro", f"{exchange}:{_EXCHANGE}"]
    volumes = [*as_texts(options.get("volume")), *mounts, *settings.font_cache()]
    without_name: RunOptions = {"rm": True} if not options.get("name") else {}  # needs nothing on the disk
    kept: RunOptions = {"network": ["none"], **without_name, **options}
    return {**kept, "volume": volumes, "env": settings.environment(options)}


def _interrupted(cell: Cell, exchange: Exchange) -> BaseException:
    end = (exchange.receiver and exchange.receiver.end) or {}
    error = end.get("error") or {} if end.get("status") == "error" else failure.INTERRUPTED
    return failure.raised(error, first_line=cell.first_line, hint="", details={"exit_code": end.get("code")})


def _concluded(cell: Cell, ended: Ended) -> dict[str, Any]:
    """The outputs. Raises what kept them from coming."""
    end, status = ended.end or {}, (ended.end or {}).get("status")
    if not ended.fault and not cell.outputs and status in (None, "ok"):
        return {}
    if not ended.fault and status == "ok":
        return _load(cell, ended)
    if status == "error":
        hint = advice.for_error(end.get("error") or {}, ended.container)
        raise failure.raised(end.get("error") or {}, first_line=cell.first_line, hint=hint, details=_details(ended))
    message, hint = advice.for_end(end, cell.outputs)
    if message and (ended.fault is None or status != "ok"):
        raise failure.CellFailed(message, hint=hint, **_details(ended))
    raise ended.fault or _silent(ended)


def _load(cell: Cell, ended: Ended) -> dict[str, Any]:
    if not ended.outputs or not ended.outputs.committed:
        raise _silent(ended)
    try:
        return ended.outputs.load()
    except binary.NotLoaded as error:
        hint = f"import {error.module} here first, or bring back plain values" if error.module else ""
        raise failure.CellFailed(
            f"{error.name} came back but cannot be made here: {error.reason}", hint=hint, **_details(ended)
        ) from error


def _silent(ended: Ended) -> failure.CellFailed:
    return failure.CellFailed(
        "the container's Python ended without a word of how: its outputs did not come back",
        hint="does the code call os._exit()? leave that out", **_details(ended),
    )  # fmt: skip


def _details(ended: Ended) -> dict[str, Any]:
    container = ended.container
    code = container.exit_code
    return {"exit_code": code, "oom_killed": container.oom_killed, "signal": container.signal, "id": container.id,
            "name": container.name}  # fmt: skip


def _about(error: Error, container: Container) -> Error:
    error.details.update(id=container.id, name=container.name, exit_code=container.exit_code)
    return error


def face(stdout: Sink | None, stderr: Sink | None, tick: Callable[[], object] | None) -> Face:
    """Text to sys.stdout and sys.stderr or where it was asked for, displays to the notebook; text alone elsewhere."""
    out, err = stdout or to_sys("stdout"), stderr or to_sys("stderr")
    publisher = _publisher()
    if publisher is None:
        return Face(out, err, lambda data, *_: out(f"{data.get('text/plain', '')}\n".encode()), lambda wait: None, tick)

    def show(data: dict[str, Any], metadata: dict[str, Any], transient: dict[str, Any], update: bool) -> None:
        _flush(tick)
        publisher.publish(data, metadata, transient=transient, update=update)

    def clear(wait: bool) -> None:
        _flush(tick)
        publisher.clear_output(wait)

    return Face(out, err, show, clear, tick)


def _flush(tick: Callable[[], object] | None) -> None:
    """Text that waits for its batch comes before the display: `tick`'s owner may have a `flush`."""
    flush = getattr(getattr(tick, "__self__", None), "flush", None)
    if flush:
        flush()
    sys.stdout.flush()
    sys.stderr.flush()


def _publisher() -> Any:
    """IPython's display publisher, if this is a notebook or an IPython shell."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    shell = get_ipython()
    return None if shell is None else shell.display_pub
