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
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / ".ci"))

import environment  # noqa: E402
import ordinary_user  # noqa: E402
import outcome  # noqa: E402

TOO = ("tests/notebooks", "tests/system")  # what the ordinary user runs again
LIMITED = "cgroups cli compare doctor exec_session experiment idle_monitor interrupt isolation kill launcher magics monitor run runtime".split()
"""The modules of tests/system in which a limit is set or missed; the others do not ask whether there is a cgroup."""


class Tests:
    """One run: the environment, the options for pytest, and what was counted so far."""

    def __init__(self, interpreter: Path, options: Sequence[str], packages: bool) -> None:
        self.interpreter = interpreter
        self.options = list(options)
        self.packages = packages
        self.outcome = outcome.Outcome()
        self.user: ordinary_user.User | None = None
        self.briefly = False
        self.log: IO[str] | None = None

    def run(self, parts: Sequence[str]) -> None:
        for part in parts:
            getattr(self, part)()

    def pytest(self, part: str, *folders: str, run: Callable[[list[str]], int] | None = None) -> None:
        """One pytest process, and another for what failed in it: an unsteady test is told from a broken one."""
        environment.say(f"tests: {part}")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="nbc-report-") as folder:
            os.chmod(folder, 0o1777)  # the ordinary user writes here too
            command = ["-m", "pytest", *folders, "-o", f"cache_dir={folder}/cache", *self.options]
            once = self.once(part, run or self.as_ourselves, command, Path(folder, "once.xml"))
            if once.failures:
                environment.say(f"tests: {part}: what failed, once more")
                again = [*command, "--last-failed", "--last-failed-no-failures=none"]
                once = once.repeated(self.once(part, run or self.as_ourselves, again, Path(folder, "again.xml")))
        once.took[part] = time.monotonic() - begun
        self.outcome.add(once)

    def once(self, part: str, run: Callable[[list[str]], int], command: list[str], report: Path) -> outcome.Outcome:
        """One pytest process; a crash is a failure too."""
        status = run([*command, f"--junitxml={report}"])
        found = outcome.read(report, part)
        nothing_selected = status == 5 and ("-k" in self.options or "--last-failed" in command)
        if status and not found.failures and not nothing_selected:
            found.failures[f"pytest ended with status {status} ({part})"] = ""
        return found

    def as_ourselves(self, command: list[str]) -> int:
        return subprocess.run([self.interpreter, *command], cwd=ROOT, check=False).returncode

    def unit(self) -> None:
        self.pytest("unit", "tests/unit")

    def static(self) -> None:
        self.pytest("static", "tests/static")

    def system(self) -> None:
        self.pytest(f"system, as uid {os.geteuid()}", "tests/system")

    def notebooks(self) -> None:
        self.pytest("notebooks and README", "tests/notebooks")

    def e2e(self) -> None:
        """All of it takes a quarter of an hour; beside the other parts what is slow is left to `python3 tests e2e`."""

        def run(command: list[str]) -> int:
            return subprocess.run([self.interpreter, *command], cwd=ROOT, check=False, stdout=self.log).returncode

        self.pytest("JupyterLab in a browser", "tests/e2e", *(["-m", "not slow"] if self.briefly else []), run=run)

    @contextmanager
    def browser_beside(self) -> Iterator[None]:
        """The browser waits most of its time: it does so while parts run that do not look for what others leave behind.
        What it printed comes afterwards."""
        with tempfile.TemporaryFile("w+") as self.log, ThreadPoolExecutor(1) as executor:
            done = executor.submit(self.e2e)
            yield
            done.result()
            self.log.seek(0)
            print(self.log.read(), flush=True)

    def rootless(self, *folders: str) -> None:
        """The notebooks and the system tests again as an ordinary user with a cgroup of its own."""
        if os.geteuid() != 0:
            environment.say("rootless: `system` has just run as an ordinary user")
            return
        self.user = self.user or ordinary_user.prepare()
        with ordinary_user.delegated_cgroups(self.user.account) as cgroups:
            self.as_user(f"as an ordinary user: {', '.join(folders or TOO)}", cgroups, folders or TOO, [])

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
        if status:
            self.outcome.failures[f"bench ended with status {status}"] = ""
        else:
            self.outcome.passed += 1


BESIDE = ("unit", "static", "notebooks")  # the browser's tests
PARTS = (*BESIDE, "system", "rootless", "undelegated", "e2e")


def main(words: list[str]) -> int:
    if words[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    parts = [word for word in words if word in (*PARTS, "bench")]
    options = [word for word in words if word not in (*PARTS, "bench", "tidy")]
    try:
        if words == ["tidy"]:
            ordinary_user.remove()
            return 0
        tests = Tests(environment.virtual_environment("test"), options, environment.debian_packages())
        if parts:
            tests.run(parts)
        else:
            tests.briefly = True
            with tests.browser_beside():
                tests.run(BESIDE)
                tests.rootless("tests/notebooks")
            tests.system()
            tests.rootless("tests/system")
            tests.undelegated()
    except environment.Failed as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(tests.outcome.summary())
    return 1 if tests.outcome.failures or not tests.outcome.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
