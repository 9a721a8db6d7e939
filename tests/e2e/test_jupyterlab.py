"""The quickstart in JupyterLab, in a real browser, light and dark. Screenshots: see harness.py."""

from __future__ import annotations

import shutil
import time

import nbformat

from tests.e2e.harness import ROOT, code_cells, failures

QUICKSTART = ROOT / "notebooks/quickstart.ipynb"


def test_the_quickstart_runs_in_jupyterlab(notebook):
    """Its own cells, text between them; then each in both themes: nothing that is shown knows which one is on."""
    nb = notebook([])
    path = nb.path.with_name("quickstart.ipynb")
    shutil.copy(QUICKSTART, path)
    nb.close()
    nb.open(path)
    nb.run_all(timeout_s=240)
    saved = nb.save()
    assert failures(saved) == []
    assert all(cell.execution_count for cell in code_cells(saved))
    for theme in ("light", "dark"):
        nb.theme(theme)
        pictures = [
            nb.photograph(number, f"quickstart-{theme}-{number:02d}") for number in range(len(code_cells(saved)))
        ]
        assert all(path.stat().st_size > 1000 for path in pictures)


def test_run_all_by_its_menu(notebook):
    """As a person runs a notebook: one click, all cells, without a kernel that is asked one by one."""
    nb = notebook(["%load_ext nbcontainers", "%%container run -q mini\necho one", "%%container run -q mini\necho two"])
    nb.page.get_by_text("Run", exact=True).first.click()
    nb.page.locator("li[data-command='runmenu:run-all']").click()
    nb.output(2).get_by_text("two").wait_for()
    assert failures(nb.save()) == []


def test_the_stop_button_ends_the_container(notebook):
    """The program gets SIGINT at once, and the notebook goes on."""
    nb = notebook(["%load_ext nbcontainers", "%container run mini sleep 120", "print('goes', 'on')"])
    nb.run(0)
    begun = time.monotonic()
    nb.run(1, wait=False)
    time.sleep(2)
    nb.interrupt()
    nb.idle()
    nb.run(2).get_by_text("goes on").wait_for()
    assert time.monotonic() - begun < 45


def test_a_notebook_is_stored_as_it_was_written(notebook):
    """The harness itself: the cells of a test come back from the front end unchanged, in both of them."""
    sources = ["1 + 1", "print('a')\nprint('b')"]
    for front_end in ("lab", "notebook"):
        nb = notebook(sources, front_end)
        nb.run_all()
        saved = code_cells(nb.save())
        assert [cell.source for cell in saved] == sources
        assert saved[0].outputs[0].data["text/plain"] == "2"
        assert nbformat.read(nb.path, as_version=4).cells[1].outputs[0].text == "a\nb\n"
        nb.restart()
        nb.reload()
        nb.output(1).get_by_text("b", exact=False).wait_for()
        nb.reopen(kernel=False)
        nb.output(1).get_by_text("b", exact=False).wait_for()
