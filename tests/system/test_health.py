"""Health checks: run in the container, judged as Docker does, ended as a whole, and asleep in between."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nbcontainers.cgroups.detect import open_record
from nbcontainers.container import service, store
from nbcontainers.container.container import Container
from nbcontainers.container.processes import pids
from nbcontainers.engine import Engine
from nbcontainers.launcher import client
from nbcontainers.monitor import events, protocol
from tests import monitored
from tests.host import processes, read
from tests.monitored import background, wait_for
from tests.system.test_idle_monitor import LIMIT_KB, asleep, pss

QUICK = {"health_interval": 0.1, "health_timeout": 10, "health_retries": 2}


@pytest.fixture(autouse=True)
def _remove_containers(nothing_leaks: None, engine: Engine) -> Iterator[None]:
    before = set(store.ids(engine))
    yield
    monitored.remove_new(engine, before)


def checked(engine: Engine, check: str, *command: str, record: Any = None, **options: Any) -> tuple[str, int]:
    """A container with a health check, in the background: (id, its monitor's pid)."""
    found = service.record({"health_cmd": check, **QUICK, **options}, {})  # type: ignore[typeddict-item]
    return background(engine, *(command or ("sleep", "1000")), record={**found, **(record or {})})


def health(engine: Engine, id: str) -> dict[str, Any]:
    return store.state(engine, id, "health.json")


def streak(engine: Engine, id: str) -> int:
    return int(health(engine, id).get("failing_streak", 0))


def checks(engine: Engine, id: str) -> list[dict[str, Any]]:
    return list(health(engine, id).get("log", ()))


def is_now(engine: Engine, id: str, status: str) -> None:
    wait_for(lambda: health(engine, id).get("status") == status)


def changes(engine: Engine, id: str) -> list[str]:
    found = events.read(engine.root, filters={"id": [id], "action": ["health_status"]})
    return [fact["action"].partition(": ")[2] for fact in found]


def test_from_healthy_to_unhealthy_and_back(engine: Engine) -> None:
    id, _ = checked(engine, "cat /bad && exit 3; echo fine")
    is_now(engine, id, "healthy")
    last = checks(engine, id)[-1]
    assert (last["exit_code"], last["output"].splitlines()[-1]) == (0, "fine")
    assert last["start"] < last["end"]
    inside(engine, id, "echo down > /bad")
    is_now(engine, id, "unhealthy")
    found = health(engine, id)
    assert found["failing_streak"] >= 2
    assert [(one["exit_code"], one["output"]) for one in found["log"][-2:]] == [(3, "down\n")] * 2
    inside(engine, id, "rm /bad")
    is_now(engine, id, "healthy")
    assert streak(engine, id) == 0
    assert len(checks(engine, id)) <= 5
    assert changes(engine, id) == ["healthy", "unhealthy", "healthy"]


def inside(engine: Engine, id: str, script: str) -> None:
    Container(engine, id).exec("sh", "-c", script)


def test_one_that_hangs_is_ended_with_all_that_it_started(engine: Engine) -> None:
    tree = "echo begun; (setsid sleep 771 &); setsid sh -c 'sleep 772 & sleep 773' & sleep 774"
    id, _ = checked(engine, tree, health_timeout=0.8, health_retries=1)
    is_now(engine, id, "unhealthy")
    state, first = store.state(engine, id), checks(engine, id)[0]
    assert first["exit_code"] == -1
    assert first["output"] == "Health check exceeded timeout (0.8s): begun\n"
    for _ in range(3):
        count = streak(engine, id)
        wait_for(lambda before=count: streak(engine, id) > before)
        assert pids(state) == [state["pid"]]


def test_between_checks_the_monitor_sleeps_and_is_small(engine: Engine) -> None:
    id, monitor = checked(engine, "true", health_interval=0.4)
    wait_for(lambda: asleep(monitor))
    is_now(engine, id, "healthy")
    wait_for(lambda: asleep(monitor))
    sizes: list[int] = []
    ends: set[str] = set()
    deadline = time.monotonic() + 20
    while len(ends) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        sizes.append(pss(monitor))
        assert asleep(monitor)
        ends.add(checks(engine, id)[-1]["end"])
    assert sorted(sizes)[len(sizes) // 2] <= LIMIT_KB, sizes


def test_a_check_at_work_goes_on_when_its_monitor_wakes_up(engine: Engine) -> None:
    id, monitor = checked(engine, "sleep 1.2; echo done", health_interval=1.2)
    wait_for(lambda: asleep(monitor) and len(pids(store.state(engine, id))) > 1)
    with client.attach(engine.run, id) as channel:
        assert (channel.receive(10) or (b"",))[0] == protocol.STARTED
        assert not asleep(monitor)
        is_now(engine, id, "healthy")
    assert [one["output"] for one in checks(engine, id)] == ["done\n"]


@pytest.mark.limits
def test_a_paused_container_is_not_judged(engine: Engine) -> None:
    id, _ = checked(engine, "false", health_retries=1000)
    wait_for(lambda: streak(engine, id) >= 2)
    cgroup = open_record(store.state(engine, id)["cgroup"])
    cgroup.freeze()
    try:
        time.sleep(0.3)  # one that was just at work
        before = streak(engine, id)
        time.sleep(0.6)
        assert streak(engine, id) == before
    finally:
        cgroup.thaw()
    wait_for(lambda: streak(engine, id) > before)


@pytest.mark.parametrize("action", ["kill", "stop", "restart"])
def test_what_to_do_about_it(engine: Engine, action: str) -> None:
    id, _ = checked(engine, "echo ill; exit 1", health_on_failure=action, record={"stop_timeout": 0})
    if action == "restart":
        wait_for(lambda: changes(engine, id) == ["unhealthy", "unhealthy"])
        return
    wait_for(lambda: not (engine.run / id).exists())
    found = store.read(engine, id, "exit.json")
    assert (found["exit_code"], found.get("stopped", False)) == (137, action == "stop")
    assert found["health"]["status"] == "unhealthy"
    assert found["health"]["log"][-1]["output"] == "ill\n"


def test_failures_at_first_do_not_count(engine: Engine) -> None:
    options = {"health_start_period": 30.0, "health_start_interval": 0.1, "health_interval": 30.0}
    id, _ = checked(engine, "test -e /up", "sh", "-c", "sleep 0.5; touch /up; sleep 1000", **options)
    wait_for(lambda: bool(checks(engine, id)))
    assert streak(engine, id) == 0
    is_now(engine, id, "healthy")
    assert changes(engine, id) == ["healthy"]


def test_much_output_and_no_such_command(engine: Engine) -> None:
    id, _ = checked(engine, "yes | head -c 1000000; printf end; exit 1", health_retries=1)
    is_now(engine, id, "unhealthy")
    assert len(checks(engine, id)[0]["output"]) == 4096
    id, _ = checked(engine, '["/bin/nope", "x"]', health_retries=1)
    is_now(engine, id, "unhealthy")
    (first, *_) = checks(engine, id)
    assert first["exit_code"] == -1
    assert "/bin/nope" in first["output"]


def test_what_a_check_leaves_behind_may_write_for_ever(engine: Engine) -> None:
    id, _ = checked(engine, "yes & true")
    is_now(engine, id, "healthy")


@pytest.mark.parametrize("victim", ["container", "monitor"])
def test_nothing_is_left_of_a_check_whose_container_or_monitor_is_killed(engine: Engine, victim: str) -> None:
    id, monitor = checked(engine, "touch /at-it; sleep 787")
    state = store.state(engine, id)
    wait_for(lambda: len(pids(state)) > 1)
    os.kill(monitor if victim == "monitor" else state["pid"], signal.SIGKILL)
    wait_for(lambda: not store.alive(store.state(engine, id, "monitor.json")))
    wait_for(lambda: not any("sleep\x00787" in read(folder / "cmdline") for folder, _ in processes()))
