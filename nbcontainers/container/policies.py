"""The words of the options that keep a container going: --restart, --health-…, --log-…. As `parse`, each function
returns the value or raises ValueError with a sentence that says what to write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nbcontainers.option import duration, size

RESTART = ("no", "on-failure", "always", "unless-stopped")
ON_FAILURE = ("none", "kill", "restart", "stop")
#: One form of log, Docker's, under the names of both engines; or none.
LOG_DRIVERS = ("json-file", "local", "k8s-file", "none")
LOG_OPTIONS = ("max-size", "max-file")
_SHORTEST_S = 0.001
_UNLIMITED = 1 << 62
_MOST_FILES = 1000


def restart(value: str) -> dict[str, Any]:
    """`restart` of container.json: see monitor.restart."""
    name, colon, maximum = str(value).partition(":")
    if name not in RESTART:
        raise ValueError(
            f"{value!r} is no policy; write {', '.join(RESTART[:1])}, on-failure[:n], always or unless-stopped"
        )
    if colon and name != "on-failure":
        raise ValueError(
            f"{value!r}: only on-failure counts attempts; write on-failure:{maximum or 5}, or {name} alone"
        )
    if colon and not (maximum.isascii() and maximum.isdecimal() and len(maximum) < 10):
        raise ValueError(f"{value!r}: {maximum!r} is no number of attempts; write on-failure:5")
    return {"name": name, "maximum": int(maximum or 0)}


def check_command(value: str | Sequence[str]) -> list[str]:
    """The `test` of a health check (image-spec, config.md): text for a shell, a list (also as JSON) without one."""
    if not isinstance(value, str):
        return ["CMD", *map(str, value)]
    if value.lstrip().startswith("["):
        try:
            words = json.loads(value)
        except ValueError:
            words = None
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            return words if words[0] in ("CMD", "CMD-SHELL", "NONE") else ["CMD", *words]
    if not value.strip():
        raise ValueError("there is no command in it; write what to run, as 'curl -f http://localhost/'")
    return ["NONE"] if value in ("none", "NONE") else ["CMD-SHELL", value]


def check_time(value: str | float) -> float:
    """Seconds; 0 leaves the default."""
    seconds = duration(value)
    if seconds and not _SHORTEST_S <= seconds < 1e9:
        raise ValueError(f"{value} is out of range; write 1ms or more, as 30s")
    return seconds


def retries(value: int | str) -> int:
    """Failures in a row; 0 leaves the default."""
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{value!r} is no number of failures; write 1 or more, as 3")
    return int(text)


def log_option(value: str) -> tuple[str, int]:
    """`max-size=10m` (-1: no limit) or `max-file=3`, as (name in `log` of container.json, number)."""
    name, equals, text = value.partition("=")
    if name not in LOG_OPTIONS or not equals:
        raise ValueError(f"{value!r} is not there; write max-size=10m or max-file=3")
    if name == "max-file":
        if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MOST_FILES):
            raise ValueError(f"{text!r} is no number of files; write max-file=3, up to {_MOST_FILES}")
        return "max_file", int(text)
    number = _UNLIMITED if text == "-1" else size(text)
    if number <= 0:
        raise ValueError(f"{text!r} is not above zero; write max-size=10m, or -1 for no limit")
    return "max_size", number
