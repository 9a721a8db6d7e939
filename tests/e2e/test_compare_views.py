"""A comparison in JupyterLab: progress, the overview, the picture, all figures, the drawings and the interference, on light and
on dark, in a narrow window, exported without a network; and the stop button, which shows what there is of whole rounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from nbcontainers import container
from nbcontainers.engine import default_engine
from tests.e2e.harness import ARTEFACTS, Notebook
from tests.e2e.test_views import exported

Opened = Callable[..., Notebook]
SHORT = """from nbcontainers.compare import drawings, scenes
drawings._SETTLES_S, scenes._SETS_IN, scenes._ENDS, scenes._READY_S = 0.3, 1.0, 3.0, 0.8"""
CELLS = [
    f"%load_ext nbcontainers\n{SHORT}",
    "%compare run execute,write_sync,small_files --on host:unlimited,container -n 6 --seed 1",
    "%compare layers --on host:unlimited,container",
    "%compare interference --on host:unlimited,container",
    "%compare targets",
    "%%compare --on container -n 200\nsleep 0.05",
]


def test_a_comparison(notebook: Opened, browser: Browser, tmp_path: Path) -> None:
    nb = notebook(CELLS[:5])
    nb.page.set_viewport_size({"width": 1200, "height": 2600})
    nb.run(0)
    shown = nb.run(1, wait=False)
    expect(shown.get_by_text(re.compile(r"round \d of 6: .*, about \d+ s left"))).to_be_visible(timeout=30_000)
    nb.photograph(1, "compare-working")
    expect(shown.get_by_text(re.compile("every figure"))).to_be_visible(timeout=60_000)
    expect(shown.locator("svg text", has_text="small_files")).to_have_count(1)
    expect(shown.get_by_text("none found (≤").or_(shown.get_by_text("slower")).first).to_be_visible()
    nb.in_both_themes(1, "compare", shown.locator(".jp-RenderedHTML"))
    shown.get_by_text("under what conditions").click()
    expect(shown.get_by_text("95 % interval").first).to_be_visible()
    nb.in_both_themes(1, "compare-figures", shown.locator(".jp-RenderedHTML"))
    for number, name in ((2, "compare-layers"), (3, "compare-interference"), (4, "compare-targets")):
        shown = nb.run(number)
        nb.in_both_themes(number, name, shown.locator(".jp-RenderedHTML").last)
    nb.page.set_viewport_size({"width": 640, "height": 2600})
    for number in (1, 2, 3):
        nb.photograph(number, f"compare-narrow-{number}")
        wide = nb.output(number).locator("svg").first.evaluate("one => one.getBoundingClientRect().width")
        assert wide >= 240, "no picture is made so small that its words cannot be read"
    nb.page.set_viewport_size({"width": 1200, "height": 1000})
    for number in (1, 2, 3):
        assert [sorted(one.data) for one in nb.saved(number)] == [["text/plain"], ["text/html", "text/plain"]]
    alone(browser, exported(nb.save(), tmp_path))


def alone(browser: Browser, page: Path) -> None:
    """The exported page, opened where there is no network, has every picture."""
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900})
    one = context.new_page()
    one.goto(page.as_uri())
    for words in ("every figure", "programs on", "App1's bug", "× host"):
        expect(one.get_by_text(words).first).to_be_visible()
    one.screenshot(path=ARTEFACTS / "compare-exported.png", full_page=True)
    context.close()


def test_the_stop_button_shows_what_there_is(notebook: Opened) -> None:
    before = [row["id"] for row in container.ps(all=True)]
    nb = notebook([CELLS[0], CELLS[5], "'still here'"])
    nb.run(0)
    shown = nb.run(1, wait=False)
    expect(shown.get_by_text(re.compile(r"round ([7-9]|\d\d) of 200"))).to_be_visible(timeout=30_000)
    nb.interrupt()
    expect(shown.get_by_text("KeyboardInterrupt")).to_be_visible(timeout=5_000)
    expect(shown.get_by_text(re.compile(r"stopped after \d+ s"))).to_be_visible()
    expect(shown.get_by_text(re.compile(r"stopped: \d+ of 200 rounds"))).to_be_visible()
    nb.photograph(1, "compare-stopped")
    expect(nb.run(2).get_by_text("still here")).to_be_visible()
    assert [row["id"] for row in container.ps(all=True)] == before
    assert list(default_engine().cache.glob("compare-*")) == []
