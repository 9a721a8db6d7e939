"""Alternating samples of several targets, their medians, and the ratios that matter.

Ratios are taken inside one run, where all targets saw the same machine: every round measures each target once, in
a new order. The interval is a bootstrap of the ratio of medians (Kalibera and Jones, ISMM'13, ask for one).
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping

Samples = dict[str, list[float]]  # milliseconds
Ratio = tuple[float, float, float]  # of the medians; lower and upper end of 95 %
WARM_UP = 3


def alternate(
    targets: Mapping[str, Callable[[], float]], rounds: int, seed: int = 1, warm_up: int = WARM_UP, pause: float = 0.0
) -> Samples:
    """`rounds` samples of each target; the first few rounds warm caches and are not kept. Before each one `pause` seconds pass, so that
    nobody's clean-up, or preparation for the next, is measured in another's time."""
    order, dice = list(targets), random.Random(seed)
    samples: Samples = {name: [] for name in targets}
    for number in range(rounds + warm_up):
        dice.shuffle(order)
        for name in order:
            time.sleep(pause)
            milliseconds = targets[name]() * 1000
            if number >= warm_up:
                samples[name].append(milliseconds)
    return samples


def ratio(ours: list[float], theirs: list[float], repeats: int = 2000) -> Ratio:
    dice = random.Random(2)
    drawn = sorted(
        statistics.median(dice.choices(ours, k=len(ours))) / statistics.median(dice.choices(theirs, k=len(theirs)))
        for _ in range(repeats)
    )
    middle = statistics.median(ours) / statistics.median(theirs)
    return middle, drawn[int(repeats * 0.025)], drawn[int(repeats * 0.975)]


def row(name: str, values: list[float]) -> str:
    ordered = sorted(values)
    low, high = ordered[0], ordered[int(len(ordered) * 0.95)]
    return f"  {name:<34}{statistics.median(values):9.2f}{low:9.2f}{high:9.2f}"


def table(samples: Samples) -> str:
    head = f"  {'milliseconds':<34}{'median':>9}{'min':>9}{'p95':>9}"
    return "\n".join([head, *(row(name, values) for name, values in samples.items())])
