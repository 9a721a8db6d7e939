"""The options of the command line: which may be repeated, and which it adds itself to a verb's."""

from __future__ import annotations

import inspect

import pytest

from nbcontainers.cli import main, signature, verbs


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


def test_what_takes_a_list_may_be_repeated() -> None:
    """`network create --subnet A --subnet B` took B alone. Commands of one text are no lists."""
    texts = {"entrypoint", "health_cmd"}
    once = [
        (object, name, one.name)
        for object in ("container", "image", "network", "volume", "system", "builder")
        for name, verb in verbs.verbs(object).items()
        for one in verb.parameters
        if one.kind == signature.VALUE and one.name not in texts
        and "list[" in str(inspect.signature(verb.function).parameters.get(one.name))
    ]  # fmt: skip
    assert once == []
    create = {one.name: one.kind for one in verbs.verbs("network")["create"].parameters}
    assert {create[name] for name in ("subnet", "gateway", "ip_range", "opt", "label")} == {signature.LIST}
    connect = {one.name: one.kind for one in verbs.verbs("network")["connect"].parameters}
    assert {connect[name] for name in ("alias", "link_local_ip")} == {signature.LIST}
