"""The kernel's half of the dashboard and of the log viewer, on folders that the test wrote."""

from __future__ import annotations

import json
import os
import time
from array import array
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.container import pattern
from nbcontainers.container.log import Log
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.linux.process import start_time
from nbcontainers.widgets import dashboard, logs
from nbcontainers.widgets.dashboard import MOST, Dashboard
from nbcontainers.widgets.live import Gone, encoded
from nbcontainers.widgets.logs import LONGEST_LINE, Logs, runs, shown

CREATED = "2026-11-23T07:00:00.000000000Z"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = Engine(tmp_path / "root", tmp_path / "run", rootless=False)
    for folder in (found.containers, found.names, found.run):
        folder.mkdir(parents=True)
    monkeypatch.setattr(dashboard, "default_engine", lambda: found)
    monkeypatch.setattr(logs, "default_engine", lambda: found)
    return found


def make(engine: Engine, number: int, *, running: bool = False, **facts: Any) -> Path:
    id = f"{number:x}".rjust(12, "0") + "f" * 52
    folder = engine.containers / id
    folder.mkdir()
    record = {"id": id, "name": f"c{number}", "image": "mini", "command": [], "created": CREATED, "labels": {}, **facts}
    (folder / "container.json").write_text(json.dumps(record))
    os.symlink(id, engine.names / record["name"])
    if running:
        state = {
            "id": id,
            "pid": os.getpid(),
            "start_time": start_time(os.getpid()),
            "bundle": "/",
            "cgroup": {"kind": "null"},
        }
        (engine.run / id).mkdir()
        (engine.run / id / "state.json").write_text(json.dumps(state))
    return folder


def write(folder: Path, count: int, text: str = "line {}", stream: str = "stdout") -> None:
    with open(folder / "log", "a") as file:
        for number in range(count):
            file.write(json.dumps({"log": text.format(number) + "\n", "stream": stream, "time": CREATED}) + "\n")


def test_the_dashboard_shows_first_what_runs_and_says_how_many_are_left(engine: Engine) -> None:
    for number in range(MOST + 5):
        make(engine, number, running=number == 3)
    view = Dashboard()
    facts = view.look()
    assert (len(facts["rows"]), facts["more"]) == (MOST, 5)
    assert facts["rows"][0]["name"] == "c3"
    assert len(encoded(facts)) < 60_000
    begun = time.perf_counter()
    view.look()
    assert time.perf_counter() - begun < 0.25
    view.closed()


def test_the_dashboard_does_nothing_else(engine: Engine) -> None:
    with pytest.raises(InvalidArgument, match="'prune' is nothing that the dashboard does"):
        Dashboard().do("prune", [])


def test_only_the_lines_that_are_asked_for_travel(engine: Engine) -> None:
    folder = make(engine, 1, running=True)
    write(folder, 5000)
    view = Logs("c1")
    facts = view.look()
    assert facts == {"name": "c1", "first": 0, "end": 5000, "bytes": os.path.getsize(folder / "log"), "running": True}
    assert view.lines([7, 8, 4999]) == [(n, 0, CREATED, f"line {n}") for n in (7, 8, 4999)]
    write(folder, 1, "\x1b[31m<b>late</b>\x1b[0m", "stderr")
    assert view.look()["end"] == 5001
    assert view.lines([5000]) == [(5000, 1, CREATED, "\x1b[31m<b>late</b>\x1b[0m")]
    view.closed()


def test_an_answer_is_never_too_large(engine: Engine) -> None:
    folder = make(engine, 1)
    write(folder, 100, "x" * 50_000)
    view = Logs("c1")
    view.look()
    got = view.lines(range(100))
    assert 0 < len(got) < 20
    assert got[0][3].endswith(f" … {50_000 - LONGEST_LINE} more characters")
    assert len(encoded(got)) < 100_000


def test_finding_goes_on_where_it_stopped(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_FOUND", 3)
    monkeypatch.setattr(pattern.client, "call", lambda target, **arguments: pattern.search(**arguments))
    write(folder := make(engine, 1), 50)
    write(folder, 1, "LINE 0", "stderr")
    view = Logs("c1")
    found, first = [], 0
    for _ in range(10):
        answer = view.find("line .*[05]$", first, fixed=False)
        found += array("I", answer.buffers[0]).tolist()
        if answer.value["next"] is None:
            break
        first = answer.value["next"]
    assert found == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    only = view.find("line 0", 0, ignore_case=True, stream="stderr")
    assert array("I", only.buffers[0]).tolist() == [50]
    with pytest.raises(InvalidArgument, match="is no regular expression"):
        view.find("(", 0, fixed=False)


def test_one_that_is_not_there_is_gone_and_one_that_was_removed_can_still_be_read(engine: Engine) -> None:
    with pytest.raises(Gone, match="c9"):
        Logs("c9").look()
    write(folder := make(engine, 1), 3)
    view = Logs("c1")
    view.look()
    for name in ("container.json", "log"):
        os.unlink(folder / name)
    folder.rmdir()
    assert view.look()["running"] is False
    assert len(view.lines([0, 1, 2])) == 3


def test_a_log_goes_on_by_name_when_another_has_taken_its_container_s_place(engine: Engine) -> None:
    """After a restart of the kernel, say, when the cell above was run again."""
    write(make(engine, 2), 3)
    kind, address = Log([], whole=("f" * 64, "c2"))._live_() or ("", {})
    assert (kind, Logs(**address).look()["name"], Logs(**address).look()["end"]) == ("logs", "c2", 3)
    with pytest.raises(Gone, match="c3"):
        Logs("f" * 64, "c3").look()


def test_a_million_lines_are_found_quickly(engine: Engine) -> None:
    folder = make(engine, 1)
    record = json.dumps({"log": "a line of some length\n", "stream": "stdout", "time": CREATED}) + "\n"
    (folder / "log").write_text(record * 1_000_000)
    view = Logs("c1")
    begun = time.perf_counter()
    assert view.look()["end"] == 1_000_000
    assert [line[0] for line in view.lines([500_000, 999_999])] == [500_000, 999_999]
    assert time.perf_counter() - begun < 1
    view.closed()


def test_runs() -> None:
    assert runs([]) == []
    assert runs([1, 2, 3, 7, 9, 10]) == [(1, 4), (7, 8), (9, 11)]
    assert shown("text\n") == "text"
