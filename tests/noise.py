"""Made-up times of a made-up machine, for the statistics of comparisons: what noise looks like that an interval must bear.

All return logarithms of times, of shape (trials, rounds, lanes); the lanes of a round are executed in an order of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy

Dice = numpy.random.Generator
Shape = tuple[int, int, int]
Times = numpy.ndarray


def normal(dice: Dice, shape: Shape) -> Times:
    return dice.normal(0, 0.05, shape)


def lognormal(dice: Dice, shape: Shape) -> Times:
    """Skewed."""
    return numpy.log1p(dice.lognormal(-3, 1, shape))


def exponential(dice: Dice, shape: Shape) -> Times:
    """Never below what the work takes, as of a real machine."""
    return numpy.log1p(dice.exponential(0.08, shape))


def spikes(dice: Dice, shape: Shape) -> Times:
    """Every seventh is far off."""
    return dice.normal(0, 0.02, shape) + (dice.random(shape) < 0.15) * dice.exponential(0.5, shape)


def bimodal(dice: Dice, shape: Shape) -> Times:
    """A cache that hits or does not."""
    return dice.normal(0, 0.01, shape) + (dice.random(shape) < 0.5) * 0.2


def cauchy(dice: Dice, shape: Shape) -> Times:
    """Tails so heavy that no mean exists, but for an end at e⁵ times."""
    return numpy.clip(0.02 * dice.standard_t(1, shape), -5, 5)


def correlated(dice: Dice, shape: Shape) -> Times:
    """Each execution is much like the one before it, whichever lane that was."""
    trials, rounds, lanes = shape
    steps = dice.normal(0, 0.05, (trials, rounds * lanes))
    for place in range(1, rounds * lanes):
        steps[:, place] += 0.8 * steps[:, place - 1]
    return _in_turns(dice, steps.reshape(shape)) + dice.normal(0, 0.01, shape)


def bursts(dice: Dice, shape: Shape) -> Times:
    """Somebody else comes now and then, and stays for a few executions."""
    trials, rounds, lanes = shape
    there = dice.random((trials, rounds * lanes)) < 0.08
    for place in range(1, rounds * lanes):
        there[:, place] |= there[:, place - 1] & (dice.random(trials) < 0.7)
    return _in_turns(dice, there.reshape(shape) * dice.exponential(0.5, shape)) + dice.normal(0, 0.02, shape)


def _in_turns(dice: Dice, times: Times) -> Times:
    """What was drawn in the order of execution, given to the lanes in random order in each round."""
    return numpy.take_along_axis(times, numpy.argsort(dice.random(times.shape), axis=2), axis=2)


def drifting(dice: Dice, times: Times) -> Times:
    """The same on a machine that gets slower and faster from round to round."""
    return times + numpy.cumsum(dice.normal(0, 0.05, (*times.shape[:2], 1)), axis=1)


KINDS: dict[str, Callable[[Dice, Shape], Times]] = {
    made.__name__: made for made in (normal, lognormal, exponential, spikes, bimodal, cauchy, correlated, bursts)
}
