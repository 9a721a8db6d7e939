"""WWW-Authenticate by the grammar of RFC 9110, and what is not."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcontainers.registry.authorization import merged
from nbcontainers.registry.challenge import parse


@pytest.mark.parametrize(
    "header, expected",
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [("bearer", {
                "realm": "https://auth.docker.io/token", "service": "registry.docker.io",
                "scope": "repository:a/b:pull,push",
            })],
        ),
        ('Basic realm="the \\"test\\" registry"', [("basic", {"realm": 'the "test" registry'})]),
        ("BASIC realm=plain", [("basic", {"realm": "plain"})]),
        ("Negotiate", [("negotiate", {})]),
        ('Negotiate, Basic realm="x", charset="UTF-8"', [("negotiate", {}), ("basic", {"realm": "x", "charset": "UTF-8"})]),
        ("Negotiate YWJj==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Basic realm="a, Bearer realm=b"', [("basic", {"realm": "a, Bearer realm=b"})]),
        ('Bearer  realm = "x" , service = y', [("bearer", {"realm": "x", "service": "y"})]),
        (', ,Basic realm="x",,', [("basic", {"realm": "x"})]),
        ('Bearer realm="",error="insufficient_scope"', [("bearer", {"realm": "", "error": "insufficient_scope"})]),
        ('Bearer realm="a",realm="b"', [("bearer", {"realm": "a"})]),
        ("", []),
        ('="x"', []),
        ('realm="x"', []),
        ('Basic realm="never closed', [("basic", {})]),
    ],
)  # fmt: skip
def test_challenges(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [tuple(one) for one in parse([header])] == expected


def test_several_headers_are_several_challenges() -> None:
    assert [one.scheme for one in parse(["Basic realm=x", 'Bearer realm="y"'])] == ["basic", "bearer"]


TOKENS = st.text(string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=40)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.tuples(TOKENS, st.dictionaries(TOKENS.map(str.lower), VALUES, min_size=1, max_size=4)), max_size=4))
def test_what_is_written_is_read(challenges: list[tuple[str, dict[str, str]]]) -> None:
    header = ", ".join(
        f"{scheme} " + ", ".join(f"{key}={quoted(value)}" for key, value in parameters.items())
        for scheme, parameters in challenges
    )
    expected = [(scheme.lower(), parameters) for scheme, parameters in challenges]
    assert [tuple(one) for one in parse([header])] == expected


@given(st.text(max_size=300))
def test_any_text_is_read_without_error(header: str) -> None:
    for one in parse([header]):
        assert one.scheme == one.scheme.lower() != ""


def test_a_long_header_takes_no_time() -> None:
    assert len(parse(['Bearer realm="' + "\\" * 1_000_000, "a " * 500_000, "a=" * 500_000])) < 10_000


def test_scopes_of_one_repository_are_merged() -> None:
    scopes = {"repository:a/b:pull", "repository:a/b:push,pull", "registry:catalog:*", "repository:h:5000/x:pull"}
    assert merged(scopes) == {"repository:a/b:pull,push", "registry:catalog:*", "repository:h:5000/x:pull"}
