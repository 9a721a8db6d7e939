"""`%%container python` in a real kernel: what the outputs of its cells are."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.timeout(300)

CELLS = {
    "load": "%load_ext nbcontainers\nimport pandas as pd\nframe = pd.DataFrame({'a': [1, 2]})",
    "shows": (
        "%%container python -q -i frame -o total\nimport matplotlib.pyplot as plt\nprint('before')\nplt.plot([1, 2]);\n"
        "plt.show()\nprint('after')\ntotal = int(frame['a'].sum())\nframe"
    ),
    "bound": "total",
    "raises": "%%container python -q\ndef f(x):\n    return 1 / x\n\nf(0)",
    "syntax": "%%container python -q\nx = 1\ny = = 2",
    "updates": (
        "%%container python -q\nfrom IPython.display import display, HTML\n"
        "handle = display(HTML('first'), display_id=True)\nhandle.update(HTML('second'))"
    ),
    "refused": "%%container python -i nothing\n1",
    "not raised": "%%container python -q --no-raise-error --out failed\n1/0",
    "looked at": "type(failed.error).__name__",
}


@pytest.fixture(scope="module")
def outputs() -> dict[str, list[nbformat.NotebookNode]]:
    """The outputs of each cell."""
    cells = [nbformat.v4.new_code_cell(code) for code in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=120).execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def lines(output: nbformat.NotebookNode) -> list[str]:
    """A traceback without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback)).splitlines()


def test_text_figure_and_table_in_their_order(outputs):
    before, figure, after, table = outputs["shows"]
    assert (before.text, after.text) == ("before\n", "after\n")
    assert figure.data["image/png"].startswith("iVBOR")
    assert figure.data["text/plain"] == "<Figure size 640x480 with 1 Axes>"
    assert "<table" in table.data["text/html"]


def test_an_output_is_a_variable(outputs):
    assert outputs["bound"][0].data["text/plain"] == "3"


def test_an_exception_is_the_cells_own(outputs):
    (error,) = outputs["raises"]
    assert (error.ename, error.evalue) == ("ZeroDivisionError", "division by zero")
    shown = lines(error)
    assert shown[2] == f"Cell In[{list(CELLS).index('raises') + 1}], line 5"
    assert "----> 3     return 1 / x" in shown
    assert len(shown) < 20


def test_a_syntax_error_has_its_line_and_caret(outputs):
    (error,) = outputs["syntax"]
    assert error.ename == "SyntaxError"
    assert lines(error)[1:] == ["    y = = 2", "        ^", "SyntaxError: invalid syntax"]


def test_a_display_is_updated_in_place(outputs):
    (display,) = outputs["updates"]
    assert display.data["text/html"] == "second"


def test_what_is_refused_is_short(outputs):
    (error,) = outputs["refused"]
    assert (error.ename, lines(error)[0]) == (
        "InvalidArgument",
        "InvalidArgument: there is no variable nothing to pass in",
    )


def test_a_failure_may_be_a_result(outputs):
    assert "division by zero" in outputs["not raised"][0].text
    assert outputs["looked at"][0].data["text/plain"] == "'ZeroDivisionError'"
