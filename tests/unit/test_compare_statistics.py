"""Statistics of comparisons on synthetic samples with known answers. All of it seeded: the same numbers every time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy
import pytest

from nbcontainers.compare import statistics
from nbcontainers.compare.statistics import Interval, Verdict

MANY = 1000
ROUNDS = (5, 10, 20, 40)


def noise(kind: str, dice: numpy.random.Generator, shape: tuple[int, ...]) -> numpy.ndarray:
    """Logarithms of times: symmetric, skewed, or with a spike in every seventh."""
    if kind == "normal":
        return dice.normal(0, 0.05, shape)
    if kind == "lognormal":
        return numpy.log1p(dice.lognormal(-3, 1, shape))
    if kind == "exponential":
        return numpy.log1p(dice.exponential(0.08, shape))
    return dice.normal(0, 0.02, shape) + (dice.random(shape) < 0.15) * dice.exponential(0.5, shape)


def trials(kind: str, rounds: int, effect: float, seed: int = 1) -> Iterator[tuple[Interval, float]]:
    """The ratio of a target that is slower by `effect`, and the band; the machine drifts from round to round."""
    dice = numpy.random.default_rng(seed)
    for _ in range(MANY):
        drift = numpy.cumsum(dice.normal(0, 0.05, (rounds, 1)), axis=0)
        times = numpy.exp(noise(kind, dice, (rounds, 3)) + drift)
        again = statistics.ratio(times[:, 1], times[:, 0])
        found = statistics.ratio(times[:, 2] * (1 + effect), times[:, 0])
        assert found
        assert again
        yield found, statistics.band(again)


KINDS = ("normal", "lognormal", "exponential", "spikes")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounds", ROUNDS)
def test_an_interval_covers_the_truth_as_often_as_it_says(kind: str, rounds: int) -> None:
    """And of equal targets at most one in twenty is said to differ: the band makes it far fewer."""
    found = list(trials(kind, rounds, 0.0))
    covered = sum(not interval.excludes(1) for interval, _ in found) / MANY
    assert 0.92 <= covered <= 0.985, covered
    assert sum(statistics.verdict(*one).differs for one in found) / MANY <= 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_what_differs_is_found(kind: str) -> None:
    """A tenth, in ten rounds of a machine whose values spread by a twentieth; and a quarter nearly always."""
    tenth = sum(statistics.verdict(*one).differs for one in trials(kind, 10, 0.10)) / MANY
    quarter = sum(statistics.verdict(*one).differs for one in trials(kind, 20, 0.25)) / MANY
    assert tenth > 0.4, tenth
    assert quarter > 0.95, quarter


def test_the_interval_of_a_difference_covers_it() -> None:
    covered = sum(not interval.excludes(1.3) for interval, _ in trials("exponential", 10, 0.3)) / MANY
    assert 0.93 <= covered <= 0.98


def test_the_median_of_values_is_covered() -> None:
    dice = numpy.random.default_rng(3)
    samples = dice.exponential(1.0, (MANY, 10))
    found = [statistics.interval(list(row)) for row in samples]
    covered = sum(not one.excludes(math.log(2)) for one in found if one) / MANY
    assert 0.93 <= covered <= 0.98


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [1.0, 1.2, 0.9, 1.1, 1.05, 1.3]
    assert statistics.interval(values, 7) == statistics.interval(values, 7)
    assert statistics.interval(values, 7)[1] == pytest.approx(1.075)  # type: ignore[index]


def test_ratios_are_paired() -> None:
    """A machine that gets ten times slower meanwhile changes nothing."""
    base = [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    found = statistics.ratio([2 * one for one in base], base)
    assert found
    assert [round(one, 9) for one in found] == [2.0, 2.0, 2.0]


def test_few_rounds_give_no_interval() -> None:
    assert statistics.interval([1.0, 2.0, 3.0, 4.0]) is None
    assert statistics.ratio([1.0] * 4, [1.0] * 4) is None


@pytest.mark.parametrize(
    ("found", "noise", "differs", "words"),
    [
        (Interval(1.05, 1.12, 1.2), 1.04, True, "12 % slower"),
        (Interval(1.05, 1.12, 1.2), 1.15, False, "no difference found (could be up to 20 %)"),
        (Interval(0.99, 1.1, 1.2), 1.01, False, "no difference found (could be up to 20 %)"),
        (Interval(0.7, 0.8, 0.9), 1.1, True, "25 % faster"),
        (Interval(0.98, 1.001, 1.012), 1.01, False, "no difference found (could be up to 2.0 %)"),
        (Interval(70, 80, 90), 1.1, True, "80 times slower"),
        (Interval(2.1, 2.34, 3), 1.1, True, "2.3 times slower"),
        (Interval(0.5, 1.1, 40), 1.1, False, "no difference found (could be up to 40 times)"),
    ],
)
def test_verdicts(found: Interval, noise: float, differs: bool, words: str) -> None:
    given = statistics.verdict(found, noise)
    assert isinstance(given, Verdict)
    assert given.differs is differs
    assert given.words == words


def test_the_band_is_as_wide_as_the_worse_side() -> None:
    assert statistics.band(Interval(0.8, 0.95, 1.1)) == 1.25
    assert statistics.band(Interval(0.99, 1.05, 1.3)) == 1.3


def test_outliers_are_marked() -> None:
    assert statistics.outliers([1.0, 1.1, 0.9, 1.05, 5.0]) == [False, False, False, False, True]
    assert statistics.outliers([1.0] * 5) == [False] * 5
