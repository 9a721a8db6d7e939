"""The colour of a container's dot, the same in every view: green runs, red failed, amber is on its way or held, grey rests."""

from __future__ import annotations

from nbcontainers.table import AMBER, GREEN, GREY, RED, Row


def shade(state: str, exit_code: int | None = None, health: str = "") -> str:
    """Of a state in one word; dashboard.js has the same rules."""
    if state == "exited":
        return GREY if exit_code == 0 else RED
    if state == "running":
        return {"unhealthy": RED, "starting": AMBER}.get(health, GREEN)
    return {"paused": AMBER, "restarting": AMBER, "stopping": AMBER, "dead": RED}.get(state, GREY)


def of_row(row: Row) -> str:
    """Of a row with the keys state, exit_code and health."""
    return shade(row["state"], row["exit_code"], row["health"])
