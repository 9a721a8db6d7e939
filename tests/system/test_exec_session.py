"""A further process in a running container, through the launcher."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from nbcontainers.container import store
from nbcontainers.engine import Engine
from nbcontainers.errors import CreateFailed, InvalidState, NotFound
from nbcontainers.launcher import client
from nbcontainers.launcher.channel import Channel
from nbcontainers.monitor import protocol
from tests import monitored
from tests.monitored import Outcome, background, end, wait_for

SESSION = "nbcontainers.monitor.exec:run"


@pytest.fixture(autouse=True)
def _remove_containers(nothing_leaks: None, engine: Engine) -> Iterator[None]:
    before = set(store.ids(engine))
    yield
    monitored.remove_new(engine, before)


@pytest.fixture
def id(engine: Engine, _remove_containers: None) -> str:
    return background(engine, "sleep", "1000")[0]


def begin(engine: Engine, id: str, *command: str, **options: Any) -> Channel:
    process = {**store.read(engine, id, "config.json")["process"], "args": list(command), **options.pop("process", {})}
    return client.spawn(SESSION, root=str(engine.root), run=str(engine.run), id=id, process=process, **options)


def test_its_frames_are_a_monitor_s(engine: Engine, id: str) -> None:
    with begin(engine, id, "sh", "-c", "echo out; echo err >&2; exit 5") as channel:
        outcome = Outcome(channel)
    assert outcome.kinds in ("SOEX", "SEOX")
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")
    assert outcome.exit["exit_code"] == 5
    assert store.alive(store.state(engine, id))


def test_it_sees_the_container_s_processes(engine: Engine, id: str) -> None:
    with begin(engine, id, "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; hostname") as channel:
        words = Outcome(channel).stdout.split()
    assert words[:2] == [b"sleep", b"1000"]


def test_input_and_a_terminal(engine: Engine, id: str) -> None:
    with begin(engine, id, "cat", interactive=True) as channel:
        channel.send(protocol.STDIN, b"abc")
        channel.send(protocol.CLOSE_STDIN)
        assert Outcome(channel).stdout == b"abc"
    with begin(engine, id, "sh", "-c", "test -t 1 && stty size", process={"terminal": True}) as channel:
        channel.send(protocol.WINDOW, {"rows": 7, "cols": 77})
        assert Outcome(channel).exit["exit_code"] == 0


def test_given_descriptors_are_used_as_they_are(engine: Engine, id: str) -> None:
    null, (read, write) = os.open("/dev/null", os.O_RDWR), os.pipe()
    with begin(engine, id, "echo", "direct", fds=[null, write, null]) as channel:
        os.close(write)
        os.close(null)
        outcome = Outcome(channel)
    assert outcome.stdout == b""
    assert outcome.exit["exit_code"] == 0
    with os.fdopen(read) as file:
        assert file.read() == "direct\n"


@pytest.mark.parametrize(("program", "code"), [("/no/such", 127), ("/etc/passwd", 126)])
def test_what_cannot_be_executed(engine: Engine, id: str, program: str, code: int) -> None:
    with begin(engine, id, program) as channel, pytest.raises(CreateFailed) as caught:
        Outcome(channel)
    assert caught.value.details["exit_code"] == code
    assert program in caught.value.message


def test_there_must_be_a_running_container(engine: Engine, id: str) -> None:
    with begin(engine, id, "true") as channel:
        Outcome(channel)
    process = store.read(engine, id, "config.json")["process"]
    end(engine, id)
    with (
        client.spawn(SESSION, root=str(engine.root), run=str(engine.run), id=id, process=process) as channel,
        pytest.raises((InvalidState, NotFound)),
    ):
        Outcome(channel)


def test_it_ends_with_its_client(engine: Engine, id: str) -> None:
    channel = begin(engine, id, "sh", "-c", "echo $$; exec sleep 500")
    pid = 0
    for kind, payload in channel.frames():
        if kind == protocol.STARTED:
            pid = int(payload.split(b":")[1].strip(b" }"))
        if kind == protocol.STDOUT:
            break
    channel.close()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    assert store.alive(store.state(engine, id))


def test_signals(engine: Engine, id: str) -> None:
    with begin(engine, id, "sleep", "500") as channel:
        channel.receive()
        channel.send(protocol.KILL, {"signal": int(signal.SIGTERM)})
        outcome = Outcome(channel)
    assert outcome.exit["exit_code"] == 143
    assert outcome.exit["signal"] == signal.SIGTERM


def test_the_container_s_end_is_its_end(engine: Engine, id: str) -> None:
    with begin(engine, id, "sleep", "500") as channel:
        channel.receive()
        end(engine, id)
        assert Outcome(channel).exit["exit_code"] == 137
