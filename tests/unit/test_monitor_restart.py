"""When a container is started again: Docker's policies, with a clock that the test moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbcontainers.monitor import restart
from nbcontainers.monitor.restart import History, following


def runs(policy: dict[str, Any], *ends: tuple[int, float]) -> list[float]:
    """The waits after runs that ended with (exit code, seconds they lasted), to the last that is followed by another."""
    waits: list[float] = []
    history = History()
    for code, wall_s in ends:
        after = following(policy, history, {"exit_code": code, "wall_s": wall_s})
        if after is None:
            break
        history = after
        assert history.restarts == len(waits) + 1
        waits.append(history.delay_s)
    return waits


def test_the_wait_doubles_up_to_a_minute() -> None:
    waits = runs({"name": "always"}, *[(1, 0.0)] * 13)
    assert waits[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert waits[9:] == [51.2, 60.0, 60.0, 60.0]


def test_ten_seconds_make_a_new_beginning() -> None:
    assert runs({"name": "always"}, (1, 0), (1, 9.99), (0, 10.0), (1, 3), (1, 3600)) == [0.1, 0.2, 0.1, 0.2, 0.1]


@pytest.mark.parametrize(
    ("policy", "codes", "count"),
    [
        ({"name": "no"}, [1, 1], 0),
        ({}, [1], 0),
        ({"name": "always"}, [0, 0, 1], 3),
        ({"name": "unless-stopped"}, [0, 137, 0], 3),
        ({"name": "on-failure"}, [1, 1, 0, 1], 2),
        ({"name": "on-failure", "maximum": 0}, [1] * 20, 20),
        ({"name": "on-failure", "maximum": 3}, [1] * 20, 3),
        ({"name": "on-failure", "maximum": 3}, [0], 0),
    ],
)
def test_policies(policy: dict[str, Any], codes: list[int], count: int) -> None:
    assert len(runs(policy, *[(code, 0.0) for code in codes])) == count


def test_one_that_is_held_stays_down(tmp_path: Path) -> None:
    assert not restart.held(str(tmp_path))
    restart.hold(str(tmp_path))
    restart.hold(str(tmp_path))
    assert restart.held(str(tmp_path))
    restart.hold(str(tmp_path / "gone"))
    (tmp_path / restart.WAITING).touch()
    (tmp_path / "monitor.json").write_text('{"pid": 1, "start_time": -1}')  # another process has its number now
    restart.hold(str(tmp_path))
