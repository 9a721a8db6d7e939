"""`python3 tests [PART…] [pytest options]`: everything the tests need, then the tests.

Parts: unit static system rootless undelegated notebooks e2e (all of them when none is named), bench (only when
named), tidy (removes the ordinary user that the rootless tests run as). Needs only Python 3.11 and pip; as root
it installs the Debian packages that the tests compare with.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / ".ci"))

import environment  # noqa: E402
import ordinary_user  # noqa: E402

Counts = dict[str, int]
TOO = ("tests/notebooks", "tests/system")  # what the ordinary user runs again
LIMITED = "cgroups cli exec_session experiment idle_monitor interrupt kill launcher magics monitor run runtime".split()
"""The modules of tests/system in which a limit is set or missed; the others do not ask whether there is a cgroup."""


class Tests:
    """One run: the environment, the options for pytest, and what was counted so far."""

    def __init__(self, interpreter: Path, options: Sequence[str], packages: bool) -> None:
        self.interpreter = interpreter
        self.options = list(options)
        self.packages = packages
        self.counts: Counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.user: ordinary_user.User | None = None

    def pytest(self, name: str, *folders: str, run: Callable[[list[str]], int] | None = None) -> None:
        """One pytest process; what it counted comes back as JUnit XML, and a crash counts as a failure."""
        environment.say(f"tests: {name}")
        with tempfile.TemporaryDirectory(prefix="nbc-report-") as folder:
            os.chmod(folder, 0o1777)  # the ordinary user writes here too
            report = Path(folder, "report.xml")
            command = ["-m", "pytest", *folders, f"--junitxml={report}", "-p", "no:cacheprovider", *self.options]
            status = (
                run(command) if run else subprocess.run([self.interpreter, *command], cwd=ROOT, check=False).returncode
            )
            counts = read_report(report)
        nothing_selected = status == 5 and "-k" in self.options
        if status and not counts["failed"] and not nothing_selected:
            counts["failed"] = 1
        for word, number in counts.items():
            self.counts[word] += number

    def unit(self) -> None:
        self.pytest("unit", "tests/unit")

    def static(self) -> None:
        self.pytest("static", "tests/static")

    def system(self) -> None:
        self.pytest(f"system, as uid {os.geteuid()}", "tests/system")

    def notebooks(self) -> None:
        self.pytest("notebooks and README", "tests/notebooks")

    def e2e(self) -> None:
        self.pytest("JupyterLab in a browser", "tests/e2e")

    def rootless(self) -> None:
        """The system tests again as an ordinary user with a cgroup of its own."""
        if os.geteuid() != 0:
            environment.say("rootless: `system` has just run as an ordinary user")
            return
        self.user = self.user or ordinary_user.prepare()
        with ordinary_user.delegated_cgroups(self.user.account) as cgroups:
            self.as_user("as an ordinary user", cgroups, TOO, [])

    def undelegated(self) -> None:
        """A short pass where the user may write to no cgroup: limits are errors that say so, the rest works."""
        if os.geteuid() == 0:
            self.user = self.user or ordinary_user.prepare()
            files = [f"tests/system/test_{name}.py" for name in LIMITED]
            self.as_user("as an ordinary user without a cgroup", [], files, ["-m", "without_limits or not slow"])

    def as_user(self, name: str, cgroups: Sequence[Path], folders: Sequence[str], options: Sequence[str]) -> None:
        user = self.user
        assert user is not None

        def run(command: list[str]) -> int:
            return ordinary_user.session(user, [str(user.interpreter), *command, *options], cgroups)

        self.pytest(name, *folders, run=run)

    def bench(self) -> None:
        command = [str(self.interpreter), "-m", "tests.bench", *self.options]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        self.counts["failed" if status else "passed"] += 1


DEFAULT = ("unit", "static", "system", "notebooks", "rootless", "undelegated", "e2e")


def read_report(report: Path) -> Counts:
    suites = ElementTree.parse(report).getroot().iter("testsuite") if report.exists() else ()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for suite in suites:
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        counts["failed"] += failed
        counts["skipped"] += skipped
        counts["passed"] += int(suite.get("tests", 0)) - failed - skipped
    return counts


def main(words: list[str]) -> int:
    if words[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    parts = [word for word in words if word in (*DEFAULT, "bench")]
    options = [word for word in words if word not in (*DEFAULT, "bench", "tidy")]
    try:
        if words == ["tidy"]:
            ordinary_user.remove()
            return 0
        tests = Tests(environment.virtual_environment("test"), options, environment.debian_packages())
        for part in parts or DEFAULT:
            getattr(tests, part)()
    except environment.Failed as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return summary(tests.counts)


def summary(counts: Counts) -> int:
    print(f"\n{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
