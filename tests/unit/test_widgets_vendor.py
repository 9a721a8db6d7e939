"""The code of others that is shipped: unchanged, and its licences with it."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nbcontainers.widgets.live import LARGEST
from nbcontainers.widgets.terminal import vendor

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "nbcontainers/widgets/vendor"
SHIPPED = ("LICENSE.addon-fit", "LICENSE.xterm", "README.md", "addon-fit.mjs", "xterm.css", "xterm.mjs")


def test_every_file_is_as_it_was_published() -> None:
    said = dict(re.findall(r"^\| `([\w.-]+)` .*`([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.M))
    assert set(said) == {"xterm.mjs", "xterm.css", "addon-fit.mjs"}
    for name, digest in said.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_the_licences_are_there() -> None:
    for name in ("LICENSE.xterm", "LICENSE.addon-fit"):
        assert "Permission is hereby granted, free of charge" in (VENDOR / name).read_text()
    assert tuple(sorted(path.name for path in VENDOR.iterdir())) == SHIPPED


def test_they_refer_to_nothing_outside() -> None:
    code = (VENDOR / "xterm.mjs").read_text() + (VENDOR / "addon-fit.mjs").read_text()
    assert not re.findall(r"\bimport\s*[({\"'*]|\bfetch\(|XMLHttpRequest|\bnew WebSocket", code)
    assert "url(" not in (VENDOR / "xterm.css").read_text()


def test_a_page_gets_them_in_one_update() -> None:
    assert sum(map(len, vendor())) < LARGEST


def test_the_wheel_has_them(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        names = set(wheel.namelist())
    assert {f"nbcontainers/widgets/vendor/{name}" for name in SHIPPED} <= names
