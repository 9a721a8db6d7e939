"""Holding a container still, where whoever was to do it dies."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from nbcontainers.container import stillness, store
from nbcontainers.errors import Error
from nbcontainers.launcher import client


class Dead(nullcontext[Any]):
    """The channel to a process that has ended."""

    def receive(self) -> None:
        return None


def test_a_container_that_is_not_held_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "state", lambda *words: {"cgroup": {"kind": "v2"}})
    monkeypatch.setattr(client, "spawn", lambda target, **words: Dead())
    container: Any = SimpleNamespace(engine=None, id="x", name="busy", status="running")
    with pytest.raises(Error, match="could not be held still") as caught, stillness.frozen(container):
        pytest.fail("its files would change under whoever reads them")
    assert "--no-pause" in caught.value.hint
