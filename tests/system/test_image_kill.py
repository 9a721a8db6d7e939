"""kill -9 at random moments of pull, load, import, rm and prune at once; the store stays whole (tests/soak.py).

The long run is `python -m tests.soak --rounds 2000`, or NBCONTAINERS_SOAK=2000 here.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError
from nbcontainers.image import api, layout, rootfs, snapshot, store
from nbcontainers.launcher import client
from tests.soak import soak

ROUNDS = int(os.environ.get("NBCONTAINERS_SOAK", "40"))


@pytest.mark.slow
@pytest.mark.timeout(120 + 2 * ROUNDS)
def test_killed_at_any_moment_by_anybody(fresh_engine: Engine, tmp_path: Path) -> None:
    client.close()  # what forks here must have no launcher to share
    report = soak(ROUNDS, 7, tmp_path, check_every=20)
    assert report.wrong == []
    assert report.rounds == ROUNDS
    assert report.checks >= ROUNDS // 20
    assert {"pull", "load", "rm", "prune"} <= report.done.keys()


# What the soak relies on: damage is seen.


@pytest.fixture
def mini(fresh_engine: Engine) -> Path:
    """The top layer of `mini`, unpacked."""
    image = store.resolve(fresh_engine, "mini")
    rootfs.layers(fresh_engine, image)
    assert [row["state"] for row in api.verify()] == ["whole"]
    return snapshot.path(fresh_engine.snapshots, image.chain_ids[-1])


def test_a_file_that_is_missing_is_seen(mini: Path) -> None:
    (mini / "usr/bin/busybox").unlink()
    with pytest.raises(ImageError, match="/usr/bin/busybox") as caught:
        api.verify("mini")
    assert caught.value.hint == "%image rm -f localhost/mini:latest, and pull or load again"


def test_another_content_of_the_same_size_is_seen(mini: Path) -> None:
    with open(mini / "usr/bin/busybox", "r+b") as file:
        file.seek(5000)
        file.write(b"other")
    with pytest.raises(ImageError, match="another content"):
        api.verify()


def test_a_layer_of_fewer_entries_is_seen(mini: Path) -> None:
    facts = (mini.parent / "layer.json").read_text()
    (mini.parent / "layer.json").write_text(facts.replace('"entries": ', '"entries": 1'))
    with pytest.raises(ImageError, match="not whole"):
        api.verify()


@pytest.mark.parametrize("kind", ["manifest", "config", "layer"])
@pytest.mark.parametrize("how", ["changed", "missing", "longer"])
def test_a_blob_that_is_not_what_it_was_is_seen(mini: Path, fresh_engine: Engine, kind: str, how: str) -> None:
    image = store.resolve(fresh_engine, "mini")
    digest = {"manifest": image.digest, "config": image.id, "layer": image.layers[0]["digest"]}[kind]
    path = layout.blob(fresh_engine, digest)
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(content[:-1] + b"?" if how == "changed" else content + b"?")
    with pytest.raises(ImageError, match="the store is damaged"):
        api.verify()
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    assert [row["state"] for row in api.verify()] == ["whole"]


def test_a_stray_blob_that_is_damaged_is_swept(mini: Path, fresh_engine: Engine) -> None:
    (fresh_engine.images / "blobs/sha256" / ("0" * 64)).write_bytes(b"x")
    with pytest.raises(ImageError) as caught:
        api.verify()
    assert caught.value.hint == "%system prune removes what nothing needs"
    api.prune()
    api.verify()
