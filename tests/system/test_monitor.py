"""Monitors and real containers: the order of frames, endings, limits, clean-up, and many at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.container import store
from nbcontainers.engine import Engine
from nbcontainers.errors import CreateFailed, Error, InvalidState
from nbcontainers.launcher import client
from nbcontainers.launcher.channel import Channel
from nbcontainers.monitor import protocol
from nbcontainers.monitor.log import MAX_SIZE
from tests import monitored
from tests.monitored import Outcome, background, end, make, run, start, wait_for


@pytest.fixture(autouse=True)
def _remove_containers(nothing_leaks: None, engine: Engine) -> Iterator[None]:
    before = set(store.ids(engine))
    yield
    monitored.remove_new(engine, before)


def log(engine: Engine, id: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (engine.containers / id / "log").read_text().splitlines()]


def nothing_left(engine: Engine, id: str) -> None:
    """Of a container that has ended only its own folder remains."""
    assert not (engine.run / id).exists()
    assert str(engine.containers / id) not in Path("/proc/self/mountinfo").read_text()


def test_frames_come_in_order_and_the_record_says_it_all(engine: Engine) -> None:
    id = make(engine, "sh", "-c", "echo out; echo err >&2; exit 3")
    with start(engine, id) as channel:
        outcome = Outcome(channel)
    assert outcome.kinds in ("SOEX", "SEOX")
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")
    assert outcome.started["pid"] > 1
    found = outcome.exit
    assert (found["exit_code"], found["signal"], found["reason"], found["oom_killed"]) == (3, None, "exited", False)
    assert 0 < found["wall_s"] < 5
    assert found["started_at"] < found["finished_at"]
    assert store.read(engine, id, "exit.json") == found
    assert {(record["stream"], record["log"]) for record in log(engine, id)} == {
        ("stdout", "out\n"),
        ("stderr", "err\n"),
    }
    nothing_left(engine, id)


def test_a_signal_is_told_from_an_exit(engine: Engine) -> None:
    outcome = run(engine, "sh", "-c", "kill -SEGV $$", init=False)
    assert outcome.exit["reason"] in ("exited", "signal")  # pid 1 does not even see its own signal
    outcome = run(engine, "sh", "-c", "(kill -9 $BASHPID; sleep 1) & sh -c 'kill -11 $$'; exit $?")
    assert outcome.exit["exit_code"] == 139
    assert outcome.exit["signal"] is None


@pytest.mark.limits
def test_an_oom_kill_is_said_to_be_one(engine: Engine) -> None:
    script = "head -c 200000000 /dev/zero | tail"
    outcome = run(engine, "sh", "-c", f"{script}; exit $?", memory="16m", memory_swap="16m")
    assert outcome.exit["oom_killed"] is True
    assert outcome.exit["reason"] == "oom"
    assert outcome.exit["exit_code"] == 137
    assert outcome.exit["oom_cause"] == "limit"
    assert outcome.exit["limits"]["memory"]["limit"] == 16 << 20
    assert outcome.exit["usage"]["memory_peak"] > 15 << 20


def test_a_program_that_is_not_there_leaves_nothing(engine: Engine) -> None:
    before = set(store.ids(engine))
    for command, code, words in [("/no/such", 127, "no such file"), ("/etc/passwd", 126, "ermission denied")]:
        with pytest.raises(CreateFailed, match=words) as caught:
            run(engine, command)
        assert caught.value.details["exit_code"] == code
    assert set(store.ids(engine)) == before
    assert not list(engine.run.glob("*/state.json"))


def test_a_container_made_before_keeps_the_record_of_its_failure(engine: Engine) -> None:
    id = make(engine, "/no/such")
    with start(engine, id) as channel, pytest.raises(CreateFailed):
        Outcome(channel)
    record = store.read(engine, id, "exit.json")
    assert (record["exit_code"], record["reason"]) == (127, "error")
    assert "no/such" in record["error"]["message"]
    nothing_left(engine, id)


def test_a_step_that_fails_is_125_and_undone(engine: Engine) -> None:
    id = make(engine, "true")
    recipe = engine.containers / id / "recipe.json"
    document = json.loads(recipe.read_text())
    missing = {"lower": ["/no/such/layer"], "target": str(engine.containers / id / "rootfs")}
    document["steps"].append({"step": "nbcontainers.monitor.steps:Overlay", "args": missing})
    recipe.write_text(json.dumps(document))
    with start(engine, id, fresh=True) as channel, pytest.raises(CreateFailed, match="mount -t overlay") as caught:
        Outcome(channel)
    assert caught.value.details["exit_code"] == 125
    assert caught.value.details["errno"] == 2
    assert not (engine.containers / id).exists()


def test_removal_comes_before_the_last_frame(engine: Engine) -> None:
    id = make(engine, "sh", "-c", "mkdir -p /a/b/c; chmod 0 /a/b; echo x > /file", record={"remove": True})
    with start(engine, id) as channel:
        for kind, payload in channel.frames():
            if kind == protocol.EXIT:
                assert not (engine.containers / id).exists()
                nothing_left(engine, id)
                assert json.loads(payload)["exit_code"] == 0
                return
    pytest.fail("no exit record came")


def test_it_can_be_started_again_and_runs_only_once_at_a_time(engine: Engine) -> None:
    id, monitor = background(engine, "sh", "-c", "echo run >> /count; cat /count; exec sleep 60")
    wait_for(lambda: len(log(engine, id)) == 1)
    with start(engine, id) as channel, pytest.raises(InvalidState, match="is already running"):
        Outcome(channel)
    assert store.state(engine, id, "monitor.json")["pid"] == monitor
    assert end(engine, id)["reason"] == "signal"
    with start(engine, id, attach=False) as channel:
        assert (channel.receive() or (b"",))[0] == protocol.STARTED
    assert "exit_code" not in store.read(engine, id, "exit.json")
    wait_for(lambda: len(log(engine, id)) == 3)
    assert "".join(record["log"] for record in log(engine, id)) == "run\nrun\nrun\n"


def test_input_is_passed_on(engine: Engine) -> None:
    with start(engine, make(engine, "cat", record={"interactive": True, "remove": True})) as channel:
        channel.send(protocol.STDIN, b"to be echoed\n")
        channel.send(protocol.CLOSE_STDIN)
        outcome = Outcome(channel)
    assert outcome.stdout == b"to be echoed\n"
    assert outcome.exit["exit_code"] == 0


def test_without_interactive_input_is_empty(engine: Engine) -> None:
    assert run(engine, "sh", "-c", "cat | wc -c", record={"remove": True}).stdout.strip() == b"0"


def test_a_terminal_has_one_stream_a_size_and_an_end_of_file(engine: Engine) -> None:
    script = 'test -t 0 && test -t 1 && echo tty; read line; stty size; echo "got $line"; cat; echo err >&2'
    id = make(engine, "sh", "-c", script, record={"interactive": True, "remove": True}, tty=True)
    with start(engine, id) as channel:
        channel.send(protocol.WINDOW, {"rows": 33, "cols": 101})
        channel.send(protocol.STDIN, b"line\n")
        time.sleep(0.2)
        channel.send(protocol.CLOSE_STDIN)
        outcome = Outcome(channel)
    words = outcome.stdout.replace(b"\r\n", b"\n")
    assert b"tty\n" in words
    assert b"33 101\n" in words
    assert b"got line\n" in words
    assert words.endswith(b"err\n")
    assert outcome.stderr == b""
    assert outcome.exit["exit_code"] == 0


def test_signals_by_frame(engine: Engine) -> None:
    script = "trap 'echo caught; exit 9' USR1; echo up; while :; do sleep 0.05; done"
    with start(engine, make(engine, "sh", "-c", script, record={"remove": True})) as channel:
        while (channel.receive() or (b"X",))[0] != protocol.STDOUT:
            pass
        channel.send(protocol.KILL, {"signal": int(signal.SIGUSR1)})
        outcome = Outcome(channel)
    assert outcome.stdout == b"caught\n"
    assert outcome.exit["exit_code"] == 9


def test_a_dead_client_ends_an_attached_container_in_order(engine: Engine) -> None:
    id = make(engine, "sh", "-c", "trap 'echo terminated; exit 4' TERM; echo up; while :; do sleep 0.05; done")
    channel = start(engine, id)
    while (channel.receive() or (b"X",))[0] != protocol.STDOUT:
        pass
    channel.close()
    wait_for(lambda: "exit_code" in store.read(engine, id, "exit.json"))
    assert store.read(engine, id, "exit.json")["exit_code"] == 4
    assert log(engine, id)[-1]["log"] == "terminated\n"
    wait_for(lambda: not (engine.run / id).exists())


def test_a_first_process_that_would_not_see_the_signal_is_not_waited_for(engine: Engine) -> None:
    id = make(engine, "sleep", "60", record={"stop_timeout": 30})
    channel = start(engine, id)
    channel.receive()
    begun = time.monotonic()
    channel.close()
    wait_for(lambda: "exit_code" in store.read(engine, id, "exit.json"))
    assert time.monotonic() - begun < 5
    assert store.read(engine, id, "exit.json")["signal"] == signal.SIGKILL


def test_after_a_detach_it_lives_on_and_others_attach(engine: Engine) -> None:
    id = make(engine, "sh", "-c", 'echo up; read line; echo "got $line"', record={"interactive": True})
    with start(engine, id) as channel:
        assert (channel.receive() or (b"",))[0] == protocol.STARTED
        channel.send(protocol.DETACH)
        wait_for(lambda: (engine.run / id / "monitor.sock").exists())
    first, second = attach(engine, id), attach(engine, id)
    assert (
        os.stat(engine.run / id / "monitor.sock").st_mode & 0o077 == 0 or os.stat(engine.run / id).st_mode & 0o077 == 0
    )
    first.send(protocol.STDIN, b"input\n")
    outcomes = [Outcome(first), Outcome(second)]
    assert all(outcome.exit["exit_code"] == 0 for outcome in outcomes)
    assert all(b"got input\n" in outcome.stdout for outcome in outcomes)
    wait_for(lambda: not (engine.run / id).exists())


def attach(engine: Engine, id: str) -> Channel:
    return client.attach(engine.run, id)


def test_a_run_folder_with_a_long_path(fresh_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    long = Engine(fresh_engine.root, fresh_engine.run / ("d" * 100) / ("e" * 60), fresh_engine.rootless).prepare()
    id, _ = background(long, "sleep", "60")
    with attach(long, id) as channel:
        assert (channel.receive() or (b"",))[0] == protocol.STARTED
    end(long, id)


def test_sigterm_to_the_monitor_stops_the_container(engine: Engine) -> None:
    id, monitor = background(engine, "sh", "-c", "trap 'exit 6' TERM; while :; do sleep 0.05; done")
    time.sleep(0.1)
    os.kill(monitor, signal.SIGTERM)
    wait_for(lambda: not (engine.run / id).exists())
    assert store.read(engine, id, "exit.json")["exit_code"] == 6


def test_a_slow_client_loses_nothing(engine: Engine) -> None:
    with start(engine, make(engine, "sh", "-c", "yes 0123456789 | head -n 300000", record={"remove": True})) as channel:
        time.sleep(0.5)
        outcome = Outcome(channel)
    assert outcome.stdout == b"0123456789\n" * 300_000
    assert outcome.exit["exit_code"] == 0


def test_the_log_is_bounded(engine: Engine) -> None:
    id = make(engine, "sh", "-c", "yes 0123456789 | head -n 300000", record={"log": {"max_size": 1 << 20}})
    with start(engine, id) as channel:
        assert Outcome(channel).exit["exit_code"] == 0
    sizes = {path.name: path.stat().st_size for path in (engine.containers / id).glob("log*")}
    assert set(sizes) == {"log", "log.1"}
    assert all(size <= 1 << 20 for size in sizes.values())
    assert MAX_SIZE > 1 << 20


def test_samples_are_kept(engine: Engine) -> None:
    from nbcontainers.cgroups.stats import read_metrics

    id = make(engine, "sh", "-c", "sleep 0.5")
    with start(engine, id) as channel:
        outcome = Outcome(channel)
    samples = read_metrics(engine.containers / id / "metrics")
    assert 6 <= len(samples) <= 15
    assert all(a.time_ns < b.time_ns for a, b in pairwise(samples))
    assert outcome.exit["usage"]["memory_peak"] is None or outcome.exit["usage"]["memory_peak"] > 0


def test_processes_that_leave_their_parent_end_with_it(engine: Engine) -> None:
    """Also with the host's pid namespace, where the kernel does not see to that."""
    mark = f"{os.getpid()}.{time.time_ns()}"
    for options in ({}, {"pid": "host"}):
        run(engine, "sh", "-c", f"setsid sleep 1000.{mark[-6:]} & sleep 0.1", record={"remove": True}, **options)
        assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and mark[-6:].encode() in _cmdline(pid)]


def _cmdline(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.slow
def test_a_hundred_at_once_through_one_launcher(engine: Engine) -> None:
    monitored.layer(engine)
    outcomes: list[Outcome] = []
    failures: list[Any] = []

    def one(number: int) -> None:
        try:
            outcomes.append(run(engine, "sh", "-c", f"echo {number}; exit {number}", record={"remove": True}))
        except Error as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(outcome.exit["exit_code"] for outcome in outcomes) == list(range(100))
    assert all(outcome.stdout == f"{outcome.exit['exit_code']}\n".encode() for outcome in outcomes)


def test_monitor_sockets_are_not_for_others(engine: Engine) -> None:
    id, _ = background(engine, "sleep", "60")
    mode = os.stat(engine.run / id / "monitor.sock").st_mode
    assert socket.AF_UNIX
    assert mode & 0o077 == 0
    end(engine, id)
