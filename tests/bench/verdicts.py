"""`python -m tests.bench.verdicts [--trials N] [--host N]`: how often the verdicts of comparisons are right.

By simulation, of each kind of noise in tests/noise.py and 5, 10 and 20 rounds: how often the interval covers the truth, how
often equal targets are said to differ, how often a tenth is found. With --host also on this very host, where the same
program is compared with itself N times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack
from unittest import mock

import numpy

from nbcontainers.compare import statistics
from tests import noise

ROUNDS = (5, 10, 20)
AXES = "integer,sha256,syscall,fork,execute,small_files"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.verdicts", description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--host", type=int, default=0, metavar="N", help="comparisons of this host with itself")
    given = parser.parse_args()
    for number in range(given.host):
        _itself(number)
    print(f"{'noise':12}{'rounds':>7}{'covered':>9}{'equal, said to differ at levels':>43}{'a tenth, found':>36}")
    for kind in noise.KINDS:
        for rounds in ROUNDS:
            _simulated(kind, rounds, given.trials)


def _simulated(kind: str, rounds: int, many: int) -> None:
    levels = (statistics.LEVEL, 0.99, 0.998, 0.9995)
    rates = {}
    covered = 0.0
    for effect in (0.0, 0.1):
        for level in levels:
            found = list(_trials(kind, rounds, effect, many, level))
            rates[effect, level] = sum(differs for _, differs in found) / many
            covered = covered or sum(holds for holds, _ in found) / many
    wrong, right = ("  ".join(f"{rates[effect, level]:8.3%}" for level in levels) for effect in (0.0, 0.1))
    print(f"{kind:12}{rounds:7}{covered:9.1%}     {wrong}     {right}", flush=True)


def _trials(kind: str, rounds: int, effect: float, many: int, level: float) -> Iterator[tuple[bool, bool]]:
    """Of each comparison: whether the interval covers the truth, whether a difference is said."""
    dice = numpy.random.default_rng(2)
    drawn = numpy.exp(noise.drifting(dice, noise.KINDS[kind](dice, (many, rounds, 3))))
    for base, again, target in drawn.transpose(0, 2, 1):
        slower = target * (1 + effect)
        shown, apart = statistics.ratio(slower, base), statistics.ratio(again, base)
        sure = [statistics.ratio(slower, one, 0, level) for one in (base, again)]
        assert shown
        assert apart
        yield (
            not shown.excludes(1 + effect),
            statistics.verdict(shown, statistics.band(apart), *filter(None, sure)).differs,
        )


def _itself(seed: int) -> None:
    """One comparison of the host with a second target that is the same."""
    from nbcontainers import compare
    from nbcontainers.compare import running
    from nbcontainers.compare.kinds.host import Host
    from nbcontainers.compare.target import target

    twin = Host("host:twin", limited=False)
    begun = time.monotonic()
    with ExitStack() as stack:
        patched = mock.patch.object(running, "target", lambda name: twin if name == twin.name else target(name))
        stack.enter_context(patched)
        found = compare.run(AXES, on="host:unlimited,host:twin", seed=seed)
    said = [f"{row['axis']}: {row['verdict']}" for row in found.rows if row["differs"]]
    bands = "  ".join(f"{axis} ±{found.bands(axis) - 1:.0%}" for axis in found.axes)
    print(f"{seed}: {found.verdicts} verdicts, {len(said)} differ {said}; load {found.conditions['before']['load']:.1f}, "
          f"{time.monotonic() - begun:.0f} s; {bands}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
