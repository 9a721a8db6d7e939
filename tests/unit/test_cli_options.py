"""The options that the command line itself adds to a verb's."""

from __future__ import annotations

import pytest

from nbcontainers.cli import main, verbs


@pytest.mark.parametrize(
    ("object", "whole", "listed"),
    [
        (
            "container",
            "dashboard export healthcheck inspect overlay xray",
            "commit create diff kill ps rename rm stats wait",
        ),
        ("image", "export inspect layers login save", "history import load ls pull push rm tag"),
        ("volume", "inspect", "create ls prune rm"),
        ("network", "disconnect inspect topology", "create ls prune rm"),
        ("system", "info", "df prune"),
    ],
)
def test_ids_alone_are_offered_only_where_there_are_ids(object: str, whole: str, listed: str) -> None:
    """`container xray -q web` was taken, and everything printed."""
    known = verbs.verbs(object)
    assert [name for name in whole.split() if main.QUIET in main._face(known[name])] == []
    assert [name for name in listed.split() if main.QUIET not in main._face(known[name])] == []


def test_another_verb_refuses_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["container", "xray", "-q", "web"]) == 1
    assert "has no option -q" in capsys.readouterr().err
