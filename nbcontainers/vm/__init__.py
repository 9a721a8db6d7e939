"""Virtual machines: an image booted with a kernel of its own, in QEMU (KVM or emulated) or as user-mode-linux."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERBS = frozenset("console cp exec_ fetch_kernel inspect kill logs ls ps rm run stop wait".split())


def __getattr__(name: str) -> Any:
    """The verbs of `api`, on first use: `nbcontainers.vm.run` (PEP 562)."""
    if name in _VERBS:
        from nbcontainers.vm import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
