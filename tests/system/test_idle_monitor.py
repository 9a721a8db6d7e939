"""A monitor with nothing to do: small, and awake again for whatever happens."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from nbcontainers.container import store
from nbcontainers.engine import Engine
from nbcontainers.launcher import client
from nbcontainers.monitor import idle, protocol
from tests import monitored
from tests.monitored import Outcome, background, wait_for

LIMIT_KB = 4096


@pytest.fixture(autouse=True)
def _remove_containers(nothing_leaks: None, engine: Engine) -> Iterator[None]:
    before = set(store.ids(engine))
    yield
    monitored.remove_new(engine, before)


def asleep(pid: int) -> bool:
    try:
        return b"idle.main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def pss(pid: int) -> int:
    """Proportional set size, in kB: memory that several processes share counts once."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def output(engine: Engine, id: str) -> str:
    return "".join(json.loads(line)["log"] for line in (engine.containers / id / "log").read_text().splitlines())


def exit_record(engine: Engine, id: str) -> dict[str, object]:
    wait_for(lambda: not (engine.run / id).exists())
    return dict(store.read(engine, id, "exit.json"))


@pytest.mark.leaks("the launcher is ended in between")
def test_it_is_small_with_its_launcher_and_without(engine: Engine) -> None:
    Path(cache_from_source(str(idle.__file__))).unlink(
        missing_ok=True
    )  # as in a new copy, or one that may not be written to
    _, pid = background(engine, "sleep", "1000")
    wait_for(lambda: asleep(pid))
    time.sleep(0.3)
    assert pss(pid) <= LIMIT_KB
    os.kill(client._current().process.pid, signal.SIGKILL)
    client.close()
    assert pss(pid) <= LIMIT_KB


def test_output_wakes_it_and_nothing_is_lost(engine: Engine) -> None:
    id, pid = background(engine, "sh", "-c", "echo one; sleep 2.5; printf 'tw\\303'; printf '\\266\\n'; sleep 1000")
    wait_for(lambda: asleep(pid))
    assert output(engine, id) == "one\n"
    wait_for(lambda: output(engine, id) == "one\ntwö\n")
    assert store.state(engine, id, "monitor.json")["pid"] == pid
    assert store.alive(store.state(engine, id, "monitor.json"))


def test_the_end_is_seen_by_a_sleeping_one(engine: Engine) -> None:
    id, pid = background(engine, "sh", "-c", "sleep 2.2; exit 11")
    wait_for(lambda: asleep(pid))
    found = exit_record(engine, id)
    assert found["exit_code"] == 11
    assert isinstance(found["wall_s"], float)
    assert 2.1 < found["wall_s"] < 4


def test_a_peer_is_greeted_by_a_sleeping_one(engine: Engine) -> None:
    id, pid = background(engine, "sh", "-c", "read line; echo got $line", record={"interactive": True})
    wait_for(lambda: asleep(pid))
    with client.attach(engine.run, id) as channel:
        assert (channel.receive(10) or (b"",))[0] == protocol.STARTED
        channel.send(protocol.STDIN, b"it\n")
        outcome = Outcome(channel)
    assert outcome.stdout == b"got it\n"
    assert outcome.exit["exit_code"] == 0


def test_a_terminal_outlives_the_sleep(engine: Engine) -> None:
    id, pid = background(
        engine, "sh", "-c", "read line; stty size; echo got $line", record={"interactive": True}, tty=True
    )
    wait_for(lambda: asleep(pid))
    with client.attach(engine.run, id) as channel:
        channel.send(protocol.WINDOW, {"rows": 11, "cols": 22})
        channel.send(protocol.STDIN, b"it\n")
        outcome = Outcome(channel)
    assert b"11 22" in outcome.stdout
    assert b"got it" in outcome.stdout


def test_sigterm_stops_the_container_of_a_sleeping_one(engine: Engine) -> None:
    id, pid = background(engine, "sh", "-c", "trap 'echo bye; exit 8' TERM; sleep 1000 & while :; do wait; done")
    wait_for(lambda: asleep(pid))
    os.kill(pid, signal.SIGTERM)
    assert exit_record(engine, id)["exit_code"] == 8
    assert output(engine, id) == "bye\n"


def test_a_killed_sleeper_takes_its_container_along(engine: Engine) -> None:
    id, pid = background(engine, "sleep", "1000")
    init = store.state(engine, id)
    wait_for(lambda: asleep(pid))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not store.alive(init))
    from nbcontainers.system import api

    api.prune()


@pytest.mark.limits
def test_a_busy_container_keeps_its_monitor_awake_and_sampling(engine: Engine) -> None:
    from nbcontainers.cgroups.stats import read_metrics

    id, pid = background(
        engine, "sh", "-c", "end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do :; done; sleep 1000"
    )
    time.sleep(2)
    assert not asleep(pid)
    wait_for(lambda: asleep(pid))
    assert len(read_metrics(engine.containers / id / "metrics")) > 25


def test_text_never_includes_what_the_loader_wrote_to() -> None:
    """The pages given back must be clean: of RELRO, which looks read-only, the loader's work would be lost."""
    chosen = set(idle.text())
    at, dirty = 0, {}
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            start, end = (int(word, 16) for word in words[0].split("-"))
            at, dirty[start, end - start] = start, 0
            size = end - start
        elif words[0] == "Anonymous:":
            dirty[at, size] = int(words[1])
    assert chosen
    assert [one for one in chosen if dirty[one]] == []
