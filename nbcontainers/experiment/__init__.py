"""Python under limits: cells and functions on the image `host`, with the notebook's own interpreter and packages."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def __getattr__(name: str) -> Any:
    """`nbcontainers.experiment.call` and `.python`, imported on first use (PEP 562)."""
    if name in ("call", "python"):
        from nbcontainers.experiment import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
