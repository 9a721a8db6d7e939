"""Where an image comes from that is not here: short names, and registries that do not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound, RegistryError
from nbcontainers.image import api, wanted
from nbcontainers.image.image import Image
from nbcontainers.image.progress import Event, Listener
from nbcontainers.registry import settings
from nbcontainers.registry.settings import Settings

ONE = Settings(search=("first.example",))
TWO = Settings(search=("first.example", "second.example"))


@pytest.mark.parametrize(
    "status, asked",
    [(404, ["first.example/x:1", "second.example/x:1"]), (401, ["first.example/x:1", "second.example/x:1"]),
     (None, ["first.example/x:1"]), (503, ["first.example/x:1"])],
)  # fmt: skip
def test_the_next_registry_is_asked_only_where_the_first_has_it_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int | None, asked: list[str]
) -> None:
    """One that is down says nothing of what it has: somebody else's image of that name will not do."""
    found: list[str] = []

    def pull(reference: str, **options: Any) -> None:
        found.append(reference)
        raise RegistryError("no", status=status)

    monkeypatch.setattr(settings, "load", lambda engine: TWO)
    monkeypatch.setattr(api, "pull", pull)
    with pytest.raises(NotFound if status != 503 else RegistryError):
        wanted.ensure(Engine(tmp_path / "root", tmp_path / "run", True), "x:1")
    assert found == asked


@pytest.mark.parametrize("shown", [False, True])
def test_a_pull_that_no_face_shows_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shown: bool
) -> None:
    events: list[Event] = []

    def pull(reference: str, *, progress: Listener, engine: Engine, **options: Any) -> list[Image]:
        progress({"event": "image", "reference": reference, "layers": [{"digest": "a", "size": 5000}, {"digest": "b"}]})
        progress({"event": "layer", "digest": "a", "state": "done"})
        return [Image(engine, "sha256:a", reference)]

    monkeypatch.setattr(settings, "load", lambda engine: ONE)
    monkeypatch.setattr(api, "pull", pull)
    monkeypatch.setattr(wanted, "_here", lambda *arguments: None)
    engine = Engine(tmp_path / "root", tmp_path / "run", True)
    assert wanted.ensure(engine, "x:1", progress=events.append if shown else None) == "first.example/x:1"
    said = "" if shown else "[nbcontainers] pulling first.example/x:1: 5 kB\n"
    assert capsys.readouterr() == ("", said)
    assert len(events) == 2 * shown
