"""What one pytest process counted, read back from its JUnit XML."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 40
"""Lines of each failure that are said again at the end, where a reader of a long log looks first."""


@dataclass
class Outcome:
    """Numbers of tests, and what each failure said."""

    passed: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    unsteady: dict[str, str] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    """Seconds by part."""

    def add(self, other: Outcome) -> None:
        self.passed += other.passed
        self.skipped += other.skipped
        self.failures |= other.failures
        self.unsteady |= other.unsteady
        self.took |= other.took

    def repeated(self, again: Outcome) -> Outcome:
        """What counts when the failed tests were run once more: one that passes now is unsteady, and said to be."""
        steady = {name: text for name, text in self.failures.items() if name in again.failures or not again.passed}
        unsteady = {name: text for name, text in self.failures.items() if name not in steady}
        return Outcome(self.passed + len(unsteady), self.skipped, again.failures | steady, unsteady)

    def summary(self) -> str:
        parts = [f"\nUNSTEADY (passed when run again) {name}\n{text}" for name, text in self.unsteady.items()]
        parts += [f"\nFAILED {name}\n{text}" for name, text in self.failures.items()]
        parts += ["", *(f"{seconds:6.0f} s  {part}" for part, seconds in self.took.items())]
        counts = f"{self.passed} passed, {len(self.failures)} failed, {self.skipped} skipped"
        return "\n".join([*parts, f"\n{counts}" + (f", {len(self.unsteady)} unsteady" if self.unsteady else "")])


def read(report: Path, part: str) -> Outcome:
    """The outcome in `report`; `part` names the failures, for one test runs as several users."""
    outcome = Outcome()
    if not report.exists():
        return outcome
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        trouble = [child for child in case if child.tag in ("failure", "error")]
        if trouble:
            name = f"{case.get('classname')}::{case.get('name')} ({part})"
            outcome.failures[name] = "\n".join(_end(child) for child in trouble)
        elif case.find("skipped") is not None:
            outcome.skipped += 1
        else:
            outcome.passed += 1
    return outcome


def _end(trouble: ElementTree.Element) -> str:
    text = trouble.text or trouble.get("message") or ""
    return "\n".join(f"    {line[:300]}" for line in text.splitlines()[-SHOWN:])
