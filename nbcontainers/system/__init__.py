"""What concerns the whole engine: info, df, prune, doctor."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERBS = frozenset("df doctor events info prune".split())


def __getattr__(name: str) -> Any:
    """The verbs of `api`, on first use: `nbcontainers.system.prune` (PEP 562)."""
    if name in _VERBS:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
