"""Recipes: steps forwards, backwards, and only halfway."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import process
from nbcontainers.monitor import recipe
from nbcontainers.monitor.steps import Bind, Overlay, Step, mounted_by

done: list[str] = []


class Note:
    """A step that only notes what was asked of it."""

    @staticmethod
    def do(args: dict[str, Any]) -> None:
        if args.get("fails") == "do":
            raise OSError(28, "No space left on device", args["name"])
        done.append(f"do {args['name']}")

    @staticmethod
    def undo(args: dict[str, Any]) -> None:
        if args.get("fails") == "undo":
            raise OSError(16, "Device or resource busy", args["name"])
        done.append(f"undo {args['name']}")

    @staticmethod
    def describe(args: dict[str, Any]) -> str:
        return f"note {args['name']}"


def step(name: str, fails: str = "") -> Step:
    return {"step": f"{__name__}:Note", "args": {"name": name, "fails": fails}}


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    done.clear()
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())


def _this_module() -> Any:
    import types

    module = types.ModuleType(__name__)
    module.Note = Note  # type: ignore[attr-defined]
    return module


def test_backwards_is_the_reverse() -> None:
    steps = [step("a"), step("b"), step("c")]
    recipe.perform(steps)
    assert recipe.undo(steps) == []
    assert done == ["do a", "do b", "do c", "undo c", "undo b", "undo a"]


def test_a_failure_undoes_what_was_done_and_says_which_step() -> None:
    with pytest.raises(CreateFailed, match=r"note b: \[Errno 28\] No space left on device") as caught:
        recipe.perform([step("a"), step("b", fails="do"), step("c")])
    assert done == ["do a", "undo a"]
    assert caught.value.details["exit_code"] == 125
    assert caught.value.details["errno"] == 28
    assert caught.value.details["stage"] == "note"


def test_what_cannot_be_undone_does_not_keep_the_rest() -> None:
    failed = recipe.undo([step("a"), step("b", fails="undo"), step("c")])
    assert done == ["undo c", "undo a"]
    assert len(failed) == 1
    assert "Device or resource busy" in failed[0]


def test_steps_say_what_one_would_type() -> None:
    steps: list[Step] = [
        {"step": "nbcontainers.monitor.steps:Overlay", "args": {"lower": ["/a", "/b"], "target": "/t", "upper": "/u", "work": "/w"}},
        {"step": "nbcontainers.monitor.steps:Bind", "args": {"source": "/s", "target": "/t", "read_only": True}},
    ]  # fmt: skip
    assert recipe.describe(steps) == [
        "mount -t overlay overlay -o lowerdir=/a:/b,upperdir=/u,workdir=/w /t",
        "mount -o bind,ro /s /t",
    ]
    assert {recipe.action(one) for one in steps} == {Overlay, Bind}


def test_a_monitor_that_has_ended_has_nothing_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["sleep", "100"])
    monitor = {"pid": child.pid, "start_time": process.start_time(child.pid)}
    child.kill()
    child.wait()
    assert mounted_by(monitor, "/") == mounted_by({}, "/") == -1
    monkeypatch.setattr(process, "alive", lambda *_: True)  # and where it ends between the two looks
    assert mounted_by(monitor, "/") == -1
