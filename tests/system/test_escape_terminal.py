"""A container cannot type into the terminal we were started from (CVE-2017-5226), nor see it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

import pytest

from tests import inside

PUSH = r"""
words = {}
for fd in (0, 1, 2):
    words[str(fd)] = attempt(fcntl.ioctl, fd, 0x5412, b"!")   # TIOCSTI
    words[f"{fd} selection"] = attempt(fcntl.ioctl, fd, 0x541C, b"\x03")  # TIOCLINUX, paste
def own():
    fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"!")
words["tty"] = attempt(own)
for name in os.listdir("/dev/pts"):
    if name.isdecimal():
        words["pts " + name] = attempt(os.open, "/dev/pts/" + name, os.O_RDWR | os.O_NOCTTY)
report(words=words, session=os.getsid(0), terminals=sorted(os.listdir("/dev/pts")))
"""


def test_without_a_terminal_there_is_none() -> None:
    found = inside.python(PUSH)
    assert {word for name, word in found["words"].items()} <= {"ENOTTY", "ENXIO", "EINVAL"}
    assert found["terminals"] == ["ptmx"]


def outer(*words: str) -> tuple[bytes, bytes]:
    """Run the command line on a terminal; returns what it showed and what was pushed into its input."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "nbcontainers", *words]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    shown = b""
    try:
        end = time.monotonic() + 60
        while process.poll() is None or select.select([master], [], [], 0.2)[0]:
            assert time.monotonic() < end, shown
            if select.select([master], [], [], 0.1)[0]:
                shown += os.read(master, 65536)
        os.set_blocking(slave, False)
        import termios
        import tty

        tty.setraw(slave, termios.TCSANOW)
        pushed = os.read(slave, 100)
    except BlockingIOError:
        pushed = b""
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)
    return shown, pushed


@pytest.mark.parametrize("options", [[], ["-i"], ["-t"], ["-i", "-t"]])
def test_nothing_is_pushed_into_the_terminal_of_the_command_line(options: list[str]) -> None:
    shown, pushed = outer("run", "--rm", *options, "host", *inside.program(PUSH))
    assert b"@@" in shown, shown
    assert pushed == b""


def test_a_containers_terminal_is_its_own() -> None:
    found = inside.python(PUSH, tty=True)
    assert set(found["terminals"]) <= {"0", "ptmx"}
    assert found["session"] in (1, 0)
