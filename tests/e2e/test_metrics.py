"""The live card and the live charts in a browser: they go on, follow the mouse, act, and leave a true picture."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.harness import FRONT_ENDS, Notebook

Opened = Callable[..., Notebook]
BUSY = "i=0; while :; do i=$((i+1)); done"
HOG = "sleep 2; x=a; while :; do x=$x$x; done"
RUN = [
    "%load_ext nbcontainers",
    f"c = %container run -d --replace --name charted -m 64m --cpus 0.02 -p 8099:80 mini sh -c '{BUSY}'\nc",
]
LIMITS = re.compile(r"memory 64 MiB")


def test_a_card_goes_on_and_its_buttons_work(notebook: Opened) -> None:
    nb = notebook(RUN)
    for number in range(2):
        nb.run(number)
    card = nb.live(1, "card")
    for name in ("cpu", "memory"):
        expect(card.locator(f"[data-chart={name}] polyline.line").first).to_be_attached()
        expect(card.locator(f"[data-chart={name}] line.limit")).to_have_count(1)
    expect(card.locator("[data-chart=cpu] .now")).to_contain_text(re.compile(r"0(\.\d+)? of 0\.02"))
    expect(card.locator("[data-chart=cpu] rect.held").first).to_be_attached(timeout=20_000)
    expect(card.get_by_text(LIMITS).first).to_be_visible()
    expect(card.get_by_role("link", name="http://127.0.0.1:8099/")).to_have_attribute("href", "http://127.0.0.1:8099/")
    nb.page.wait_for_timeout(4000)
    nb.in_both_themes(1, "card-running", card)
    card.get_by_role("button", name="pause", exact=True).click()
    expect(card.get_by_text("paused").first).to_be_visible()
    card.get_by_role("button", name="unpause", exact=True).click()
    expect(card.get_by_text("running").first).to_be_visible()
    card.get_by_role("button", name="kill", exact=True).click()
    expect(card.get_by_text("ended by SIGKILL (exit 137)")).to_be_visible()
    expect(card.locator("[data-chart=cpu] .axis")).to_contain_text("0 s")
    nb.in_both_themes(1, "card-ended", card)
    kept = nb.saved(1)[-1]["data"]
    assert set(kept) == {"text/html", "text/plain"}
    assert "ended by SIGKILL (exit 137)" in kept["text/plain"]
    assert kept["text/html"].count("<svg") >= 2
    card.get_by_role("button", name="start", exact=True).click()
    expect(card.get_by_role("button", name="stop", exact=True)).to_be_visible()
    nb.replace(["%container rm -f charted"])
    nb.run(0)


@pytest.mark.slow
def test_an_oom_kill_is_marked(notebook: Opened) -> None:
    nb = notebook([RUN[0], f"%container run -d --replace --name hog -m 32m mini sh -c '{HOG}'", "%container rm -f hog"])
    for number in range(2):
        nb.run(number)
    card = nb.live(1, "card")
    expect(card.get_by_text("killed: out of memory (exit 137)")).to_be_visible(timeout=20_000)
    expect(card.get_by_text("its limit of 32 MiB had no more memory")).to_be_visible()
    expect(card.locator("[data-chart=memory] line.kill")).to_have_count(1)
    nb.in_both_themes(1, "card-oom", card)
    nb.run(2)
    expect(nb.output(1)).to_contain_text("container hog was removed")


@pytest.mark.slow
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_charts_of_several_scroll_and_say_what_is_under_the_mouse(notebook: Opened, front_end: str) -> None:
    sources = [
        "%load_ext nbcontainers",
        f"%container run -d -q --replace --name burner --cpus 0.02 mini sh -c '{BUSY}'\n"
        "%container run -d -q --replace --name sleeper -m 32m mini sleep 1000",
        "%container stats burner sleeper",
        "%container rm -f burner sleeper",
    ]
    nb = notebook(sources, front_end)
    for number in range(3):
        nb.run(number)
    view = nb.live(2, "metrics")
    line = view.locator("tr", has_text="burner")
    expect(view.locator("th")).to_contain_text(["CONTAINER ID", "CPU % (OF 1)", "PSI CPU"])
    expect(line).to_contain_text("%")
    cpu = view.locator("[data-chart=cpu]")
    expect(cpu.locator("polyline.line")).to_have_count(2)
    before = cpu.locator("polyline.line").first.get_attribute("points")
    nb.page.wait_for_timeout(3000)
    assert cpu.locator("polyline.line").first.get_attribute("points") != before
    cpu.locator(".plot svg").hover(position={"x": 250, "y": 40})
    expect(cpu.locator(".tip")).to_contain_text("s ago")
    nb.in_both_themes(2, f"metrics-{front_end}", view)
    box = cpu.locator(".plot svg").bounding_box()
    assert box
    cpu.locator(".plot svg").hover(position={"x": box["width"] - 3, "y": 40})
    expect(cpu.locator(".tip")).to_contain_text(re.compile(r"burner 0(\.\d+)? of 0\.02"))
    expect(view.locator(".tip:visible")).to_have_count(1)
    cpu.locator(".plot svg").press("ArrowLeft")
    expect(cpu.locator(".tip")).to_contain_text("s ago")
    line.click()
    expect(cpu.locator("polyline.line")).to_have_count(1)
    expect(cpu.locator(".now")).to_contain_text("0")
    saved = next(output for output in nb.saved(2) if "data" in output)["data"]
    assert re.search(r"burner .*%", saved["text/plain"])
    assert "as of " in saved["text/plain"]
    assert "as of " in saved["text/html"]
    assert len(json.dumps(saved)) < 50_000
    nb.run(3)
    expect(nb.output(2)).to_contain_text("removed: burner, sleeper")


@pytest.mark.slow
def test_a_finished_picture(notebook: Opened) -> None:
    sources = [
        "%load_ext nbcontainers",
        f"c = %container run --name plotted --replace --no-raise-error -q -m 32m mini sh -c '{HOG}'\nc.plot()",
        "c.metrics()[['elapsed_s', 'cpu_cores', 'memory_bytes', 'net_rx_bytes', 'psi_cpu_part']]",
        "c.rm()",
    ]
    nb = notebook(sources)
    for number in range(4):
        nb.run(number)
    picture = nb.output(1).locator("img")
    expect(picture).to_be_visible()
    nb.in_both_themes(1, "plot")
    assert "OOM kill at" in nb.saved(1)[-1]["data"]["text/plain"]
    expect(nb.output(2).locator("th", has_text="net_rx_bytes")).to_be_visible()
