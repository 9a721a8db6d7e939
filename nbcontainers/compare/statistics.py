"""What samples of a noisy machine allow to be said: medians and paired ratios with their intervals, the noise's own band,
and a verdict that says "no difference found" as long as there may be none.

Each round gives one value a target, so a ratio is taken within a round, where both saw the same machine (Kalibera and
Jones, ISMM'13, report the interval of the ratio). Ratios are handled as logarithms: twice as slow and twice as fast are
equally far from 1.

A target differs if the intervals of its ratios to both runs of the first target exclude 1 on the same side, and its ratio
is outside the band of these two runs. Of equal targets, whatever their noise, that is said of 0.3 % with 5 rounds and of
0.2 % with 10 and more (tests/bench/verdicts.py). A comparison has many verdicts, and one of all of them should be wrong at
most once in twenty times, so where they are more than 25 the intervals for them are wider: `level`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

FEWEST = 5
"""Rounds below this give no interval: the range of 5 covers their median with 93.75 %, that of 4 with 87.5 %."""
LEVEL = 0.97
"""Between which quantiles of the resampled medians an interval lies. A percentile bootstrap of a median is too narrow
where samples are few: this level covers 93.9 to 96.6 % for 5 to 40 rounds of normal, lognormal, exponential and spiky noise
(tests/unit/test_compare_statistics.py), where 0.95 covers 92 to 94 % of 10."""
_LEVELS = ((25, LEVEL), (75, 0.99), (150, 0.998), (math.inf, 0.9995))
"""Up to how many verdicts which level makes one in twenty comparisons of equal targets wrong, from 10 rounds on; the
intervals of 5 rounds are the range already, and cannot be wider."""
_FAMILY, _CHANCE, _ENOUGH = 0.05, 0.003, 10
"""How often a whole comparison may be wrong, a verdict of 5 rounds is, and from how many rounds on `_LEVELS` hold."""
_MOST, _RARELY = 300, 0.00015
"""For so many verdicts the widest of these levels is enough, whose verdicts are so rarely wrong: 80 000 trials."""
RESAMPLES = 2000
_OUTLIER = 3.5
"""Of the modified z-score (Iglewicz and Hoaglin, 1993)."""
_NORMAL = 1.4826
"""The standard deviation of a normal distribution, in its median absolute deviations."""


class Interval(NamedTuple):
    """A median and the ends of its interval of about 95 %."""

    low: float
    middle: float
    high: float

    def excludes(self, value: float) -> bool:
        return not self.low <= value <= self.high


class Verdict(NamedTuple):
    """`differs` only if it can be said. `up_to` is how large the difference may be all the same, as a part: 0.04 is 4 %
    slower or faster, 1 is twice as slow or fast."""

    differs: bool
    effect: float
    """The median ratio less 1: 0.1 is slower by a tenth."""
    up_to: float

    @property
    def words(self) -> str:
        if not self.differs:
            return f"no difference found (could be up to {part(self.up_to)})"
        return f"{times(1 + self.effect)} slower" if self.effect > 0 else f"{times(1 / (1 + self.effect))} faster"


def level(verdicts: int) -> float:
    """Of the intervals for as many verdicts as one comparison draws."""
    return next(found for most, found in _LEVELS if verdicts <= most)


def together(verdicts: int, rounds: int) -> str:
    """What many verdicts of one comparison mean together, in words."""
    if not verdicts:
        return "no verdict was drawn"
    level_ = level(verdicts)
    wider = f", with intervals of {level_ * 100:.4g} %" if level_ > LEVEL else ""
    drawn = f"{verdicts} verdict{'s' * (verdicts != 1)}{wider}"
    if rounds >= _ENOUGH and verdicts > _MOST:
        return f"{drawn}: of equal targets about {verdicts * _RARELY:.1g} would be wrong, since they are many"
    if rounds >= _ENOUGH or verdicts * _CHANCE <= _FAMILY:
        return f"{drawn}: of twenty such comparisons of equal targets at most one has a wrong one"
    return f"{drawn}: of equal targets about {verdicts * _CHANCE:.1g} would be wrong, since {rounds} rounds are few"


def interval(values: Sequence[float], seed: int = 0, level: float = LEVEL) -> Interval | None:
    """The median and its bootstrap interval; None for fewer than FEWEST values. The same seed gives the same one."""
    if len(values) < FEWEST:
        return None
    low, high = _ends(values, seed, level)
    return Interval(low, statistics.median(values), high)


def ratio(values: Sequence[float], base: Sequence[float], seed: int = 0, level: float = LEVEL) -> Interval | None:
    """Of the paired ratios `values[i] / base[i]`: their median and its interval. All are above 0."""
    logarithms = [math.log(one / other) for one, other in zip(values, base, strict=True)]
    found = interval(logarithms, seed, level)
    return found and Interval(*map(math.exp, found))


def band(again: Interval) -> float:
    """How far from 1, as a factor, two runs of the same target were apart: effects between 1 / band and band are noise."""
    return max(again.high, 1 / again.low)


def verdict(found: Interval, noise: float, *sure: Interval) -> Verdict:
    """A difference is said only where the ratio is outside the band `noise`, and its interval and all of `sure` (of the
    same ratio, wider; of that to the other run of the first target) exclude 1 on the same side."""
    outside = not 1 / noise <= found.middle <= noise
    every = (found, *sure)
    beside = all(one.low > 1 for one in every) or all(one.high < 1 for one in every)
    return Verdict(beside and outside, found.middle - 1, max(found.high, 1 / found.low) - 1)


def outliers(values: Sequence[float]) -> list[bool]:
    """Which of them are far from the median for their spread. They are marked, and kept in every figure."""
    middle = statistics.median(values)
    spread = _NORMAL * statistics.median(abs(value - middle) for value in values)
    return [spread > 0 and abs(value - middle) > _OUTLIER * spread for value in values]


def part(value: float) -> str:
    """A part as a percentage of two digits: `4.2 %`, `35 %`; from 2 on as a factor: `3.4 times`."""
    if value >= 2:
        return times(value + 1)
    return f"{value * 100:.0f} %" if value >= 0.095 else f"{value * 100:.1f} %"


def times(factor: float) -> str:
    """How much, of a factor above 1: `12 %`, `2.3 times`, `250 times`."""
    if factor < 2:
        return part(factor - 1)
    return f"{factor:.1f} times" if factor < 9.95 else f"{factor:.0f} times"


def _ends(values: Sequence[float], seed: int, level: float) -> tuple[float, float]:
    import numpy

    medians = numpy.sort(numpy.sort(numpy.asarray(values, dtype=float))[_middles(len(values), seed)].mean(axis=1))
    left_out = (1 - level) / 2
    return float(medians[int(RESAMPLES * left_out)]), float(medians[int(RESAMPLES * (1 - left_out))])


@lru_cache(64)
def _middles(count: int, seed: int) -> Any:
    """Of each resample of `count` sorted values the ranks of the two middle ones, which are all that its median needs."""
    import numpy

    dice = numpy.random.Generator(numpy.random.PCG64(seed))
    ranks = numpy.sort(dice.integers(0, count, (RESAMPLES, count)), axis=1)
    return ranks[:, [(count - 1) // 2, count // 2]]
