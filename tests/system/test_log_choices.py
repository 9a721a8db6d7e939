"""Lines of a real container's log, chosen by pattern and stream: read, followed, in a cell, on the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nbcontainers
from nbcontainers.container import api, pattern
from nbcontainers.container.logindex import Index
from nbcontainers.container.pattern import Pattern
from nbcontainers.errors import InvalidArgument
from tests.monitored import wait_for

SCRIPT = (
    r"for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $n; echo fault $n >&2; done; printf '\033[31mred\033[0m <b>\n'"
)


def test_by_pattern_and_stream(name: str) -> None:
    container = nbcontainers.run("mini", "sh", "-c", SCRIPT, name=name, stdout=len, stderr=len)
    assert str(api.logs(name, grep="1$", stream="stdout")).split("\n") == ["line 1", "line 11"]
    assert str(api.logs(name, grep="LINE 1", fixed_strings=True, ignore_case=True, tail=2)).split("\n") == [
        "line 11",
        "line 12",
    ]
    assert len(api.logs(name, stream="stderr").to_pandas()) == 12
    assert str(container.logs(grep="red")) == "\x1b[31mred\x1b[0m <b>"
    shown = container.logs()._repr_mimebundle_()
    assert "\x1b[31mred\x1b[0m <b>" in shown["text/plain"]
    assert ">red</span> &lt;b&gt;" in shown["text/html"]
    assert shown["text/html"].count("stderr | ") == 12
    with Index.of(container) as index:
        assert (index.first, index.end) == (0, 25)
        assert index.find(Pattern("fault 1[0-2]"), 0, stream="stderr").numbers == [
            line["number"] for line in index.lines(0, 99) if line["log"] in ("fault 10\n", "fault 11\n", "fault 12\n")
        ]


def test_an_expression_that_would_take_years_is_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "LONGEST_S", 0.3)
    nbcontainers.run("mini", "sh", "-c", f"echo {'x' * 60}", name=name, stdout=len)
    with pytest.raises(InvalidArgument, match=r"takes longer than 0\.3 s") as caught:
        api.logs(name, grep="(x+x+)+y")
    assert caught.value.hint.startswith("add --fixed-strings (-F)")
    assert str(api.logs(name, grep="(x+x+)+y", fixed_strings=True)) == ""


def test_what_is_followed_is_chosen_too(name: str) -> None:
    script = "for n in 1 2 3 4 5 6 7 8 9; do echo line $n; sleep 0.05; done"
    container = nbcontainers.run("mini", "sh", "-c", script, name=name, detach=True)
    out = bytearray()
    api.logs(container, follow=True, grep="[369]$", stdout=out.extend)
    assert out.decode().split("\n") == ["line 3", "line 6", "line 9", ""]


def test_on_the_command_line(name: str) -> None:
    container = nbcontainers.run("mini", "sh", "-c", SCRIPT, name=name, stdout=len, stderr=len)
    wait_for(lambda: container.status == "exited")
    command = [sys.executable, "-m", "nbcontainers", "logs"]
    done = subprocess.run(
        [*command, "-g", "t 1.", "-n", "2", name], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("", "fault 11\nfault 12\n")
    wrong = subprocess.run([*command, "--grep", "(", name], capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 1
    assert "is no regular expression" in wrong.stderr
    assert "--fixed-strings" in wrong.stderr
