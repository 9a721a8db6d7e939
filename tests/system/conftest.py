"""Fixtures of the system tests: images made for a test, a folder of the host that must not change, a host of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import container, network
from tests import networked
from tests.conftest import close_launcher
from tests.crafted import Canary, Images
from tests.networked import Machine


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


@pytest.fixture
def name() -> Iterator[str]:
    """A container's name of this test; it and whatever else begins so goes at the end."""
    chosen = f"t-{uuid.uuid4().hex[:8]}"
    yield chosen
    for row in container.ps(all=True, filter=[f"name=^{chosen}"]):
        container.rm(str(row["id"]), force=True, volumes=True)


@pytest.fixture
def ours(fresh_engine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An engine on a host of its own. At the end nothing of any network may be left there."""
    monkeypatch.delenv("NBCONTAINERS_NETWORK")
    with networked.own_host():
        close_launcher()
        yield fresh_engine
        for row in container.ps(all=True):
            container.rm(str(row["id"]), force=True)
        network.prune()
        assert networked.settled(set()) == set()
        assert list(Path(fresh_engine.root).glob("networks/*/leases/*")) == []
        close_launcher()


@pytest.fixture
def machine(ours: Any) -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.close()
