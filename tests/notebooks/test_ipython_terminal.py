"""IPython in a terminal: the plain text of each view, good to read where there is neither HTML nor a widget."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator

import pexpect
import pytest

pytestmark = [pytest.mark.limits, pytest.mark.timeout(200)]
PROMPT = "\r\nreadable> "


class Terminal:
    """IPython on a pseudo-terminal of 120 columns."""

    def __init__(self) -> None:
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
        options = [
            "--simple-prompt",
            "--no-banner",
            "--colors=nocolor",
            "--no-confirm-exit",
            "--HistoryManager.enabled=False",
        ]
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", *options],
            env=environment,
            encoding="utf-8",
            dimensions=(50, 120),
            timeout=60,
        )
        self.child.expect(r"In \[\d+\]: ")

    def __call__(self, line: str) -> str:
        """What a line shows, as it stands on the screen."""
        self.child.sendline(line)
        self.child.expect(r"In \[\d+\]: ")
        shown = self.child.before.replace("\r\n", "\n").removeprefix(line)
        return re.sub(r"^\s*Out\[\d+\]: ?\n?", "", shown.lstrip("\n")).rstrip("\n")

    def close(self) -> None:
        self.child.sendline("exit")
        self.child.expect(pexpect.EOF)
        self.child.close()


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    one = Terminal()
    one("%load_ext nbcontainers")
    one("%container run -d --name readable -m 64m --cpus 0.5 mini sh -c 'echo begun; sleep 600'")
    yield one
    one("%container rm -f readable")
    one.close()


def columns(shown: str) -> list[list[str]]:
    """Rows of cells, which at least two spaces part."""
    return [re.split(r"  +", line.strip()) for line in shown.splitlines()]


def test_nothing_but_text(terminal):
    for line in ("%container ps", "%image tree mini", "%system info", "%container inspect readable"):
        shown = terminal(line)
        assert "\x1b" not in shown, line
        assert not re.search(r"<(div|table|span|td)\b|&\w+;|object at 0x", shown), line


def test_a_container_is_a_card(terminal):
    head, *lines = terminal("import nbcontainers; nbcontainers.container.get('readable')").splitlines()
    assert re.fullmatch(r"readable  [0-9a-f]{12}  mini  running for .*", head), head
    assert all(line.startswith("  ") and len(line) <= 120 for line in lines)
    labels = [line.split()[0] for line in lines]
    assert labels[0] == "$"
    assert {"memory", "limits"} <= set(labels)
    assert "of 64 MiB" in "\n".join(lines)


def test_a_list_has_columns_below_each_other(terminal):
    shown = terminal("%container ps")
    heads, first = shown.splitlines()[:2]
    for title in ("IMAGE", "STATUS", "NAMES"):
        at = heads.index(title)
        assert first[at - 1] == " ", (title, shown)
        assert first[at] != " ", (title, shown)


def test_a_log_is_its_lines(terminal):
    deadline = time.monotonic() + 10
    while "begun" not in (shown := terminal("%container logs readable")):
        assert time.monotonic() < deadline
    assert shown.splitlines() == ["begun"]


def test_what_fails_says_what_to_type(terminal):
    shown = terminal("%container stop no-such-container")
    assert len(shown.splitlines()) <= 4
    assert "no-such-container" in shown
    assert "hint: " in shown
