"""The same workload on the host, in containers and in virtual machines: measured so that a sceptic believes it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERBS = frozenset("interference layers load run targets workloads".split())


def __getattr__(name: str) -> Any:
    """The verbs of `api`, on first use: `nbcontainers.compare.run` (PEP 562)."""
    if name in _VERBS:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
