"""Containers that rest and wake, as gauges see them."""

from __future__ import annotations

import time
from pathlib import Path

from nbcontainers.container import api, gauges
from nbcontainers.container.container import Container
from nbcontainers.container.gauges import Gauge, Gauges

_FILL = "head -c 8000000 /dev/zero > /dev/shm/x"
_MOST = 7_000_000
_BETWEEN_S = 1 / gauges.RATE_HZ


def rested(watched: Gauges, id: str) -> Gauge:
    """Looked at four times a second until nothing in it moves."""
    for _ in range(60):
        gauge = watched.read()[id]
        if gauge.rests:
            return gauge
        time.sleep(_BETWEEN_S)
    raise AssertionError(f"it does not rest: {gauge.point}")


def wakes_and_shrinks(watched: Gauges, container: Container) -> None:
    """One that sleeps: what is done in it is seen at that look, and what is taken from it, without it running, soon."""
    gauge = rested(watched, container.id)
    before = gauge.point
    assert before
    assert (before.cpu, before.io_read or 0, before.psi_cpu or 0) == (0, 0, 0)
    api.exec_(container, "sh", "-c", _FILL)
    time.sleep(gauges.FRESH_S)
    woken = watched.read()[container.id].point
    assert woken
    assert (woken.cpu or 0) > 0
    assert woken.memory is not None
    assert woken.memory - (before.memory or 0) > _MOST
    rested(watched, container.id)
    ran = gauge.counter("cpu_ns")
    Path(f"/proc/{gauge.process['pid']}/root/dev/shm/x").unlink()
    begun = time.monotonic()
    while (found := watched.read()[container.id].point) and (found.memory or 0) > woken.memory - _MOST:
        assert time.monotonic() - begun < 3
        time.sleep(_BETWEEN_S)
    assert gauge.counter("cpu_ns") == ran, "nothing in it ran meanwhile"
