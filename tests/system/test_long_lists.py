"""Whatever is long stays small in a cell: bounded HTML and text, the rest on demand. Times are in tests/bench."""

from __future__ import annotations

import pytest

from nbcontainers import container, image
from tests import long

LARGEST = 300_000


def bundle(shown: object) -> dict[str, str]:
    """Its bundle, which is small."""
    found = shown._repr_mimebundle_()  # type: ignore[attr-defined]
    assert {kind: len(content.encode()) for kind, content in found.items() if len(content.encode()) > LARGEST} == {}
    assert "text/html" in found
    return found


@pytest.mark.slow
def test_two_hundred_containers(fresh_engine) -> None:
    with long.crowd():
        listed = container.ps(all=True)
        shown = bundle(listed)
        assert len(listed) == len(listed.to_pandas()) == long.CONTAINERS
        assert "more" in shown["text/html"]
        assert "<b>not" not in shown["text/html"]
        board = bundle(container.dashboard())
        assert "<b>not" not in board["text/html"]
        assert str(long.CONTAINERS) in board["text/plain"]


@pytest.mark.slow
@pytest.mark.as_root
def test_an_image_of_sixty_thousand_files(fresh_engine, tmp_path) -> None:
    with long.forest(tmp_path) as forest:
        layers = image.layers(forest.id)
        shown = bundle(layers)
        assert "60,000" in shown["text/plain"] or "60000" in shown["text/plain"]
        files = layers.files()
        assert files["path"].str.endswith(".txt").sum() == long.FILES
        bundle(image.tree(forest.id))


@pytest.mark.slow
def test_a_log_of_a_million_lines(fresh_engine) -> None:
    with long.crowd(1) as (one,):
        long.speak(one)
        log = container.logs(one)
        shown = bundle(log)
        for kind in ("text/plain", "text/html"):
            assert "0000000 GET" in shown[kind]
            assert "0999999 GET" in shown[kind]
            assert "lines left out" in shown[kind]
        assert "<script>" not in shown["text/html"]
        assert len(log) == long.LINES
