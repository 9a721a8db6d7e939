"""kill -9 of anything at any moment, then `system prune`: the host is as before. The leak check looks at the host."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nbcontainers.container import store
from nbcontainers.engine import Engine
from nbcontainers.launcher import client, pause
from nbcontainers.system import api
from tests import monitored
from tests.monitored import background, end, wait_for

ROUNDS = 8
LOOP = """
import sys
from nbcontainers.engine import default_engine
from nbcontainers.launcher import client
from tests import monitored
engine = default_engine()
client.call("os:getpid")
print(client._current().process.pid, flush=True)
while True:
    monitored.run(engine, "sh", "-c", "echo x > /file; sleep 0.02", record={"remove": REMOVE})
"""


@pytest.fixture(autouse=True)
def _remove_containers(nothing_leaks: None, engine: Engine) -> Iterator[None]:
    monitored.layer(engine)
    before = set(store.ids(engine))
    yield
    monitored.remove_new(engine, before)


class Client:
    """A client in a process of its own that runs one short container after the other."""

    def __init__(self, remove: bool) -> None:
        self.mark = f"NBCONTAINERS_TEST_CLIENT={os.getpid()}.{time.monotonic_ns()}"
        name, _, value = self.mark.partition("=")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), name: value}
        command = [sys.executable, "-c", LOOP.replace("REMOVE", str(remove))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        assert self.process.stdout
        self.launcher = int(self.process.stdout.readline())

    def helpers(self) -> list[int]:
        """Everything it started: launcher, spare, and monitors wherever they are in their life."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and self._is_ours(name)]

    def _is_ours(self, pid: str) -> bool:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        return self.mark.encode() in environment.split(b"\0") and int(pid) != self.process.pid

    def end(self) -> None:
        """Kill it. Monitors then stop their containers in order."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        for _ in range(4):  # a process in execve(2) shows no environment for a moment
            wait_for(lambda: not self.helpers())
            time.sleep(0.03)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def settle(engine: Engine) -> None:
    """Tidy, and nothing half-way is left."""
    api.prune()
    assert {id: os.listdir(engine.run / id) for id in states(engine)} == {}
    assert [name for name in os.listdir(engine.containers) if name.startswith(".")] == []


def states(engine: Engine) -> list[str]:
    """Containers with a run folder."""
    return [path.name for path in engine.run.iterdir() if path.is_dir() and not path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize("remove", [True, False])
@pytest.mark.parametrize("victim", ["client", "launcher", "monitor"])
def test_killed_at_any_moment(engine: Engine, victim: str, remove: bool) -> None:
    moments = random.Random(f"{victim} {remove}")
    for _ in range(ROUNDS):
        running = Client(remove)
        try:
            time.sleep(moments.uniform(0.0, 0.15))
            targets = {"client": [running.process.pid], "launcher": [running.launcher]}.get(victim)
            for pid in targets or set(running.helpers()) - {running.launcher}:
                kill(pid)
            time.sleep(moments.uniform(0.0, 0.05))
        finally:
            running.end()
        settle(engine)


def test_a_healthy_container_is_never_touched(engine: Engine) -> None:
    id, monitor = background(engine, "sleep", "1000")
    dead, other = background(engine, "sleep", "1000")
    os.kill(other, signal.SIGKILL)
    wait_for(lambda: not lives(other))
    rows = api.prune()
    assert [(row["what"], row["name"], row["result"]) for row in rows] == [("killed monitor", dead[:12], "tidied")]
    assert lives(monitor)
    assert store.alive(store.state(engine, id))
    assert store.read(engine, dead, "exit.json")["reason"] == "error"
    assert "monitor was killed" in store.read(engine, dead, "exit.json")["error"]["message"]
    assert len(api.prune()) == 0
    assert end(engine, id)["reason"] == "signal"


def test_a_container_whose_monitor_was_killed_can_be_started_again(engine: Engine) -> None:
    id, monitor = background(engine, "sh", "-c", "echo here >> /file; sleep 1000")
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not lives(monitor))
    with monitored.start(engine, id, attach=False) as channel:
        assert (channel.receive() or (b"",))[0] == b"S"
    assert store.alive(store.state(engine, id))


def test_half_made_things_go_and_those_being_made_stay(engine: Engine) -> None:
    import fcntl

    abandoned, in_work = (engine.containers / f".{letter * 64}.new" for letter in "ab")
    for path in (abandoned, in_work, engine.containers / f".{'c' * 64}.1234567890.removed"):
        (path / "upper").mkdir(parents=True)
    going = engine.containers / f".{'e' * 64}.{os.getpid()}.removed"  # its monitor, here ourselves, is at it
    going.mkdir()
    lock = os.open(in_work, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    (engine.names / "dangling").symlink_to("f" * 64)
    (engine.run / f".{'d' * 64}.{2**22 - 1}.claim").mkdir()
    rows = {row["what"] for row in api.prune()}
    assert rows == {"half-made container", "half-removed container", "half-made run folder", "name"}
    assert not abandoned.exists()
    assert in_work.exists()
    assert going.exists()
    going.rmdir()
    os.close(lock)
    assert {row["what"] for row in api.prune()} == {"half-made container"}


def test_one_with_rm_whose_monitor_was_killed_is_removed(engine: Engine) -> None:
    id, monitor = background(engine, "sleep", "1000", record={"remove": True})
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not lives(monitor))
    api.prune()
    assert not (engine.containers / id).exists()


def test_prune_can_take_ended_containers_too(fresh_engine: Engine) -> None:
    outcome = monitored.run(fresh_engine, "true")
    assert outcome.exit["exit_code"] == 0
    living, _ = background(fresh_engine, "sleep", "1000")
    assert [row["what"] for row in api.prune(containers=True)] == ["container"]
    assert store.ids(fresh_engine) == [living]
    end(fresh_engine, living)


@pytest.mark.as_user
@pytest.mark.leaks("ends the session's pause process")
def test_a_killed_pause_process_is_made_again(engine: Engine) -> None:
    client.call("os:getpid")
    old = pause.find(str(engine.run))
    assert old
    id, _ = background(engine, "sleep", "1000")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not lives(old))
    assert client.call("os:getuid") == 0  # the launcher is in, whether the pause process lives or not
    client.close()
    assert client.call("os:getuid") == 0
    assert pause.find(str(engine.run)) not in (None, old)
    end(engine, id)
    api.prune()


@pytest.mark.as_user
@pytest.mark.leaks("ends the session's pause process")
def test_the_command_ends_the_pause_process_when_nobody_needs_it(
    engine: Engine, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    id, _ = background(engine, "sleep", "1000")
    client.close()
    assert "pause" not in cli("system", "prune").stdout
    held = pause.find(str(engine.run))
    assert held
    end(engine, id)
    assert "pause process" in cli("system", "prune").stdout
    wait_for(lambda: not lives(held))
    assert pause.find(str(engine.run)) is None
    assert client.call("os:getuid") == 0
