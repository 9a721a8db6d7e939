"""Who needs an image: by the records on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, ImageError
from nbcontainers.image import removal


def test_a_container_that_is_being_removed_needs_no_image(tmp_path: Path) -> None:
    """Its folder is out of sight already, and its files go a moment later."""
    engine = Engine(tmp_path / "root", tmp_path / "run", True)
    for name in ("a" * 64, f".{'b' * 64}.17.removed"):
        folder = engine.containers / name
        folder.mkdir(parents=True)
        lower = str(engine.snapshots / name.strip(".")[:64] / "fs")
        (folder / "recipe.json").write_text(json.dumps({"steps": [{"args": {"lower": [lower]}}]}))
        (folder / "container.json").write_text(json.dumps({"id": name, "name": name[:2], "image_digest": "sha256:x"}))
    assert removal.users(engine) == {"sha256:x": ["aa"]}
    assert removal.mounted(engine) == {"a" * 64}


def test_what_went_wrong_is_told_also_where_nothing_can_be_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(engine: Engine) -> None:
        raise Error("the record of container x is damaged")

    monkeypatch.setattr(removal, "sweep", damaged)
    with pytest.raises(ImageError, match="the layer is bad") as caught:
        with removal.unless_all_is_well(Engine(tmp_path, tmp_path, True)):
            raise ImageError("the layer is bad")
    assert caught.value.__notes__ == ["what was added in vain is still there: the record of container x is damaged"]
