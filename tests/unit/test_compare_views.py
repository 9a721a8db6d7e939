"""What a comparison shows: at a glance, the picture, every figure; as text for a terminal and as HTML."""

from __future__ import annotations

import json
import os
import re
from itertools import pairwise

import pytest

from nbcontainers import table
from nbcontainers.compare import details, drawings, figure, overview, rounds, scenes, workload
from nbcontainers.compare.comparison import Comparison
from nbcontainers.compare.rounds import AGAIN, Measured
from tests.unit.test_compare import Made, around, compared


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_PAUSE_S", 0)


def made(axes: dict[str, dict[str, list[float]]], unit: str = "ms") -> Comparison:
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
    found = Measured(samples)
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
    assert re.fullmatch(r"sha256  ± 0\.1 %  ≤ 0\.\d %      absent", lines[2])
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


def test_of_many_targets_a_page_says_it_briefly() -> None:
    """Six of them are as wide as a cell of JupyterLab."""
    few, more = ({"fork": {"host": STEADY, **{f"box {number}": STEADY for number in range(count)}}} for count in (3, 4))
    assert overview.html(made(few)).count("none found (≤ 0.") == 3
    assert "none found (≤ 0." not in overview.html(made(more))
    assert "≤ 5 %: no difference found" in made(more).html()


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


def test_the_verdicts_are_a_frame_of_real_types() -> None:
    frame = made({"fork": {"host": STEADY, "box": times(2)}}).table().to_pandas().set_index("target")
    assert {name: str(kind) for name, kind in frame.dtypes.items() if name in ("rounds", "ratio", "differs", "outliers")} == {
        "rounds": "int64", "ratio": "float64", "differs": "boolean", "outliers": "int64",
    }  # fmt: skip
    assert bool(frame["differs"]["box"])
    assert frame["differs"].isna()["host"]


def test_a_long_reason_has_its_beginning_and_its_end() -> None:
    seen = made({"fork": {"host": STEADY}})
    seen.measured.absent["vm:uml"] = f"it did not boot: {'x' * 1000} and this is why"
    said = " ".join(seen.text().split())
    assert "vm:uml is absent: it did not boot: xxx" in said
    assert "and this is why" in said
    assert "x" * 300 not in seen.html()


def test_what_was_measured_once_has_a_figure_and_no_verdict() -> None:
    """A trial of idle instances: one value a target, in memory, of which more is not slower."""
    seen = made({"footprint": {"host": [0.5], "box": [3.0]}}, "MiB")
    assert overview.cell(seen, "footprint", "box") == "6.0× more, once"
    assert details.unit(seen, "footprint").words == "MiB, less is better"
    assert not seen.rows[-1]["differs"]


def test_noise_that_is_not_known_is_no_number() -> None:
    """Where the first target's second run lost too many executions, or was none: nobody says how far two runs differ."""
    seen = made({"fork": {"host": STEADY, "box": times(2)}})
    lost = [row for row in seen.measured.samples if row["target"] == "host" + AGAIN][:3]
    seen.measured.samples[:] = [row for row in seen.measured.samples if row not in lost]
    row = seen.rows[-1]
    assert (row["band"], row["differs"], row["verdict"]) == (None, None, "too few rounds for a verdict (at least 5)")
    assert "<svg" in seen.html()
    assert "two runs of the same target differ" not in seen.text()
    assert "Infinity" not in json.dumps(seen.document())
    assert "two runs" not in made({"footprint": {"host": [0.5], "box": [3.0]}}, "MiB").text().partition("\n\n")[0]


def test_what_the_first_target_lacks_is_not_compared() -> None:
    """However many rounds the others have of it."""
    seen = made({"fork": {"host": STEADY, "box": STEADY}, "fit": {"host": STEADY, "box": STEADY}})
    seen.measured.samples[:] = [row for row in seen.measured.samples if row["axis"] == "fork" or row["target"] == "box"]
    assert overview.cell(seen, "fit", "box") == "not compared"
    assert seen.rows[-1]["verdict"] == "the first target has no figure to compare it with"
    assert "<svg" in seen.html()


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
    axes = ",".join(axis.name for axis in workload.AXES if axis.name not in workload.OUTSIDE)
    targets = [Made(f"target-{number}", around(1 + number)) for number in range(8)]
    seen = compared(*targets, axes=axes)
    assert len(seen.html()) < 295_000
    assert "more; .table() has all" in seen.html()


def scene(name: str, after: int) -> scenes.Scene:
    counts = [100] * 20 + [after] * 29
    return scenes.Scene(name, {"App2": counts, "App3": counts})


def test_interference_in_figures() -> None:
    seen = scenes.Interference(
        [scene("host", 20), scene("<limits>", 90)], {"vm": "not here"}, 0.25, 2, "2026-11-23T12:00:00Z"
    )
    assert [(row["scene"], row["before"], row["after"], row["kept"]) for row in seen.rows][::2] == [
        ("host", 1000.0, 200.0, 0.2), ("<limits>", 1000.0, 900.0, 0.9),
    ]  # fmt: skip
    assert "App2: 1000 → 200/s, " in seen.html()
    assert "keeps 20%" in seen.html()
    assert re.search(r"host +App2 +1000/s +200/s +20% +█{9,11}▂{13,15}", seen.text())
    assert "vm is absent: not here" in seen.text()
    assert "<limits>" not in seen.html()
    assert len(seen.to_pandas()) == 2 * 2 * 49
    assert max(map(len, seen.text().splitlines())) <= 100


def drawn(**changed: object) -> drawings.Layers:
    host = {"kind": "host", "target": "host:unlimited", "label": "host, no limits", "kernel": "6.18", "start_s": 0.001,
            "memory_bytes": 1 << 18, "program_bytes": 1 << 18, "engine_bytes": 0, "processes": 1, "size_bytes": None,
            "holds": None}  # fmt: skip
    box = {"kind": "container", "target": "container", "label": "container", "kernel": None, "start_s": 0.02,
           "memory_bytes": 4 << 20, "program_bytes": 1 << 20, "engine_bytes": 3 << 20, "processes": 2,
           "size_bytes": 2_000_000, "holds": 5000}  # fmt: skip
    vm = {
        **box,
        "kind": "vm",
        "target": "vm:tcg",
        "label": "vm (emulation, QEMU TCG)",
        "kernel": "6.1.0-56-cloud-amd64",
        "start_s": 2.0,
        "program_bytes": None,
        "engine_bytes": 250 << 20,
        "memory_bytes": 250 << 20,
        "holds": 90,
        **changed,
    }
    machine = {"processor": "A processor", "processors": 2, "memory_bytes": 8 << 30, "hypervisor": True}
    return drawings.Layers([host, vm, box], {"vm:kvm": "no KVM here"}, machine, "mini", "2026-11-23T12:00:00Z")


def test_the_drawings_say_of_each_layer_what_it_takes() -> None:
    seen = drawn()
    text, html = seen.text(), seen.html()
    for words in (
        "programs on host", "0.25 MiB", "2 MB once", "own kernel", "250 MiB each, with all above", "a monitor each, 3 MiB",
        "8 GiB, itself a virtual machine", "starts in 20 ms (20 × the host)", "free memory holds about 90",
        "vm:kvm is absent: no KVM here", f"kernel {os.uname().release}", "vm (emulation, QEMU TCG)",
    ):  # fmt: skip
        assert words in text, words
        assert words in html, words
    assert html.count("App3") == 3
    assert html.count("6.1.0-56") == 3
    assert max(map(len, text.splitlines())) <= 100
    assert seen.to_pandas()["memory_bytes"].dtype == "Int64"


def test_what_was_not_measured_is_said_and_not_zero() -> None:
    seen = drawn(engine_bytes=None, memory_bytes=None, holds=None)
    assert seen.text().count("memory not measured") == 2
    assert "holds about 90" not in seen.html()
