"""The engine's events: written by many at once, bounded, read whole, followed, and never in anybody's way."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.monitor import events
from nbcontainers.monitor.files import rfc3339


def actions(root: Path, **options: Any) -> list[str]:
    return [fact["action"] for fact in events.read(root, **options)]


def test_a_fact_has_docker_s_words(tmp_path: Path) -> None:
    events.record(tmp_path, "container", "die", "0123abcd", name="web", exit_code=3, signal=None)
    (fact,) = events.read(tmp_path)
    assert fact.pop("time").endswith("Z")
    assert fact == {
        "type": "container", "action": "die", "id": "0123abcd", "attributes": {"name": "web", "exit_code": "3"},
    }  # fmt: skip


def test_a_range_of_time_and_filters(tmp_path: Path) -> None:
    events.record(tmp_path, "container", "start", "aa11", name="web")
    events.record(tmp_path, "container", "health_status: healthy", "aa11", name="web")
    events.record(tmp_path, "network", "create", "lab")
    second = [fact["time"] for fact in events.read(tmp_path)][1]
    assert actions(tmp_path, until=second) == ["start"]
    assert actions(tmp_path, since=second) == ["health_status: healthy", "create"]
    assert actions(tmp_path, filters={"type": ["network", "volume"]}) == ["create"]
    assert actions(tmp_path, filters={"id": ["aa"]}) == ["start", "health_status: healthy"]
    assert actions(tmp_path, filters={"action": ["health_status"]}) == ["health_status: healthy"]
    assert actions(tmp_path, filters={"name": ["web"], "action": ["start"]}) == ["start"]
    assert actions(tmp_path, filters={"name": ["other"]}) == []


def test_two_files_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_SIZE", 3000)
    for number in range(100):
        events.record(tmp_path, "container", str(number), "a")
    assert sorted(os.listdir(tmp_path)) == ["events", "events.1"]
    assert all(path.stat().st_size < 3200 for path in tmp_path.iterdir())
    found = [int(action) for action in actions(tmp_path)]
    assert found == list(range(found[0], 100))
    assert len(found) > 30


def _write(root: Path, name: str) -> None:
    for number in range(200):
        events.record(root, "container", f"{name} {number}", "a" * 64, name="x" * 50)


def test_many_writers_and_a_reader_that_follows_across_rotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_SIZE", 70_000)  # the two files hold all
    monkeypatch.setattr(events, "_PAUSE_S", 0.0005)
    going = threading.Event()
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(actions(tmp_path, follow=lambda: not going.is_set())))
    reader.start()
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, name)) for name in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    going.set()
    reader.join(20)
    assert not reader.is_alive()
    for name in ("a", "b", "c"):
        assert [int(action[2:]) for action in seen if action[0] == name] == list(range(200))
    for path in tmp_path.iterdir():
        assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_following_begins_before_the_first_fact_and_ends_in_time(tmp_path: Path) -> None:
    until = rfc3339(time.time_ns() + 300_000_000)
    threading.Timer(0.1, lambda: events.record(tmp_path, "image", "pull", "mini")).start()
    assert actions(tmp_path, until=until, follow=lambda: True) == ["pull"]


def test_no_room_and_no_folder_stop_nobody(tmp_path: Path) -> None:
    events.record(tmp_path / "not there", "container", "start", "a")
    os.symlink("/dev/full", tmp_path / "events")
    events.record(tmp_path, "container", "start", "a")
    assert actions(tmp_path / "not there") == []


def test_whoever_stops_following_leaves_no_file_open(tmp_path: Path) -> None:
    events.record(tmp_path, "volume", "create", "a")
    before = len(os.listdir("/proc/self/fd"))
    found = events.read(tmp_path, follow=lambda: True)
    assert next(found)["id"] == "a"
    found.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_half_a_fact_is_left_out(tmp_path: Path) -> None:
    events.record(tmp_path, "container", "start", "a")
    with open(tmp_path / "events", "a") as file:
        file.write('{"time": "2026')
    assert actions(tmp_path) == ["start"]


def test_what_is_no_fact_is_left_out(tmp_path: Path) -> None:
    events.record(tmp_path, "container", "start", "1" * 64, name="a")
    with open(tmp_path / "events", "ab") as file:
        file.write(b'[]\nnull\n"x"\n{}\n{"time": 5}\n\xff\n' + b"[" * 100000 + b"\n")
        file.write(b'{"time": "x", "type": "a", "action": "b", "id": "c", "attributes": []}\n')
    events.record(tmp_path, "container", "die", "1" * 64, name="a")
    assert [fact["action"] for fact in events.read(tmp_path)] == ["start", "die"]
