"""What is left of a live view where no kernel is: saved and reopened, not trusted, exported."""

from __future__ import annotations

import nbformat
import pytest

from tests.e2e.harness import code_cells
from tests.e2e.server import choose
from tests.e2e.test_views import exported
from tests.e2e.test_views import offline as offline

CELLS = ["%load_ext nbcontainers", "%container run -d --replace --name kept -m 64m mini sleep 600", "%container dashboard",
         "%container rm -f kept"]  # fmt: skip
KINDS = {1: "card", 2: "dashboard"}
SETTINGS = "@jupyter-widgets/jupyterlab-manager/plugin"
LOST = ("model not found", "Loading widget", "Error displaying widget")


@pytest.mark.parametrize("front_end", ["lab", pytest.param("notebook", marks=pytest.mark.slow)])
def test_without_a_kernel_it_is_a_picture_also_without_trust(notebook, front_end):
    """What is not trusted loses scripts, and some styles; the words stay, in their order. Its views name what somebody
    else wanted to be opened: also beside a kernel they stay static, until one's own cells make others. (Reload, restart:
    test_live.)"""
    nb = notebook(CELLS, front_end)
    for number in (0, 1, 2):
        nb.run(number)
    see_live(nb)
    content = nb.save()
    nb.run(3)
    nb.reopen(kernel=False)
    see_static(nb, f"saved-{front_end}")
    nb.close()
    path = nb.path.with_name(f"stranger-{front_end}.ipynb")
    content.cells[1].source += "  # nobody signed this"
    nbformat.write(content, path)
    nb.open(path, kernel=False, trusted=False)
    see_static(nb, f"untrusted-{front_end}")
    nb.close()
    nbformat.write(content, path)
    nb.open(path)
    nb.run(0)
    nb.run(3)  # what it asked for would have come before this
    see_static(nb, f"untrusted-{front_end}-with-kernel")
    nb.run(2)
    nb.live(2, "dashboard")


def see_live(nb):
    for number, kind in KINDS.items():
        nb.live(number, kind).get_by_text("kept").first.wait_for()


def see_static(nb, name):
    for number, kind in KINDS.items():
        nb.output(number).get_by_text("kept").first.wait_for()
        assert nb.output(number).locator(f".nbc-{kind}").count() == 0
        shown = nb.output(number).inner_text()
        assert [words for words in LOST if words in shown] == []
        nb.photograph(number, f"{name}-{kind}")


@pytest.mark.slow
def test_what_is_exported_from_a_live_page_needs_no_network(notebook, server, offline, tmp_path):
    """JupyterLab saves widgets' state if told to, and nbconvert then prefers a widget's view, which needs the network."""
    choose(server.home, SETTINGS, {"saveState": True})
    nb = notebook(CELLS)
    nb.reload()
    for number in (0, 1, 2):
        nb.run(number)
    see_live(nb)
    content = nb.save()
    nb.run(3)
    choose(server.home, SETTINGS, {"saveState": False})
    assert "widgets" in content.metadata
    assert_exported(content, offline, tmp_path)
    del content.metadata["widgets"]
    assert_exported(content, offline, tmp_path)


def assert_exported(content, offline, folder):
    offline.goto(exported(content, folder).as_uri())
    for number in KINDS:
        offline.locator(".jp-CodeCell").nth(number).get_by_text("kept").first.wait_for()
    assert len(code_cells(content)) == offline.locator(".jp-CodeCell").count()
