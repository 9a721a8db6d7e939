"""Python under limits: a cell (`python`) or a function (`call`) on the image `host`, with this interpreter and its
packages. In a notebook: `%%container python -m 512m --cpus 1 -i frame -o model`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack

from nbcontainers.container.options import RunOptions
from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.experiment.result import Result
from nbcontainers.option import Option

if TYPE_CHECKING:
    from nbcontainers.experiment.talk import Sink

__all__ = ["call", "python"]

#: Options of `run` that make no sense where the caller waits for objects, and why.
REFUSED = {
    "detach": "the cell's outputs are waited for",
    "interactive": "a cell reads no input; -i NAME passes a variable in",
    "tty": "a cell has no terminal",
    "entrypoint": "the program is this notebook's Python",
}
if TYPE_CHECKING:
    PythonOptions = RunOptions
else:
    PythonOptions = TypedDict(
        "PythonOptions", {k: v for k, v in RunOptions.__annotations__.items() if k not in REFUSED}, total=False
    )

Names = Mapping[str, Any] | Sequence[str]


def python(
    code: str,
    *,
    inputs: Annotated[Names, Option("-i", help="pass these variables in: a,b", metavar="NAMES")] = (),
    outputs: Annotated[Sequence[str], Option("-o", help="bring these variables back: a,b", metavar="NAMES")] = (),
    namespace: MutableMapping[str, Any] | None = None,
    raise_error: bool = True,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    first_line: int = 1,
    file: str = "",
    engine: Engine | None = None,
    **options: Unpack[PythonOptions],
) -> Result:
    """Run Python in a container on the image `host`, with this interpreter and its packages, under limits.

    `inputs` are objects by name, or names that are looked up in `namespace` (default: `__main__`, the notebook).
    `outputs` are names the code assigns; all of them come back or none, in the result and, where `namespace` was
    given, in it. Both travel in binary form (pickle, large buffers without copies): what comes back is trusted as
    much as the code that made it. Therefore the image is always `host`; programs of other images exchange files with
    you, in a folder mounted with `-v`. Functions and classes of the notebook need cloudpickle.

    An input's memory belongs to the notebook; it counts against the container's limit from the moment the code
    writes to it, page by page. What the code makes counts in full. Outputs are not copied inside.

    The import path is this interpreter's; the working directory too, where the container sees it. Files of hidden
    folders (home directories) are seen only with `volume=["/path:/path:ro"]`. There is no network without
    `network="host"`.

    Text, displays and figures appear as if the code ran here; `stdout` and `stderr` take bytes instead. Tracebacks
    count lines from `first_line` in `file`.

    The container is removed at its end unless it was given a name (or `rm=False`); the result keeps what it used.

    Raises what the code raised: an exception of the same name and (where it can be imported here) type that is also a
    ContainerFailed; InvalidArgument for names that are missing or cannot be pickled; otherwise what `run` raises.
    With `raise_error=False` a failure of the code is the result's `error`.
    """
    from nbcontainers.experiment import cell

    _refuse(options)
    names = list(_names(outputs))
    given = _objects(inputs, namespace)
    request = cell.Cell(code, given, names, file or _file(), first_line)
    face = cell.face(stdout, stderr, tick)
    result = cell.run(engine or default_engine(), request, face, options, raise_error=raise_error)
    if namespace is not None:
        namespace.update(result.outputs)
    return result


def call(
    function: Callable[..., Any],
    *arguments: Any,
    memory: int | str = "512m",
    cpus: float = 1.0,
    options: RunOptions | None = None,
    **keywords: Any,
) -> Result:
    """Call `function(*arguments, **keywords)` in a container; the result's `value` is what it returned.

    The function is imported there by its module's name; one defined in a notebook or script needs cloudpickle. All
    other options of `run` go in `options`. Raises as `python` does.
    """
    inputs = {"function": function, "arguments": arguments, "keywords": keywords}
    code = "result = function(*arguments, **keywords)"
    limits: RunOptions = {"memory": memory, "cpus": cpus, **(options or {})}
    return python(code, inputs=inputs, outputs=["result"], file="<call>", **limits)


def _refuse(options: Mapping[str, Any]) -> None:
    for name, reason in REFUSED.items():
        if options.get(name):
            raise InvalidArgument(f"python takes no --{name}: {reason}", hint="leave it out", option=name)


def _names(given: Names) -> Iterable[str]:
    """`["a,b", "c"]` as a, b, c; each once."""
    words = [given] if isinstance(given, str) else given
    found = [name.strip() for word in words for name in str(word).split(",") if name.strip()]
    for name in found:
        if not name.isidentifier():
            raise InvalidArgument(f"{name!r} is no name of a variable", hint="type names, as -i frame,model")
    return dict.fromkeys(found)


def _objects(inputs: Names, namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    if isinstance(inputs, Mapping):
        return {name: inputs[name] for name in _names(inputs)}
    known = sys.modules["__main__"].__dict__ if namespace is None else namespace
    names = list(_names(inputs))
    if missing := [name for name in names if name not in known]:
        from difflib import get_close_matches

        close = get_close_matches(missing[0], [name for name in known if not name.startswith("_")], 3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"assign it first: {missing[0]} = …"
        raise InvalidArgument(f"there is no variable {', '.join(missing)} to pass in", hint=hint)
    return {name: known[name] for name in names}


def _file() -> str:
    """How IPython names the cell that runs; in newer ones `execution_count` is already the next one's."""
    if "IPython" in sys.modules:
        from IPython import get_ipython

        if shell := get_ipython():
            return f"Cell In[{shell.displayhook.prompt_count}]"
    return "<cell>"
