"""`run`, `exec` and their kin from a cell: the body goes in, output streams out, a card says how it ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from nbcontainers.advice import Advice, advise
from nbcontainers.cli.parser import Call
from nbcontainers.cli.verbs import Verb
from nbcontainers.errors import Error, InvalidArgument
from nbcontainers.magics import terminal
from nbcontainers.magics.stream import Stream

if TYPE_CHECKING:
    from nbcontainers.magics.magics import NBContainers

_SHELL = "/bin/sh"


def program(settings: NBContainers, verb: Verb, call: Call, cell: str | None, typed: str) -> Any:
    """Run what shows output as it comes; returns the verb's result, or None where nothing is to be shown."""
    options = defaults(settings, verb) | call.options
    arguments = list(call.arguments)
    alone = not options.get("detach") and not options.get("name")
    if verb.name == "run" and verb.parameter("rm") and not settings.keep and alone:
        options["rm"] = True  # a notebook is run again and again; the handle keeps log, samples and figures
    if verb.accepts("raise_error"):
        options["raise_error"] = call.face.get("raise_error", settings.raise_error)
    if cell is None and terminal.asked(verb, call) and terminal.somebody(verb):
        return terminal.run(verb, call, options)
    if verb.name == "attach":
        options.setdefault("sig_proxy", False)  # the stop button leaves it
    if cell is not None:
        with_body(verb, arguments, options, cell, typed)
    elif options.get("interactive") and verb.accepts("stdin"):
        options["stdin"] = b""  # a cell has no keyboard: the program sees the end of its input
    if options.get("tty") and "stdin" in options:
        options["tty"] = False  # where a shell waits for keys, whatever came before it looked
        advise(Advice("a cell is no terminal, so -t is left out; input goes below a line with %%"))
    if verb.name in ("logs", "events") and not options.get("follow"):
        return verb.function(*arguments, **options)
    return streamed(settings, verb, arguments, options)


def python(settings: NBContainers, verb: Verb, call: Call, cell: str | None, typed: str) -> Any:
    """`%%container python`: the cell is Python (see nbcontainers.experiment.api.python)."""
    if cell is None or not cell.strip():
        raise InvalidArgument(
            f"%%{typed.lstrip('%')} needs a cell of Python below its line",
            hint="write %%container python -m 512m, and the code in the lines below",
        )
    options = defaults(settings, verb) | call.options
    options["raise_error"] = call.face.get("raise_error", settings.raise_error)
    return streamed(settings, verb, [cell], {**options, "namespace": settings.namespace, "first_line": 2})


def streamed(settings: NBContainers, verb: Verb, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Call the verb with its output going to the cell, in batches, up to the cap."""
    stream = Stream(settings.output_lines)
    leavable = verb.name == "attach" and not options["sig_proxy"]
    tick = _leavable(stream) if leavable else stream.tick
    container = None
    try:
        with pulling(verb, arguments, options):
            result = verb.function(*arguments, **options, stdout=stream.stdout, stderr=stream.stderr, tick=tick)
        container = getattr(result, "container", result)
    except Error as error:
        container = None if verb.name == "exec" else getattr(error, "container", None)  # its log has none of that
        raise
    finally:
        stream.close(_where(container))
    return result


def _leavable(stream: Stream) -> Callable[[], None]:
    """Its `tick`, which first says what the stop button does: the program may say nothing for long."""
    notices = [b"[nbcontainers] the stop button leaves it running\n"]

    def tick() -> None:
        while notices:
            stream.stderr(notices.pop())
        stream.tick()

    return tick


def pulling(verb: Verb, arguments: list[Any], options: dict[str, Any]) -> AbstractContextManager[Any]:
    """What is shown where the image has to be pulled first; it becomes one of the options."""
    if not verb.accepts("on_pull"):
        return nullcontext()
    from nbcontainers.cli.transfer import Late
    from nbcontainers.image.progress import Progress
    from nbcontainers.magics.transfer import Area

    options["on_pull"] = Late(lambda: Area(Progress("pull", str(arguments[0]))))
    return options["on_pull"]  # type: ignore[no-any-return]


def defaults(settings: NBContainers, verb: Verb) -> dict[str, Any]:
    """The limits of `%config NBContainers` for a verb that has such options."""
    asked = {"memory": settings.memory, "cpus": settings.cpus}
    return {name: value for name, value in asked.items() if value and verb.parameter(name)}


def with_body(verb: Verb, arguments: list[Any], options: dict[str, Any], cell: str, typed: str) -> None:
    """The body is the input of the command on the line; without one it is a script for the image's shell."""
    if verb.name not in ("run", "exec", "attach"):
        raise no_body(typed)
    if not cell.strip():
        raise InvalidArgument(
            f"the body of {typed} is empty", hint=f"write the script below the line, or type {typed[1:]} IMAGE COMMAND"
        )
    if len(arguments) > 1 or options.get("entrypoint") or verb.name == "attach":
        options["stdin"] = cell
    elif options.get("detach"):  # nobody stays to feed its input
        arguments += [_SHELL, "-c", cell]
    else:
        arguments += [_SHELL, "-s"]
        options["stdin"] = cell
    if verb.name == "run" and arguments[1:2] == [_SHELL]:
        options["entrypoint"] = ""


def no_body(typed: str) -> InvalidArgument:
    shell = "; IPython's own %%system is %%sx" if typed.startswith("%%system") else ""
    return InvalidArgument(f"{typed} reads no cell body", hint=f"write it as a line with one %: {typed[1:]} …{shell}")


def _where(container: Any) -> str:
    """Where all of an output that was cut can be read."""
    if isinstance(container, str) or not hasattr(container, "removed"):
        return ""
    return "`.logs()` of the handle has all" if container.removed else f"`%container logs {container.name}` has all"
