"""An idle monitor that cannot sleep goes on: its container must not notice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nbcontainers.monitor import settle


def gone(name: str) -> Any:
    raise FileNotFoundError(2, "No such file or directory", "idle.py")


@pytest.mark.parametrize("found", [None, SimpleNamespace(name="idle", loader=SimpleNamespace(get_code=gone))])
def test_a_package_that_is_being_replaced_ends_no_container(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    """As in the middle of pip install --upgrade."""
    monkeypatch.setattr(settle, "find_spec", lambda name: found)
    running: Any = SimpleNamespace(freeze=lambda: pytest.fail("it was made ready to sleep"), patience=1.0)
    settle.sleep(running)
