"""What may be swept from the store, and when: never the layers of a container, not even of one being made."""

from __future__ import annotations

from typing import Any

import pytest

import nbcontainers
from nbcontainers.errors import Error
from nbcontainers.image import removal, rootfs


def test_a_damaged_record_is_named_and_nothing_is_swept(fresh_engine: Any) -> None:
    """Its layers are unknown, so none may go."""
    container = nbcontainers.container.create("mini", "true")
    folder = fresh_engine.containers / container.id
    kept = (folder / "recipe.json").read_bytes()
    (folder / "recipe.json").write_bytes(kept[:40])
    with pytest.raises(Error, match=f"the record of container {container.short_id} is damaged"):
        removal.sweep(fresh_engine)
    (folder / "recipe.json").write_bytes(kept)
    assert container.start(attach=True).exit_code == 0
    container.rm()


def test_nothing_is_swept_while_a_container_is_being_made(fresh_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at an image's layers and the record that names them."""
    nbcontainers.run("mini", "true", rm=True)
    swept: list[dict[str, int]] = []
    steps = rootfs.steps

    def late(*arguments: Any, **options: Any) -> Any:
        nbcontainers.image.rm("mini", force=True)
        swept.append(removal.sweep(fresh_engine))
        return steps(*arguments, **options)

    monkeypatch.setattr(rootfs, "steps", late)
    assert nbcontainers.run("mini", "true", rm=True).exit_code == 0
    assert [found["snapshots"] for found in swept] == [0]
