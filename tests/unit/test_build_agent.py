"""A socket of the build's own, behind which an agent is."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from nbcontainers.builder import agent as agent_module
from nbcontainers.builder.agent import Agent


def test_words_go_both_ways_and_an_end_ends_both(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        one = Agent(folder / "here", str(tmp_path / "agent"))
        (tmp_path / "short").symlink_to(folder)
        with socket.socket(socket.AF_UNIX) as here:
            here.connect(str(tmp_path / "short/here"))
            there, _ = agent.accept()
            here.sendall(b"asked")
            assert there.recv(10) == b"asked"
            there.sendall(b"said")
            assert here.recv(10) == b"said"
            there.close()
            assert here.recv(10) == b""
        one.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "build-agent"]


def test_an_agent_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts nobody: whoever comes is sent away, and the end does not wait for it."""
    monkeypatch.setattr(agent_module, "_PATIENCE_S", 0.1)
    with socket.socket(socket.AF_UNIX) as agent, ExitStack() as stack:
        agent.bind(str(tmp_path / "agent"))
        agent.listen(0)
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(tmp_path / "agent"))
        one = Agent(tmp_path / "here", str(tmp_path / "agent"))
        with socket.socket(socket.AF_UNIX) as here:
            here.settimeout(5)
            here.connect(str(tmp_path / "here"))
            assert here.recv(10) == b""
        one.close()


def test_an_agent_that_is_gone(tmp_path: Path) -> None:
    one = Agent(tmp_path / "here", str(tmp_path / "nothing"))
    with socket.socket(socket.AF_UNIX) as here:
        here.connect(str(tmp_path / "here"))
        assert here.recv(10) == b""
    one.close()
