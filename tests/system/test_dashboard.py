"""The dashboard of real containers: against ps, the kernel's own counters and what is done to them."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

import nbcontainers
from nbcontainers.container import api, gauges
from nbcontainers.container import terminal as terminals
from nbcontainers.errors import NotFound
from nbcontainers.widgets.dashboard import Dashboard as LiveDashboard
from nbcontainers.widgets.logs import Logs
from tests.monitored import wait_for


@pytest.mark.limits
def test_it_says_what_ps_and_the_kernel_say(engine: Any, name: str) -> None:
    busy = nbcontainers.run("mini", "sh", "-c", "while :; do :; done", name=name, detach=True, memory="64m", cpus=0.2)
    failed = nbcontainers.run("mini", "sh", "-c", "exit 3", name=f"{name}-failed", raise_error=False)
    begun = time.perf_counter()
    shown = api.dashboard()
    took = time.perf_counter() - begun
    rows = {row["name"]: row for row in shown.rows}
    assert {row["name"]: (row["id"], row["state"]) for row in api.ps(all=True)} == {
        key: (row["id"], row["state"]) for key, row in rows.items()
    }
    mine, other = rows[name], rows[failed.name]
    assert (mine["memory_limit"], mine["cpus"]) == (64 << 20, 0.2)
    assert 0 < mine["memory"] < 64 << 20
    assert 0 < mine["cpu"] < 100
    assert mine["pids"] == 1
    assert abs(mine["since"] - time.time()) < 60
    assert (other["exit_code"], other["cpu"], other["memory"]) == (3, None, None)
    assert other["status"].startswith("exited (3) ")
    assert "64MiB" in shown.text()
    assert took < 2  # 0.25 s on a quiet machine
    frame = shown.to_pandas().set_index("name")
    assert frame.loc[name, "memory"] == mine["memory"]
    assert str(frame["since"].dtype).startswith("datetime64[")
    busy.rm(force=True)


def test_what_its_buttons_do(engine: Any, name: str) -> None:
    nbcontainers.run("mini", "sleep", "1000", name=name, detach=True)
    view = LiveDashboard()
    sent: list[Any] = []
    view._send = lambda content, buffers: sent.append(content)

    def row() -> dict[str, Any]:
        return next(row for row in view.look()["rows"] if row["name"] == name)

    def is_now(state: str) -> bool:
        return bool(row()["state"] == state)

    nbcontainers.run("mini", "true", name=f"{name}-well")
    assert next(row["exit_code"] for row in view.look()["rows"] if row["name"] == f"{name}-well") == 0
    id = row()["id"]
    assert len(id) == 12
    for verb, state in {"pause": "paused", "unpause": "running", "kill": "exited", "start": "running"}.items():
        view.do(verb, [id])
        wait_for(partial(is_now, state))
    wait_for(lambda: row() and id in sent[-1]["send"]["figures"])
    arguments = view.terminal(id)
    assert set(arguments) == {"key", "how", "container", "title", "over"}
    view.hang_up(arguments["key"])
    left = terminals.known(view.terminal(id)["key"])
    assert left is not None
    assert left.running
    view.closed()
    left.wait(20)
    view.do("rm", [id])
    assert not [row for row in view.look()["rows"] if row["name"] == name]
    with pytest.raises(NotFound):
        view.do("start", [id])
    view.closed()
    assert gauges.of(engine)._watchers == 0


def test_a_log_that_grows(engine: Any, name: str) -> None:
    nbcontainers.run("mini", "sh", "-c", "echo one; sleep 1; echo two >&2; sleep 1000", name=name, detach=True)
    view = Logs(name)
    wait_for(lambda: view.look()["end"] == 2)
    assert [(line[0], line[1], line[3]) for line in view.lines([0, 1])] == [(0, 0, "one"), (1, 1, "two")]
    assert view.look()["running"]
    api.rm(name, force=True)
    assert view.look()["running"] is False
    assert view.lines([0])[0][3] == "one"
    view.closed()
