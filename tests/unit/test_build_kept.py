"""Results of build steps on disk (image/kept.py), and that a sweep knows what they need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbcontainers.builder import shared
from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument
from nbcontainers.image import kept, layout, lease, removal
from nbcontainers.image.kept import Kept
from nbcontainers.oci import digest
from nbcontainers.oci.image import LAYER, descriptor

KEY = digest.of(b"key")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "root", tmp_path / "run", False).prepare()


def result(engine: Engine, content: bytes = b"layer") -> Kept:
    found, size = layout.put(engine, [content])
    return {
        "created": "2001-09-09T01:46:40Z", "descriptor": descriptor(LAYER, found, size), "diff_id": found,
        "chain": kept.chain_of([found]), "entries": 1, "size": size, "what": "RUN x",
    }  # fmt: skip


def test_what_is_kept_is_found_again(engine: Engine) -> None:
    one = result(engine)
    with lease.adding(engine):
        assert kept.find(engine, KEY) is None
        kept.keep(engine, KEY, one)
        assert kept.find(engine, KEY) == one
        assert [found for _, found in kept.every(engine)] == [one]
        layout.blob(engine, one["descriptor"]["digest"]).unlink()
        assert kept.find(engine, KEY) is None, "its layer is gone"


def test_a_step_without_a_layer(engine: Engine) -> None:
    one: Kept = {**result(engine), "descriptor": {}, "diff_id": "", "entries": 0}  # type: ignore[typeddict-item]
    kept.keep(engine, KEY, one)
    assert kept.find(engine, KEY) == one
    assert kept.reachable(engine) == (set(), set())


def test_a_sweep_leaves_what_results_need(engine: Engine) -> None:
    one = result(engine)
    other = result(engine, b"of nobody")
    kept.keep(engine, KEY, one)
    removal.sweep(engine)
    assert layout.blob(engine, one["descriptor"]["digest"]).exists()
    assert not layout.blob(engine, other["descriptor"]["digest"]).exists()
    for path, _ in kept.every(engine):
        path.unlink()
    removal.sweep(engine)
    assert not layout.blob(engine, one["descriptor"]["digest"]).exists()


def test_what_nobody_asked_for_in_two_weeks_is_forgotten(engine: Engine) -> None:
    kept.keep(engine, KEY, result(engine))
    other = digest.of(b"old")
    kept.keep(engine, other, result(engine))
    old = next(path for path, _ in kept.every(engine) if path.stem == other.partition(":")[2])
    os.utime(old, (0, 0))
    kept.expire(engine)
    assert kept.find(engine, KEY)
    assert kept.find(engine, other) is None


def test_a_damaged_file_is_no_result(engine: Engine) -> None:
    kept.keep(engine, KEY, result(engine))
    [(path, _)] = kept.every(engine)
    path.write_bytes(b"")
    assert kept.find(engine, KEY) is None
    assert list(kept.every(engine)) == []


def folder_at(path: Path) -> shared.Cache:
    return shared.parse("cache-to", str(path), must_be=False)


@pytest.mark.parametrize(
    "text", ["type=gha", "type=registry", "type=local", "type=registry,ref=a,x=y", "type=registry,ref=A B"]
)
def test_a_place_that_is_none(text: str) -> None:
    with pytest.raises(InvalidArgument):
        shared.parse("cache-to", text, must_be=False)


def test_results_travel_in_a_folder(engine: Engine, tmp_path: Path) -> None:
    one, folder = result(engine), folder_at(tmp_path / "shared")
    folder.write(engine, [(KEY, one)])
    other = Engine(tmp_path / "other", tmp_path / "other-run", False).prepare()
    assert shared.find(other, [folder_at(tmp_path / "nothing"), folder], KEY) == one
    assert kept.find(other, KEY) == one
    assert shared.find(other, [folder], digest.of(b"unknown")) is None


def test_a_damaged_blob_of_a_folder_is_refused(engine: Engine, tmp_path: Path) -> None:
    one, folder = result(engine), folder_at(tmp_path / "shared")
    folder.write(engine, [(KEY, one)])
    [blob] = (tmp_path / "shared/blobs/sha256").iterdir()
    blob.write_bytes(b"liar!")
    other = Engine(tmp_path / "other", tmp_path / "other-run", False).prepare()
    with pytest.raises(ImageError):
        shared.find(other, [folder], KEY)
    assert kept.find(other, KEY) is None


def test_results_that_cannot_be_written(engine: Engine, tmp_path: Path) -> None:
    one, folder = result(engine), folder_at(tmp_path / "shared")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/steps").write_text("in the way")
    with pytest.raises(ImageError, match=r"the results cannot be written to .*shared") as caught:
        folder.write(engine, [(KEY, one)])
    assert "--cache-to" in caught.value.hint
    assert not [path for path in (tmp_path / "shared").rglob("*") if path.name.endswith(".new")]
