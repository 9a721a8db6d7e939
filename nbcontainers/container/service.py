"""What keeps a container going, from its options and its image: restart policy, health check, log.

It becomes part of container.json, where the monitor reads it: `monitor.restart`, `monitor.health`, `monitor.log`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbcontainers.container import policies
from nbcontainers.container.options import RunOptions, bad, value, values

Document = dict[str, Any]

#: Docker's (moby, daemon/health.go), in seconds; by option, and by the word of the image's Healthcheck.
_TIMES = {
    "interval": ("health_interval", "Interval", 30.0),
    "timeout": ("health_timeout", "Timeout", 30.0),
    "start_period": ("health_start_period", "StartPeriod", 0.0),
    "start_interval": ("health_start_interval", "StartInterval", 5.0),
}
_RETRIES = 3
_OPTIONS = ("health_cmd", *(option for option, _, _ in _TIMES.values()), "health_retries", "health_on_failure")


def record(options: RunOptions, image: Mapping[str, Any]) -> Document:
    """`restart`, `log`, and `health` if there is a check. Raises InvalidArgument."""
    found: Document = {"restart": restart_policy(options), "log": _log(options)}
    if check := _health(options, image):
        found["health"] = check
    return found


def restart_policy(options: RunOptions) -> Document:
    """`restart` of container.json. Raises InvalidArgument."""
    policy = value(options, "restart", policies.restart) or {"name": "no", "maximum": 0}
    if options.get("rm") and policy["name"] != "no":
        raise bad("restart", "with --rm there is nothing left to start again; leave one of the two out")
    return policy


def _log(options: RunOptions) -> Document:
    driver = options.get("log_driver") or policies.LOG_DRIVERS[0]
    if driver not in policies.LOG_DRIVERS:
        raise bad("log_driver", f"{driver!r} is not there; write {' or '.join((policies.LOG_DRIVERS[0], 'none'))}")
    chosen = dict(values(options, "log_opt", policies.log_option))
    if driver == "none" and chosen:
        raise bad("log_opt", "with --log-driver none there is no log; leave one of the two out")
    return {"driver": "none" if driver == "none" else policies.LOG_DRIVERS[0], **chosen}


def _health(options: RunOptions, image: Mapping[str, Any]) -> Document | None:
    given = [name for name in _OPTIONS if options.get(name) is not None]
    if options.get("no_healthcheck"):
        if given:
            raise bad(given[0], "--no-healthcheck says that there is none; leave one of the two out")
        return None
    own = image.get("Healthcheck") or {}
    test = value(options, "health_cmd", policies.check_command) or own.get("Test") or []
    args = _arguments(test, image)
    if not args:
        if given and given != ["health_cmd"]:
            raise bad(
                given[0], "there is no health check, neither in the image nor asked for; add --health-cmd COMMAND"
            )
        return None
    action = options.get("health_on_failure") or policies.ON_FAILURE[0]
    if action not in policies.ON_FAILURE:
        raise bad("health_on_failure", f"{action!r} is not there; write one of {', '.join(policies.ON_FAILURE)}")
    times = {name: _seconds(options, own, name) for name in _TIMES}
    retries = value(options, "health_retries", policies.retries) or _number(own.get("Retries")) or _RETRIES
    return {"test": test, "args": args, **times, "retries": retries, "on_failure": action}


def _arguments(test: list[str], image: Mapping[str, Any]) -> list[str]:
    """What to execute; nothing for NONE, and for what no engine understands."""
    kind, *words = test or ["NONE"]
    if kind == "CMD-SHELL" and words:
        return [*(image.get("Shell") or ("/bin/sh", "-c")), words[0]]
    return words if kind == "CMD" else []


def _seconds(options: RunOptions, own: Mapping[str, Any], name: str) -> float:
    option, word, default = _TIMES[name]
    return value(options, option, policies.check_time) or _number(own.get(word)) / 10**9 or default


def _number(found: object) -> int:
    """An image's number; 0 for what is none."""
    return found if isinstance(found, int) and found > 0 else 0
