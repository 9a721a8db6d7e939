"""What others have measured, next to what was measured here: whether it agrees, does not, or cannot be told.

Of containers: Felter, Ferreira, Rajamony, Rubio, An Updated Performance Comparison of Virtual Machines and Linux Containers
(IBM RC25482, 2014). Of virtual machines: their tables where there is KVM, and how user-mode-linux (which catches every system
call and page fault by ptrace) and emulation (which translates every instruction) work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from nbcontainers.table import AMBER, GREEN, RED, Column, Row, Table

if TYPE_CHECKING:
    from nbcontainers.compare.comparison import Comparison

AGREES, DIFFERS, UNKNOWN, NOT_MEASURED = "agrees", "does not agree", "cannot be told", "not measured"
FELTER = "Felter et al."


class Expected(NamedTuple):
    """Between which ratios to the host a target is: above 1 is slower."""

    words: str
    low: float
    high: float = float("inf")

    def judged(self, low: float, high: float, noise: float) -> str:
        """Of the interval of a ratio, where two runs of the host were apart by the factor `noise`: only what lies in the
        range as a whole agrees, only what lies out of it as a whole does not, and neither is said of what noise makes."""
        if self.low <= low and high <= self.high:
            clear = noise <= self.high if self.high < float("inf") else math.sqrt(low * high) > noise
            return AGREES if clear else UNKNOWN
        outside = low > noise * self.high or high < self.low / noise
        return DIFFERS if outside else UNKNOWN


NEAR = Expected("within 2 % of the host", 1 / 1.02, 1.02)
MORE = Expected("slower", 1.0)
ABOUT = Expected("about as fast (within 1.5 times)", 1 / 1.5, 1.5)
SLOWER = Expected("slower (more than 1.2 times)", 1.2)
FAR = Expected("far slower (more than 5 times)", 5.0)


def _of(expected: Expected, source: str, *axes: str) -> dict[str, tuple[Expected, str]]:
    return dict.fromkeys(axes, (expected, source))


_TRAPS, _TRANSLATES = "a trap to the tracer for each", "each instruction is translated"
EXPECTED: Mapping[str, Mapping[str, tuple[Expected, str]]] = {
    "container": {
        **_of(NEAR, f"{FELTER}, table I: CPU", "integer", "sha256", "matmul"),
        **_of(NEAR, f"{FELTER}, table I: memory", "bandwidth", "latency"),
        **_of(MORE, f"{FELTER}: NAT", "published_round_trip", "published_throughput", "nginx_published"),
        **_of(MORE, f"{FELTER}: a layered file system (AUFS; here overlayfs)", "write_cached", "small_files", "write_sync"),
    },
    "uml": {
        **_of(ABOUT, "instructions run as they are", "integer", "sha256", "matmul", "latency", "bandwidth"),
        **_of(FAR, _TRAPS, "page_fault", "syscall", "fork", "execute", "start_warm"),
        **_of(SLOWER, _TRAPS, "switch", "small_files", "round_trip", "loopback", "importing", "read_cached"),
    },
    "tcg": {
        **_of(FAR, _TRANSLATES, "integer", "sha256", "matmul", "bandwidth", "page_fault", "switch", "fork", "execute",
              "importing", "start_warm"),
        **_of(SLOWER, _TRANSLATES, "syscall", "small_files", "round_trip", "loopback", "read_cached"),
    },
    "kvm": {
        **_of(ABOUT, f"{FELTER}, table I", "integer", "sha256", "matmul", "latency", "bandwidth", "syscall"),
        **_of(MORE, f"{FELTER}: virtio", "published_round_trip", "published_throughput", "nginx_published"),
        **_of(FAR, "a kernel boots", "start_warm"),
    },
}  # fmt: skip
"""By kind of target and axis what is expected, and why."""


def check(seen: Comparison) -> Table:
    """Rows: target, axis, expected, source, measured (ratio and interval), says, and the numbers ratio, ratio_low,
    ratio_high, band. Axes nobody asked for are left out; where the first target is no host there are none."""
    rows = list(_rows(seen)) if seen.base.startswith("host") else []
    columns = [Column("target"), Column("axis"), Column("expected"), Column("source"), Column("measured"),
               Column("says", colour=lambda row: {AGREES: GREEN, DIFFERS: RED}.get(row["says"], AMBER))]  # fmt: skip
    return Table(rows, columns)


def summary(seen: Comparison) -> str:
    """In a sentence a target: how many agree, and which do not."""
    rows = check(seen).rows
    told = []
    for target in dict.fromkeys(row["target"] for row in rows):
        mine = [row for row in rows if row["target"] == target]
        by = {
            word: [row["axis"] for row in mine if row["says"] == word]
            for word in (AGREES, DIFFERS, UNKNOWN, NOT_MEASURED)
        }
        parts = [f"{len(by[AGREES])} of {len(mine)} axes agree"]
        parts += [f"{', '.join(by[word])}: {word}" for word in (DIFFERS, UNKNOWN, NOT_MEASURED) if by[word]]
        told.append(f"{target}: {'; '.join(parts)}")
    return "\n".join(told) or "nothing to check: the first target is no host, or no axis has an expectation"


def _rows(seen: Comparison) -> Iterator[Row]:
    found = {(row["target"], row["axis"]): row for row in seen.rows}
    for name in seen.targets:
        for axis, (expected, source) in EXPECTED.get(kind(seen, name), {}).items():
            row, why = found.get((name, axis)), seen.measured.without.get((name, axis))
            if row is None and why is None:
                continue
            yield {"target": seen.label(name), "axis": axis, "expected": expected.words, "source": source,
                   **_measured(expected, row, why or "")}  # fmt: skip


def _measured(expected: Expected, row: Row | None, why: str) -> Row:
    if row is None:
        return {"measured": why, "says": NOT_MEASURED}
    numbers = {key: row[key] for key in ("ratio", "ratio_low", "ratio_high", "band")}
    if row["ratio"] is None or row["band"] is None:
        return {"measured": "too few rounds", "says": UNKNOWN, **numbers}
    low, high = row["ratio_low"], row["ratio_high"]
    measured = f"× {row['ratio']:.3g} [{low:.3g}, {high:.3g}]"
    return {"measured": measured, "says": expected.judged(low, high, row["band"]), **numbers}


def kind(seen: Comparison, name: str) -> str:
    """Of a target: container, or how a virtual machine's processor is made; "" for others."""
    if name.startswith("vm"):
        return seen.measured.facts.get(name, {}).get("accelerator", "")
    return "container" if name.startswith("container") else ""
