"""The README's examples do what the README says.

Blocks marked `ipython` and `python` are the cells of one notebook, in order; blocks marked `sh` run in a shell with
the command line on its path. `<!-- fails: WORDS -->` before a block: it must fail, and its error must hold these
words. `<!-- not run -->`: it cannot be run here. `<!-- shows: WORDS -->`: its output must hold them. `<!-- with a
registry: WORDS -->`: the same, with a docker-registry of its own at $REGISTRY. `<!-- in a network: WORDS -->`: the same,
root in a network namespace of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

from nbcontainers.engine import default_engine
from nbcontainers.image import versions
from nbcontainers.registry import settings
from tests.headless import in_a_network
from tests.registries import docker_registry

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"(?:<!-- (?P<note>[a-z ]+)(?:: (?P<words>[^\n]*?))? -->\n)?```(?P<kind>ipython|python|sh)\n(?P<code>.*?)```", re.S
)
pytestmark = [pytest.mark.limits, pytest.mark.timeout(300)]


class Block(NamedTuple):
    note: str
    words: str
    kind: str
    code: str


def blocks(*kinds: str) -> list[Block]:
    found = (match.groupdict(default="") for match in BLOCK.finditer((ROOT / "README.md").read_text()))
    return [Block(**block) for block in found if block["kind"] in kinds and block["note"] != "not run"]


def test_the_notebook_examples(tmp_path: Path) -> None:
    examples = blocks("ipython", "python")
    cells = [nbformat.v4.new_code_cell(block.code.rstrip("\n")) for block in examples]
    for cell, block in zip(cells, examples, strict=True):
        cell.metadata.tags = ["raises-exception"] if block.note == "fails" else []
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell, block in zip(cells, examples, strict=True):
        check(block, "\n".join(text_of(output) for output in cell.outputs), cell.execution_count is not None)


def text_of(output: nbformat.NotebookNode) -> str:
    if output.output_type == "error":
        return "\n".join(output.traceback)
    return str(output.text if output.output_type == "stream" else output.data.get("text/plain", ""))


def check(block: Block, shown: str, ran: bool) -> None:
    assert ran, f"did not run:\n{block.code}"
    assert "UsageError" not in shown, shown
    missing = [word for word in block.words.split(" … ") if word not in shown]
    assert not missing, f"{block.code}\nshould show {missing}, but showed\n{shown}"


@pytest.mark.parametrize("block", blocks("sh"), ids=lambda block: block.code.splitlines()[0][:40])
def test_the_shell_examples(block: Block, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with contextlib.ExitStack() as stack:
        if block.note == "with a registry":
            environment["REGISTRY"] = stack.enter_context(docker_registry(tmp_path / "registry")).host
        command = ["sh", "-e", "-c", block.code]
        if block.note.startswith("in a network"):
            command = [*in_a_network(), *command]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == (block.note == "fails"), done.stdout + done.stderr
    check(block, done.stdout + done.stderr, True)


def test_the_settings_file_says_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "registries.toml"
    path.write_text("".join(re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)))
    monkeypatch.setenv("NBCONTAINERS_REGISTRIES", str(path))
    found = settings.load(default_engine())
    assert found.search == ("docker.io", "quay.io")
    assert found.aliases == {"lab": "registry.lab:5000/science/lab"}
    assert found.registry("registry.lab:5000/a/b").ca == "/etc/ssl/lab-ca.pem"
    assert found.registry("docker.io").mirrors[0].location == "mirror.lab/hub"


def test_the_table_of_tags_is_what_the_code_says() -> None:
    rows = re.findall(r"^\| (`.*?) \| ([\w-]+) \| (.*?) \|$", (ROOT / "README.md").read_text(), re.M)
    found = [(tag, kind, moves) for tags, kind, moves in rows if kind in versions.MOVES for tag in tags.split(", ")]
    assert len(found) > 8
    for tag, kind, moves in found:
        said = versions.read(tag.strip("`"))
        assert (said.kind, said.moves in moves) == (kind, True), tag
