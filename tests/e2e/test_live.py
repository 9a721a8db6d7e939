"""The base of all live views in both front ends, by the dashboard: it draws over the HTML, goes on, comes back after a
reload, a restart and reopening, and leaves HTML in the notebook."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from nbcontainers import container
from tests.e2e.harness import Notebook
from tests.e2e.server import Server, choose

Opened = Callable[..., Notebook]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    for row in container.ps(all=True, filter=["name=^live-"]):
        container.rm(str(row["id"]), force=True)


CELLS = [
    "%load_ext nbcontainers",
    "%container run -d --replace --name live-web mini sleep 1000",
    "%container dashboard",
    "%container rm -f live-web",
]


@pytest.mark.parametrize("front_end", [pytest.param("lab", marks=pytest.mark.slow), "notebook"])
def test_a_view_lives_through_reload_restart_and_reopening(notebook: Opened, front_end: str) -> None:
    nb = notebook(CELLS, front_end)
    for number in range(3):
        nb.run(number)
    line = nb.live(2, "dashboard").locator("tr", has_text="live-web")
    expect(line).to_contain_text("running for")
    html = next(output for output in nb.saved(2) if "data" in output).data
    assert set(html) == {"text/html", "text/plain"}
    assert re.search(r"live-web +running for .* mini ", html["text/plain"])

    nb.reload()
    expect(nb.live(2, "dashboard").locator("tr", has_text="live-web")).to_contain_text("running for")

    nb.restart()
    expect(nb.output(2).get_by_role("status").filter(has_text="the kernel was restarted")).to_be_visible()
    expect(line).to_contain_text("running for")
    nb.photograph(2, f"live-{front_end}-restarted")
    nb.run(0)
    expect(nb.output(2).locator(".nbc-stale")).to_have_count(0)
    expect(nb.live(2, "dashboard").locator("tr", has_text="live-web")).to_contain_text("running for")
    nb.live(2, "dashboard").locator("tr", has_text="live-web").click()
    nb.live(2, "dashboard").get_by_role("button", name="pause", exact=True).click()
    expect(nb.live(2, "dashboard").locator("tr", has_text="live-web")).to_contain_text("paused")
    nb.live(2, "dashboard").get_by_role("button", name="unpause", exact=True).click()
    expect(nb.live(2, "dashboard").locator("tr", has_text="live-web")).to_contain_text("running for")

    nb.reopen()
    expect(nb.output(2).locator("table").first).to_contain_text("live-web")
    assert nb.output(2).locator(".nbc").count() == 0
    nb.run(0)
    expect(nb.live(2, "dashboard").locator("tr", has_text="live-web")).to_contain_text("running for")
    nb.run(3)
    expect(nb.live(2, "dashboard").locator("tr", has_text="live-web")).to_have_count(0)


FRAMES = """number => {
  const cell = document.querySelector(`.jp-Notebook [data-number='${number}']`);
  window.frames_ = [];
  const look = () => {
    const area = cell.querySelector('.jp-Cell-outputArea');
    window.frames_.push(`${area?.innerText.includes('live-web') ? 'told' : 'empty'} ${area?.querySelector('.nbc') ? 'live' : 'static'}`);
    requestAnimationFrame(look);
  };
  look();
}"""
"""Writes down what each frame of a cell's output shows; a live view that is only being drawn is there, but not seen."""


def test_a_live_view_takes_its_place_once_it_is_drawn(notebook: Opened) -> None:
    """Never a frame without a picture: the static one stays so long, and that of the kernel before it as well."""
    nb = notebook(CELLS)
    nb.run(0)
    nb.run(1)
    nb.page.evaluate(FRAMES, 2)
    nb.run(2)
    nb.until("window.frames_.at(-1) === 'told live'")
    assert list(dict.fromkeys(frames(nb))) == ["empty static", "told static", "told live"]
    nb.restart()
    nb.run(0)
    expect(nb.output(2).locator(".nbc-stale")).to_have_count(0)
    nb.page.wait_for_timeout(500)
    assert set(frames(nb)) == {"told live"}
    nb.run(3)


def frames(nb: Notebook) -> list[str]:
    """Those since the last time."""
    return list(nb.page.evaluate("window.frames_.splice(0)"))


def test_it_goes_on_while_the_kernel_works(notebook: Opened) -> None:
    """JupyterLab sends comms over subshells, so buttons work during a long cell, and so do figures."""
    nb = notebook([*CELLS[:3], "import time; time.sleep(15)", CELLS[3]])
    for number in range(3):
        nb.run(number)
    view = nb.live(2, "dashboard")
    nb.run(3, wait=False)
    view.locator("tr", has_text="live-web").click()
    view.get_by_role("button", name="pause", exact=True).click()
    expect(view.locator("tr", has_text="live-web")).to_contain_text("paused", timeout=8000)
    assert nb.prompt(3).inner_text().strip() == "[*]:"
    nb.interrupt()
    nb.idle()
    nb.run(4)


def test_unloading_leaves_nothing(notebook: Opened) -> None:
    nb = notebook(
        [*CELLS[:3], "%unload_ext nbcontainers", "%load_ext nbcontainers", "%reload_ext nbcontainers", LEFT, CELLS[3]]
    )
    for number in range(3):
        nb.run(number)
    expect(nb.live(2, "dashboard").locator("tr", has_text="live-web")).to_be_visible()
    nb.run(3)
    expect(nb.output(2).get_by_role("status").filter(has_text="the live views were unloaded")).to_be_visible()
    nb.run(4)
    nb.run(5)
    expect(nb.output(2).locator(".nbc-stale")).to_have_count(0)
    expect(nb.run(6)).to_contain_text("1 channel, 1 thread, 1 each of 2 events")
    nb.run(7)


LEFT = """
import comm, threading, time
time.sleep(1)
ours = [c for c in comm.get_comm_manager().comms.values() if c.target_name == "jupyter.widget"]
threads = [t for t in threading.enumerate() if t.name == "nbcontainers-live"]
events = [len([f for f in get_ipython().events.callbacks[e] if "nbcontainers" in f.__module__])
    for e in ("pre_run_cell", "post_run_cell")]
print(f"{len(ours)} channel, {len(threads)} thread, {max(events)} each of {sum(events)} events")
"""


@pytest.mark.slow
def test_beside_ipywidgets_and_as_a_widget_view(notebook: Opened) -> None:
    """A reloaded page asks ipywidgets for all models, ours too; and where `widgets` is `on` an output is a widget."""
    slider = "import ipywidgets; ipywidgets.IntSlider(description='theirs')"
    nb = notebook([*CELLS[:3], slider, "%config NBContainers.widgets = 'on'", CELLS[2], CELLS[3]])
    for number in range(6):
        nb.run(number)
    for number in (2, 5):
        expect(nb.live(number, "dashboard").locator("tr", has_text="live-web")).to_contain_text("running for")
    assert "application/vnd.jupyter.widget-view+json" in next(one for one in nb.saved(5) if "data" in one).data
    nb.reload()
    expect(nb.output(3).get_by_text("theirs")).to_be_visible()
    for number in (2, 5):
        expect(nb.live(number, "dashboard").locator("tr", has_text="live-web")).to_contain_text("running for")
    nb.run(6)


@pytest.mark.slow
def test_how_it_ended_is_put_into_the_notebook(notebook: Opened) -> None:
    run = "%container run -d --name live-short mini sh -c 'sleep 4; exit 7'"
    nb = notebook([CELLS[0], run, "%container rm -f live-short"])
    nb.run(0)
    nb.run(1)
    assert "running" in saved_text(nb, 1)
    expect(nb.live(1, "card")).to_contain_text("failed: exit 7", timeout=20_000)
    nb.page.wait_for_timeout(500)
    assert "failed: exit 7" in saved_text(nb, 1)
    expect(nb.live(1, "card")).to_contain_text("failed: exit 7")
    nb.run(2)
    expect(nb.output(1).get_by_role("status").filter(has_text="was removed")).to_be_visible()


def saved_text(nb: Notebook, number: int) -> str:
    return "".join(one.data["text/plain"] for one in nb.saved(number) if "data" in one)


@pytest.mark.slow
def test_a_model_that_was_saved_is_no_kernel(notebook: Opened, server: Server) -> None:
    """JupyterLab saves widgets' state if told to, and makes models of it when the notebook is opened again."""
    settings = "@jupyter-widgets/jupyterlab-manager/plugin"
    choose(server.home, settings, {"saveState": True})
    nb = notebook(CELLS)
    nb.reload()
    for number in range(3):
        nb.run(number)
    expect(nb.live(2, "dashboard").locator("tr", has_text="live-web")).to_contain_text("running for")
    assert "widgets" in nb.save().metadata
    nb.reopen()
    expect(nb.output(2).locator("table").first).to_contain_text("live-web")
    nb.run(0)
    expect(nb.live(2, "dashboard").locator("tr", has_text="live-web")).to_contain_text("running for")
    nb.run(3)
    choose(server.home, settings, {"saveState": False})
    nb.reload()
