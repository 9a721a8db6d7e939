"""%%image build in a real ipykernel: the cell is the Dockerfile, one display area shows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nbcontainers.builder import api as builder
from nbcontainers.image import api
from tests.system.kernel import Kernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    builder.prune(all=True)
    kernel = Kernel()
    yield kernel
    kernel.run("%image rm -f nbc-cell failed-build")
    kernel.close()


def test_a_cell_is_the_dockerfile(kernel: Kernel) -> None:
    cell = kernel.run("%%image build -t nbc-cell -\nFROM mini\nRUN echo hello > /x; echo '<said>'\nUSER 5")
    assert not cell.error, cell.traceback
    [shown] = cell.shown("text/html")[-1:]
    assert "built nbc-cell" in shown
    assert "RUN echo hello &gt; /x; echo &#x27;&lt;said&gt;&#x27;" in shown
    assert cell.text() == ""
    again = kernel.run("%%image build -t nbc-cell -\nFROM mini\nRUN echo hello > /x; echo '<said>'\nUSER 5")
    assert "1 cached" in again.shown()[-1]
    assert "# cached · 1 files" in again.shown()[-1]


def test_a_failing_line_is_marked(kernel: Kernel) -> None:
    cell = kernel.run("%%image build -\nFROM mini\nRUN echo words; exit 4")
    assert cell.error == "BuildError"
    assert "Dockerfile:2" in cell.traceback
    assert "%container run -it --rm failed-build" in cell.traceback
    shown = cell.shown()[-1]
    assert "✗ 2 | RUN echo words; exit 4" in shown
    assert "words" in shown


def test_files_of_a_variable(kernel: Kernel) -> None:
    kernel.run("files = {'a.txt': 'from the notebook'}\nimport pandas\nframe = pandas.DataFrame({'a': [1, 2]})")
    cell = kernel.run("%%image build -t nbc-cell --context-from files\nFROM mini\nCOPY a.txt /\n")
    assert not cell.error, cell.traceback
    assert kernel.run("%container run --rm -q nbc-cell cat /a.txt").text() == "from the notebook"
    cell = kernel.run("%%image build -t nbc-cell --context-from frame\nFROM mini\nCOPY frame.csv /\n")
    assert not cell.error, cell.traceback
    assert kernel.run("%container run --rm -q nbc-cell cat /frame.csv").text() == "a\n1\n2\n"
    assert "no variable is named" in kernel.run("%%image build --context-from nothing\nFROM mini").traceback


def test_an_empty_cell_and_what_is_no_body(kernel: Kernel) -> None:
    assert "no Dockerfile" in kernel.run("%%image build\n\n").traceback
    assert "reads no cell body" in kernel.run("%%image ls\nx").traceback


def test_its_handle(kernel: Kernel) -> None:
    cell = kernel.run("%%image build -q --out made -\nFROM mini\nENV a=b")
    assert cell.shown() == []
    assert api.inspect(kernel.run("made.id").shown()[0].strip("'"))
