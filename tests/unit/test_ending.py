"""How a container ended, from its wait status and what its cgroup counted."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.engine import Engine
from nbcontainers.errors import CreateFailed, Error, InvalidState
from nbcontainers.linux import process
from nbcontainers.monitor import ending, leftovers, program
from nbcontainers.monitor.files import Files, as_error, replace, rfc3339
from nbcontainers.monitor.sampling import interval

KILLED, SEGV, EXIT_137 = 9, 11 | 0x80, 137 << 8


@pytest.mark.parametrize(
    ("status", "used", "expected"),
    [
        (0, {}, (0, None, "exited", False)),
        (3 << 8, {"oom_kills": 0}, (3, None, "exited", False)),
        (KILLED, {"oom_kills": 0}, (137, 9, "signal", False)),
        (KILLED, {"oom_kills": None}, (137, 9, "signal", False)),
        (SEGV, {}, (139, 11, "signal", False)),
        (KILLED, {"oom_kills": 1, "memory_limit_hits": 5}, (137, 9, "oom", True)),
        (EXIT_137, {"oom_kills": 1, "memory_limit_hits": 5}, (137, None, "oom", True)),
        (EXIT_137, {"oom_kills": 0}, (137, None, "exited", False)),
        (0, {"oom_kills": 2, "memory_limit_hits": 5}, (0, None, "exited", True)),
    ],
)
def test_verdict(status: int, used: dict[str, int], expected: tuple[object, ...]) -> None:
    found = ending.verdict(status, used)  # type: ignore[arg-type]
    assert (found["exit_code"], found["signal"], found["reason"], found["oom_killed"]) == expected


def test_who_was_short_of_memory_is_said() -> None:
    assert ending.verdict(KILLED, {"oom_kills": 1, "memory_limit_hits": 3})["oom_cause"] == "limit"
    assert ending.verdict(KILLED, {"oom_kills": 1, "memory_limit_hits": 0})["oom_cause"] == "host"


def test_a_failure_keeps_its_exit_code_and_its_error() -> None:
    record = ending.failure(CreateFailed("no such file", exit_code=127))
    assert (record["exit_code"], record["reason"]) == (127, "error")
    assert record["error"]["message"] == "no such file"
    assert ending.failure(Error("?"))["exit_code"] == 125


def test_a_killed_monitor_is_told_from_the_container_s_own_end() -> None:
    record = ending.killed_monitor()
    assert (record["exit_code"], record["reason"]) == (137, "error")
    assert "monitor was killed" in record["error"]["message"]


def test_times_are_rfc3339_with_nanoseconds() -> None:
    assert rfc3339(1_700_000_000_000_000_042) == "2023-11-14T22:13:20.000000042Z"


def test_unexpected_exceptions_become_ours() -> None:
    error = CreateFailed("known")
    assert as_error(error) is error
    assert as_error(KeyError("x")).message == "the monitor failed: KeyError: 'x'"


def test_samples_are_dense_at_first_and_never_rarer_than_ten_seconds() -> None:
    assert interval(0.0) == interval(0.9) == 0.05
    assert interval(5.0) == 0.1
    assert interval(100.0) == pytest.approx(1.0)
    assert interval(1e6) == 10.0


def test_what_is_withdrawn_is_out_of_sight_before_it_is_removed(tmp_path: Path) -> None:
    """The client hears of the end in between."""
    place = Files(str(tmp_path / "root"), str(tmp_path / "run"), "abc")
    for folder in (f"{place.folder}/upper/etc", place.state, f"{place.root}/names"):
        os.makedirs(folder)
    os.symlink("abc", f"{place.root}/names/web")
    failed, trash = ending.withdraw(place, {"name": "web"}, [], remove=True)
    assert failed == []
    assert not os.path.exists(place.folder)
    assert not os.path.exists(place.state)
    assert os.listdir(f"{place.root}/names") == []
    assert all(os.path.isdir(path) for path in trash)
    assert ending.discard(trash) == []
    assert os.listdir(f"{place.root}/containers") == os.listdir(place.run) == []
    assert ending.tidy(place, {"name": "web"}, [], remove=True) == []


@pytest.mark.parametrize(
    ("exit_record", "taken"), [({"exit_code": 0}, True), ({"restarting": True}, False), (None, False)]
)
def test_who_starts_it_anew_waits_for_a_monitor_that_has_only_to_tidy(
    tmp_path: Path, exit_record: dict[str, Any] | None, taken: bool
) -> None:
    """exit.json is what a `wait` sees; the run folder goes after it."""
    files = Files(str(tmp_path), str(tmp_path / "run"), "web")
    os.makedirs(files.folder)
    os.makedirs(files.state)
    made = tmp_path / "run" / ".web.claim"
    made.mkdir()
    if exit_record:
        files.write("exit.json", exit_record)
    with subprocess.Popen(["sleep", "100"]) as monitor:
        replace(f"{files.state}/monitor.json", {"pid": monitor.pid, "start_time": process.start_time(monitor.pid)})

        def leave() -> None:
            os.rename(files.state, tmp_path / "gone")
            monitor.kill()

        leaving = threading.Timer(0.1, leave)
        leaving.start()
        with contextlib.nullcontext() if taken else pytest.raises(InvalidState, match="is already running"):
            program.claim(files, str(made))
        leaving.join()
    assert not made.exists()
    assert os.path.exists(files.state) == taken


class Disk:
    """Where a container could not be started anew, and nobody could write its record."""

    def __init__(self, place: Path, patch: pytest.MonkeyPatch) -> None:
        self.engine = Engine(place / "root", place / "run", False).prepare()
        self.files = Files(str(self.engine.root), str(self.engine.run), "c" * 64)
        self.full = False
        for folder in (self.files.folder, self.files.state):
            os.makedirs(folder)
        self.files.write("container.json", {"name": "db"})
        self.files.write("recipe.json", {"steps": []})
        replace(f"{self.files.state}/monitor.json", {"pid": 0})
        write = Files.write

        def refused_or(files: Files, name: str, document: Any) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{files.folder}/{name}")
            write(files, name, document)

        patch.setattr(Files, "write", refused_or)
        self.full = True
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{self.files.folder}/log")
        ending.give_up(self.files, {"name": "db"}, [], error, remove=False)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def test_how_it_ended_is_known_also_where_the_disk_had_no_room_for_it(disk: Disk) -> None:
    """It was `created` again, and the error of a restart named no disk."""
    container = Container(disk.engine, disk.files.id)
    assert (container.status, container.exit_code) == ("exited", 125)
    error = container.ended["error"]
    assert error["message"] == f"No space left on device: {disk.files.folder}/log"
    assert error["hint"].startswith("make room: type system prune")
    assert container.wait(timeout=1) == 125
    assert leftovers.tidy(disk.files)[0].startswith("exit.json: [Errno 28] No space left on device")
    assert container.status == "exited"
    disk.full = False
    assert leftovers.tidy(disk.files) == []
    assert (os.path.exists(disk.files.state), container.status, container.exit_code) == (False, "exited", 125)
    assert container.ended["error"] == error


def test_on_a_full_disk_it_can_be_started_anew_and_removed(disk: Disk) -> None:
    made = f"{disk.files.run}/.claim"
    os.mkdir(made)
    program.claim(disk.files, made)
    assert os.listdir(disk.files.state) == []
    replace(f"{disk.files.state}/monitor.json", {"pid": 0})
    store.remove(disk.engine, disk.files.id)
    assert (os.path.exists(disk.files.state), os.path.exists(disk.files.folder)) == (False, False)
