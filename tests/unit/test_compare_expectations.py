"""What others measured next to made-up figures: agrees, does not, cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from nbcontainers.compare import expectations, workload
from nbcontainers.compare.comparison import Comparison
from nbcontainers.compare.expectations import AGREES, DIFFERS, FAR, MORE, NEAR, NOT_MEASURED, UNKNOWN
from nbcontainers.compare.rounds import AGAIN, Measured, Row


def compared(costs: dict[tuple[str, str], float], spread: float = 0.002, base: str = "host") -> Comparison:
    """Ten rounds: the host costs 1 on each axis."""
    samples: list[Row] = []
    targets = dict.fromkeys(name for name, _ in costs)
    axes = dict.fromkeys(axis for _, axis in costs)
    for number in range(1, 11):
        wave = 1 + spread * ((number * 7) % 10 - 4.5) / 4.5
        lanes = {(base, axis): 1.0 for axis in axes} | {(base + AGAIN, axis): 1 / wave for axis in axes}
        for (name, axis), cost in {**lanes, **{key: cost * wave for key, cost in costs.items()}}.items():
            samples.append({"round": number, "position": 0, "target": name, "axis": axis, "value": cost, "unit": "ms",
                            "cost": cost, "start_s": 0.1, "inside_s": 0.1, "outside_s": 0.2})  # fmt: skip
    found = Measured(samples, facts={name: {} for name in (base, *targets)})
    for name in targets:
        found.facts[name]["accelerator"] = name.partition(":")[2]
    return Comparison("all", found, {name: name for name in (base, *targets)}, 10, 1, "host", "no limits", "")


def says(costs: dict[tuple[str, str], float], **more: Any) -> dict[tuple[str, str], str]:
    rows = expectations.check(compared(costs, **more)).rows
    return {(row["target"], row["axis"]): row["says"] for row in rows}


@pytest.mark.parametrize(
    ("expected", "low", "high", "noise", "said"),
    [
        (NEAR, 0.99, 1.01, 1.005, AGREES),
        (NEAR, 0.99, 1.01, 1.05, UNKNOWN),
        (NEAR, 0.99, 1.03, 1.005, UNKNOWN),
        (NEAR, 1.05, 1.08, 1.01, DIFFERS),
        (NEAR, 1.05, 1.08, 1.10, UNKNOWN),
        (NEAR, 0.80, 0.90, 1.01, DIFFERS),
        (MORE, 1.10, 1.30, 1.05, AGREES),
        (MORE, 1.01, 1.03, 1.05, UNKNOWN),
        (MORE, 0.95, 1.30, 1.05, UNKNOWN),
        (MORE, 0.70, 0.80, 1.05, DIFFERS),
        (MORE, 0.97, 0.99, 1.05, UNKNOWN),
        (FAR, 6.0, 900.0, 1.5, AGREES),
        (FAR, 4.0, 6.0, 1.5, UNKNOWN),
        (FAR, 1.0, 1.1, 1.5, DIFFERS),
    ],
)
def test_judgement(expected: expectations.Expected, low: float, high: float, noise: float, said: str) -> None:
    assert expected.judged(low, high, noise) == said


def test_felter() -> None:
    assert says({("container", "integer"): 1.0, ("container", "bandwidth"): 1.3, ("container", "small_files"): 1.4,
                 ("container", "nginx_published"): 0.6, ("container", "fit"): 9.0}) == {
        ("container", "integer"): AGREES, ("container", "bandwidth"): DIFFERS, ("container", "small_files"): AGREES,
        ("container", "nginx_published"): DIFFERS,
    }  # fmt: skip


def test_slower_needs_more_than_the_noise() -> None:
    assert says({("container", "integer"): 1.05}, spread=0.2) == {("container", "integer"): UNKNOWN}


def test_each_kind_of_machine_has_its_own_pattern() -> None:
    costs = {(f"vm:{kind}", axis): 1.1 if axis == "integer" else 30.0
             for kind in ("uml", "tcg", "kvm") for axis in ("integer", "syscall")}  # fmt: skip
    assert says(costs) == {
        ("vm:uml", "integer"): AGREES, ("vm:uml", "syscall"): AGREES,
        ("vm:tcg", "integer"): DIFFERS, ("vm:tcg", "syscall"): AGREES,
        ("vm:kvm", "integer"): AGREES, ("vm:kvm", "syscall"): DIFFERS,
    }  # fmt: skip


def test_what_is_absent_is_not_measured_and_says_why() -> None:
    seen = compared({("container", "integer"): 1.0})
    seen.measured.without["container", "write_sync"] = "its root is volatile"
    row = next(row for row in expectations.check(seen).rows if row["axis"] == "write_sync")
    assert (row["says"], row["measured"]) == (NOT_MEASURED, "its root is volatile")
    assert expectations.summary(seen) == "container: 1 of 2 axes agree; write_sync: not measured"


def test_without_a_host_nothing_is_said() -> None:
    seen = compared({("container", "integer"): 1.0}, base="vm:uml")
    assert expectations.check(seen).rows == []
    assert expectations.summary(seen).startswith("nothing to check")


def test_expectations_are_of_axes_that_exist() -> None:
    known = {axis.name for axis in workload.AXES}
    assert all(set(axes) <= known for axes in expectations.EXPECTED.values())
