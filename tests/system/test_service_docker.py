"""The same words to Docker and to us: restarts, health and their events come out the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.container import api, store
from nbcontainers.engine import Engine
from nbcontainers.monitor import events
from tests import peers
from tests.bench import programs

pytestmark = [pytest.mark.as_root, pytest.mark.slow]
STATE = ("Status", "Running", "Restarting", "Paused", "Dead", "OOMKilled", "ExitCode")


class Side:
    """One of the two command lines, and the image it knows."""

    def __init__(self, client: list[str], image: str) -> None:
        self.client, self.image = client, image

    def __call__(self, *words: str) -> str:
        done = subprocess.run([*self.client, *words], capture_output=True, text=True, check=False, timeout=60)
        return (done.stdout + done.stderr).strip()

    def run(self, *options: str, script: str) -> None:
        self("run", "-d", "--name", "one", "--network", "none", *options, self.image, "/bin/sh", "-c", script)

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("inspect", "one"))[0]
        return found

    def until(self, **wanted: object) -> dict[str, Any]:
        """The inspection, once its State has all these values."""
        deadline = time.monotonic() + 20
        while True:
            found = self.inspect()
            state = {**found["State"], "Health": found["State"].get("Health", {}).get("Status")}
            if all(state[name] == value for name, value in wanted.items()):
                return found
            assert time.monotonic() < deadline, state
            time.sleep(0.05)


class Ours(Side):
    """Looked at without a process for each look."""

    def inspect(self) -> dict[str, Any]:
        return api.inspect("one")[0]


def on_failure(side: Side) -> Any:
    side.run("--restart", "on-failure:2", script="exit 3")
    found = side.until(Status="exited")
    return {name: found["State"][name] for name in STATE}, found["RestartCount"], found["HostConfig"]["RestartPolicy"]


def waiting(side: Side) -> Any:
    side.run("--restart", "always", script="exit 1")
    restarting = side.until(Status="restarting")
    refused = [bool(side(verb, "one") != "one") for verb in ("pause", "rm")]
    side("stop", "-t", "0", "one")
    stopped = side.until(Running=False)
    assert stopped["State"]["ExitCode"] in (1, 137)  # whether it met a run or the wait for one is chance
    stopped["State"]["ExitCode"] = 1
    return [{name: found["State"][name] for name in STATE} for found in (restarting, stopped)], refused


def health(side: Side) -> Any:
    check = [
        "--health-cmd",
        "echo seen; test ! -e /bad || exit 4",
        "--health-interval",
        "300ms",
        "--health-retries",
        "2",
    ]
    side.run(*check, "--health-timeout", "5s", script="sleep 1.2; touch /bad; sleep 1000")
    healthy = side.until(Health="healthy")
    unhealthy = side.until(Health="unhealthy")["State"]["Health"]
    stated = {key: healthy["Config"]["Healthcheck"][key] for key in ("Test", "Interval", "Timeout", "Retries")}
    last = unhealthy["Log"][-1]
    return stated, sorted(unhealthy), sorted(last), last["ExitCode"], last["Output"], unhealthy["FailingStreak"] >= 2


def logged(side: Side) -> Any:
    options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=2"]
    side.run(*options, script="n=0; while [ $n -lt 1000 ]; do echo line $n; n=$((n+1)); done")
    side.until(Status="exited")
    lines = side("logs", "one").splitlines()
    config = side.inspect()["HostConfig"]["LogConfig"]
    first = int(lines[0].split()[1])
    assert lines == [f"line {n}" for n in range(first, 1000)]
    return 200 < first < 900, lines[-1], config["Type"]


STORIES = {story.__name__: story for story in (on_failure, waiting, health, logged)}


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    peers.program("dockerd")
    archive = peers.busybox_archive(tmp_path_factory.mktemp("base") / "base.tar")
    with programs.cgroups_as_before(), programs.docker(Path("/tmp/nbc-service"), archive) as client:
        yield Side(client, "bench")


@pytest.mark.leaks("a dockerd of the module's stays between tests")
@pytest.mark.parametrize("story", STORIES)
def test_docker_and_we_tell_the_same(docker: Side, engine: Engine, story: str) -> None:
    ours = Ours([sys.executable, "-m", "nbcontainers"], "mini")
    for side in (docker, ours):
        side("rm", "-f", "one")
    try:
        assert STORIES[story](ours) == STORIES[story](docker)
        id = store.find(engine, "one")
        mine, theirs = told(ours_events(engine, id)), told(docker_events(docker))
        assert mine[-1] == theirs[-1]
        assert mine == theirs or story == "waiting"  # how often it ran until it was stopped is chance
    finally:
        for side in (docker, ours):
            side("rm", "-f", "one")
    assert [row["name"] for row in api.ps(all=True)] == []


def ours_events(engine: Engine, id: str) -> list[str]:
    return [fact["action"] for fact in events.read(engine.root, filters={"id": [id]})]


def docker_events(docker: Side) -> list[str]:
    id = docker.inspect()["Id"]
    now = str(int(time.time()) + 1)
    return docker(
        "events", "--since", "1h", "--until", now, "-f", f"container={id}", "--format", "{{.Action}}"
    ).splitlines()


def told(actions: list[str]) -> list[str]:
    """What both write down, in order; Docker has the runs of each check besides, and its networks."""
    words = ("create", "start", "die", "kill", "stop", "oom", "health_status")
    return [action for action in actions if action.partition(":")[0] in words]
