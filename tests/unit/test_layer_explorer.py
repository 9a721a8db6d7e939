"""What the layer explorer tells its page: everything within the size of an update, and nothing else than what was asked."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from nbcontainers.errors import InvalidArgument
from nbcontainers.image import layerdrawing, layerview
from nbcontainers.image.merging import CHANGES, Waste
from nbcontainers.widgets import layers as explorer
from nbcontainers.widgets.live import LARGEST


def layer(number: int) -> Any:
    summary: Any = {"held": 10**11, "stored": 10**13, "counts": [10**6] * len(CHANGES), "left_out": 0}
    step = {"created_by": "RUN " + "é" * 5000, "comment": "", "digest": "sha256:" + "a" * 64}
    return layerview.Layer(number, step, "c", "d", 5, summary, 10**10, ["x", "y"], True)


def test_the_facts_of_a_large_image_fit_into_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many layers and wasted paths as there may be, with names as long as Linux has them."""
    waste = [Waste("é/" * 2000 + str(number), 3, 10**12, False) for number in range(100)]
    layers = SimpleNamespace(
        layers=[layer(number) for number in range(1, 128)], worst=waste, whole={"seen": 60_000, "wasteful": 5000},
        stored=10**13, wasted=10**12, efficiency=0.9,
    )  # fmt: skip
    view = explorer.Layers("sha256:abc")
    monkeypatch.setattr(view, "_opened", lambda: SimpleNamespace(layers=layers))
    monkeypatch.setattr(layerdrawing, "heading", lambda layers: "large")
    assert len(json.dumps(view.facts())) < LARGEST


def test_a_page_that_asks_for_what_there_is_not() -> None:
    view = explorer.Layers("mini")
    with pytest.raises(InvalidArgument, match="no tree of 'x' sorted by 'size'"):
        view.rows(1, "x", [], "", "size", [], 0, 10)


def test_nothing_is_read_before_somebody_asks() -> None:
    assert explorer.Layers("no such image").look() is None
