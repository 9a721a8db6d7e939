"""Containers: the options of `run`, the OCI configuration they make, the folder on disk, and the verbs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_VERBS = frozenset(
    "attach commit cp create dashboard diff exec_ export healthcheck inspect kill logs ls overlay pause port prune ps rename "
    "restart rm run start stats stop top unpause update wait xray".split()
)  # a list of our own: asking api for it here would import it for every submodule's name, in a circle


def __getattr__(name: str) -> Any:
    """The verbs of `api`, on first use: `nbcontainers.container.run` (PEP 562); and `get`, for a handle by its name."""
    if name in _VERBS or name == "get":
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{'container' if name == 'get' else 'api'}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
