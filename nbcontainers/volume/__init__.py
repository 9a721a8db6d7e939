"""Folders that outlive the containers using them: made, listed, filled from an image, mounted, removed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERBS = frozenset("create inspect ls prune rm".split())


def __getattr__(name: str) -> Any:
    """The verbs of `api`, on first use: `nbcontainers.volume.create` (PEP 562); and `get`, for a handle by its name."""
    if name in _VERBS or name == "get":
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{'volume' if name == 'get' else 'api'}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
