"""Whether a container is well: Docker's states of a health check (moby, daemon/health.go), without running any.

`health` of container.json: `test` as the image-spec's Healthcheck has it, `args` to execute, `interval`, `timeout`,
`start_period`, `start_interval` (seconds), `retries`, and `on_failure` (none, kill, restart, stop).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]

FILE = "health.json"
STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
#: What is kept of an output (bytes), and of how many checks.
MAX_OUTPUT, MAX_LOG = 4096, 5


def begin(before: Mapping[str, Any]) -> Document:
    """health.json of a container that has just started; the checks of its last run stay to be read."""
    return {"status": STARTING, "failing_streak": 0, "log": list(before.get("log") or ())}


def judge(settings: Mapping[str, Any], health: Mapping[str, Any], result: Document, age_s: float) -> Document:
    """The next health.json after a check with `result`: {start, end, exit_code, output}.

    `age_s`: how long the container had run when the check began; a failure within the start period does not count.
    """
    log = [*health["log"], result][-MAX_LOG:]
    if not result["exit_code"]:
        return {"status": HEALTHY, "failing_streak": 0, "log": log}
    status, streak = health["status"], health["failing_streak"]
    if status != STARTING or age_s >= settings["start_period"]:
        streak += 1
        status = UNHEALTHY if streak >= settings["retries"] else status
    return {"status": status, "failing_streak": streak, "log": log}


def interval(settings: Mapping[str, Any], health: Mapping[str, Any], age_s: float) -> float:
    """Seconds from the end of one check to the next."""
    young = health.get("status") == STARTING and age_s < settings["start_period"]
    return float(settings["start_interval" if young else "interval"])
