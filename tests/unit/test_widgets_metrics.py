"""The Python half of the live charts and the live card: facts that are small, true, and gone when they should be."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.cgroups.stats import COLUMNS, HEADER, Sample, pack
from nbcontainers.container import gauges, points
from nbcontainers.container.container import Container
from nbcontainers.container.points import Point
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.widgets import card, live, metrics
from nbcontainers.widgets.card import Card
from nbcontainers.widgets.metrics import Metrics
from tests.unit.test_gauges import engine as engine
from tests.unit.test_gauges import running


@pytest.fixture(autouse=True)
def here(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (metrics, card):
        monkeypatch.setattr(module, "default_engine", lambda: engine)
    gauges.of.cache_clear()
    yield
    gauges.of.cache_clear()


def many(engine: Engine, count: int) -> list[str]:
    ids = []
    source = running(engine, "a")
    for number in range(count):
        id = f"{number:064x}"
        for folder, file in ((engine.containers, "container.json"), (engine.run, "state.json")):
            (folder / id).mkdir()
            (folder / id / file).write_bytes((folder / source / file).read_bytes())
        ids.append(id)
    return ids


def test_an_update_has_dockers_columns_and_a_point(engine: Engine) -> None:
    id = running(engine, "a")
    view = Metrics([])
    facts = view.look()
    assert [title for title, _ in facts["columns"]][:3] == ["CONTAINER ID", "NAME", "CPU % (OF 1)"]
    (row,) = facts["rows"]
    assert (row["id"], row["name"], row["state"], row["memory"]) == (id, "a", "running", 64 << 20)
    shown = dict(zip([title for title, _ in facts["columns"]], row["cells"], strict=True))
    assert (shown["MEM USAGE"], shown["LIMIT"], shown["MEM %"], shown["PIDS"]) == ("10MiB", "64MiB", "15.62%", "3")
    assert len(row["point"]) == len(points.FIELDS)
    view.closed()
    assert gauges.of(engine)._gauges == {}


def test_an_update_of_two_hundred_containers_is_small_enough(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "_room", lambda: 0)
    many(engine, 200)
    view = Metrics([])
    facts = view.look()
    assert (len(facts["rows"]), facts["more"]) == (metrics.MOST, 201 - metrics.MOST)
    assert len(live.encoded(facts)) < live.LARGEST
    view.closed()


def test_named_containers_stay_when_they_end_and_go_when_they_are_removed(engine: Engine) -> None:
    id = running(engine, "a")
    (engine.root / "names/a").symlink_to(id)
    view = Metrics(["a"])
    assert view.look()["rows"][0]["state"] == "running"
    (engine.run / id / "state.json").unlink()
    gauges.of(engine)._looked = 0.0
    row = view.look()["rows"][0]
    assert (row["name"], row["point"], row["cells"][2]) == ("a", None, "")
    (engine.containers / id / "container.json").unlink()
    (engine.containers / id).rmdir()
    with pytest.raises(live.Gone, match="removed: a"):
        view.look()
    view.closed()


def test_the_past_is_the_monitors_until_somebody_looked(engine: Engine) -> None:
    id = running(engine, "a")
    begin = time.time_ns() - 30 * 10**9
    samples = [
        Sample(**{**dict.fromkeys(COLUMNS, 0), "time_ns": begin + at * 10**9, "cpu_ns": at * 10**9}) for at in range(20)
    ]
    (engine.containers / id / "metrics").write_bytes(HEADER + b"".join(map(pack, samples)))
    view = Metrics([])
    view.look()
    found = view.history([id])[id]
    assert [point[1] for point in found[1:20]] == [1.0] * 19
    assert found[-1][0] > samples[-1].time_ns / 1e9, "the one somebody looked at"
    assert len(json.dumps(found)) < live.LARGEST // metrics.MOST_DRAWN
    view.closed()


def test_the_past_of_eight_is_bounded() -> None:
    point = metrics.rounded(Point(1800000000.123456, *[123456789.123456] * 12))
    assert len(json.dumps([point] * metrics._SHOWN * metrics.MOST_DRAWN)) < 2 * live.LARGEST
    assert point[:4] == [1800000000.1235, 123456789.1235, 123456789.1235, 123456789]


def test_a_card_has_its_verbs(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Container, "status", "running")
    id = running(engine, "a")
    (engine.containers / id / "container.json").write_text(
        json.dumps({"name": "a", "image": "mini", "command": ["<b>"], "network": "none", "id": id})
    )
    view = Card(id)
    facts: dict[str, Any] = view.look()
    assert facts["verbs"] == ["stop", "kill", "pause", "restart"]
    assert (facts["name"], facts["line"]) == ("a", "'<b>'")
    assert facts["point"]
    assert len(live.encoded(facts)) < 5000
    with pytest.raises(InvalidArgument, match="'rm' is nothing that the card does"):
        view.do("rm")
    view.closed()


@pytest.mark.parametrize(
    ("status", "verbs"),
    [
        ("running", ["stop", "kill", "pause", "restart"]), ("paused", ["stop", "kill", "unpause", "restart"]),
        ("exited", ["start"]), ("created", ["start"]), ("restarting", ["stop"]), ("stopping", []), ("dead", []),
    ],
)  # fmt: skip
def test_what_may_be_done(status: str, verbs: list[str]) -> None:
    assert card._verbs(status) == verbs


def test_a_card_of_nobody_is_gone(engine: Engine) -> None:
    with pytest.raises(live.Gone, match="container nobody was removed"):
        Card("nobody").look()


def test_the_charts_know_the_fields_of_a_point() -> None:
    source = (Path(metrics.__file__).parent / "chart.js").read_text()
    said = source.partition("export const FIELDS = [")[2].partition("]")[0]
    assert [word.strip().strip('"') for word in said.split(",")] == list(points.FIELDS)
