"""What reads an image goes on to its end while somebody else removes it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound
from nbcontainers.image import api, layout, stack, work
from tests import tarballs as t
from tests.registries import Asked, Liar, Said, digest_of

LAYERS = [t.archive(t.file("one", b"1")), t.archive(t.file("two", b"2"))]
NAME = "local/small:1"


@pytest.fixture
def here(fresh_engine: Engine, nobody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    (tmp_path / "registries.toml").write_text("stall_timeout = 2\nbackoff = 0.01\n")
    monkeypatch.setenv("NBCONTAINERS_REGISTRIES", str(tmp_path / "registries.toml"))
    api.load(str(t.docker_archive(tmp_path / "small.tar", LAYERS, NAME)))
    return fresh_engine


def gone(engine: Engine) -> bool:
    return not any((engine.images / "blobs/sha256").iterdir())


def test_a_push_while_the_image_is_removed(here: Engine, liar: Liar) -> None:
    """The first thing it asks of the registry is when it is removed; the blobs go after the push."""
    sent: dict[str, bytes] = {}

    def removed(asked: Asked) -> Said:
        with contextlib.suppress(NotFound):  # several ask at once
            api.rm(NAME, force=True)
        return Said(404)

    def takes(asked: Asked) -> Said:
        sent[digest_of(asked.body)] = asked.body
        return Said(201)

    liar.say("HEAD", "/v2/*", removed)
    liar.say("POST", "/v2/*", Said(202, headers={"Location": "/v2/a/b/upload"}))
    liar.say("PUT", "/v2/*", takes)
    digest = api.push(NAME, f"{liar.host}/a/b:1")
    assert {digest, *map(digest_of, LAYERS)} <= set(sent)
    assert not gone(here)
    api.prune()
    assert gone(here)


def test_a_tree_while_the_image_is_removed(here: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    call = work.call

    def removed_first(target: str, **words: Any) -> Any:
        if target == "stack:count":
            api.rm(NAME, force=True)
        return call(target, **words)

    monkeypatch.setattr(stack.work, "call", removed_first)
    rows = api.tree()
    assert [row["added"] for row in rows] == [1, 1]
    assert layout.read_index(here).manifests == []
