"""The options that the command line itself adds to a verb's."""

from __future__ import annotations

import pytest

from nbcontainers.cli import main, verbs

SHOWN_WHOLE = {
    "container": "attach cp dashboard exec export healthcheck inspect logs overlay run start xray",
    "image": "export inspect layers login save",
    "volume": "inspect",
    "network": "disconnect inspect topology",
    "system": "events info",
}


def test_ids_alone_are_offered_only_where_there_are_ids() -> None:
    """`container xray -q web` was taken, and everything printed."""
    without = {
        object: " ".join(
            sorted(name for name, verb in verbs.verbs(object).items() if main.QUIET not in main._face(verb))
        )
        for object in verbs.objects()
    }
    assert {object: names for object, names in without.items() if names} == SHOWN_WHOLE


def test_another_verb_refuses_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["container", "xray", "-q", "web"]) == 1
    assert "has no option -q" in capsys.readouterr().err
