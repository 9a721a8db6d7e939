"""Programs on a terminal that is no tty of ours, with real containers; and IPython's own terminal."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import nbcontainers
from nbcontainers.container import opening
from nbcontainers.container.container import Container, find
from nbcontainers.container.terminal import AHEAD, KEPT, Terminal
from nbcontainers.engine import Engine
from nbcontainers.errors import CreateFailed, InvalidState
from nbcontainers.widgets.feed import Feed
from tests.system import test_cli


@pytest.fixture
def web(engine: Engine) -> Iterator[Container]:
    with nbcontainers.run("mini", "sleep", "1000", name=f"t-{uuid.uuid4().hex[:8]}", detach=True) as container:
        yield container


@pytest.fixture
def opened() -> Iterator[Callable[[Terminal], Terminal]]:
    """Terminals that are ended with the test."""
    made: list[Terminal] = []

    def keep(terminal: Terminal) -> Terminal:
        made.append(terminal)
        return terminal

    yield keep
    for terminal in made:
        terminal.close()
    for terminal in made:
        terminal.wait(20)
        terminal._thread.join(5)


def until(terminal: Terminal, text: str, timeout: float = 15) -> str:
    """What it shows, once it shows `text`."""
    deadline = time.monotonic() + timeout
    while text not in (shown := "\n".join(terminal.screen())):
        assert time.monotonic() < deadline, shown
        time.sleep(0.02)
    return shown


def test_size_keys_and_status(web: Container, opened: Callable[[Terminal], Terminal]) -> None:
    terminal = opened(web.terminal("sh"))
    terminal.resize(31, 97)
    terminal.write("trap 'echo winch' WINCH; PS1='> '; tty; echo size $(stty size) é 漢\n")
    shown = until(terminal, "size 31 97 é 漢")
    assert "/dev/pts/" in shown
    terminal.resize(20, 60)
    terminal.write("echo now $(stty size)\n")
    assert "winch" in until(terminal, "now 20 60")
    terminal.write("sleep 100\n")
    time.sleep(0.3)
    begun = time.monotonic()
    terminal.write("\x03")
    terminal.write("echo interrupted; exit 3\n")
    until(terminal, "\ninterrupted")
    assert time.monotonic() - begun < 1
    assert terminal.wait(10) == 3
    assert f"{web.name}: sh · exited with 3, after" in terminal.text()


def test_what_cannot_be_begun_is_an_error(web: Container) -> None:
    with pytest.raises(CreateFailed, match="no-such-program"):
        web.terminal("no-such-program")
    with pytest.raises(InvalidState, match=r"has no terminal: it was made without -t\nhint: container exec -it"):
        web.terminal()


def test_a_flood_is_held_back_and_ends_at_an_interrupt(web: Container, opened: Callable[[Terminal], Terminal]) -> None:
    """While a page draws nothing the program waits; memory stays as it was."""
    terminal = opened(web.terminal("sh"))
    drawn: list[int] = []
    feed = Feed(terminal, lambda content, data: drawn.append(sum(map(len, data))))
    feed.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    terminal.write("yes\n")
    time.sleep(1.5)
    first = terminal.tape.end
    time.sleep(0.5)
    assert terminal.tape.end == first, "it waits"
    assert AHEAD < first < 2 * KEPT
    assert max(drawn) <= 100_000
    begun = time.monotonic()
    terminal.write("\x03")
    feed.key("\x03")
    terminal.write("echo ''ended\n")
    until(terminal, "\nended")
    assert time.monotonic() - begun < 1.5
    assert len(terminal.tape._kept) <= KEPT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10, "KiB"
    feed.close()


def test_what_nobody_sees_goes_by(web: Container, opened: Callable[[Terminal], Terminal]) -> None:
    """At the pace of what costs the notebook little, and in bounded memory."""
    terminal = opened(web.terminal("sh"))
    terminal.write("head -c 4000000 /dev/zero | tr '\\0' 'x'; echo; echo do''ne\n")
    until(terminal, "done", timeout=20)
    assert terminal.tape.end > 4_000_000
    assert len(terminal.tape._kept) <= KEPT


def test_a_container_of_its_own(engine: Engine, opened: Callable[[Terminal], Terminal]) -> None:
    terminal = opened(opening.run(engine, "mini", ["sh"], {"rm": True}))
    container = terminal.container
    terminal.write("echo $$; exit 4\n")
    assert terminal.wait(10) == 4
    assert container.removed
    assert terminal.container.exit_code == 4
    assert "exited with 4" in terminal.text()


def test_hanging_up_ends_what_has_no_name(engine: Engine) -> None:
    terminal = opening.run(engine, "mini", ["sh"], {"rm": True})
    assert terminal.container.running
    terminal.close()
    terminal.wait(10)
    assert terminal.state == "hung up"
    assert terminal.container.removed


def test_keys_leave_it_and_attach_comes_back(engine: Engine, opened: Callable[[Terminal], Terminal]) -> None:
    name = f"t-{uuid.uuid4().hex[:8]}"
    terminal = opening.run(engine, "mini", ["sh"], {"name": name})
    with terminal.container as container:
        terminal.write("echo be''fore\n")
        until(terminal, "before")
        terminal.write("\x10\x11")
        terminal.wait(10)
        assert terminal.left
        assert f"%container attach {name} comes back to it" in terminal.state
        assert container.running
        back = opened(container.terminal())
        until(back, "before")
        back.write("echo af''ter; exit 2\n")
        until(back, "after")
        assert back.wait(10) == 2
        assert not container.removed


SCRIPT = """\
import os, sys, time
from nbcontainers.container import opening
from nbcontainers.container.container import find
from nbcontainers.engine import default_engine
engine = default_engine()
run = opening.run(engine, "mini", ["sh"], {"name": sys.argv[1]})
run.write("echo be''fore\\n")
shell = find(engine, sys.argv[1]).terminal("sh", "-c", "echo $$ > /pid; exec sh")
while "before" not in run.text() or "/ #" not in shell.text():
    time.sleep(0.02)
print("ready", flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_client_that_dies_leaves_the_container_and_ends_an_exec(
    engine: Engine, opened: Callable[[Terminal], Terminal]
) -> None:
    """As a restart of the kernel: `attach` shows what was there; the exec is hung up."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    done = subprocess.run([sys.executable, "-c", SCRIPT, name], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "ready\n"), done.stderr
    with find(engine, name) as found:
        assert found.running
        back = opened(found.terminal())
        until(back, "before")
        back.write("kill -0 $(cat /pid) 2>/dev/null; echo gone $?\n")
        until(back, "gone 1")


def test_it_takes_no_keys_without_i(engine: Engine, opened: Callable[[Terminal], Terminal]) -> None:
    with nbcontainers.run("mini", "sh", "-c", "echo told; sleep 100", tty=True, detach=True) as container:
        terminal = opened(container.terminal())
        until(terminal, "told")
        with pytest.raises(InvalidState, match="takes no keys: its container was made without -i"):
            terminal.write("x")


def test_ipython_in_a_terminal_gives_the_program_its_own(
    web: Container, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setattr(test_cli, "COMMAND", [sys.executable, "-m", "IPython"])
    words = ("--no-banner", "--simple-prompt", "--HistoryManager.enabled=False", "--colors=nocolor")
    with test_cli.on_a_terminal(*words) as (screen, process, _):
        screen.until("In [1]:", timeout=60)
        screen.type("%load_ext nbcontainers\n")
        screen.until("In [2]:")
        screen.type(f"x = %container exec -it --no-raise-error {web.name} sh\n")
        screen.until("/ #")
        screen.type("echo size $(stty size); exit 6\n")
        screen.until("size 33 77")
        screen.until("In [3]:")
        screen.type("print('status', x.exit_code)\n")
        screen.until("status 6")
        screen.type("exit\n")
        assert process.wait(20) == 0
