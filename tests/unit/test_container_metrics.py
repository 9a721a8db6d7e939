"""Samples as a frame and as a picture."""

from __future__ import annotations

import pytest

from nbcontainers.cgroups.stats import COLUMNS, Sample
from nbcontainers.container import metrics

pandas = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

SECOND = 10**9


def sample(at: float, **counters: int) -> Sample:
    return Sample(**{**dict.fromkeys(COLUMNS, 0), "time_ns": 1_700_000_000 * SECOND + int(at * SECOND), **counters})


ROWS = [
    sample(0),
    sample(0.5, cpu_ns=SECOND // 4, nr_periods=5, nr_throttled=5, throttled_ns=SECOND // 4, memory=2**20, psi_io_ns=-1),
    sample(1, cpu_ns=SECOND // 2, nr_periods=10, nr_throttled=5, throttled_ns=SECOND // 4, memory=2**21, oom_kills=1),
]
FACTS = metrics.Facts("name (host)", {"memory": {"limit": 2**22}, "cpu": {"quota": 50_000, "period": 100_000}}, {})


def test_units_are_in_the_names_and_what_is_unknown_is_missing():
    frame = metrics.frame(ROWS)
    assert list(frame["elapsed_s"]) == [0, 0.5, 1]
    assert str(frame["time"].dtype) == "datetime64[ns, UTC]"
    assert list(frame["cpu_s"]) == [0, 0.25, 0.5]
    assert list(frame["cpu_cores"][1:]) == [0.5, 0.5]
    assert list(frame["throttled_part"][1:]) == [1, 0]
    assert list(frame["memory_bytes"]) == [0, 2**20, 2**21]
    assert frame["psi_io_s"].isna().tolist() == [False, True, False]
    assert frame["memory_bytes"].dtype == "Int64"


def test_every_counter_is_in_the_frame():
    taken = {column for column, _ in metrics.COLUMNS.values()} | {"time_ns"}
    assert taken == set(COLUMNS)


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS])
@pytest.mark.parametrize("facts", [metrics.Facts(), FACTS])
def test_a_plot_is_a_finished_picture(rows, facts):
    plot = metrics.plot(rows, facts)
    bundle, metadata = plot._repr_mimebundle_()
    assert plot.png.startswith(b"\x89PNG")
    assert set(bundle) == {"text/plain", "image/png"}
    assert len(plot.data) == len(rows)
    assert metadata["image/png"]["width"] == 720


def test_network_and_pressure_are_drawn_where_there_was_any():
    rows = [row._replace(net_rx_bytes=number * 1000, net_tx_bytes=0) for number, row in enumerate(ROWS)]
    bare, more = metrics.plot(ROWS, FACTS), metrics.plot(rows, FACTS)
    heights = [plot._repr_mimebundle_()[1]["image/png"]["height"] for plot in (bare, more)]
    assert heights[0] < heights[1]
    assert list(more.data["net_rx_bytes_per_s"][1:]) == [2000, 2000]


def test_the_picture_in_words():
    assert repr(metrics.plot(ROWS, FACTS)) == (
        "name (host): 3 samples over 1 s, CPU time 0.5 s, limit 0.5, throttled 0.25 s, OOM kill at 1 s"
    )
    ended = metrics.Facts("x", FACTS.limits, {"usage": {"memory_peak": 3 * 2**20}, "oom_killed": True, "wall_s": 0.7})
    assert repr(metrics.plot(ROWS[:2], ended)) == (
        "x: 2 samples over 0.5 s, memory peak 3MiB of 4MiB, CPU time 0.25 s, limit 0.5, throttled 0.25 s, OOM kill at 0.7 s"
    )
    assert repr(metrics.plot([], metrics.Facts())) == "container: no samples"


def test_no_figure_is_left_in_pyplot():
    import matplotlib.pyplot

    before = matplotlib.pyplot.get_fignums()
    metrics.plot(ROWS, FACTS)
    assert matplotlib.pyplot.get_fignums() == before
