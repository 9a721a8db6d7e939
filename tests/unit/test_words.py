"""A magic's line: quotes, comments, continuation, `;`, and `{name}`."""

from __future__ import annotations

from typing import Any

import pytest

from nbcontainers.cli import words
from nbcontainers.errors import InvalidArgument
from nbcontainers.magics.interpolation import fill, value
from nbcontainers.magics.magics import join_continued

NAMES: dict[str, Any] = {
    "name": "web", "n": 3, "path": "/my files/a b", "limit": 256.5, "d": {"k": "v", "}": "brace"},
    "files": ["a", "b c"], "HOME": "not the shell's",
}  # fmt: skip


def split(line: str) -> list[str]:
    return words.split(line, lambda field: value(field, NAMES))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run mini echo hi", ["run", "mini", "echo", "hi"]),
        ("""run mini sh -c 'echo "a b"'""", ["run", "mini", "sh", "-c", 'echo "a b"']),
        ('--name "my name"', ["--name", "my name"]),
        (r"a\ b c", ["a b", "c"]),
        ("-e A=x#y", ["-e", "A=x#y"]),
        ("echo '# no comment'", ["echo", "# no comment"]),
        (r"echo \#1", ["echo", "#1"]),
        ("", []),
        ("''", [""]),
    ],
)
def test_words_are_the_posix_shells(line: str, expected: list[str]) -> None:
    assert split(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--name {name}", ["--name", "web"]),
        ("x{name}y{n}z", ["xweby3z"]),
        ("-m {limit:.0f}m", ["-m", "256m"]),
        ("{n + 1}", ["4"]),
        ("{d['k']} {d[\"k\"]}", ["v", "v"]),
        ("{name!r}", ["'web'"]),
        ("-v {path}:/data", ["-v", "/my files/a b:/data"]),
        ("'-v={path}'", ["-v=/my files/a b"]),
        ("cat {files}", ["cat", "a", "b c"]),
        ("cat x{files}", ["cat", "x['a', 'b c']"]),
        ("{len(files)}", ["2"]),
    ],
)
def test_names_become_their_values_and_are_never_split(line: str, expected: list[str]) -> None:
    assert split(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "$HOME", "${HOME}", "${name}", "{{.Names}}", "{{name}}", "{8}", "{}", "{1..5}", "a{2,3}", "{", "}", "{name",
        '{"a":1}',
    ],
)  # fmt: skip
def test_what_is_no_field_stays(line: str) -> None:
    assert split(f"'{line}'") == [line]


def test_awk_stays() -> None:
    assert split("awk '{print $1}' f") == ["awk", "{print $1}", "f"]
    assert split("awk '{print}' f") == ["awk", "{print}", "f"]


def test_a_backslash_keeps_the_braces() -> None:
    assert split(r"echo \{name}") == ["echo", "{name}"]


def test_an_undefined_name_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"\{nobody\} on the line: no variable is named 'nobody'") as caught:
        split("run {name} {nobody}")
    assert caught.value.hint == r"give nobody a value first, or write \{nobody} to pass the braces on"


def test_a_body_is_filled_where_that_is_asked_for() -> None:
    names = {"tag": "1.2", "packages": ["curl", "vim"], "many": {"x": 3}}
    body = (
        "FROM base:{{ tag }}\nRUN apt-get install {{packages}} ${HOME} {tag} {{.Names}} {{}} {{8}} {{ many['x']:02d }}"
    )
    assert fill(body, names) == "FROM base:1.2\nRUN apt-get install curl vim ${HOME} {tag} {{.Names}} {{}} {{8}} 03"
    with pytest.raises(InvalidArgument, match=r"\{nope\} in the body: no variable is named 'nope'") as caught:
        fill("echo {{ nope }}", names)
    assert caught.value.hint == "give nope a value first, or leave --fill out"


def test_a_failing_expression_says_so() -> None:
    with pytest.raises(InvalidArgument, match="ZeroDivisionError: division by zero"):
        split("{n/0}")


@pytest.mark.parametrize("line", ["ps # all of them", "ps #all", "# ps"])
def test_a_comment_is_an_error(line: str) -> None:
    with pytest.raises(InvalidArgument, match="starts no comment") as caught:
        split(line)
    assert "quote it" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "problem"), [("'a", "a quote that is never closed"), ("a\\", "nothing after its last")]
)
def test_an_unfinished_line_is_an_error(line: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        split(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ps;", ("ps", True)),
        ("ps ; ", ("ps ", True)),
        ("sh -c 'a;'", ("sh -c 'a;'", False)),
        (r"x \;", (r"x \;", False)),
    ],
)
def test_a_semicolon_at_the_end_means_quiet(line: str, expected: tuple[str, bool]) -> None:
    assert words.quiet(line) == expected


def test_a_first_line_goes_on_after_a_backslash_and_the_body_keeps_its_lines() -> None:
    assert join_continued("run \\", "  -m 1g \\\n  mini\nline 3\n") == ("run    -m 1g    mini", "\n\nline 3\n")
    assert join_continued("run mini", "a\\\nb") == ("run mini", "a\\\nb")
