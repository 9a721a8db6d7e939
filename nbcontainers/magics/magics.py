"""The magics: `%OBJECT VERB …`, each a callable that IPython registers, and the settings they share."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from typing import Any, NamedTuple

from IPython.core.display_functions import publish_display_data
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, magics_class, needs_local_scope, no_var_expand
from traitlets import Bool, Enum, Float, Integer, Unicode, observe

from nbcontainers import view, widgets
from nbcontainers.advice import MovingTag
from nbcontainers.cli import advice, verbs, words
from nbcontainers.cli.parser import Call, Parser
from nbcontainers.cli.signature import FLAG, VALUE, Parameter
from nbcontainers.cli.verbs import Verb
from nbcontainers.errors import CreateFailed, Error, InvalidArgument, of_the_host
from nbcontainers.magics.interpolation import fill, value

QUIET = Parameter("quiet", FLAG, ("--quiet", "-q"), help="Show no card, no progress")
RAISE = Parameter("raise_error", FLAG, off=("--no-raise-error",), help="Return the handle also when it failed")
FILL = Parameter("fill", FLAG, ("--fill",), help="Put Python's values in the place of {{ name }} in the cell's body")


@magics_class
class NBContainers(Magics):
    """Settings of the nbcontainers magics."""

    quiet = Bool(False, help="Show no card under a cell that ran a container.").tag(config=True)
    raise_error = Bool(True, help="A container that fails fails its cell.").tag(config=True)
    keep = Bool(False, help="Keep containers that ran in the foreground and have no --name.").tag(config=True)
    warn_latest = Bool(True, help="Say it, once an image, where a container is run of `latest`.").tag(config=True)
    output_lines = Integer(1000, min=1, help="Lines of output a cell shows; the last 20 come on top.").tag(config=True)
    memory = Unicode("", help="Memory limit of a run that names none: 512m, 2g.").tag(config=True)
    cpus = Float(0.0, min=0.0, help="Processors for a run that names none; 0: no limit.").tag(config=True)
    progress_after = Float(1.0, min=0.0, help="Seconds of work before a cell shows how far it is.").tag(config=True)
    widgets = Enum(
        widgets.MODES, "auto", help="Live views: in front ends (auto), wherever a kernel runs (on), nowhere (off)."
    ).tag(config=True)

    @observe("widgets")
    def _widgets(self, change: Any) -> None:
        widgets.mode = change["new"]

    @observe("progress_after")
    def _progress_after(self, change: Any) -> None:
        view.patience = change["new"]

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.objects = {name: ObjectMagic(self, name) for name in verbs.objects()}
        self.displaced: dict[str, dict[str, Any]] = {}
        """IPython's own magics of the same names, by kind: `unload` puts them back."""
        self.magics = {
            "line": dict(self.objects),
            "cell": dict(self.objects),  # also of those that read no body: IPython's own error passes test runners
        }

    @property
    def namespace(self) -> dict[str, Any]:
        """The notebook's variables."""
        return self.shell.user_ns  # type: ignore[union-attr, no-any-return]

    def assigned(self, object: str, line: str) -> bool:
        """Whether the cell being run says `x = %object line`: then even a quiet result is wanted."""
        history = self.shell.history_manager  # type: ignore[union-attr]
        cell = history.input_hist_parsed[-1] if history else ""
        return f"= get_ipython().run_line_magic({object!r}, {line!r})" in cell


class Answer(NamedTuple):
    """What a line gives, and whether it was asked not to be shown."""

    value: Any
    quiet: bool = False


class ObjectMagic:
    """`%container` or another object: a callable with a docstring made of the verbs when it is asked for."""

    def __init__(self, settings: NBContainers, object: str) -> None:
        self.settings = settings
        self.object = object
        self.__name__ = self.__qualname__ = object
        needs_local_scope(no_var_expand(self))

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        from nbcontainers.cli import help

        return help.of_object(self.object, f"%{self.object}", _BODIES.get(self.object, ""))

    def verbs(self) -> dict[str, Verb]:
        """The object's verbs; of a container also `python`, which runs a cell of Python."""
        found = dict(verbs.verbs(self.object))
        if self.object == "container" and (python := verbs.optional("nbcontainers.experiment.api", "python")):
            found["python"] = Verb("container", "python", python, ("code",))
        return found

    def verb(self, name: str, typed: str) -> Verb:
        found = self.verbs()
        return found[name] if name in found else verbs.verb(self.object, name, typed)

    def parser(self, name: str, *, cell: bool = False) -> Parser:
        """The parser of one verb, with the face's own options."""
        typed = f"{'%%' if cell else '%'}{self.object}"
        verb = self.verb(name, typed)
        return Parser(f"{typed} {verb.name}", verb.parameters, face_options(verb))

    def __call__(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """IPython's entry. What is returned is shown as the cell's result; None shows nothing."""
        given = line
        if cell is None:
            line, silent = words.quiet(line)
        else:
            line, cell = join_continued(line, cell)
            silent = False
        names = {**self.settings.namespace, **(local_ns or {})}
        answer = self.do(words.split(line, lambda field: value(field, names)), cell)
        if (silent or answer.quiet) and not self.settings.assigned(self.object, given):
            return None
        return answer.value

    def do(self, line: Sequence[str], cell: str | None) -> Answer:
        """Carry out one line: its help, or its verb."""
        from nbcontainers.cli import help

        typed = f"{'%' if cell is None else '%%'}{self.object}"
        line = verbs.with_usual(self.object, list(line)) if line or cell is not None else line
        if not line or line[0] in ("-h", "--help", "help"):
            return Answer(help.of_object(self.object, typed, _BODIES.get(self.object, "")))
        verb = self.verb(line[0], typed)
        parser = Parser(f"{typed} {verb.name}", verb.parameters, face_options(verb))
        call = parser.parse(line[1:])
        if call.help:
            return Answer(help.of_verb(verb, parser.name, parser.face))
        if call.face.get("fill"):
            if cell is None:
                raise InvalidArgument("--fill: a line has no body to fill", hint=f"write %{typed} above the body")
            cell = fill(cell, self.settings.namespace)
        quiet = bool(call.face.get("quiet")) or (self.settings.quiet and QUIET in face_options(verb))
        try:
            with advice.told(lambda one: self.settings.warn_latest or not isinstance(one, MovingTag)):
                result = self.carry_out(verb, call, cell, parser.name, quiet=quiet)
        except Error as error:
            self._failed(error, verb, call, quiet=quiet)
            raise
        except KeyboardInterrupt as interrupt:  # our own frames would be all that its traceback shows
            interrupt._render_traceback_ = lambda: ["KeyboardInterrupt"]  # type: ignore[attr-defined]
            raise
        except OSError as error:
            if refused := of_the_host(error):
                self._failed(refused, verb, call, quiet=quiet)
                raise refused from error
            raise
        self._keep(call, result)
        from nbcontainers.magics import terminal

        hidden = quiet and not terminal.is_one(result)
        return Answer(result, hidden or verb.accepts("progress"))  # its area has said it

    def carry_out(self, verb: Verb, call: Call, cell: str | None, typed: str, *, quiet: bool) -> Any:
        from nbcontainers.magics import running, transfer

        if verb.name == "python":
            return running.python(self.settings, verb, call, cell, typed)
        if verb.accepts("tick"):
            return running.program(self.settings, verb, call, cell, typed)
        if verb.accepts("dockerfile"):
            from nbcontainers.magics import build

            return build.run(verb, call, cell, self.settings, quiet=quiet)
        if verb.accepts("tell") and (cell is None or verb.accepts("script")):
            from nbcontainers.magics import compare

            return compare.run(verb, call, cell)
        if cell is not None:
            raise running.no_body(typed)
        if verb.accepts("progress"):
            return transfer.run(verb, call, quiet=quiet)
        if verb.accepts("on_read"):
            from nbcontainers.cli.transfer import reading

            return reading(verb, call, transfer.Area)
        if verb.name in transfer.SILENT:
            return transfer.wait(verb, call, quiet=self.settings.quiet)
        return verb.function(*call.arguments, **call.options)

    def _failed(self, error: Error, verb: Verb, call: Call, *, quiet: bool) -> None:
        """The error says why; the card above it what was used, and the hint what to type in this face."""
        ran = not isinstance(error, CreateFailed) and verb.name != "exec"
        if ran and (container := getattr(error, "container", None)):
            self._keep(call, container)
            if not (error.hint or getattr(error, "lines", None)):  # the code's own exception stays as it was
                error.hint = "--no-raise-error returns the handle and lets the cell succeed"
            if not quiet:
                publish_display_data(container._repr_mimebundle_())  # type: ignore[no-untyped-call]
        error.hint = verbs.as_typed(error.hint, "%")

    def _keep(self, call: Call, result: Any) -> None:
        """For -o NAME."""
        if name := call.face.get("out"):
            self.settings.namespace[name] = result


_BODIES = {
    "container": """\
%%container run IMAGE        the cell is a script for the image's shell; with a COMMAND it is that command's input
%%container exec CONTAINER   the same in a running container
%%container python           the cell is Python, run under limits with this notebook's packages""",
    "compare": """\
%%compare --on host,container   the cell is a shell script (--python: Python) that each target runs in turn""",
    "vm": """\
%%vm run IMAGE               the cell is a script for the image's shell; with a COMMAND it is that command's input""",
    "image": """\
%%image build -t NAME [CONTEXT]   the cell is the Dockerfile; CONTEXT is what COPY takes from, - for nothing""",
}


def check_out(name: str) -> str:
    """A variable's name. Raises ValueError."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name of a variable; write a word of letters, digits and _")
    return name


OUT = Parameter(
    "out", VALUE, ("--out", "-o"), metavar="NAME", help="Put the result into this variable as well", convert=check_out
)


def face_options(verb: Verb) -> list[Parameter]:
    """What a notebook adds to a verb: -o, -q where it shows more than its result, --no-raise-error for a program, --fill
    where the body is not Python's."""
    if verb.accepts("raise_error"):
        return [OUT, QUIET, RAISE, *([FILL] if verb.name in ("run", "exec") else [])]
    if verb.accepts("dockerfile"):
        from nbcontainers.cli import build

        return [OUT, QUIET, FILL, build.PROGRESS, build.DEBUG]
    return [OUT, QUIET] if verb.accepts("progress") else [OUT]


def join_continued(line: str, cell: str) -> tuple[str, str]:
    """A first line that ends in a backslash goes on in the next; the body keeps its line numbers."""
    taken = 0
    while line.rstrip().endswith("\\") and cell:
        more, _, cell = cell.partition("\n")
        line, taken = f"{line.rstrip()[:-1]} {more}", taken + 1
    return line, "\n" * taken + cell
