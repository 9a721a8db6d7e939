"""From a signature to a command line: every form Docker's users type, and one clear error for each mistake."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, Unpack

import pytest

from nbcontainers.cli.help import Help, of_verb
from nbcontainers.cli.parser import HELP, Parser, usage
from nbcontainers.cli.signature import FLAG, VALUE, Parameter, parameters
from nbcontainers.cli.verbs import Verb, as_typed
from nbcontainers.errors import InvalidArgument
from nbcontainers.option import Argument, Option, moment, size


class Options(TypedDict, total=False):
    detach: Annotated[bool, Option("-d", help="in the background")]
    interactive: Annotated[bool, Option("-i", help="keep stdin open")]
    tty: Annotated[bool, Option("-t", help="a terminal")]
    memory: Annotated[int | str, Option("-m", help="memory limit", metavar="SIZE", parse=size)]
    env: Annotated[list[str] | dict[str, str], Option("-e", help="a variable", metavar="NAME=VALUE")]
    publish: Annotated[list[str], Option("-p", help="a port")]
    pids_limit: Annotated[int, Option(help="most processes")]
    cpus: Annotated[float, Option(help="processors")]
    network: Annotated[Literal["none", "host"], Option("--net", help="which network")]
    hostname: Annotated[str, Option("-h", help="the host's name")]
    pairs: Annotated[dict[str, str], Option(help="a mapping")]
    file: Annotated[Path, Option(help="a path", complete="path")]
    hidden: Any


def run(
    image: Annotated[str, Argument("IMAGE", help="what to start from", complete="image")],
    *command: str,
    stdout: Any = None,
    raise_error: Annotated[bool, Option(help="return all the same")] = True,
    **options: Unpack[Options],
) -> None:
    """Run a program in a new container.

    It does this and that.
    """


def rm(*containers: str, force: Annotated[bool, Option("-f", help="also when it runs")] = False) -> None:
    """Remove containers."""


def inspect(first: str, second: str = "", *, since: Annotated[str | None, Option()] = None) -> None: ...


def parse(line: str, function: Any = run, face: list[Parameter] | None = None) -> Any:
    return Parser("%container run", parameters(function), face or []).parse(line.split())


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("-m 64m mini", {"memory": 64 << 20}),
        ("-m64m mini", {"memory": 64 << 20}),
        ("-m=64m mini", {"memory": 64 << 20}),
        ("--memory 64m mini", {"memory": 64 << 20}),
        ("--memory=64m mini", {"memory": 64 << 20}),
        ("-it mini", {"interactive": True, "tty": True}),
        ("-itm 1k mini", {"interactive": True, "tty": True, "memory": 1024}),
        ("-dm1k mini", {"detach": True, "memory": 1024}),
        ("-p8080:80 -p 81:81 mini", {"publish": ["8080:80", "81:81"]}),
        ("-e A=1 -eB=x=y --env C= mini", {"env": ["A=1", "B=x=y", "C="]}),
        ("--pairs a=1 --pairs b=2=3 mini", {"pairs": {"a": "1", "b": "2=3"}}),
        ("--pids-limit -1 mini", {"pids_limit": -1}),
        ("--cpus .5 mini", {"cpus": 0.5}),
        ("--net host mini", {"network": "host"}),
        ("--network=none mini", {"network": "none"}),
        ("-h web mini", {"hostname": "web"}),
        ("--file a/b mini", {"file": Path("a/b")}),
        ("-d=false mini", {"detach": False}),
        ("--detach=true mini", {"detach": True}),
        ("--no-raise-error mini", {"raise_error": False}),
        ("-m 1k -m 2k mini", {"memory": 2048}),
        ("-- mini", {}),
    ],
)
def test_options(line: str, options: dict[str, Any]) -> None:
    call = parse(line)
    assert call.options == options
    assert call.arguments == ["mini"]


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("-d mini ls -d --name x -- y", ["mini", "ls", "-d", "--name", "x", "--", "y"]),
        ("mini -d", ["mini", "-d"]),
        ("mini -", ["mini", "-"]),
    ],
)
def test_options_of_run_end_at_the_image(line: str, arguments: list[str]) -> None:
    assert parse(line).arguments == arguments


def test_elsewhere_options_may_follow_arguments() -> None:
    call = parse("a b -f c", rm)
    assert (call.arguments, call.options) == (["a", "b", "c"], {"force": True})
    assert parse("-- -f", rm).arguments == ["-f"]


def test_optional_arguments() -> None:
    assert parse("a", inspect).arguments == ["a"]
    assert parse("a b --since x", inspect).arguments == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (
            "--memry 1g mini",
            "%container run has no option --memry",
            "did you mean --memory? type %container run --help",
        ),
        ("-x mini", "%container run has no option -x", "type %container run --help"),
        ("-dx mini", "has no option -x (in -dx)", "type %container run --help"),
        ("-memory", "--memory: 'emory' is no size", "write 512k, 256m or 1.5g"),
        ("-tty mini", "has no option -y (in -tty)", "did you mean --tty? type"),
        ("-m", "-m needs a value", "type -m SIZE"),
        ("--memory", "--memory needs a value", "type --memory SIZE"),
        ("--memory lots mini", "--memory: 'lots' is no size", "write 512k, 256m or 1.5g"),
        ("--pids-limit many mini", "--pids-limit: 'many' is not a whole number", "type --pids-limit N;"),
        ("--cpus x mini", "--cpus: 'x' is not a number", "type --cpus NUMBER;"),
        ("--net hots mini", "--net knows no 'hots'", "did you mean host? type --net with one of none, host"),
        ("-d=maybe mini", "-d is on or off, not 'maybe'", "type -d or -d=false"),
        ("", "%container run needs an IMAGE", "type %container run [OPTIONS] IMAGE [COMMAND...]"),
        ("-ita x mini", "has no option -a (in -ita)", "type %container run --help"),
        ("--gpus all mini", "has no option --gpus", "--device gives"),
        ("--gpus=all mini", "has no option --gpus", "GPUs are not there yet"),
        ("--storage-opt x mini", "has no option --storage-opt", "Docker has --storage-opt"),
        ("--stdout x mini", "has no option --stdout", ""),
        ("--hidden x mini", "has no option --hidden", ""),
    ],
)
def test_mistakes_say_what_to_type(line: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(line)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_too_many_arguments() -> None:
    with pytest.raises(InvalidArgument, match="takes only FIRST SECOND, not 'c'"):
        parse("a b c", inspect)


def test_help_is_help_only_where_the_verb_has_no_h() -> None:
    assert parse("--help mini").help
    assert parse("-h name mini").options == {"hostname": "name"}
    assert parse("-h", rm).help
    assert not parse("mini --help").help, "it belongs to the command"


def test_a_face_has_options_of_its_own_but_never_the_verbs() -> None:
    out = Parameter("out", VALUE, ("--out", "-o"), metavar="NAME")
    detach = Parameter("quiet", FLAG, ("--quiet", "-d"))
    call = parse("-o x --quiet -d mini", face=[out, detach])
    assert call.face == {"out": "x", "quiet": True}
    assert call.options == {"detach": True}


def test_usage() -> None:
    assert usage("run", parameters(run)) == "run [OPTIONS] IMAGE [COMMAND...]"
    assert usage("inspect", parameters(inspect)) == "inspect [OPTIONS] FIRST [SECOND]"


def test_help_begins_with_the_usage_and_lists_every_option() -> None:
    shown = of_verb(Verb("container", "run", run), "%container run")
    assert isinstance(shown, Help)
    assert repr(shown) == shown
    lines = shown.splitlines()
    assert lines[0] == "usage: %container run [OPTIONS] IMAGE [COMMAND...]"
    assert lines[2] == "Run a program in a new container"
    assert "It does this and that." in lines
    assert "example: %container run -m 256m --cpus 1 mini echo hello" in lines
    assert "  -m, --memory SIZE               memory limit" in lines
    assert "  -e, --env NAME=VALUE            a variable (may be repeated)" in lines
    assert "      --no-raise-error            return all the same" in lines
    assert "      --help                      Show this help" in lines
    assert "  IMAGE                           what to start from" in lines
    assert HELP.flags == ("--help", "-h")


@pytest.mark.parametrize(
    ("words", "slot", "options"),
    [
        ("", "image", True),
        ("-m", "memory", False),
        ("-itm", "memory", False),
        ("-m1k", "image", True),
        ("--memory=1k", "image", True),
        ("--memory 1k -d", "image", True),
        ("mini", "command", False),
        ("-d mini ls", "command", False),
    ],
)
def test_what_the_next_word_would_be(words: str, slot: str, options: bool) -> None:
    found, allowed = Parser("run", parameters(run)).slot(words.split())
    assert found is not None
    assert (found.name, allowed) == (slot, options)


@pytest.mark.parametrize(
    ("hint", "typed"),
    [
        ("type container rm -f web", "type %container rm -f web"),
        ("%image ls shows them", "%image ls shows them"),
        ("nbcontainers container ps -a", "%container ps -a"),
        ("is the container running?", "is the container running?"),
        ("see /a/container run, container-run", "see /a/container run, container-run"),
    ],
)
def test_hints_are_typed_as_the_face_types_them(hint: str, typed: str) -> None:
    assert as_typed(hint, "%") == typed
    assert as_typed("type container rm x", "nbcontainers ") == "type nbcontainers container rm x"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1763805600", 1763805600.0), ("1763805600.5", 1763805600.5), ("2025-11-22T10:00:00Z", 1763805600.0),
     ("2025-11-22T12:00:00.123456789+02:00", 1763805600.123456)],
)  # fmt: skip
def test_moments(text: str, seconds: float) -> None:
    assert moment(text).timestamp() == seconds


def test_moments_ago_and_here() -> None:
    assert abs(time.time() - 5400 - moment("1h30m").timestamp()) < 10
    assert moment("2025-11-22").timestamp() == time.mktime((2025, 11, 22, 0, 0, 0, 0, 0, -1))
    for text in ("", "soon", "10x", "1e9", "9" * 30, "2025-13-01"):
        with pytest.raises(ValueError, match="is no time; write 10m"):
            moment(text)
