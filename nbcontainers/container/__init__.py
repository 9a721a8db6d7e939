"""Containers: the options of `run`, the OCI configuration they make, the folder on disk, and the verbs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_VERBS = frozenset(
    "attach commit cp create diff exec_ export inspect kill logs ls pause port prune ps rename restart "
    "rm run start stats stop top unpause update wait".split()
)  # a list of our own: asking api for it here would import it for every submodule's name, in a circle


def __getattr__(name: str) -> Any:
    """The verbs of `api`, on first use: `nbcontainers.container.run` (PEP 562)."""
    if name in _VERBS:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
