"""What a container's health check says of it: `run/ID/health.json`, which its monitor writes."""

from __future__ import annotations

from typing import Any

from nbcontainers.container import store
from nbcontainers.container.container import Container


def document(container: Container) -> dict[str, Any]:
    """`status`, `failing_streak` and `log`; empty for a container without a check, or that does not run."""
    return store.state(container.engine, container.id, "health.json")


def status(container: Container) -> str:
    """`starting`, `healthy` or `unhealthy`; "" without a check."""
    return str(document(container).get("status", ""))
