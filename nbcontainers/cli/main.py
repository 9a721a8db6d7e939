"""The program `nbcontainers`: `nbcontainers OBJECT VERB …` and Docker's shortcuts.

Exit codes are Docker's: the container's own for `run` and `exec`; 125, 126 or 127 when the container could not be
made; 1 for any other error; 130 after an interrupt.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from nbcontainers import SHORTCUTS
from nbcontainers.cli import advice, docker, help, verbs
from nbcontainers.cli.parser import Call, Parser
from nbcontainers.cli.signature import FLAG, VALUE, Parameter
from nbcontainers.cli.verbs import Verb
from nbcontainers.errors import ContainerFailed, Error, InvalidArgument, of_the_host
from nbcontainers.version import VERSION

PROGRAM = "nbcontainers"
FORMAT = Parameter(
    "format",
    VALUE,
    ("--format",),
    metavar="table|json|TEMPLATE",
    help="How results are printed; a Go template as Docker's",
)
QUIET = Parameter("quiet", FLAG, ("--quiet", "-q"), help="Print only the ids")
PULL_QUIETLY = replace(QUIET, help="Show nothing of a pull")
_CLEAR = "\x1b[H\x1b[J"
"""The cursor goes home, and what is on the screen goes: ECMA-48, CUP and ED."""
_NOT_RUN, _FAILED, _INTERRUPTED = 125, 1, 130
_RUNNERS = ("run", "exec", "create", "start")
_KEYS = ("id", "reference", "name")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; returns the exit code and raises nothing."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    verb: Verb | None = None
    try:
        verb, typed, rest = _command(words)
        with advice.told():
            return _carry_out(verb, typed, rest) if verb else _print(_asked_help(words))
    except ContainerFailed as error:
        if error.details.get("signal") or error.details.get("oom_killed"):  # the status alone does not say why
            _print_error(error)
        return int(error.details.get("exit_code", _FAILED))
    except Error as error:
        _print_error(error)
        runs = verb is None or verb.name in _RUNNERS
        return int(error.details.get("exit_code") or (_NOT_RUN if runs else _FAILED))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # `nbcontainers ps | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except OSError as error:
        _print_error(of_the_host(error) or Error(str(error)))
        return _NOT_RUN if verb and verb.name in _RUNNERS else _FAILED


def _print_error(error: Error) -> None:
    """On stderr, with what to type as it is typed here."""
    error.hint = verbs.as_typed(error.hint, f"{PROGRAM} ")
    print(f"Error: {error}", file=sys.stderr)


def _command(words: list[str]) -> tuple[Verb | None, str, list[str]]:
    """The verb the words begin with, how it was typed, and the words after it; no verb for help."""
    if not words or words[0] in ("-h", "--help", "-v", "--version", "version"):
        return None, "", []
    if words[0] in verbs.objects():
        words = [words[0], *(verbs.with_usual(words[0], words[1:]) if len(words) > 1 else [])]
        if len(words) == 1 or words[1] in ("-h", "--help", "help"):
            return None, "", []
        typed = f"{PROGRAM} {words[0]}"
        verb = verbs.verb(words[0], words[1], typed)
        return verb, f"{typed} {verb.name}", words[2:]
    if meant := verbs.shortcut(words[0]):
        return meant, f"{PROGRAM} {words[0]}", words[1:]
    known = [*verbs.objects(), *(word for word in SHORTCUTS if verbs.shortcut(word))]
    close = get_close_matches(words[0], known, 1, 0.5)
    nearest = verbs.elsewhere(words[0]) or "".join(close)
    guess = docker.COMMANDS.get(words[0]) or (f"did you mean {nearest}? " if nearest else "") + f"type {PROGRAM} --help"
    raise InvalidArgument(f"{PROGRAM} has no command {words[0]!r}", hint=guess)


def _asked_help(words: list[str]) -> str:
    if words and words[0] in ("-v", "--version", "version"):
        return f"{PROGRAM} {VERSION}"
    if words and words[0] in verbs.objects():
        return help.of_object(words[0], f"{PROGRAM} {words[0]}")
    return help.of_program(PROGRAM)


def _carry_out(verb: Verb, typed: str, words: list[str]) -> int:
    parser = Parser(typed, verb.parameters, _face(verb))
    call = parser.parse(words)
    if call.help:
        return _print(help.of_verb(verb, typed, parser.face))
    if verb.accepts("tick"):
        from nbcontainers.cli import foreground

        return foreground.run(verb, call)
    quiet = bool(call.face.get("quiet"))
    if verb.accepts("dockerfile"):
        from nbcontainers.cli import build

        result = build.run(verb, call, quiet=quiet)
    elif verb.accepts("progress"):
        from nbcontainers.cli import transfer

        result = transfer.run(verb, call, quiet=quiet)
    elif verb.accepts("on_read"):
        from nbcontainers.cli import transfer

        result = transfer.reading(verb, call)
    elif verb.accepts("tell"):
        from nbcontainers.cli import compare

        result = compare.run(verb, call)
    else:
        result = verb.function(*call.arguments, **call.options)
    form = call.face.get("format") or _usual(verb, call)
    while verb.name == "stats" and not call.options.get("no_stream") and sys.stdout.isatty():
        _print(_CLEAR + _formatted(result, form, quiet=quiet))
        result = verb.function(*call.arguments, **call.options)  # which takes its time
    return _print(_formatted(result, form, quiet=quiet))


def _usual(verb: Verb, call: Call) -> str:
    """How it is printed where nothing is said: ports as Docker prints them, since scripts take them apart."""
    if verb.name != "port":
        return "table"
    return "{{.Host}}" if call.arguments[1:] else "{{.Port}} -> {{.Host}}"


def _face(verb: Verb) -> list[Parameter]:
    if verb.accepts("tick"):
        return [PULL_QUIETLY] if verb.accepts("on_pull") else []
    if verb.accepts("dockerfile"):
        from nbcontainers.cli import build

        return [build.PROGRESS, build.DEBUG, FORMAT, QUIET]
    form = replace(FORMAT, flags=("--format", "-f")) if verb.name == "inspect" else FORMAT
    return [form, QUIET] if verb.lists or verb.accepts("progress") else [form]


def _formatted(result: Any, form: str, *, quiet: bool) -> str:
    if form in ("table", "json") or result is None:
        return shown(result, as_json=form == "json", quiet=quiet)
    from nbcontainers.cli import template

    return template.render(result, form)


def _print(text: str) -> int:
    if text:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    return 0


def shown(result: Any, *, as_json: bool = False, quiet: bool = False) -> str:
    """A verb's result as text: tables as Docker prints them, documents as JSON, handles by their id."""
    from nbcontainers.table import Table
    from nbcontainers.view import View

    if result is None:
        return ""
    if isinstance(result, Table) and not as_json:
        key = next((column for column in result.columns if column.name in _KEYS), None)
        return "\n".join(filter(None, map(key.show, result))) if quiet and key else result.text()
    if isinstance(result, Table):
        return json.dumps(result.rows, indent=2, default=str)
    if isinstance(result, View):
        return json.dumps(result.document(), indent=2, default=str) if as_json else result.text()
    if isinstance(result, (list, tuple)) and not (as_json or any(isinstance(item, (dict, list)) for item in result)):
        return "\n".join(shown(item) for item in result)
    if isinstance(result, (dict, list)):
        return json.dumps(result, indent=2, default=_named)
    return str(result) if as_json or isinstance(result, (str, int, float)) else str(_named(result))


def _named(result: Any) -> Any:
    """A handle by what names it."""
    return next((getattr(result, key) for key in _KEYS if hasattr(result, key)), str(result))
