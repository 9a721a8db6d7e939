"""The card: every fact in the text and in the HTML, nothing that a name could inject, no theme needed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from nbcontainers.container.card import Card
from nbcontainers.container.failure import signal_name
from nbcontainers.container.isolation.xray import XRay
from nbcontainers.container.listing import _columns
from nbcontainers.container.overview import Dashboard
from nbcontainers.container.points import Point
from nbcontainers.container.shade import shade
from nbcontainers.container.trend import Trend
from nbcontainers.engine import default_engine
from nbcontainers.network.ports import browsed
from nbcontainers.table import AMBER, GREEN, GREY, RED, Table

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
    assert f"width: 100.0%; height: 6px; background: {RED}" in shown.html()


def test_a_running_container_tells_how_long() -> None:
    shown = card(status="running", exit={}, wall_s=75.2)
    assert shown.text().startswith("web  3f2a9c1b0d4e  mini  running for 1 min 15 s")


@pytest.mark.parametrize(
    ("facts", "verdict", "colour"),
    [
        ({"status": "running", "health": "healthy"}, "running, healthy", GREEN),
        ({"status": "running", "health": "unhealthy"}, "running, unhealthy", RED),
        ({"status": "running", "health": "starting"}, "running, health not known yet", AMBER),
        ({"status": "paused"}, "paused", AMBER),
        ({"status": "restarting", "exit": {"exit_code": 3}}, "restarting after exit 3", AMBER),
    ],
)
def test_how_a_service_is(facts: dict[str, Any], verdict: str, colour: str) -> None:
    shown = card(**{"exit": {}, **facts})
    assert (shown.verdict, shown.colour) == (verdict, colour)
    assert verdict in shown.text()
    assert colour in shown.html()


@pytest.mark.parametrize(
    ("status", "code", "colour"), [("running", None, GREEN), ("exited", 0, GREY), ("exited", 1, RED)]
)
def test_every_view_gives_a_state_the_same_colour(status: str, code: int | None, colour: str) -> None:
    exit = {} if code is None else {"exit_code": code}
    assert card(status=status, exit=exit).colour == colour
    row = {
        "id": "1",
        "state": status,
        "exit_code": code,
        "health": "",
        "status": "?",
        "oom_killed": False,
        "since": None,
    }
    seen = XRay("web", "1", status, "2026-11-23T07:00:00Z", colour=shade(status, code))
    for shown in (Table([row], _columns(whole=False, size=False)), Dashboard(default_engine(), [row], 0.0), seen):
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
        drawing = {"svg", "rect", "polyline", "polygon", "circle", "line"}
        assert tag in {"div", "span", "b", "code", "table", "tbody", "tr", "td", "a", *drawing}
        if tag not in drawing:
            assert {name for name, _ in attributes} <= {
                "style",
                "title",
                "aria-hidden",
                "class",
                "href",
                "target",
                "rel",
            }
        assert not [name for name, _ in attributes if name.startswith("on")]
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


HOSTILE = '"><script>alert(1)</script>\x1b[31m'


def test_html_is_well_formed_and_escapes_everything() -> None:
    html = card(
        name=HOSTILE, image=HOSTILE, command=[HOSTILE], exit={"exit_code": 1, "error": HOSTILE}, trend=ramp()
    ).html()
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


def ramp(count: int = 40, **more: Any) -> Trend:
    """A run of `count` seconds: memory grows by 1 MiB a second, and from half of it on it is held back."""
    found = [
        Point(1000.0 + at, 0.5, 0.25 if at > count // 2 else 0.0, at * M, 2, 1000.0 * at, 500.0, 0, 0, 0, 0, 0, 0)
        for at in range(count)
    ]
    return Trend(found, 1000.0, 1000.0 + count - 1, **{"limits": LIMITS, **more})


def test_how_a_run_went_is_drawn_and_said() -> None:
    shown = card(trend=ramp())
    lines = shown.text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("  39 s"))
    assert [line[:21].split() for line in lines[begin : begin + 3]] == [["39", "s", "cpu"], ["memory"], ["network"]]
    assert lines[begin].endswith("0.5 highest, limit 1, throttled 4.75 s")
    assert "▁▁▁▂▂▂▂▂▃▃▃▃▃▃▄▄▄▄▄▅▅▅▅▅" in lines[begin + 1]
    assert lines[begin + 1].endswith("39 MiB highest, limit 64 MiB")
    assert lines[begin + 2].endswith("in 39 kB/s highest; out 500 B/s highest")
    html = shown.html()
    assert html.count("<svg") == 3
    assert html.count("stroke-dasharray") == 2, "the limits"


def test_the_last_minute_of_one_that_runs_says_what_is_now() -> None:
    shown = card(status="running", exit={}, trend=ramp(61, runs=True), taken=1_800_000_000.5)
    assert "  last 60 s  cpu " in shown.text()
    assert "60 MiB now, 60 MiB highest" in shown.text()
    assert shown.text().endswith("\n  as of 2027-01-15 08:00:00 UTC")
    assert "as of 2027-01-15 08:00:00 UTC" in shown.html()


def test_an_oom_kill_is_marked_where_it_was() -> None:
    trend = ramp(oom_killed=True)
    assert trend.oom_moments() == [1039.0]
    assert "1 OOM kill" in trend.sparks()[1].words
    counted = Trend([one._replace(oom_kills=float(one.time > 1010)) for one in trend.points], 1000, 1039)
    assert counted.oom_moments() == [1011.0]
    assert 'stroke-width: 2;"></line>' in counted.sparks()[1].svg


@pytest.mark.parametrize("points", [[], ramp().points[:2]])
def test_too_little_is_not_drawn(points: list[Point]) -> None:
    assert "<svg" not in card(trend=Trend(points, 1.0, 1.0)).html()


def test_what_was_not_counted_is_not_drawn() -> None:
    bare = [Point(float(at), None, None, None, *[None] * 9) for at in range(5)]
    assert Trend(bare, 0, 4).sparks() == []


def test_ports_open_in_a_browser() -> None:
    word = "0.0.0.0:8080 → 80/tcp"
    shown = card(
        status="running", exit={}, reached=["10.1.0.2 (lab)", word], links={word: ["http://127.0.0.1:8080/", '/x"y/']}
    )
    assert f'network    10.1.0.2 (lab)  {word} http://127.0.0.1:8080/ /x"y/' in shown.text()
    assert '<a href="http://127.0.0.1:8080/" target="_blank" rel="noopener"' in shown.html()
    assert 'href="/x&quot;y/"' in shown.html()


FORWARD = {"protocol": "tcp", "host": "", "host_port": 8080, "target": "10.0.0.2", "target_port": 80}


@pytest.mark.parametrize(
    ("forward", "prefix", "links"),
    [
        ({}, "", ["http://127.0.0.1:8080/"]),
        ({}, "/user/ann/", ["http://127.0.0.1:8080/", "/user/ann/proxy/8080/"]),
        ({"host": "0.0.0.0"}, "/user/ann", ["http://127.0.0.1:8080/", "/user/ann/proxy/8080/"]),
        ({"host": "192.0.2.7"}, "/user/ann/", ["http://192.0.2.7:8080/"]),
        ({"host": "::1"}, "", ["http://[::1]:8080/"]),
        ({"target": "fd00::2"}, "", ["http://[::1]:8080/"]),
        ({"protocol": "udp"}, "/user/ann/", []),
    ],
)
def test_where_a_port_is_opened(forward: dict[str, Any], prefix: str, links: list[str]) -> None:
    environ = {"JUPYTERHUB_SERVICE_PREFIX": prefix} if prefix else {}
    assert browsed({**FORWARD, **forward}, environ) == links


def test_why_it_ended_is_said() -> None:
    oom = card(usage={**USAGE, "oom_kills": 1, "memory_limit_hits": 3}, exit={"exit_code": 137, "oom_killed": True})
    assert "  its limit of 64 MiB had no more memory\n" in oom.text()
    assert "its limit of 64 MiB had no more memory" in oom.html()
    failed = card(exit={"exit_code": 127, "reason": "error", "error": {"message": "no such <file>"}})
    assert "\n  no such <file>\n" in failed.text()
    assert "no such &lt;file&gt;" in failed.html()


def test_traffic_is_counted() -> None:
    shown = card(usage={**USAGE, "net_rx_bytes": 1200, "net_tx_bytes": 0})
    assert "  traffic    1.2 kB received, 0 B sent\n" in shown.text()
    assert "traffic" not in card(usage={**USAGE, "net_rx_bytes": 0, "net_tx_bytes": 0}).text()


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
