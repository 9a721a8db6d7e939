"""The program `nbcontainers`: exit codes, streams, terminals, signals, what is printed where."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-m", "nbcontainers"]


def test_output_and_exit_code_are_the_containers(cli: Cli) -> None:
    done = cli("run", "--rm", "mini", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert cli("run", "--rm", "mini", "true").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("run", "--pull", "never", "no-such-image", "true"), 125, "no-such-image"),
        (("run", "--memry", "1g", "mini"), 125, "Error: nbcontainers run has no option --memry\nhint: did you mean --memory?"),
        (("run",), 125, "needs an IMAGE"),
        (("run", "--rm", "mini", "/no/such"), 127, "/no/such"),
        (("run", "--rm", "mini", "/etc"), 126, "/etc"),
        (("rnu",), 125, "did you mean run?"),
        (("outdated",), 125, "did you mean nbcontainers image outdated?"),
        (("compose", "up"), 125, "nbcontainers network create NAME"),
        (("system", "prune", "-af"), 1, "nbcontainers image prune -a"),
        (("load",), 1, "the input: it is empty"),
        (("inspect", "mini"), 1, "nbcontainers image inspect mini"),
        (("rm", "nothing"), 1, "no container 'nothing'"),
        (("container", "inspect", "nothing"), 1, "no container 'nothing'"),
        (("image", "nonsense"), 125, "nbcontainers image has no verb 'nonsense'"),
        (("exec", "nothing", "true"), 125, "no container 'nothing'"),
    ],
)  # fmt: skip
def test_errors_are_on_stderr_with_dockers_codes(cli: Cli, words: tuple[str, ...], code: int, message: str) -> None:
    done = cli(*words)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_of_what_is_named(cli: Cli) -> None:
    assert cli("help", "run").stdout == cli("run", "--help").stdout
    assert cli("help", "image").stdout == cli("image", "--help").stdout
    assert cli("help").stdout == cli("--help").stdout


def test_what_has_no_id_leaves_no_empty_line(cli: Cli) -> None:
    assert "" not in cli("network", "ls", "-q").stdout.splitlines()


def test_a_kill_is_explained(cli: Cli) -> None:
    done = cli("run", "--rm", "mini", "sh", "-c", "kill -9 $$; sleep 1; kill -SEGV $$; exec kill -9 1")
    assert done.returncode in (0, 1, 137)  # pid 1 takes no signal from inside
    done = cli("run", "--rm", "--init", "mini", "sh", "-c", "kill -9 $$") if init_there() else None
    if done:
        assert done.returncode == 137


def init_there() -> bool:
    from nbcontainers.container.host import this_host

    return this_host(os.geteuid() != 0).init is not None


def test_help_is_no_error(cli: Cli) -> None:
    for words in ((), ("--help",), ("container",), ("container", "--help"), ("run", "--help"), ("image", "ls", "-h")):
        done = cli(*words)
        assert done.returncode == 0
        assert done.stdout.startswith("usage: nbcontainers")
        assert done.stderr == ""
    assert cli("--version").stdout.startswith("nbcontainers ")


def test_input_is_passed_on(cli: Cli) -> None:
    assert cli("run", "--rm", "-i", "mini", "sort", input="b\na\n").stdout == "a\nb\n"
    assert cli("run", "--rm", "mini", "cat", input="not read\n").stdout == ""
    big = "x" * 999 + "\n"
    assert cli("run", "--rm", "-i", "mini", "wc", "-c", input=big * 3000).stdout.strip() == "3000000"


def test_detached_and_the_other_verbs(cli: Cli) -> None:
    id = cli("run", "-d", "--name", "cli-web", "mini", "sh", "-c", "echo up; sleep 60").stdout.strip()
    try:
        assert len(id) == 64
        listed = cli("ps").stdout
        assert listed.splitlines()[0].startswith("CONTAINER ID   IMAGE")
        assert "cli-web" in listed
        assert cli("ps", "-q").stdout.split() == [id[:12]]
        rows = json.loads(cli("ps", "--format", "json").stdout)
        assert [row for row in rows if "cli-web" in str(row)]
        assert json.loads(cli("inspect", "cli-web").stdout)[0]
        assert cli("exec", "cli-web", "sh", "-c", "echo in; exit 3").returncode == 3
        assert cli("exec", "-i", "cli-web", "cat", input="given").stdout == "given"
        assert cli("logs", "cli-web").stdout == "up\n"
        assert "sleep" in cli("top", "cli-web").stdout
        assert cli("stop", "-t", "0", "cli-web").stdout == "cli-web\n"
        assert cli("wait", "cli-web").stdout.strip() == "137"
    finally:
        assert cli("rm", "-f", "cli-web").stdout == "cli-web\n"


def test_a_closed_pipe_is_no_traceback() -> None:
    line = f"{sys.executable} -m nbcontainers run --help | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("usage: nbcontainers run")
    assert done.stderr == ""


def test_an_interrupt_ends_the_program_and_leaves_nothing() -> None:
    with subprocess.Popen(
        [*COMMAND, "run", "--rm", "mini", "sh", "-c", "trap 'echo stopped; exit 1' INT; echo ready; while :; do sleep .1; done"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == "stopped\n"
    assert "sent SIGINT" in err


def test_sigterm_ends_a_program_that_does_not_hear_it_too() -> None:
    with subprocess.Popen(
        [*COMMAND, "run", "--rm", "mini", "sh", "-c", "trap 'exit 1' INT; echo ready; while :; do sleep .1; done"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(20) == 137


class Screen:
    """A program on a terminal of ours: what it showed, what we type, the terminal's size."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.shown = ""

    def until(self, text: str, timeout: float = 20.0) -> str:
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
        assert text in self.shown, self.shown
        return self.shown

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


@contextmanager
def on_a_terminal(*words: str) -> Iterator[tuple[Screen, subprocess.Popen[Any], int]]:
    master, slave = pty.openpty()
    screen = Screen(master)
    screen.resize(33, 77)

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen([*COMMAND, *words], stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal)
    try:
        yield screen, process, slave
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)


def test_a_terminal_is_raw_has_our_size_and_is_restored() -> None:
    with on_a_terminal("run", "--rm", "-it", "mini", "sh") as (screen, process, slave):
        screen.type("PS1='$ '; echo size $(stty size) term $TERM\n")
        screen.until("size 33 77")
        assert not termios.tcgetattr(slave)[3] & termios.ICANON, "raw while the program has it"
        screen.resize(40, 100)
        time.sleep(0.5)
        screen.type("echo now $(stty size)\n")
        screen.until("now 40 100")
        screen.type("sleep 100\n")
        time.sleep(0.5)
        screen.type("\x03")  # to the program in the container, not to us
        screen.type("echo still here; exit 5\n")
        screen.until("still here\r\n")
        assert process.wait(20) == 5
        after = termios.tcgetattr(slave)
        assert after[3] & termios.ICANON, "restored"
        assert after[3] & termios.ECHO


def test_a_terminal_is_restored_after_sigterm() -> None:
    with on_a_terminal("run", "--rm", "-it", "mini", "sh") as (screen, process, slave):
        screen.type("echo rea''dy\n")
        screen.until("ready")
        process.terminate()
        assert process.wait(30) == 137  # a shell at a prompt does not hear it
        assert termios.tcgetattr(slave)[3] & termios.ICANON


def test_a_terminal_that_is_none(cli: Cli) -> None:
    done = cli("run", "--rm", "-it", "mini", "true", input="")
    assert done.returncode == 125
    assert (
        done.stderr == "Error: -t needs a terminal, and stdin is none\nhint: leave -t out; -i alone passes stdin on\n"
    )


def test_exec_with_a_terminal(cli: Cli) -> None:
    cli("run", "-d", "--name", "cli-tty", "mini", "sleep", "60")
    try:
        with on_a_terminal("exec", "-it", "cli-tty", "sh", "-c", "tty; stty size; exit 4") as (screen, process, _):
            screen.until("33 77")
            assert process.wait(20) == 4
    finally:
        cli("rm", "-f", "cli-tty")
