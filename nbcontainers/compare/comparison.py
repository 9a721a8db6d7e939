"""What came of a comparison: rows with a verdict each, every sample, and the conditions they were measured under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median as median_of
from typing import TYPE_CHECKING, Any

from nbcontainers.compare import statistics
from nbcontainers.compare.rounds import AGAIN, Measured, Row
from nbcontainers.compare.statistics import Interval, Verdict
from nbcontainers.compare.workload import ONCE
from nbcontainers.table import Column, Table, text
from nbcontainers.view import View

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import pandas


def _short(value: object) -> str:
    """Three digits that matter, of what has more."""
    return f"{value:.3g}" if isinstance(value, float) else text(value)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(View):
    """`samples` are all values of all rounds, outliers too; `noise` says what makes them doubtful.

    `targets` has for each that ran its label and facts; `absent` why the others did not; `without` (target, axis) why that
    axis is not there. The first target is what all are compared with.
    """

    workload: str
    measured: Measured
    targets: Mapping[str, str]
    """Name and label."""
    rounds: int
    seed: int
    image: str
    limits: str
    at: str
    """When it began: RFC 3339, UTC."""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    noise: Sequence[str] = ()
    unequal: Sequence[str] = ()
    """What of a target is not as it should be for a comparison: a limit that is not in force, a nested machine."""

    @property
    def base(self) -> str:
        """The target that all are compared with."""
        return next(iter(self.targets))

    @property
    def absent(self) -> Mapping[str, str]:
        return self.measured.absent

    @cached_property
    def samples(self) -> list[Row]:
        """Rows: round, position, target, axis, value, unit, cost (more is slower), start_s, inside_s, outside_s, outlier."""
        found = []
        for axis in self.axes:
            for lane in self.lanes:
                rows = self._of(axis, lane)
                marks = statistics.outliers([row["cost"] for row in rows]) if rows else []
                found += [{**row, "outlier": mark} for row, mark in zip(rows, marks, strict=True)]
        return sorted(found, key=lambda row: (row["round"], row["position"]))

    @cached_property
    def axes(self) -> list[str]:
        return list(dict.fromkeys(row["axis"] for row in self.measured.samples))

    @cached_property
    def lanes(self) -> list[str]:
        """What was measured: the first target, the same again, and the others."""
        return [self.base, self.base + AGAIN, *(name for name in self.targets if name != self.base)]

    def label(self, lane: str) -> str:
        """How it is called in tables: a virtual machine by its accelerator too."""
        name = lane.removesuffix(AGAIN)
        return self.targets.get(name, name) + (AGAIN if lane.endswith(AGAIN) else "")

    @cached_property
    def rows(self) -> list[Row]:
        """One for each axis and target: axis, target, rounds, median, low, high, unit, ratio, ratio_low, ratio_high, band,
        differs, up_to, verdict, outliers. A ratio above 1 is slower than the first target, whatever the unit; None where
        there is none."""
        return [row for axis in self.axes for lane in self.lanes if (row := self._row(axis, lane))]

    def bands(self, axis: str) -> float | None:
        """How far apart two runs of the same target were, as a factor; None where they have too few rounds."""
        again = self._ratio(axis, self.base + AGAIN)
        return statistics.band(again) if again else None

    def lacks(self, target: str, axis: str) -> str:
        """Of an axis with a reason why it is not there: whether it is so in all rounds, in some, or ("") only in the
        execution that does not count."""
        lanes = (target, target + AGAIN)
        ran = {(row["target"], row["round"]) for row in self.measured.samples if row["target"] in lanes}
        has = {(row["target"], row["round"]) for lane in lanes for row in self._of(axis, lane)}
        return "is absent" if not has else "has no figure in some rounds" if ran - has else ""

    def ratios(self, axis: str, lane: str, *, outliers: bool | None = None) -> list[float]:
        """Of each round that has both: what the target cost by what the first cost; of the target's outliers alone, or
        without them, if that is said."""
        here, base = self._costs(axis, lane), self._costs(axis, self.base)
        far = dict(zip(here, statistics.outliers([*here.values()]), strict=True)) if here else {}
        both = [number for number in here if number in base]
        return [here[number] / base[number] for number in both if outliers in (None, far[number])]

    def _row(self, axis: str, lane: str) -> Row | None:
        values = self._of(axis, lane)
        if not values:
            return None
        numbers = [row["value"] for row in values]
        middle = statistics.interval(numbers, self.seed)
        ratio = None if lane == self.base else self._ratio(axis, lane)
        band = self.bands(axis)
        verdict = self._verdict(axis, lane, ratio, band) if ratio and band and not lane.endswith(AGAIN) else None
        low, median, high = middle or (None, median_of(numbers), None)
        return {
            "axis": axis, "target": lane, "rounds": len(numbers), "median": median, "low": low, "high": high,
            "unit": values[0]["unit"],
            "ratio": ratio and ratio.middle, "ratio_low": ratio and ratio.low, "ratio_high": ratio and ratio.high,
            "band": band, "differs": verdict and verdict.differs, "up_to": verdict and verdict.up_to,
            "verdict": verdict.words if verdict else self._instead(axis, lane, band),
            "outliers": sum(statistics.outliers([row["cost"] for row in values])),
        }  # fmt: skip

    def _instead(self, axis: str, lane: str, band: float | None) -> str:
        if lane == self.base:
            return "what the others are compared with"
        if not self._of(axis, self.base):
            return "the first target has no figure to compare it with"
        if lane.endswith(AGAIN) and band:
            return f"the same again: differences within {statistics.part(band - 1)} are noise"
        once = "counted once, in the first round" if axis in ONCE else ""
        return once or f"too few rounds for a verdict (at least {statistics.FEWEST})"

    def _verdict(self, axis: str, lane: str, ratio: Interval, band: float) -> Verdict:
        level = statistics.level(self.verdicts)
        sure = [self._ratio(axis, lane, base, level) for base in (self.base, self.base + AGAIN)]
        return statistics.verdict(ratio, band, *filter(None, sure))

    @cached_property
    def verdicts(self) -> int:
        """How many are drawn: one for each axis and each target but the first."""
        every = (len(self._of(axis, lane)) for axis in self.axes for lane in self.lanes[2:])
        return sum(rounds >= statistics.FEWEST for rounds in every)

    def _ratio(self, axis: str, lane: str, base: str = "", level: float = statistics.LEVEL) -> Interval | None:
        key = (axis, lane, base or self.base, level)
        if key not in self._known:
            here, there = self._costs(axis, lane), self._costs(axis, base or self.base)
            both = [number for number in here if number in there]
            self._known[key] = statistics.ratio(
                [here[number] for number in both], [there[number] for number in both], self.seed, level
            )
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[str, str, str, float], Interval | None]:
        """Intervals that were drawn: each takes a millisecond."""
        return {}

    def _costs(self, axis: str, lane: str) -> dict[int, float]:
        return {row["round"]: row["cost"] for row in self._of(axis, lane)}

    def _of(self, axis: str, lane: str) -> list[Row]:
        return self._sorted.get((axis, lane), [])

    @cached_property
    def _sorted(self) -> dict[tuple[str, str], list[Row]]:
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self.measured.samples:
            found.setdefault((row["axis"], row["target"]), []).append(row)
        return found

    def to_pandas(self) -> pandas.DataFrame:
        """Tidy: one row a round, target and axis, as `samples`; the conditions are its `attrs`."""
        import pandas

        frame = pandas.DataFrame(self.samples)
        frame.attrs.update(self.document() | {"rows": len(self.rows)})
        return frame

    def table(self) -> Table:
        """The rows, to look at; `.to_pandas()` of it has a row a verdict."""
        words = ("axis", "target", "unit", "verdict")
        names = ("axis", "target", "rounds", "median", "low", "high", "unit", "ratio", "ratio_low", "ratio_high", "band",
                 "differs", "outliers", "verdict")  # fmt: skip
        return Table(self.rows, [Column(name, format=text if name in words else _short) for name in names])

    def document(self) -> dict[str, Any]:
        without = {f"{target}: {axis}": why for (target, axis), why in self.measured.without.items()}
        return {
            "workload": self.workload, "image": self.image, "limits": self.limits, "rounds": self.rounds,
            "seed": self.seed, "at": self.at, "base": self.base, "targets": dict(self.targets),
            "facts": self.measured.facts, "absent": dict(self.absent), "without": without, "lost": self.measured.lost,
            "noise": list(self.noise), "unequal": list(self.unequal), "conditions": dict(self.conditions), "rows": self.rows,
        }  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a JSON file, every sample too; `compare.load` reads it. Raises OSError."""
        from nbcontainers.compare import saved

        return saved.save(self, path)

    def text(self) -> str:
        from nbcontainers.compare import card

        return card.text(self)

    def html(self) -> str:
        from nbcontainers.compare import card

        return card.html(self)
