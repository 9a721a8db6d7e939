"""`--filter KEY=VALUE`: which containers are meant, in Docker's words.

Several values of one key are alternatives, except labels and `until`, which must all hold; different keys must all hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbcontainers.container import health, log, policies, store
from nbcontainers.container.container import Container
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument

Record = Mapping[str, Any]
Test = Callable[[Container, Record], bool]

STATES = ("created", "running", "paused", "stopping", "restarting", "exited", "dead")
HEALTH = ("starting", "healthy", "unhealthy", "none")
_ALL_MUST_HOLD = ("label", "label!", "until")


class Filters:
    """What `--filter` asked for; `passes` tells of one container. Raises InvalidArgument for what is no filter."""

    def __init__(self, engine: Engine, texts: Sequence[str] | str | None) -> None:
        given = [texts] if isinstance(texts, str) else texts or ()
        self.tests: list[tuple[str, Test]] = []
        for text in given:
            key, equals, value = str(text).partition("=")
            make = _TESTS.get(key)
            if not equals or make is None:
                raise InvalidArgument(
                    f"--filter: {text!r} is no filter",
                    hint=f"write KEY=VALUE with one of {', '.join(sorted(_TESTS))}",
                    option="filter",
                )
            self.tests.append((key, make(engine, value)))

    def __bool__(self) -> bool:
        return bool(self.tests)

    @property
    def everything(self) -> bool:
        """Whether a filter asks for containers that don't run, so that `ps` needs no -a."""
        return any(key in ("status", "exited") for key, _ in self.tests)

    def passes(self, container: Container, record: Record) -> bool:
        for key in dict.fromkeys(key for key, _ in self.tests):
            holds = (test(container, record) for one, test in self.tests if one == key)
            if not (all(holds) if key in _ALL_MUST_HOLD else any(holds)):
                return False
        return True


def _name(engine: Engine, value: str) -> Test:
    """A regular expression, as Docker's; text that is none is looked for as it is."""
    try:
        pattern = re.compile(f"^{value[2:]}" if value.startswith("^/") else value)
    except re.error:
        return lambda container, record: value in record["name"]
    return lambda container, record: pattern.search(record["name"]) is not None


def _id(engine: Engine, value: str) -> Test:
    return lambda container, record: container.id.startswith(value)


def _label(engine: Engine, value: str) -> Test:
    name, equals, text = value.partition("=")
    return lambda _, record: name in record["labels"] and (not equals or record["labels"][name] == text)


def _no_label(engine: Engine, value: str) -> Test:
    has = _label(engine, value)
    return lambda container, record: not has(container, record)


def _status(engine: Engine, value: str) -> Test:
    _one_of("status", value, STATES)
    return lambda container, record: container.status == value


def _exited(engine: Engine, value: str) -> Test:
    if not value.isdecimal():
        raise _bad("exited", f"{value!r} is no exit status", "write a number, as exited=137")
    return lambda container, record: container.status == "exited" and container.exit_code == int(value)


def _ancestor(engine: Engine, value: str) -> Test:
    """The image by its name, with or without tag, or by the beginning of its digest."""
    digest = value.removeprefix("sha256:")

    def test(container: Container, record: Record) -> bool:
        image = str(record["image"])
        tagless = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
        found = str(record.get("image_digest", "")).removeprefix("sha256:")
        return value in (image, tagless) or (len(digest) >= 6 and found.startswith(digest))

    return test


def _before(engine: Engine, value: str) -> Test:
    created = _created(engine, value)
    return lambda _, record: str(record["created"]) < created


def _since(engine: Engine, value: str) -> Test:
    created = _created(engine, value)
    return lambda _, record: str(record["created"]) > created


def _created(engine: Engine, reference: str) -> str:
    return str(store.read(engine, store.find(engine, reference), "container.json")["created"])


def _until(engine: Engine, value: str) -> Test:
    """Made before a time: `24h` (ago), a date, Unix seconds."""
    latest = log.moment(value, "filter")
    return lambda _, record: str(record["created"]) < latest


def _volume(engine: Engine, value: str) -> Test:
    """A volume's name, or a path something is mounted at."""

    def test(container: Container, record: Record) -> bool:
        if value in (*record["volumes"], *record["anonymous_volumes"]):
            return True
        mounts = store.read(container.engine, container.id, "config.json").get("mounts", ())
        return any(mount["destination"] == value and mount.get("type") == "bind" for mount in mounts)

    return test


def _network(engine: Engine, value: str) -> Test:
    return lambda _, record: (
        value in str(record.get("network", "")).split(",")
        or any(wish["network"] == value for wish in record.get("networks") or ())
    )


def _publish(engine: Engine, value: str) -> Test:
    """A port of the container that is published: `80`, `80/tcp`, `8000-8010/tcp`."""
    low, high, protocol = _port_range("publish", value)

    def test(container: Container, record: Record) -> bool:
        ports = record.get("ports") or ()
        return any(low <= one["target"] <= high and one["protocol"] == protocol for one in ports)

    return test


def _port_range(key: str, value: str) -> tuple[int, int, str]:
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp))?", value)
    if not found:
        raise _bad(key, f"{value!r} is no port", f"write {key}=80, {key}=53/udp or {key}=8000-8010")
    return int(found[1]), int(found[2] or found[1]), found[3] or "tcp"


def _health(engine: Engine, value: str) -> Test:
    _one_of("health", value, HEALTH)
    return lambda container, record: (health.status(container) or "none") == value


def _restart_policy(engine: Engine, value: str) -> Test:
    _one_of("restart-policy", value, policies.RESTART)
    return lambda _, record: (record.get("restart") or {}).get("name", "no") == value


def _on_boot(engine: Engine, value: str) -> Test:
    """Whether it is to run again after the machine was started anew: always, or unless its user had stopped it."""
    _one_of("should-start-on-boot", value, ("true", "false"))

    def test(container: Container, record: Record) -> bool:
        name = (record.get("restart") or {}).get("name")
        wanted = name == "always" or (name == "unless-stopped" and not container.ended.get("stopped"))
        return wanted == (value == "true")

    return test


def _one_of(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise _bad(key, f"{value!r} is no {key}", f"write {key}= and one of {', '.join(known)}")


def _bad(key: str, message: str, hint: str) -> InvalidArgument:
    return InvalidArgument(f"--filter {key}: {message}", hint=hint, option="filter")


_TESTS: dict[str, Callable[[Engine, str], Test]] = {
    "name": _name,
    "id": _id,
    "label": _label,
    "label!": _no_label,
    "status": _status,
    "exited": _exited,
    "ancestor": _ancestor,
    "image": _ancestor,
    "before": _before,
    "since": _since,
    "until": _until,
    "volume": _volume,
    "network": _network,
    "publish": _publish,
    "health": _health,
    "restart-policy": _restart_policy,
    "should-start-on-boot": _on_boot,
}
