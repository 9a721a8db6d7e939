"""What reads an image goes on to its end while somebody else removes it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.container import api as containers
from nbcontainers.container import committing
from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound
from nbcontainers.image import api, layout, making, work
from nbcontainers.launcher import client
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

    monkeypatch.setattr(work, "call", removed_first)
    rows = api.tree()
    assert [row["added"] for row in rows] == [1, 1]
    assert layout.read_index(here).manifests == []


@pytest.mark.parametrize("before", [True, False])
def test_a_container_that_is_removed_while_it_is_read(
    fresh_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """What was read of it is no image, no tar and no list: files may be missing."""

    def beside(work: Any) -> Any:
        def both(*arguments: Any, **words: Any) -> Any:
            if str(arguments[0]).rpartition(":")[2] not in ("write", "look") and work is not layer_of:
                return work(*arguments, **words)
            if before:
                containers.rm("going", force=True)
            result = work(*arguments, **words)
            if not before:
                containers.rm("going", force=True)
            return result

        return both

    layer_of = making.layer_of
    monkeypatch.setattr(committing, "layer_of", beside(layer_of))
    monkeypatch.setattr(client, "call", beside(client.call))
    output = tmp_path / "out.tar"
    index = None
    for verb in (
        lambda: containers.commit("going", "made:1"),
        lambda: containers.export("going", output=str(output)),
        lambda: containers.diff("going"),
    ):
        containers.create("mini", "true", name="going")
        index = index or layout.read_index(fresh_engine).manifests
        with pytest.raises(NotFound, match="was removed"):
            verb()
    assert layout.read_index(fresh_engine).manifests == index
    assert not list(tmp_path.iterdir())
