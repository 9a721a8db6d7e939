"""What a comparison shows: at a glance, the picture, every figure; as text for a terminal and as HTML."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from nbcontainers import table
from nbcontainers.compare import details, figure, overview, rounds, workload
from nbcontainers.compare.comparison import Comparison
from nbcontainers.compare.rounds import AGAIN, Measured
from tests.unit.test_compare import Made, around, compared


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_PAUSE_S", 0)


def made(axes: dict[str, dict[str, list[float]]], unit: str = "ms", volatile: str = "") -> Comparison:
    """Of costs by axis and target; the first target's second run costs what its first did but for a thousandth."""
    samples = []
    for axis, lanes in axes.items():
        first = next(iter(lanes))
        again = [value * (1.001 if number % 2 else 0.999) for number, value in enumerate(lanes[first])]
        for lane, values in {**lanes, first + AGAIN: again}.items():
            samples += [
                {
                    "round": number,
                    "position": 0,
                    "target": lane,
                    "axis": axis,
                    "value": value,
                    "unit": unit,
                    "cost": value,
                }
                for number, value in enumerate(values)
            ]
    names = list(next(iter(axes.values())))
    facts = {volatile: {"scratch": "overlay, volatile"}} if volatile else {}
    found = Measured(samples, facts=facts)
    return Comparison("made", found, {name: name for name in names}, 5, 1, "host", "no limits", "2026-11-23T12:00:00Z")


STEADY = [1.0, 1.002, 0.998, 1.001, 0.999, 1.0]


def times(factor: float) -> list[float]:
    return [value * factor for value in STEADY]


def test_at_a_glance_it_says_how_much_slower_or_that_nothing_was_found() -> None:
    seen = made(
        {"fork": {"host": STEADY, "box": times(1.12), "vm": times(37.2)}, "sha256": {"host": STEADY, "box": STEADY}}
    )
    lines = overview.text(seen).splitlines()
    assert lines[0].split() == ["axis", "noise", "box", "vm"]
    assert re.fullmatch(r"fork    ± 0\.1 %  12 % slower  37× slower", lines[1])
    assert re.fullmatch(r"sha256  ± 0\.1 %  - \(≤ 0\.\d %\)  absent", lines[2])
    html = overview.html(seen)
    assert "12 % slower" in html
    assert "none found (≤ 0." in html


def test_as_fast_and_as_slow_have_their_colours_and_nothing_found_has_none() -> None:
    seen = made({"fork": {"host": STEADY, "slow": times(3), "quick": times(1 / 3), "same": STEADY}})
    grounds = dict(
        zip(("slow", "quick", "same"), re.findall(r'center;([^"]*)">[^<]*</td>', overview.html(seen))[1:], strict=True)
    )
    assert table.RED in grounds["slow"]
    assert table.GREEN in grounds["quick"]
    assert "background" not in grounds["same"]


def test_many_targets_come_in_blocks_that_a_terminal_holds() -> None:
    names = [f"container (engine number {number})" for number in range(9)]
    seen = made({"volume_write_sync": {"host": STEADY, **{name: times(4.2) for name in names}}})
    shown = seen.text()
    assert max(map(len, shown.splitlines())) <= 100
    assert overview.text(seen).count("volume_write_sync") == 3
    assert overview.text(seen).count("4.2× slower") == 9


def test_what_a_figure_does_not_mean_stands_below() -> None:
    seen = made({"write_sync": {"host": STEADY, "box": times(0.01)}}, volatile="box")
    assert "100× faster *" in overview.text(seen)
    assert "* write_sync on box: nothing is synced there" in seen.text().replace("\n  ", " ")
    assert "* write_sync on box: nothing is synced there" in seen.html()


def test_figures_are_in_the_unit_that_can_be_read() -> None:
    seen = made({"fork": {"host": times(0.00042), "box": times(0.001)}})
    assert details.unit(seen, "fork") == details.Unit("ns", pytest.approx(1e6), True)
    row = next(row for row in seen.rows if row["target"] == "box")
    assert details.cells(seen, row)[2] == "1000"
    assert details.unit(made({"read": {"host": times(2048)}}, "MiB/s"), "read") == details.Unit(
        "GiB/s", 1 / 1024, False
    )
    assert details.ratio(0.01) == "1/100"
    assert details.ratio(0.97) == "0.97"


def test_the_text_has_every_figure_of_the_html() -> None:
    """And no script, no address."""
    seen = compared(Made("host", around(1)), Made("slow", around(1.5)), noise=["the load was 9 before it began"])
    html, text = seen.html(), " ".join(seen.text().split())
    assert "noisy: the load was 9 before it began" in text
    assert "noisy: the load was 9 before it began" in html
    for row in seen.rows:
        assert all(one in text and one in html for one in details.cells(seen, row))
    assert "<script" not in html
    assert "http" not in html.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_effects_within_the_band_are_grey() -> None:
    seen = made({"fork": {"host": STEADY, "slow": times(3), "same": STEADY}})
    drawn = figure.svg(seen)
    assert drawn.count("two runs of the same differ by up to 0.1%") == 1, "a band an axis"
    same, slow = (re.findall(rf'fill="([^"]+)"><title>{name}:', drawn)[-1] for name in ("same", "slow"))
    assert same == table.GREY
    assert slow == table.RED


def test_every_round_is_a_dot_and_every_outlier_a_ring() -> None:
    seen = made({"fork": {"host": [1.0] * 6, "box": [1.5, 1.51, 1.49, 1.5, 9.0, 1.5]}})
    drawn = figure.svg(seen)
    rounds_, rings = drawn.count("h0") - drawn.count('d="M'), drawn.count('fill="none"')
    assert rings - 1 == 1, "one in the legend"
    assert rounds_ + drawn.count('d="M') == 5 + 6
    assert "outliers, kept: box 1" in seen.text()
    frame = seen.to_pandas()
    assert list(frame[frame["outlier"]]["value"]) == [9.0]


def test_ticks_do_not_touch() -> None:
    seen = made({"fork": {"host": STEADY, "quick": times(1 / 300), "slow": times(420)}})
    places = [
        (float(x), words)
        for x, words in re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle"[^>]*>([^<]+)', figure.svg(seen))
    ]
    assert "×1" in [words for _, words in places]
    for (left, before), (right, after) in pairwise(places):
        assert right - left > 3.4 * (len(before) + len(after)), (before, after)


def test_with_nothing_to_compare_there_is_no_picture() -> None:
    assert figure.svg(made({"fork": {"host": STEADY}})) == ""


def test_a_large_comparison_is_a_small_output() -> None:
    axes = ",".join(axis.name for axis in workload.AXES)
    targets = [Made(f"target-{number}", around(1 + number)) for number in range(8)]
    seen = compared(*targets, axes=axes)
    assert len(seen.html()) < 295_000
    assert "more; .table() has all" in seen.html()
