"""Fixtures of the system tests: images made for a test, and a folder of the host that must not change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crafted import Canary, Images


@pytest.fixture(scope="module")
def crafted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """`crafted(link("proc", "/"), config={…})`: the reference of an image made of busybox and that."""
    images = Images(tmp_path_factory.mktemp("images"))
    yield images
    images.remove()


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    """A folder of the host; the test fails if anything in it was touched."""
    canary = Canary(tmp_path / "canary")
    yield canary
    canary.check()
