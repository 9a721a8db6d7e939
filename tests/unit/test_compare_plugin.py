"""A target of another package: an entry point and a file, as nbcontainers/compare/target.py says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbcontainers import compare
from nbcontainers.compare import conditions, target
from nbcontainers.compare.comparison import Comparison

MODULE = """
import subprocess
from contextlib import contextmanager
from nbcontainers.compare.target import Missing

class Nice:
    name, label, kind = "nice", "host, nice 19", "host"

    def missing(self, plan):
        return None if plan.on_host else Missing("it only knows the host's files", "write --image host")

    def facts(self):
        return {"version": "1", "limits": "none, it is an example"}

    @contextmanager
    def opened(self, plan):
        def execute(command, stdout, stderr):
            variables = plan.variables(str(plan.folder), str(plan.volume))
            done = subprocess.run(["nice", "-n", "19", *command], capture_output=True, env=variables, timeout=plan.seconds)
            stdout(done.stdout)
            stderr(done.stderr)
            return done.returncode
        yield execute

    def stored(self, plan):
        return []

    def idle(self, plan):
        return None

NAMES = {"nice": Nice}
"""
METADATA = "Metadata-Version: 2.1\nName: another\nVersion: 1.0\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Installed as pip installs it: a module beside a folder of metadata."""
    about = tmp_path / "another-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(METADATA)
    (about / "entry_points.txt").write_text(
        "[nbcontainers.targets]\nnice = another_target\nbroken = another_that_fails\nhost = another_host\n"
    )
    (tmp_path / "another_target.py").write_text(MODULE)
    (tmp_path / "another_that_fails.py").write_text("import there_is_no_such_module\n")
    (tmp_path / "another_host.py").write_text("NAMES = {'host': None}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(conditions, "_LOOK_S", 0.01)
    target.names.cache_clear()
    yield tmp_path
    target.names.cache_clear()


def test_it_is_a_target_like_ours(package: Path) -> None:
    found = compare.run(script="echo hi", on="host:unlimited,nice", rounds=5, pin=False, seed=1)
    assert isinstance(found, Comparison)
    assert found.absent == {}
    assert found.targets["nice"] == "host, nice 19"
    assert len([row for row in found.samples if row["target"] == "nice" and row["axis"] == "cell"]) == 5
    assert found.measured.facts["nice"]["version"] == "1"


def test_it_is_listed_and_one_that_fails_says_why(package: Path) -> None:
    rows = {row["name"]: row for row in compare.targets()}
    assert rows["nice"]["here"] == "yes"
    assert rows["broken"]["here"] == "no"
    assert rows["broken"]["about"].startswith(
        "its module fails: another_that_fails: ModuleNotFoundError: No module named"
    )
    assert rows["host"]["about"].startswith("kernel "), "nobody takes the place of ours"
    found = compare.run(script="echo hi", on="host:unlimited,broken", rounds=5, pin=False)
    assert found.absent["broken"].endswith("mend or remove the package it came with")
