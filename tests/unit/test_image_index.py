"""The store's index: whoever else wrote to it, no verb ends in a traceback; our own names are only ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument
from nbcontainers.image import layout
from nbcontainers.oci.image import MANIFEST, REF_NAME, descriptor

ONE = descriptor(MANIFEST, "sha256:" + "1" * 64, 3)
OTHER = descriptor(MANIFEST, "sha256:" + "2" * 64, 3)
MINI = "localhost/mini:latest"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "root", tmp_path / "run", rootless=False).prepare()


def write(engine: Engine, document: Any) -> Path:
    path = engine.images / "index.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize(
    "document",
    [
        "", "[]", "{", {"manifests": 5}, {"manifests": [5]}, {"manifests": [{}]}, {"manifests": {"a": 1}},
        {"manifests": [{"digest": "sha256:../../etc/passwd", "size": 1}]}, {"manifests": [{**ONE, "size": "x"}]},
        {"manifests": [{**ONE, "annotations": {REF_NAME: 5}}]}, {"manifests": [{**ONE, "annotations": [1]}]},
    ],
)  # fmt: skip
def test_a_damaged_index_is_told_and_kept(engine: Engine, document: Any) -> None:
    path = write(engine, document)
    before = path.read_bytes()
    for ask in (lambda: layout.read_index(engine), lambda: layout.update(engine).__enter__()):
        with pytest.raises(ImageError, match="the store is damaged: ") as caught:
            ask()
        assert str(path) in caught.value.hint
    assert path.read_bytes() == before


def test_null_is_nothing(engine: Engine) -> None:
    write(engine, {"manifests": [{**ONE, "annotations": None}]})
    assert layout.read_index(engine).manifests == [ONE]
    write(engine, {"schemaVersion": 2, "manifests": None})
    assert layout.read_index(engine).manifests == []


def test_what_mini_was_saved_as_comes_in_again(engine: Engine) -> None:
    with layout.update(engine) as manifests:
        layout.set_name(manifests, MINI, ONE, embedded=True)
        layout.set_name(manifests, MINI, ONE)
        with pytest.raises(InvalidArgument, match="embedded image"):
            layout.set_name(manifests, MINI, OTHER)
    assert layout.read_index(engine).names[MINI]["digest"] == ONE["digest"]
