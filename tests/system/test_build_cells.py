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
    assert "its step was cached" in again.shown()[-1]
    assert "# cached · 1 file, 6 B" in again.shown()[-1]
    assert "6 B" in again.shown()[-1].splitlines()[-2], "the image's layers come last, above where to see more"


def test_a_failing_line_is_marked(kernel: Kernel) -> None:
    cell = kernel.run("%%image build -\nFROM mini\nRUN echo words; exit 4")
    assert cell.error == "BuildError"
    assert "Dockerfile:2" in cell.traceback
    shown = cell.shown()[-1]
    assert "✗ 2 | RUN echo words; exit 4" in shown
    assert "words" in shown
    for place in (shown, cell.traceback):
        assert "RUN failed with exit status 4" in place
        assert "%container run --rm failed-build ls -l sees the files" in place
    assert "usr" in kernel.run("%container run --rm failed-build ls -l").text()
    assert kernel.run("%%container run failed-build\necho $((1 + 1))").text() == "2\n"


def test_what_was_to_run_does_not_hinder_a_look(kernel: Kernel) -> None:
    """The base's ENTRYPOINT and CMD are not those of the image that is offered."""
    kernel.run('%%image build -\nFROM mini\nENTRYPOINT ["/bin/false"]\nRUN touch /here\nRUN exit 1')
    assert kernel.run("%container run --rm -q failed-build ls /here").text() == "/here\n"


def test_a_command_without_a_network_is_told_so(kernel: Kernel) -> None:
    cell = kernel.run("%%image build --network none -\nFROM mini\nRUN wget -q -O- http://nowhere.invalid")
    assert "it ran without a network, as --network=none says; %container run" in cell.traceback


def test_warnings_and_what_is_left_out(kernel: Kernel) -> None:
    cell = kernel.run("%%image build -t nbc-cell -\nFROM mini as a\nRUN true\nFROM mini\nCMD true")
    shown = cell.shown()[-1]
    assert "^ warning: FromAsCasing" in shown
    assert "^ warning: JSONArgsRecommended" in shown
    assert "not needed" in cell.shown("text/html")[-1]


def test_an_interrupt_ends_it_and_says_so(kernel: Kernel) -> None:
    cell = kernel.run("%%image build -t nbc-cell -\nFROM mini\nRUN echo begun; sleep 50", interrupts=(2,))
    assert cell.error == "KeyboardInterrupt"
    assert cell.seconds < 10
    assert "build interrupted: nbc-cell" in cell.shown()[-1]
    assert "– 2 | RUN echo begun; sleep 50   # cancelled" in cell.shown()[-1]
    assert kernel.run("%container ps -q --format json").text() == ""
    assert not kernel.run("%%image build -t nbc-cell -\nFROM mini").error


def test_other_forms_of_progress(kernel: Kernel) -> None:
    source = "FROM mini\nRUN echo words"
    plain = kernel.run(f"%%image build --no-cache --progress plain -t nbc-cell -\n{source}")
    assert plain.shown() == []
    assert "  2 | words\n" in plain.text()
    assert "built nbc-cell in" in plain.text()
    for form in ("quiet", "none"):
        cell = kernel.run(f"%%image build --progress {form} -t nbc-cell -\n{source}")
        assert (cell.error, cell.text(), cell.shown()) == ("", "", [])
    assert "one of auto, plain, tty, quiet, none" in kernel.run(f"%%image build --progress fancy -\n{source}").traceback
    assert "built in" in kernel.run(f"%%image build --progress tty -\n{source}").shown()[-1]


def test_an_image_shows_itself(kernel: Kernel) -> None:
    kernel.run("%%image build -q --out made -\nFROM mini\nRUN echo '<b>' > /x\nCMD [\"<i>\"]")
    [card] = kernel.run("made").shown("text/html")
    assert "RUN echo &#x27;&lt;b&gt;&#x27; &gt; /x" in card
    assert "<i>" not in card
    assert "4 B" in kernel.run("made").shown()[0]


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


def test_debug_opens_a_shell_where_a_step_failed(kernel: Kernel) -> None:
    """It was taken and did nothing. Where nobody types it opens none."""
    source = "FROM mini\nRUN echo found > /here\nRUN exit 3"
    cell = kernel.run(f"%%image build --debug -\n{source}")
    assert cell.error == "BuildError"
    assert "--debug opens a shell in them" in cell.traceback
    assert "exited" not in cell.shown()[-1]
    [id] = kernel.run("import nbcontainers\nprint(*(one['id'] for one in nbcontainers.container.ls()))").text().split()
    assert kernel.run(f"%container exec -q {id} cat /here").text() == "found\n"
    kernel.run(f"%container rm -f {id}")
    alone = kernel.run(f"%%image build --debug -\n{source}", somebody=False)
    assert alone.error == "BuildError"
    assert "--debug" not in alone.traceback
    assert kernel.run("print(len(nbcontainers.container.ls()))").text() == "0\n"
