"""Restart policies: again, with what the container had, and never against its user's will; whatever is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.cgroups.detect import open_record
from nbcontainers.container import api, store
from nbcontainers.container.container import Container
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidState
from nbcontainers.launcher import client
from nbcontainers.monitor import events, protocol, restart
from nbcontainers.system import api as system
from tests import monitored
from tests.monitored import background, make, start, wait_for
from tests.system.test_idle_monitor import LIMIT_KB, asleep, pss

ALWAYS = {"restart": {"name": "always", "maximum": 0}}


@pytest.fixture(autouse=True)
def _remove_containers(nothing_leaks: None, engine: Engine) -> Iterator[None]:
    before = set(store.ids(engine))
    yield
    monitored.remove_new(engine, before)


def on_failure(maximum: int) -> dict[str, Any]:
    return {"restart": {"name": "on-failure", "maximum": maximum}}


def output(engine: Engine, id: str) -> list[str]:
    return [json.loads(line)["log"] for line in (engine.containers / id / "log").read_text().splitlines()]


def ended(engine: Engine, id: str) -> dict[str, Any]:
    wait_for(lambda: not (engine.run / id).exists())
    assert str(engine.containers / id) not in Path("/proc/self/mountinfo").read_text()
    return store.read(engine, id, "exit.json")


def waiting(engine: Engine, id: str) -> bool:
    return (engine.run / id / restart.WAITING).exists() and bool(store.read(engine, id, "exit.json"))


def another(engine: Engine, id: str, than: int) -> bool:
    """Whether it runs, with another first process."""
    state = store.state(engine, id)
    return store.alive(state) and state["pid"] != than


def actions(engine: Engine, id: str) -> list[str]:
    return [fact["action"] for fact in events.read(engine.root, filters={"id": [id]})]


def test_as_often_as_asked_for_with_its_files_and_one_log(engine: Engine) -> None:
    begun = time.monotonic()
    id, monitor = background(engine, "sh", "-c", "echo x >> /runs; wc -l < /runs; exit 3", record=on_failure(2))
    found = ended(engine, id)
    assert time.monotonic() - begun > 0.3  # 100 ms and 200 ms
    assert output(engine, id) == ["1\n", "2\n", "3\n"]
    assert (found["exit_code"], found["restart_count"], found.get("restarting")) == (3, 2, None)
    assert actions(engine, id) == ["start", "die"] * 3
    assert not store.alive({"pid": monitor, "start_time": None})


def test_success_is_no_failure(engine: Engine) -> None:
    id, _ = background(engine, "true", record=on_failure(5))
    assert "restart_count" not in ended(engine, id)


def test_what_the_host_kills_comes_again_and_what_its_user_kills_does_not(engine: Engine) -> None:
    id, monitor = background(engine, "sleep", "1000", record=ALWAYS)
    first = store.state(engine, id)["pid"]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: another(engine, id, first))
    assert store.state(engine, id, "monitor.json")["pid"] == monitor
    with client.attach(engine.run, id) as channel:
        channel.send(protocol.KILL, {"signal": 9})
        outcome = monitored.Outcome(channel)
    assert (outcome.exit["exit_code"], outcome.exit["restart_count"]) == (137, 1)
    assert ended(engine, id)["stopped"] is True


def test_those_who_follow_hear_of_each_end(engine: Engine) -> None:
    with start(engine, make(engine, "sh", "-c", "echo hi; exit 3", record=on_failure(1)), fresh=True) as channel:
        outcome = monitored.Outcome(channel)
    assert outcome.stdout == b"hi\n"
    assert (outcome.exit["exit_code"], outcome.exit["restarting"]) == (3, True)


def test_between_two_runs_it_is_small_and_hears_of_a_stop(engine: Engine) -> None:
    id, monitor = background(engine, "false", record=ALWAYS)
    wait_for(lambda: store.read(engine, id, "exit.json").get("restart_count") == 5 and waiting(engine, id))
    wait_for(lambda: asleep(monitor))
    time.sleep(0.1)
    assert pss(monitor) <= LIMIT_KB
    begun = time.monotonic()
    restart.hold(f"{engine.run}/{id}")
    found = ended(engine, id)
    assert time.monotonic() - begun < 1.2  # of 1.6
    assert (found["exit_code"], found["stopped"], found.get("restarting")) == (1, True, None)
    assert store.read(engine, id, "exit.json")["restart_count"] == 5


@pytest.mark.parametrize("moment", ["running", "waiting"])
def test_a_killed_monitor_leaves_nothing_and_can_be_followed_by_another(engine: Engine, moment: str) -> None:
    command = ("sleep", "1000") if moment == "running" else ("false",)
    id, monitor = background(engine, *command, record=ALWAYS)
    if moment == "waiting":
        wait_for(lambda: store.read(engine, id, "exit.json").get("restart_count") == 3 and waiting(engine, id))
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not store.alive(store.state(engine, id, "monitor.json")))
    if moment == "running":
        system.prune()
        assert not (engine.run / id).exists()
    with start(engine, id, attach=False) as channel:
        assert (channel.receive(10) or (b"",))[0] == protocol.STARTED
    assert store.state(engine, id, "monitor.json")["pid"] != monitor


def test_again_at_once_with_the_same_monitor(engine: Engine) -> None:
    """What `container restart` asks for."""
    id, monitor = background(engine, "sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")
    wait_for(lambda: output(engine, id) == ["up\n"])
    first = store.state(engine, id)["pid"]
    with client.attach(engine.run, id) as channel:
        channel.send(protocol.KILL, {"stop": True, "again": True, "timeout": 5})
        assert monitored.Outcome(channel).exit["exit_code"] == 7
    with client.attach(engine.run, id) as channel:  # which waits for the next run
        assert (channel.receive(10) or (b"",))[0] == protocol.STARTED
    assert another(engine, id, first)
    assert store.state(engine, id, "monitor.json")["pid"] == monitor
    assert store.read(engine, id, "exit.json") == {}


def test_one_that_cannot_be_started_again_ends_and_says_why(engine: Engine) -> None:
    id, _ = background(engine, "sh", "-c", "rm /bin/sh; exit 1", record=ALWAYS)
    found = ended(engine, id)
    assert (found["exit_code"], found["reason"]) == (127, "error")
    assert "sh" in found["error"]["message"]


def test_after_the_machine_s_start_those_that_should_run_are_started(engine: Engine, tmp_path: Path) -> None:
    """As a unit of systemd does it, and podman-restart.service."""
    name = tmp_path.name
    for policy in ("no", "on-failure", "always", "unless-stopped"):
        api.run("mini", "sleep", "1000", name=f"{name}.{policy}", restart=policy, detach=True, label={"boot": name})
    api.run(
        "mini", "sleep", "1000", name=f"{name}.stopped", restart="unless-stopped", detach=True, label={"boot": name}
    )
    api.stop(f"{name}.stopped", time=0)
    for row in api.ps(filter=[f"label=boot={name}"]):  # power off
        monitor = store.state(engine, row["id"], "monitor.json")
        os.kill(monitor["pid"], signal.SIGKILL)
        wait_for(lambda monitor=monitor: not store.alive(monitor))
    system.prune()
    assert len(api.ps(filter=[f"label=boot={name}"])) == 0
    api.start(all=True, filter=[f"label=boot={name}", "should-start-on-boot=true"])
    running = {row["name"].rpartition(".")[2] for row in api.ps(filter=[f"label=boot={name}"])}
    assert running == {"always", "unless-stopped"}
    chosen = api.ps(all=True, filter=[f"label=boot={name}", "restart-policy=unless-stopped"])
    assert {row["name"].rpartition(".")[2] for row in chosen} == {"unless-stopped", "stopped"}


def test_a_terminated_monitor_does_not_start_it_again(engine: Engine) -> None:
    id, monitor = background(engine, "sleep", "1000", record=ALWAYS)
    os.kill(monitor, signal.SIGTERM)
    assert ended(engine, id)["stopped"] is True


@pytest.mark.limits
def test_a_paused_one_is_stopped_in_order(engine: Engine) -> None:
    id, monitor = background(engine, "sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done")
    wait_for(lambda: output(engine, id) == ["up\n"])
    open_record(store.state(engine, id)["cgroup"]).freeze()
    os.kill(monitor, signal.SIGTERM)
    assert ended(engine, id)["exit_code"] == 5


def test_whenever_it_is_stopped_it_stays_so(engine: Engine, tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(8):
        with api.run("mini", "false", name=tmp_path.name, restart="always", detach=True) as one:
            time.sleep(chance.uniform(0, 0.5))
            begun = time.monotonic()
            api.stop(one)
            assert time.monotonic() - begun < 5
            assert one.status == "exited"


def test_whatever_is_killed_whenever_nothing_is_left(engine: Engine, tmp_path: Path) -> None:
    """NBCONTAINERS_SOAK=1000 for more rounds."""
    chance = random.Random(7)
    for _ in range(int(os.environ.get("NBCONTAINERS_SOAK", 12))):
        options: dict[str, Any] = {"health_cmd": "sleep 0.1", "health_interval": 0.05, "health_on_failure": "restart"}
        program = chance.choice([("false",), ("sleep", "0.2"), ("sleep", "1000")])
        one = api.run("mini", *program, name=tmp_path.name, restart="always", detach=True, **options)
        assert isinstance(one, Container)
        time.sleep(chance.uniform(0, 0.6))
        for pid in victims(engine, one.id, chance):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.1))
        after = chance.choice(["nothing", "prune", "start"])
        with suppress(InvalidState):  # it runs still, or its monitor is not quite dead
            if after == "prune":
                system.prune()
            elif after == "start":
                api.start(one)
        api.rm(one, force=True)
        assert not (engine.run / one.id).exists()
    system.prune()


def victims(engine: Engine, id: str, chance: random.Random) -> list[int]:
    """Any of the monitor, the process that makes a check, and the container's first one."""
    monitor = store.state(engine, id, "monitor.json").get("pid", 0)
    children = Path(f"/proc/{monitor}/task/{monitor}/children")
    found = [monitor, *map(int, children.read_text().split())] if children.exists() else []
    return chance.sample(found, chance.randint(0, len(found)))


def test_a_log_of_its_own_size_or_none(engine: Engine, tmp_path: Path) -> None:
    script = "n=0; while [ $n -lt 600 ]; do echo line $n; n=$((n+1)); done"
    seen: list[bytes] = []
    options = ["max-size=10k", "max-file=3"]
    with api.run("mini", "sh", "-c", script, name=tmp_path.name, log_opt=options, stdout=seen.append) as one:
        folder = engine.containers / one.id
        assert sorted(path.name for path in folder.glob("log*")) == ["log", "log.1", "log.2"]
        assert all(path.stat().st_size <= 10_240 for path in folder.glob("log*"))
        found = str(api.logs(one)).splitlines()
        assert found == [f"line {n}" for n in range(600 - len(found), 600)]
        assert len(found) > 250
    seen.clear()
    with api.run("mini", "echo", "hi", name=tmp_path.name, log_driver="none", stdout=seen.append) as one:
        assert b"".join(seen) == b"hi\n"
        assert list((engine.containers / one.id).glob("log*")) == []
        with pytest.raises(InvalidState, match="--log-driver none"):
            api.logs(one)
