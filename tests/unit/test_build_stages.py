"""How a build goes through its stages (builder/building.py), without doing any step."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbcontainers.builder import building
from nbcontainers.builder.building import Build, Request
from nbcontainers.builder.running import Cancelled
from nbcontainers.dockerfile.stages import Planned
from nbcontainers.engine import Engine
from nbcontainers.errors import BuildError

FOUR = "".join(f"FROM scratch AS s{number}\nCOPY a /\n" for number in range(4))
LAST = "FROM scratch\n" + "".join(f"COPY --from=s{number} /a /{number}\n" for number in range(4))


@pytest.fixture
def build(tmp_path: Path) -> Build:
    engine = Engine(tmp_path / "root", tmp_path / "run", False).prepare()
    return Build(engine, Request((FOUR + LAST).encode()), ExitStack(), lambda event: None)


def test_stages_begin_when_what_they_need_is_there(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []
    together = threading.Barrier(4)

    def stage(self: Build, planned: Planned) -> Any:
        if planned.needs:
            assert sorted(order) == [0, 1, 2, 3]
        else:
            together.wait(5)  # all four at the same time
        order.append(planned.stage.index)
        return planned.stage.index

    monkeypatch.setattr(Build, "_build_stage", stage)
    build._build_stages()
    assert order[-1] == 4
    assert build.results == {number: number for number in range(5)}


def test_the_first_failure_ends_the_others_and_is_the_one_told(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def stage(self: Build, planned: Planned) -> Any:
        if planned.stage.index == 2:
            time.sleep(0.05)
            self._over.set()
            time.sleep(0.05)  # the others are over before we are
            raise BuildError("the cause")
        while True:
            self.check()
            time.sleep(0.001)

    monkeypatch.setattr(Build, "_build_stage", stage)
    with pytest.raises(BuildError, match="the cause"):
        build._build_stages()
    assert not [one for one in threading.enumerate() if one.name.startswith("build")]


def test_an_interrupt_ends_all(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    def stage(self: Build, planned: Planned) -> Any:
        while True:
            try:
                self.check()
            except Cancelled:
                ended.append(planned.stage.index)
                raise
            time.sleep(0.001)

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Build, "_build_stage", stage)
    monkeypatch.setattr(building, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build._build_stages()
    assert len(ended) <= 4
    assert not [one for one in threading.enumerate() if one.name.startswith("build")]


def test_one_image_for_two_platforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def image(self: Build, name: str, platform: str) -> Any:
        asked.append((name, platform))
        return SimpleNamespace(layers=[], size=None, is_host=False, config={})

    monkeypatch.setattr(Build, "_image", image)
    text = b"FROM --platform=linux/arm64 a AS one\nFROM a AS two\nCOPY --from=one x y\nCOPY --from=a x y\n"
    build = Build(Engine(tmp_path / "root", tmp_path / "run", False).prepare(), Request(text), ExitStack(), lambda _: None)  # fmt: skip
    build._find_all_images()
    assert asked == [("a", "linux/arm64"), ("a", "")]
