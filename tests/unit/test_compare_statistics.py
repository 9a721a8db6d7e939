"""Statistics of comparisons on synthetic samples with known answers. All of it seeded: the same numbers every time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy
import pytest

from nbcontainers.compare import statistics
from nbcontainers.compare.statistics import Interval, Verdict
from tests import noise

MANY = 800


class Trial(NamedTuple):
    """What one comparison of three lanes finds: the ratios to the two runs of the first, and how far these are apart."""

    ratio: Interval
    other: Interval
    band: float

    @property
    def differs(self) -> bool:
        return statistics.verdict(self.ratio, self.band, self.other).differs


def trials(kind: str, rounds: int, effect: float, many: int = MANY, level: float = statistics.LEVEL) -> Iterator[Trial]:
    """Of a target that is slower by `effect`, on a machine that drifts from round to round."""
    dice = numpy.random.default_rng(1)
    drawn = numpy.exp(noise.drifting(dice, noise.KINDS[kind](dice, (many, rounds, 3))))
    for base, again, target in drawn.transpose(0, 2, 1):
        found, other = (statistics.ratio(target * (1 + effect), one, 0, level) for one in (base, again))
        apart = statistics.ratio(again, base)
        assert found
        assert other
        assert apart
        yield Trial(found, other, statistics.band(apart))


@pytest.mark.parametrize("kind", noise.KINDS)
def test_intervals_cover_the_truth_and_equal_targets_do_not_differ(kind: str) -> None:
    """About 95 % are covered; the range of five covers 93.75 %. Of equal targets not one in a hundred is said to differ.
    A larger sample: tests/bench/verdicts.py."""
    for rounds in (5, 10, 20):
        found = list(trials(kind, rounds, 0.0))
        covered = sum(not one.ratio.excludes(1) for one in found) / MANY
        assert 0.92 <= covered <= 0.98, (rounds, covered)
        assert sum(one.differs for one in found) / MANY <= 0.01, rounds


def test_what_differs_is_found() -> None:
    """A tenth, in ten rounds of a machine whose values spread by a twentieth; and a quarter nearly always."""
    tenth = sum(found.differs for found in trials("normal", 10, 0.10)) / MANY
    quarter = sum(found.differs for found in trials("normal", 20, 0.25)) / MANY
    assert tenth > 0.5, tenth
    assert quarter > 0.97, quarter


def test_many_verdicts_of_equal_targets_are_rarely_wrong() -> None:
    """A hundred comparisons of ten axes each with the usual intervals, fifty of forty axes each with the wider ones: of
    each one in twenty may have a wrong one."""
    for axes, comparisons in ((10, 100), (40, 50)):
        level = statistics.level(axes)
        found = [one.differs for one in trials("lognormal", 10, 0.0, axes * comparisons, level)]
        wrong = sum(any(found[start : start + axes]) for start in range(0, len(found), axes))
        assert wrong / comparisons <= 0.05, (axes, wrong)


def test_more_verdicts_have_wider_intervals() -> None:
    levels = [statistics.level(many) for many in (1, 25, 26, 75, 76, 150, 151, 10_000)]
    assert levels == [statistics.LEVEL, statistics.LEVEL, 0.99, 0.99, 0.998, 0.998, 0.9995, 0.9995]
    values = [1.0, 1.2, 0.9, 1.1, 1.05, 1.3, 1.02, 1.15, 0.97, 1.08]
    spans = [found.high - found.low for level in levels[::2] if (found := statistics.interval(values, 1, level))]
    assert spans == sorted(spans)
    assert spans[0] < spans[-1]


def test_what_is_promised_of_many_verdicts() -> None:
    """No more than what simulation shows: tests/bench/verdicts.py."""
    assert statistics.together(3, 5).endswith("of twenty such comparisons of equal targets at most one has a wrong one")
    assert statistics.together(40, 5).endswith("of equal targets about 0.1 would be wrong, since 5 rounds are few")
    promised = statistics.together(250, 10)
    assert promised.startswith("250 verdicts, with intervals of 99.95 %: of twenty such comparisons")
    assert statistics.together(400, 10).endswith("of equal targets about 0.06 would be wrong, since they are many")


def test_a_difference_to_one_run_of_the_first_target_alone_is_none() -> None:
    """Nor one to both, on different sides."""
    slower = Interval(1.2, 1.3, 1.4)
    assert statistics.verdict(slower, 1.05, slower).differs
    assert not statistics.verdict(slower, 1.05, Interval(0.98, 1.1, 1.2)).differs
    assert not statistics.verdict(slower, 1.05, Interval(0.7, 0.8, 0.9)).differs


def test_the_interval_of_a_difference_covers_it() -> None:
    covered = sum(not found.ratio.excludes(1.3) for found in trials("exponential", 10, 0.3)) / MANY
    assert 0.93 <= covered <= 0.985


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
    ("found", "band", "differs", "words"),
    [
        (Interval(1.05, 1.12, 1.2), 1.04, True, "12 % slower"),
        (Interval(1.05, 1.12, 1.2), 1.15, False, "no difference found (could be up to 20 %)"),
        (Interval(0.99, 1.1, 1.2), 1.01, False, "no difference found (could be up to 20 %)"),
        (Interval(0.7, 0.8, 0.9), 1.1, True, "25 % faster"),
        (Interval(0.98, 1.001, 1.012), 1.01, False, "no difference found (could be up to 2.0 %)"),
        (Interval(70, 80, 90), 1.1, True, "80 times slower"),
        (Interval(2.1, 2.34, 3), 1.1, True, "2.3 times slower"),
        (Interval(0.25, 0.6, 1.1), 1.1, False, "no difference found (could be up to 4.0 times)"),
        (Interval(0.5, 1.1, 40), 1.1, False, "no difference found (could be up to 40 times)"),
    ],
)
def test_verdicts(found: Interval, band: float, differs: bool, words: str) -> None:
    given = statistics.verdict(found, band)
    assert isinstance(given, Verdict)
    assert given.differs is differs
    assert given.words == words


def test_the_band_is_as_wide_as_the_worse_side() -> None:
    assert statistics.band(Interval(0.8, 0.95, 1.1)) == 1.25
    assert statistics.band(Interval(0.99, 1.05, 1.3)) == 1.3


def test_outliers_are_marked() -> None:
    assert statistics.outliers([1.0, 1.1, 0.9, 1.05, 5.0]) == [False, False, False, False, True]
    assert statistics.outliers([1.0] * 5) == [False] * 5
