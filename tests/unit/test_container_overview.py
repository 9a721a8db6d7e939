"""All containers at one moment, from folders that the test wrote."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbcontainers.cgroups import null
from nbcontainers.container import overview
from nbcontainers.container.container import Container
from nbcontainers.container.overview import Dashboard, Overview, words
from nbcontainers.engine import Engine, default_engine
from nbcontainers.linux.process import start_time

CREATED = "2026-11-23T07:00:00.000000000Z"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    found = Engine(tmp_path / "root", tmp_path / "run", rootless=False)
    (found.root / "containers").mkdir(parents=True)
    found.run.mkdir()
    return found


def make(engine: Engine, number: int, name: str = "", **ended: Any) -> str:
    id = f"{number:064x}"
    folder = engine.root / "containers" / id
    folder.mkdir()
    record = {"id": id, "name": name or f"c{number}", "image": "mini", "command": ["sleep", "9"], "created": CREATED}
    (folder / "container.json").write_text(json.dumps(record | {"labels": {}, "volumes": [], "anonymous_volumes": []}))
    if ended:
        (folder / "exit.json").write_text(json.dumps(ended))
    return id


def run(engine: Engine, id: str) -> None:
    """As if this very process were the container's."""
    limits = {"memory": {"limit": 1 << 26}, "cpu": {"quota": 50000, "period": 100000}}
    document = {
        "ociVersion": "1.2.0", "id": id, "pid": os.getpid(), "start_time": start_time(os.getpid()), "bundle": "/",
        "annotations": {}, "cgroup": {"kind": "null", "limits": limits},
    }  # fmt: skip
    (engine.run / id).mkdir()
    (engine.run / id / "state.json").write_text(json.dumps(document))


def test_rows_say_how_each_is_and_what_it_may_use(engine: Engine) -> None:
    run(engine, make(engine, 1, "web"))
    make(engine, 2, "job", exit_code=137, oom_killed=True, reason="oom", finished_at=CREATED)
    rows = {row["name"]: row for row in Overview(engine).rows()}
    assert rows["web"]["state"] == "running"
    assert (rows["web"]["memory_limit"], rows["web"]["cpus"]) == (1 << 26, 0.5)
    assert 0 <= time.time() - rows["web"]["since"] < 3600 * 24 * 365
    assert (rows["job"]["state"], rows["job"]["exit_code"], rows["job"]["oom_killed"]) == ("exited", 137, True)


def test_what_did_not_change_is_not_read_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(engine, 1)
    make(engine, 2, exit_code=0, finished_at=CREATED)
    seen = Overview(engine)
    assert [row["state"] for row in seen.rows()] == ["created", "exited"]
    read: list[str] = []
    row_of = overview._row

    def counted(container: Container) -> dict[str, Any]:
        read.append(container.id)
        return row_of(container)

    monkeypatch.setattr(overview, "_row", counted)
    seen.rows()
    assert read == []
    run(engine, first)
    assert {row["id"]: row["state"] for row in seen.rows()}[first] == "running"
    os.unlink(engine.root / "containers" / first / "container.json")
    os.rmdir(engine.root / "containers" / first)
    assert len(seen.rows()) == 1


def test_a_pause_and_an_end_are_seen_though_nothing_was_written(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, id := make(engine, 1))
    seen = Overview(engine)

    def state(running: Collection[str] = ()) -> object:
        return seen.rows(running)[0]["state"]

    assert (state(), state(), state({id})) == ("running",) * 3
    with monkeypatch.context() as patch:
        patch.setattr(null.Null, "frozen", True)
        assert state() == "paused"
    assert state() == "running"
    monkeypatch.setattr(overview.store, "alive", lambda record: False)
    known = seen._known[id]
    seen._known[id] = known._replace(cgroup=SimpleNamespace(record={"kind": "v2"}, frozen=False))  # type: ignore[arg-type]
    assert state({id}) == "running", "its cgroup was there a moment ago"
    seen._known[id] = known
    assert state({id}) == "dead", "what has no cgroup cannot answer by it"


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"state": "running", "since": NOW - 65}, "running for about a minute"),
        ({"state": "running", "since": NOW - 7200, "health": "unhealthy"}, "running for 2 hours (unhealthy)"),
        (
            {"state": "exited", "exit_code": 137, "since": NOW - 30, "oom_killed": True},
            "exited (137) 30 seconds ago (out of memory)",
        ),
        ({"state": "created"}, "created"),
        ({"state": "dead", "since": None}, "dead"),
    ],
)
def test_words(row: dict[str, Any], said: str) -> None:
    assert words({"since": None, "exit_code": None, "health": "", "oom_killed": False, **row}, NOW) == said


def row(number: int, **facts: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("exit_code", "reason", "since", "cpus", "memory_limit", *overview.FIGURES))
    known = {"id": f"{number:064x}", "name": f"c{number}", "image": "mini", "command": [], "state": "created", "health": "",
             "created": NOW, "addresses": [], "ports": [], "oom_killed": False}  # fmt: skip
    return {**empty, **known, **facts}


def test_the_picture_has_its_time_and_every_fact_and_nothing_that_was_not_measured(engine: Engine) -> None:
    rows = [
        row(1, name="web<b>", state="running", since=NOW - 10, cpu=12.5, memory=1 << 20, memory_limit=1 << 22, pids=3.0,
            net_received=2000.0, addresses=["10.89.0.2"], ports=["0.0.0.0:8080->80/tcp"]),
        row(2, state="exited", exit_code=0, since=NOW - 100),
    ]  # fmt: skip
    shown = Dashboard(engine, rows, NOW)
    assert shown.text().startswith("2 containers, 1 running at 2027-01-15 ")
    for fact in ("12.50%", "1MiB", "4MiB", "2kB/s", "10.89.0.2", "0.0.0.0:8080->80/tcp", "running for 10 seconds"):
        assert fact in shown.text()
        assert fact.replace(">", "&gt;") in shown.html()
    assert "web&lt;b&gt;" in shown.html()
    assert "0.00%" not in shown.text()
    assert Dashboard(engine, [], NOW).text().startswith("0 containers, 0 running at ")


def test_a_frame_has_real_types_also_of_none(engine: Engine) -> None:
    for rows in ([], [row(1)], [row(1, state="running", since=NOW, cpu=1.5, memory=5, pids=1.0)]):
        types = Dashboard(engine, rows, NOW).to_pandas().dtypes.astype(str).to_dict()
        assert types["memory"] == types["pids"] == "Int64"
        assert types["cpu"] == "float64"
        assert types["since"].startswith("datetime64[")


def test_two_hundred_are_a_small_picture(engine: Engine) -> None:
    rows = [row(n, state="running", since=NOW, cpu=1.0, memory=n, memory_limit=n, pids=1.0) for n in range(200)]
    assert len(Dashboard(engine, rows, NOW).html()) < 200_000


def test_only_this_process_s_own_engine_goes_on_in_the_page(engine: Engine) -> None:
    assert Dashboard(engine, [], NOW)._live_() is None
    assert Dashboard(default_engine(), [], NOW)._live_() == ("dashboard", {})
