"""Every notebook of ours runs without a browser, all of its cells, and shows what its text promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.headless import executed, in_a_network

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROMISES = {
    "comparison": (
        "nbcontainers 0.", "what runs on what", "the same again", "volume_write_sync", "App1's bug starts",
        "container, App1 with --cpus 0.25",
    ),
    "services": (
        "→ 80/tcp", "the way to *:", "web: sh · exited with 0", "no answer: timed out", "memory 128 MiB  cpus 0.5  pids 20",
        "--pids-limit: 2 is less than the 3", "(unhealthy)", "started again 3 times", "monday: soup\ntuesday: pasta",
        "volume menu is in use by web",
    ),
}  # fmt: skip
IN_A_NETWORK = ("comparison", "services")
"""Those that make networks: root runs them where these are nobody else's."""
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def shown() -> str:
    """What `python3 notebooks` prints for the quickstart."""
    command = [sys.executable, ROOT / "notebooks/show.py", ROOT / "notebooks/quickstart.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.limits
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != "views"], ids=lambda path: path.stem)
def test_every_cell_of_the_notebook_runs(path: Path, tmp_path: Path) -> None:
    """Under `jupyter execute`; a cell without a count was skipped by an error that fails nothing. views: test_views."""
    before = in_a_network() if path.stem in IN_A_NETWORK else ()
    notebook = executed(path, tmp_path / "result.ipynb", command=before)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert [cell.source for cell in cells if cell.execution_count is None] == []
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output.text for output in outputs if "UsageError" in output.get("text", "")] == []
    shown = "\n".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)
    assert [promise for promise in PROMISES.get(path.stem, ()) if promise not in shown] == []


@pytest.mark.limits
@pytest.mark.parametrize(
    "promise",
    ["hello from a container", "64 MiB", "OOM", "pids", "nodes", "R² =", "CONTAINER ID", "mini"],
)
def test_the_quickstart_shows_what_it_promises(shown: str, promise: str) -> None:
    assert promise.lower() in shown.lower(), shown


@pytest.mark.limits
def test_the_images_notebook_needs_no_registry(tmp_path: Path) -> None:
    """Where docker-registry is not installed a folder takes its place, and shows the same."""
    source = (ROOT / "notebooks/images.ipynb").read_text()
    assert r"shutil.which(\"docker-registry\")" in source
    path = tmp_path / "images.ipynb"
    path.write_text(source.replace(r"shutil.which(\"docker-registry\")", "None"))
    command = [sys.executable, ROOT / "notebooks/show.py", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    for promise in (
        "pulled localhost/shelf:1.0.1 in",
        "1 downloaded, 3 already there",
        "soup\npasta",
        "never in production",
    ):
        assert promise in done.stdout


@pytest.mark.limits
def test_the_build_notebook_shows_what_it_promises() -> None:
    command = [sys.executable, ROOT / "notebooks/show.py", ROOT / "notebooks/build.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    for promise in (
        "2 of 3 steps cached", "2 dishes", "Hello Ada", "5000050000", "✗ 3 | RUN wc -l /data/answers",
        "1 of 2 steps cached", "SecretsUsedInArgOrEnv", "ls: /run/secrets: No such file", "boil it",
    ):  # fmt: skip
        assert promise in done.stdout, promise


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_stored_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells if cell.outputs or cell.execution_count] == []


@pytest.mark.parametrize("code", ["1/0", "%no_such_magic"])
def test_a_notebook_that_fails_is_said_to_fail(code: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), path)
    command = [sys.executable, ROOT / "notebooks/show.py", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env={**os.environ})
    assert done.returncode == 1
    assert "failed" in done.stderr or "not there" in done.stderr


def test_a_failure_is_shown_once_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "refused.ipynb"
    cells = ["%load_ext nbcontainers", "%container run --pull never no-such-image true"]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells]), path)
    command = [sys.executable, ROOT / "notebooks/show.py", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count("hint: ") == 1
    assert done.stderr.strip().endswith("do what its hint says, then type the same again")
