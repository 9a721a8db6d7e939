"""The stop button: SIGINT for the program first, then harder, and always KeyboardInterrupt in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

import nbcontainers
from nbcontainers.container import session, store
from nbcontainers.errors import ContainerFailed


@pytest.fixture(scope="module", autouse=True)
def image_is_ready():
    """The first use of an image takes longer than these tests wait."""
    nbcontainers.run("mini", "true", rm=True)


@contextmanager
def interrupted_after(*seconds):
    """SIGINT for this process after each of these times."""
    timers = [threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)) for after in seconds]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()


def run_until_interrupted(script, *seconds, **options):
    """(stdout, stderr, seconds it took) of a script that is interrupted."""
    out, err = bytearray(), bytearray()
    started = time.monotonic()
    with interrupted_after(*seconds), pytest.raises(KeyboardInterrupt):
        nbcontainers.run("mini", "sh", "-c", script, rm=True, stdout=out.extend, stderr=err.extend, **options)
    return out.decode(), err.decode(), time.monotonic() - started


LOOP = "while :; do sleep 0.05; done"


def test_sigint_reaches_a_program_that_listens(engine):
    out, err, seconds = run_until_interrupted(f"trap 'echo caught; exit 0' INT; {LOOP}", 0.4)
    assert out == "caught\n"
    assert "[nbcontainers] interrupted: sent SIGINT to the container" in err
    assert "SIGTERM" not in err
    assert seconds < 2
    assert store.ids(engine) == []


def test_a_program_that_hears_nothing_is_killed_at_once():
    _, err, seconds = run_until_interrupted("exec sleep 100", 1.0)
    assert "pid 1 of the container does not handle SIGINT (--init passes it on)" in err
    assert "does not handle SIGTERM" in err
    assert "sent SIGKILL" in err
    assert seconds < 3


def test_with_init_the_signal_arrives():
    _, err, seconds = run_until_interrupted("exec sleep 100", 1.0, init=True)
    assert "sent SIGINT" in err
    assert "SIGKILL" not in err
    assert seconds < 3


def test_what_goes_on_regardless_gets_sigterm_after_a_time(monkeypatch):
    monkeypatch.setattr(session, "GRACE", 0.4)
    out, err, seconds = run_until_interrupted(f"trap 'echo no' INT; trap 'echo yes; exit 1' TERM; {LOOP}", 0.4)
    assert out == "no\nyes\n"
    assert err.count("sent") == 2
    assert 0.8 < seconds < 3


def test_a_second_interrupt_hurries():
    out, err, seconds = run_until_interrupted(f"trap 'echo no' INT TERM; {LOOP}", 0.4, 0.8, 1.2)
    assert out == "no\nno\n"
    assert "sent SIGKILL" in err
    assert seconds < 3


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "TERM"), (signal.SIGHUP, "HUP")])
def test_the_command_line_passes_on_the_signal_it_got(number, name):
    """As docker run does, and the end is the program's own: this is how systemd stops one."""
    words = [sys.executable, "-m", "nbcontainers", "run", "--rm", "mini", "sh", "-c"]
    script = f"trap 'echo heard {name}; exit 6' {name}; trap 'echo no' INT; while :; do echo tick; sleep 0.05; done"
    program = subprocess.Popen([*words, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout
    assert program.stdout.readline() == "tick\n"
    program.send_signal(number)
    out, err = program.communicate(timeout=20)
    assert out.replace("tick\n", "") == f"heard {name}\n"
    assert err == f"[nbcontainers] interrupted: sent SIG{name} to the container\n"
    assert program.returncode == 6


def test_an_exec_that_is_killed_does_not_blame_its_container():
    with nbcontainers.run("mini", "sleep", "100", detach=True) as container:
        with pytest.raises(ContainerFailed, match=r"^exec of sh: it was ended by SIGKILL \(exit 137\)"):
            container.exec("sh", "-c", "kill -9 $$")
        assert container.running


def test_an_interrupted_exec_ends_only_what_was_executed():
    with nbcontainers.run("mini", "sleep", "100", detach=True) as container:
        out = bytearray()
        with interrupted_after(0.4), pytest.raises(KeyboardInterrupt):
            container.exec(
                "sh", "-c", f"trap 'echo caught; exit 0' INT; {LOOP}", stdout=out.extend, stderr=lambda _: None
            )
        assert bytes(out) == b"caught\n"
        assert container.running


def test_the_second_interrupt_leaves_a_container_one_only_follows():
    """Its pid 1 hears no SIGINT: the cell could not be ended."""
    with nbcontainers.run("mini", "sleep", "100", detach=True) as container:
        err = bytearray()
        with interrupted_after(0.4, 0.8), pytest.raises(KeyboardInterrupt):
            container.start(attach=True, stderr=err.extend)
        said = "pid 1 of the container does not handle SIGINT (--init passes it on); once more leaves it running\n"
        assert said in err.decode()
        assert f"left container {container.name} running: " in err.decode()
        assert container.running
