"""Containers: the options of `run`, the OCI configuration they make, the folder on disk, and the verbs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def __getattr__(name: str) -> Any:
    """The verbs of `api`, on first use: `nbcontainers.container.run` (PEP 562)."""
    from importlib import import_module

    if not name.startswith("_") and name != "api":
        api = import_module(f"{__name__}.api")
        if name in api.__all__:
            return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
