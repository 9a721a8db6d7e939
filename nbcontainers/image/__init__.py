"""The file systems containers start from: store, layers, archives, and the embedded images `host` and `mini`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERBS = frozenset(
    "build df diff export history import_ inspect layers load login logout ls outdated prune pull push rm save search_tags "
    "tag tags tree verify".split()
)


def __getattr__(name: str) -> Any:
    """The verbs of `api`, on first use: `nbcontainers.image.load` (PEP 562)."""
    if name in _VERBS:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
