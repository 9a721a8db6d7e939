"""Networks between containers: bridges, addresses, published ports and names; netlink by hand, no program needed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERBS = frozenset("connect create disconnect inspect ls prune reload rm topology".split())


def __getattr__(name: str) -> Any:
    """The verbs of `api`, on first use: `nbcontainers.network.create` (PEP 562)."""
    if name in _VERBS:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
