"""Docker's states of a health check, with results and ages the test makes up."""

from __future__ import annotations

from typing import Any

import pytest

from nbcontainers.monitor import health

SETTINGS = {"interval": 30.0, "timeout": 1.0, "retries": 3, "start_period": 10.0, "start_interval": 2.0}


def result(code: int) -> dict[str, Any]:
    return {"start": "", "end": "", "exit_code": code, "output": str(code)}


def states(*checks: tuple[int, float], **settings: Any) -> list[tuple[str, int]]:
    """(status, failing streak) after each check with an exit code at an age."""
    document, found = health.begin({}), []
    for code, age in checks:
        document = health.judge({**SETTINGS, **settings}, document, result(code), age)
        found.append((document["status"], document["failing_streak"]))
    return found


def test_failures_in_a_row_make_it_unhealthy_and_one_success_healthy() -> None:
    assert states((1, 20), (1, 50), (1, 80), (1, 110), (0, 140), (2, 170)) == [
        ("starting", 1), ("starting", 2), ("unhealthy", 3), ("unhealthy", 4), ("healthy", 0), ("healthy", 1),
    ]  # fmt: skip


def test_a_flapping_check_never_makes_it_unhealthy() -> None:
    found = states(*[(age % 2, 20.0 + age) for age in range(40)])
    assert {status for status, _ in found} == {"healthy"}
    assert {streak for _, streak in found} == {0, 1}


def test_failures_of_the_start_period_do_not_count_until_it_was_healthy_once() -> None:
    assert states((1, 2), (1, 4), (1, 9.9), (1, 10)) == [("starting", 0)] * 3 + [("starting", 1)]
    assert states((0, 1), (1, 2), (1, 4), (1, 6)) == [("healthy", 0), ("healthy", 1), ("healthy", 2), ("unhealthy", 3)]


@pytest.mark.parametrize("code", [1, 2, 137, -1])
def test_every_other_status_is_a_failure(code: int) -> None:
    assert states((code, 50), retries=1) == [("unhealthy", 1)]


def test_the_last_five_are_kept_and_a_new_start_keeps_them() -> None:
    document = health.begin({})
    for code in range(7):
        document = health.judge(SETTINGS, document, result(code), 50)
    assert [one["exit_code"] for one in document["log"]] == [2, 3, 4, 5, 6]
    again = health.begin(document)
    assert (again["status"], again["failing_streak"], len(again["log"])) == ("starting", 0, 5)


def test_the_time_between_checks() -> None:
    starting, healthy = {"status": "starting"}, {"status": "healthy"}
    assert [health.interval(SETTINGS, starting, age) for age in (0, 9.9, 10, 100)] == [2.0, 2.0, 30.0, 30.0]
    assert health.interval(SETTINGS, healthy, 1) == 30.0
    assert health.interval({**SETTINGS, "start_period": 0.0}, starting, 0) == 30.0
