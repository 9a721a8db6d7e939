"""`nbcontainers build`: what is printed where, the shell of --debug, an interrupt."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.test_cli import on_a_terminal

Cli = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-m", "nbcontainers", "build"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A context whose second RUN fails unless it is given FINE."""
    text = (
        'FROM mini\nENTRYPOINT ["false"]\nARG FINE\nRUN echo good | tee /good\nRUN echo words; test $FINE\nCMD true\n'
    )
    (tmp_path / "Dockerfile").write_text(text)
    return tmp_path


def test_the_id_is_on_stdout_all_else_on_stderr(cli: Cli, folder: Path) -> None:
    words = ("build", "--no-cache", "--build-arg", "FINE=1", "-t", "nbc-cli", str(folder))
    done = cli(*words)
    try:
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("sha256:")
        assert done.stdout.count("\n") == 1
        for line in ("[0] 4: RUN echo good | tee /good", "  4 | good", "  5 | words", "warning: Dockerfile:6: JSON"):
            assert line in done.stderr
        assert done.stderr.splitlines()[-1].startswith("built nbc-cli in ")
        for quiet in (("-q",), ("--progress", "quiet"), ("--progress=none",)):
            done = cli(*words[:1], *quiet, *words[2:])
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith("sha256:")
    finally:
        cli("rmi", "nbc-cli")


def test_a_failure_says_its_output_once(cli: Cli, folder: Path) -> None:
    done = cli("build", str(folder))
    cli("rmi", "failed-build")
    assert done.stdout == ""
    assert done.stderr.count("words\n") == 1
    assert "Dockerfile:5: RUN failed with exit status 1\n" in done.stderr
    assert "hint: nbcontainers container run -it --rm failed-build opens a shell" in done.stderr
    assert "[0] 6:" not in done.stderr


def test_debug_opens_a_shell_in_the_last_good_layer(cli: Cli, folder: Path) -> None:
    with on_a_terminal("build", "--debug", str(folder)) as (screen, process, _):
        screen.until("--debug: a shell in failed-build")
        screen.until("# ")
        screen.type("echo it is $(cat /good); exit 5\n")
        screen.until("it is good")
        screen.until("hint: ")
        assert process.wait(20) == 1
    cli("rmi", "failed-build")


def test_an_interrupt_ends_it_and_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM mini\nRUN echo begun; sleep 100\n")
    with subprocess.Popen([*COMMAND, "-t", "nbc-cli", tmp_path], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = [process.stderr.readline() for _ in range(4)]
        assert said[-1] == "  2 | begun\n"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(20) == 130
        assert time.monotonic() - begun < 10
    assert "build interrupted: nbc-cli" in rest
    assert "Traceback" not in rest
    assert "nbc-cli" not in cli("images").stdout
    assert "build-" not in cli("ps", "-a").stdout
