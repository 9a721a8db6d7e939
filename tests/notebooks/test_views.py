"""What notebooks/views.ipynb shows, run without a front end: final, small, safe, and the same facts in text as in HTML."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.conftest import another_engine
from tests.headless import Words, executed, in_a_network, stripped

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks/views.ipynb"
LARGEST = 300_000
FORBIDDEN = {"script", "iframe", "object", "embed", "link", "style", "base", "form", "meta"}
IN_TEXT_ANOTHER_WAY = re.compile(r"[▁-█●·•…→←↑↓–—−+×✓✗|/()\[\]{},.;:%$=~'\"-]+")
pytestmark = [pytest.mark.limits, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """In an engine that has seen no other events."""
    folder = tmp_path_factory.mktemp("views")
    with another_engine():
        return executed(NOTEBOOK, folder / "views.ipynb", command=in_a_network())


@pytest.fixture(scope="module")
def views(notebook: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    """The data of each output of ours that has HTML, by the source of its cell and its place there."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = [(f"{cell.source[:60]} [{n}]", output) for cell in cells for n, output in enumerate(cell.outputs)]
    shown = {name: output.data for name, output in found if "text/html" in output.get("data", ())}
    return {name: data for name, data in shown.items() if 'class="dataframe"' not in data["text/html"]}


def test_every_cell_ran(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells if cell.execution_count is None] == []
    shown = "\n".join(output.get("text", "") for cell in cells for output in cell.outputs)
    assert "UsageError" not in shown


def test_outputs_are_final_and_small(notebook, views):
    """No widget (nobody is there to look at it), no state of one, and not one output for each line."""
    assert "widgets" not in notebook.metadata
    assert [name for name, data in views.items() if any("widget" in kind for kind in data)] == []
    assert {name: len(data["text/html"]) for name, data in views.items() if len(data["text/html"]) > LARGEST} == {}
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert {cell.source: len(cell.outputs) for cell in cells if len(cell.outputs) > 4} == {}
    assert len(nbformat.writes(notebook)) < 1_000_000


def test_html_asks_for_nothing_and_runs_nothing(views):
    for name, data in views.items():
        found = Words(data["text/html"])
        assert found.tags & FORBIDDEN == set(), name
        assert found.open == [], f"{name}: not closed"
        for attribute, value in found.attributes:
            assert not attribute.startswith("on"), (name, attribute)
            assert not re.search(r"url\((?!#)|@import|javascript:", value), (name, value)
            if attribute in ("src", "href", "xlink:href"):
                assert value.startswith(("#", "data:image/", "http://127.0.0.1", "http://localhost", "/")), (
                    name,
                    value,
                )


def test_html_needs_neither_style_nor_class(views):
    """As GitHub shows it: the same words in the same order."""
    for name, data in views.items():
        assert Words(stripped(data["text/html"])).words == Words(data["text/html"]).words, name


def test_the_text_has_every_figure_of_the_html(views):
    """Words with a digit in them: names and labels may be said otherwise, a figure may not be missing."""
    for name, data in views.items():
        text = figures(data["text/plain"].split())
        words = Words(data["text/html"]).words
        assert sorted(figures([word for word in words if "…" not in word]) - text) == [], name
        cut = figures([word for word in words if "…" in word])  # a drawing has less room than a line
        assert [part for part in cut if part not in data["text/plain"]] == [], name


def figures(words: list[str]) -> set[str]:
    """Ids count by their first twelve digits."""
    parts = [part for word in words for part in IN_TEXT_ANOTHER_WAY.split(word)]
    parts = [part[:12] if re.fullmatch("[0-9a-f]{32,}", part) else part for part in parts]
    return {part for part in parts if any(character.isdigit() for character in part)}


def test_the_text_is_lines_a_terminal_can_show(views):
    for name, data in views.items():
        text = data["text/plain"]
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]|</?(div|span|table|tr|td|b|code|svg|g|text|a)\b|&\w+;", text), (
            name
        )
        assert max(map(len, text.splitlines())) <= 240, (name, max(text.splitlines(), key=len))
