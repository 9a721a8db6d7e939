"""When a container that has ended is started again: Docker's policies and its back-off (moby, restartmanager)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from nbcontainers.linux import process

FIRST_S, FACTOR, LONGEST_S = 0.1, 2, 60.0
#: A run of this length was no failure to start: the back-off begins anew after it.
STEADY_S = 10.0
#: In the run folder: somebody stopped it; it waits for its next run.
_HELD, WAITING = "held", "waiting"
COUNT = "restarts.json"
"""There too: how often it was started again."""


class History(NamedTuple):
    """How often it was started again since somebody last started it, and how many seconds it waited for the last."""

    restarts: int = 0
    delay_s: float = 0.0


def following(policy: Mapping[str, Any], history: History, ended: Mapping[str, Any]) -> History | None:
    """What comes after a run that `ended` (exit_code, wall_s): the wait for the next, or None for no more.

    `policy` is `restart` of container.json: `name` (no, on-failure, always, unless-stopped), and for on-failure the
    `maximum` of attempts, 0 for no end. That nobody stopped the container was made sure of before.
    """
    name, maximum = policy.get("name", "no"), policy.get("maximum", 0)
    if name == "no" or (name == "on-failure" and not ended["exit_code"]):
        return None
    if name == "on-failure" and maximum and history.restarts >= maximum:
        return None
    before = 0.0 if ended["wall_s"] >= STEADY_S else history.delay_s
    return History(history.restarts + 1, min(before * FACTOR, LONGEST_S) if before else FIRST_S)


def hold(state: str) -> None:
    """Have a container stay down when it ends, because somebody stops it. `state` is its run folder; gone is fine.

    One that waits to be started again is not: its monitor wakes up and tidies.
    """
    try:
        os.close(os.open(f"{state}/{_HELD}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        if not os.path.exists(f"{state}/{WAITING}"):
            return
        with open(f"{state}/monitor.json", "rb") as file:
            monitor = json.load(file)
    except FileNotFoundError:
        return
    if process.alive(monitor["pid"], monitor["start_time"]):
        with suppress(ProcessLookupError):
            os.kill(monitor["pid"], signal.SIGTERM)


def held(state: str) -> bool:
    return os.path.exists(f"{state}/{_HELD}")
