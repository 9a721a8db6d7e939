"""--restart, --health-… and --log-…: from words and the image's config to what the monitor reads."""

from __future__ import annotations

from typing import Any

import pytest

from nbcontainers.container import service
from nbcontainers.errors import InvalidArgument

CHECK = {"Healthcheck": {"Test": ["CMD-SHELL", "curl -f http://x/"], "Interval": 5_000_000_000, "Retries": 2}}


def record(image: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return service.record(options, image or {})  # type: ignore[arg-type]


def test_what_is_not_asked_for() -> None:
    assert record() == {"restart": {"name": "no", "maximum": 0}, "log": {"driver": "json-file"}}


@pytest.mark.parametrize(
    ("text", "name", "maximum"),
    [
        ("no", "no", 0), ("always", "always", 0), ("unless-stopped", "unless-stopped", 0),
        ("on-failure", "on-failure", 0), ("on-failure:3", "on-failure", 3), ("on-failure:0", "on-failure", 0),
    ],
)  # fmt: skip
def test_restart(text: str, name: str, maximum: int) -> None:
    assert record(restart=text)["restart"] == {"name": name, "maximum": maximum}


def test_the_image_s_check_in_seconds() -> None:
    assert record(CHECK)["health"] == {
        "test": ["CMD-SHELL", "curl -f http://x/"], "args": ["/bin/sh", "-c", "curl -f http://x/"],
        "interval": 5.0, "timeout": 30.0, "start_period": 0.0, "start_interval": 5.0, "retries": 2, "on_failure": "none",
    }  # fmt: skip


def test_options_take_the_place_of_the_image_s_one_by_one() -> None:
    found = record(CHECK, health_timeout="1500ms", health_retries=0, health_on_failure="kill")["health"]
    assert (found["interval"], found["timeout"], found["retries"], found["on_failure"]) == (5.0, 1.5, 2, "kill")
    assert record(CHECK, health_cmd="true")["health"]["args"] == ["/bin/sh", "-c", "true"]
    assert record({**CHECK, "Shell": ["/bin/bash", "-ec"]})["health"]["args"][:2] == ["/bin/bash", "-ec"]


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("exit 1", ["/bin/sh", "-c", "exit 1"]),
        (["wget", "x"], ["wget", "x"]),
        ('["wget", "x"]', ["wget", "x"]),
        ('["CMD", "wget", "x"]', ["wget", "x"]),
        ('["CMD-SHELL", "wget x"]', ["/bin/sh", "-c", "wget x"]),
        ("[ -e /ok ]", ["/bin/sh", "-c", "[ -e /ok ]"]),
    ],
)
def test_commands(command: Any, args: list[str]) -> None:
    assert record(health_cmd=command)["health"]["args"] == args


@pytest.mark.parametrize("options", [{"no_healthcheck": True}, {"health_cmd": "none"}, {"health_cmd": '["NONE"]'}])
def test_no_check(options: dict[str, Any]) -> None:
    assert "health" not in record(CHECK, **options)


@pytest.mark.parametrize(
    "check", [{}, {"Test": []}, {"Test": ["NONE"]}, {"Test": ["CMD-SHELL"]}, {"Test": ["WHAT", "x"]}, {"Interval": 3}]
)
def test_an_image_without_a_check_that_can_be_run(check: dict[str, Any]) -> None:
    assert "health" not in record({"Healthcheck": check})


def test_log() -> None:
    assert record(log_opt=["max-size=10m", "max-file=3"])["log"] == {
        "driver": "json-file", "max_size": 10 << 20, "max_file": 3,
    }  # fmt: skip
    assert record(log_driver="none")["log"] == {"driver": "none"}
    assert record(log_driver="local", log_opt={"max-size": "-1"})["log"]["max_size"] == 1 << 62


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"restart": "sometimes"}, "'sometimes' is no policy", "always"),
        ({"restart": "always:3"}, "only on-failure counts", "on-failure:3"),
        ({"restart": "on-failure:x"}, "'x' is no number of attempts", "on-failure:5"),
        ({"restart": "on-failure:-1"}, "'-1' is no number", "on-failure:5"),
        ({"restart": "always", "rm": True}, "nothing left to start again", "leave one"),
        ({"health_cmd": " "}, "no command in it", "curl"),
        ({"health_cmd": "x", "no_healthcheck": True}, "says that there is none", "leave one"),
        ({"health_interval": "5s"}, "no health check, neither in the image", "--health-cmd"),
        ({"health_cmd": "x", "health_interval": "10us"}, "no duration", "10s"),
        ({"health_cmd": "x", "health_interval": "0.1ms"}, "out of range", "1ms"),
        ({"health_cmd": "x", "health_retries": -1}, "no number of failures", "3"),
        ({"health_cmd": "x", "health_on_failure": "cry"}, "'cry' is not there", "restart"),
        ({"log_driver": "syslog"}, "'syslog' is not there", "json-file"),
        ({"log_opt": ["max-size=x"]}, "no size", "512k"),
        ({"log_opt": ["max-size=0"]}, "not above zero", "10m"),
        ({"log_opt": ["max-file=0"]}, "no number of files", "max-file=3"),
        ({"log_opt": ["compress=true"]}, "'compress=true' is not there", "max-size"),
        ({"log_opt": ["max-file=2"], "log_driver": "none"}, "there is no log", "leave one"),
    ],
)
def test_bad_words_say_what_to_write(options: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        record(**options)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.details["option"] in options


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1500ms", 1.5), ("10", 10), ("10s", 10), ("1m30s", 90), ("1m30", 90), ("2m", 120), ("1h1ms", 3600.001)],
)  # fmt: skip
def test_times(text: str, seconds: float) -> None:
    assert record(health_cmd="x", health_interval=text)["health"]["interval"] == seconds
