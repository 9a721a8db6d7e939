"""The card: every fact in the text and in the HTML, nothing that a name could inject, no theme needed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from nbcontainers.container.card import Card
from nbcontainers.container.failure import signal_name

M = 1 << 20
USAGE = {
    "cpu_s": 0.82, "user_s": 0.61, "system_s": 0.21, "throttled_s": 0.1, "memory_peak": 42 * M, "memory_limit": 64 * M,
    "memory_limit_hits": 0, "oom_kills": 0, "pids_peak": 3, "pids_limit": 2048, "io_read_bytes": 8192,
    "io_write_bytes": 4096,
}  # fmt: skip
LIMITS = {"memory": {"limit": 64 * M}, "cpu": {"quota": 100000, "period": 100000}, "pids": {"limit": 2048}}


def card(**changes: Any) -> Card:
    facts: dict[str, Any] = {
        "id": "3f2a9c1b0d4e" + "0" * 52, "name": "web", "image": "mini", "command": ["sh", "-c", "echo hi"],
        "exit": {"exit_code": 0, "signal": None, "reason": "exited", "oom_killed": False, "wall_s": 1.2431},
        "usage": USAGE, "limits": LIMITS,
    }  # fmt: skip
    return Card(**{**facts, **changes})


def test_the_text() -> None:
    assert card().text() == (
        "web  3f2a9c1b0d4e  mini  exited 0 after 1.24 s\n"
        "  $ sh -c 'echo hi'\n"
        "  memory     [########....] 42 MiB peak of 64 MiB\n"
        "  cpu time   [########....] 0.82 s, 0.66 of 1 CPU (user 0.61 s, system 0.21 s · throttled 0.1 s)\n"
        "  processes  [............] 3 peak of 2048\n"
        "  disk       8 KiB read, 4 KiB written\n"
        "  limits     memory 64 MiB  cpus 1  pids 2048"
    )


@pytest.mark.parametrize(
    ("exit", "verdict"),
    [
        ({"exit_code": 0}, "exited 0"),
        ({"exit_code": 3}, "failed: exit 3"),
        ({"exit_code": 137, "signal": 9}, "ended by SIGKILL (exit 137)"),
        ({"exit_code": 137, "signal": 9, "oom_killed": True}, "killed: out of memory (exit 137)"),
        ({"exit_code": 139, "signal": 11}, "ended by SIGSEGV (exit 139)"),
        ({"exit_code": 127, "reason": "error"}, "could not start (exit 127)"),
    ],
)
def test_how_it_ended_is_in_words(exit: dict[str, Any], verdict: str) -> None:
    assert card(exit=exit).verdict == verdict
    assert verdict in card(exit=exit).html()


def test_an_oom_kill_is_counted_and_red() -> None:
    usage = {**USAGE, "memory_peak": 64 * M, "oom_kills": 2}
    shown = card(usage=usage, exit={"exit_code": 137, "oom_killed": True})
    assert "64 MiB peak of 64 MiB (2 OOM kills)" in shown.text()
    assert "width: 100.0%; height: 6px; background: #e5484d" in shown.html()


def test_a_running_container_tells_how_long() -> None:
    shown = card(status="running", exit={}, wall_s=75.2)
    assert shown.text().startswith("web  3f2a9c1b0d4e  mini  running for 1 min 15 s")


@pytest.mark.parametrize(
    ("facts", "verdict", "colour"),
    [
        ({"status": "running", "health": "healthy"}, "running, healthy", "#2da44e"),
        ({"status": "running", "health": "unhealthy"}, "running, unhealthy", "#e5484d"),
        ({"status": "running", "health": "starting"}, "running, health not known yet", "#d68f00"),
        ({"status": "paused"}, "paused", "#d68f00"),
        ({"status": "restarting", "exit": {"exit_code": 3}}, "restarting after exit 3", "#d68f00"),
    ],
)
def test_how_a_service_is(facts: dict[str, Any], verdict: str, colour: str) -> None:
    shown = card(**{"exit": {}, **facts})
    assert (shown.verdict, shown.colour) == (verdict, colour)
    assert verdict in shown.text()
    assert colour in shown.html()


def test_restarts_are_counted_where_there_is_a_policy() -> None:
    shown = card(status="running", exit={}, policy="on-failure:5", restarts=2, reached=["0.0.0.0:8080 → 80/tcp"])
    assert "  restarts   2 (policy on-failure:5)\n" in shown.text()
    assert "0.0.0.0:8080 → 80/tcp" in shown.text()
    assert "restarts" in shown.html()
    assert "restarts" not in card().text()


def test_what_was_not_measured_is_left_out() -> None:
    shown = card(usage={}, limits={}, exit={"exit_code": 0})
    assert shown.text() == "web  3f2a9c1b0d4e  mini  exited 0\n  $ sh -c 'echo hi'"
    assert "table" not in shown.html()


def test_no_limit_is_said() -> None:
    usage = {**USAGE, "memory_limit": None, "pids_limit": None}
    assert "42 MiB peak (no limit)" in card(usage=usage).text()
    assert "3 peak (no limit)" in card(usage=usage).text()


class Checker(HTMLParser):
    """Collects tags and text; fails on what a card may not have."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in {"div", "span", "b", "code", "table", "tbody", "tr", "td"}
        assert {name for name, _ in attributes} <= {"style", "title", "aria-hidden", "class"}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


HOSTILE = '"><script>alert(1)</script>\x1b[31m'


def test_html_is_well_formed_and_escapes_everything() -> None:
    html = card(name=HOSTILE, image=HOSTILE, command=[HOSTILE]).html()
    checker = Checker()
    checker.feed(html)
    assert not checker.open
    assert "\x1b" not in html
    assert not re.search(r"https?:|url\(|<style", html)


def test_every_fact_of_the_text_is_in_the_html_without_its_styles() -> None:
    checker = Checker()
    checker.feed(card().html())
    read = " ".join("".join(checker.words).split())
    for fact in (
        "web", "3f2a9c1b0d4e", "mini", "exited 0", "1.24 s", "sh -c 'echo hi'", "42 MiB peak of 64 MiB",
        "0.82 s, 0.66 of 1 CPU", "user 0.61 s, system 0.21 s", "throttled 0.1 s", "3 peak of 2048",
        "8 KiB read, 4 KiB written", "memory 64 MiB", "cpus 1", "pids 2048",
    ):  # fmt: skip
        assert fact in read


def test_no_control_character_reaches_the_terminal() -> None:
    assert "\x1b" not in card(name=HOSTILE, image=HOSTILE, command=[HOSTILE]).text()


def test_all_limits() -> None:
    limits = {
        "memory": {"limit": 64 * M, "swap": 128 * M, "reservation": 32 * M},
        "cpu": {"quota": 50000, "period": 100000, "shares": 512, "cpus": "0-1"},
        "blockIO": {"throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": M}]},
    }
    assert card(limits=limits).in_force() == [
        "memory 64 MiB", "memory-swap 128 MiB", "memory-reservation 32 MiB", "cpus 0.5", "cpu-shares 512",
        "cpuset-cpus 0-1", "write 1 MiB/s of 8:0",
    ]  # fmt: skip


def test_signals_without_a_name() -> None:
    assert (signal_name(9), signal_name(63)) == ("SIGKILL", "signal 63")
