"""What a cell shows now and what takes its place: one display area, published from the cell and from a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nbcontainers import widgets
from nbcontainers.magics import following


def test_what_follows_takes_the_place_of_what_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[tuple[dict[str, str], str, bool, bool]] = []
    came, done = threading.Event(), threading.Event()
    cell = threading.current_thread()

    def publish(bundle: dict[str, str], *, transient: dict[str, str], update: bool = False) -> None:
        published.append((bundle, transient["display_id"], update, threading.current_thread() is cell))

    def later() -> Iterator[dict[str, Any]]:
        assert came.wait(10)
        yield {"text/plain": "two"}
        yield {"text/plain": "three"}
        done.set()

    monkeypatch.setattr(following, "publish_display_data", publish)
    following.Following()({"text/plain": "one"}, later())
    assert [(words["text/plain"], update, ours) for words, _, update, ours in published] == [("one", False, True)]
    came.set()
    assert done.wait(10)
    assert [(words["text/plain"], update, ours) for words, _, update, ours in published[1:]] == [
        ("two", True, False),
        ("three", True, False),
    ]
    assert len({area for _, area, _, _ in published}) == 1


@pytest.mark.parametrize(("kernel", "asks"), [(None, True), (object(), False), (object(), True)])
def test_nothing_follows_where_nobody_looks(kernel: object, asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets, "kernel", lambda: kernel)
    monkeypatch.setattr(widgets, "front_end", lambda: asks)
    assert following.Following().wanted() is (kernel is not None and asks)
