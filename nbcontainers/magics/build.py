"""`%%image build`: the cell is the Dockerfile, and one display area shows it with the state of each instruction."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nbcontainers.builder import card
from nbcontainers.builder.progress import Progress
from nbcontainers.cli import verbs
from nbcontainers.cli.build import Lines, is_quiet, subject
from nbcontainers.cli.parser import Call
from nbcontainers.cli.verbs import Verb
from nbcontainers.errors import ContainerFailed, Error, InvalidArgument
from nbcontainers.image import portrait
from nbcontainers.magics import area, terminal
from nbcontainers.magics.stream import Stream

if TYPE_CHECKING:
    from nbcontainers.magics.magics import NBContainers


class Area(area.Area[Progress]):
    """A build's."""

    def bundle(self) -> dict[str, str]:
        return card.bundle(self.progress)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Error):
            error.hint = in_a_cell(error)
            self.progress.error = error
        super().__exit__(kind, error, trace)

    def finish(self) -> None:
        """Where nothing was begun, the error says all."""
        if self.there or self.progress.lines:
            self.draw()


def run(verb: Verb, call: Call, cell: str | None, settings: NBContainers, *, quiet: bool) -> Any:
    """Build; the notebook's variables are what --context-from may name."""
    options = dict(call.options)
    if cell is not None:
        if not cell.strip():
            raise InvalidArgument("the cell has no Dockerfile", hint="write FROM mini and what follows below the line")
        options["dockerfile"] = cell
    if name := options.get("context_from"):
        options["context_from"] = _files(name, settings.namespace)
    progress = Progress(subject(call))
    try:
        if quiet or is_quiet(call):
            return verb.function(*call.arguments, **options)
        if call.face.get("progress") == "plain":
            return _plain(verb, call, options, Stream(settings.output_lines), progress)
        with Area(progress) as listener:
            image = verb.function(*call.arguments, **options, progress=listener)
            progress.image = portrait.of(image)
        return image
    except Error as error:
        error.hint = in_a_cell(error)
        if call.face.get("debug") and (name := error.details.get("image")) and terminal.possible():
            look_into(name)
        raise


def look_into(name: str) -> None:
    """`--debug`: a shell in the image of the last good layer, in a terminal that goes on when the cell has failed."""
    from IPython.display import display

    call = Call([name], {"interactive": True, "tty": True, "rm": True})
    with suppress(ContainerFailed):  # what the last command said, where the shell had IPython's own terminal
        shell = terminal.run(verbs.verbs("container")["run"], call, dict(call.options))
        if terminal.is_one(shell):
            display(shell)  # type: ignore[no-untyped-call]


def _plain(verb: Verb, call: Call, options: dict[str, Any], stream: Stream, progress: Progress) -> Any:
    """Lines instead of the area."""

    def write(line: str) -> None:
        stream.stdout(line.encode("utf-8", "replace"))

    try:
        with Lines(progress, write) as listener:
            return verb.function(*call.arguments, **options, progress=listener)
    finally:
        stream.close()


def in_a_cell(error: Error) -> str:
    """Its hint as it is typed here, where nobody may be at a terminal."""
    name = error.details.get("image")
    shell = f"container run -it --rm {name} opens a shell in the files as they were before it"
    there = (
        f"container run --rm {name} ls -l sees the files as they were before it, and so does a script below "
        f"%%container run {name}{'; --debug opens a shell in them' if terminal.possible() else ''}"
    )
    return verbs.as_typed(error.hint.replace(shell, there) if name else error.hint, "%")


def _files(name: Any, names: Mapping[str, Any]) -> Any:
    """The mapping of that name; a DataFrame alone is the file NAME.csv."""
    if not isinstance(name, str):
        return name
    if name not in names:
        raise InvalidArgument(
            f"--context-from: no variable is named {name!r}", hint="give it files by path first: {'a.txt': 'text'}"
        )
    found = names[name]
    return {f"{name}.csv": found} if hasattr(found, "to_csv") else found
