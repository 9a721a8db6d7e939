"""The dashboard in JupyterLab: what it shows, by mouse and by key; and two hundred containers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, expect

from nbcontainers import container
from tests.e2e.harness import Notebook

Opened = Callable[..., Notebook]
MAKE = r"""
import nbcontainers as nbc
nbc.run("mini", "sh", "-c", r"echo ready; printf '\033[31mred\033[0m\n' >&2; while :; do :; done", name="d-busy",
    memory="64m", cpus=0.2, detach=True)
nbc.run("mini", "sleep", "1000", name="d-web", detach=True)
nbc.run("mini", "sh", "-c", "exit 3", name="d-failed", raise_error=False)
nbc.container.dashboard()
"""
CELLS = ["%load_ext nbcontainers", MAKE, "%container rm -f --filter name=d-"]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    for row in container.ps(all=True, filter=["name=^d-", "name=^many-"]):
        container.rm(str(row["id"]), force=True)


def line(view: Locator, name: str) -> Locator:
    return view.locator("tbody tr").filter(has=view.page.get_by_text(name, exact=True))


def button(view: Locator, name: str) -> Locator:
    return view.get_by_role("button", name=name, exact=True)


def test_it_shows_and_does_what_is_asked(notebook: Opened) -> None:
    nb = notebook(CELLS)
    nb.run(0)
    nb.run(1)
    view = nb.live(1, "dashboard")
    expect(line(view, "d-busy").locator("td").nth(5)).to_have_text(re.compile(r"^(1[0-9]|2[0-9])\.\d$"), timeout=15_000)
    expect(line(view, "d-busy")).to_contain_text("/ 64MiB")
    expect(line(view, "d-failed")).to_contain_text("exited (3)")
    expect(view.get_by_role("status").last).to_contain_text("2 of 3 running")
    expect(button(view, "stop")).to_be_disabled()
    nb.in_both_themes(1, "dashboard")

    view.get_by_role("button", name="name", exact=True).click()
    names = view.locator("tbody .name")
    expect(names).to_have_text(["d-busy", "d-failed", "d-web"])
    view.get_by_role("button", name="name", exact=True).click()
    expect(names).to_have_text(["d-web", "d-failed", "d-busy"])
    expect(view.locator("th[aria-sort=descending]")).to_have_text(re.compile("name"))
    view.get_by_role("searchbox").fill("busy")
    expect(names).to_have_text(["d-busy"])
    view.get_by_role("searchbox").fill("")

    line(view, "d-web").click()
    button(view, "pause").click()
    expect(line(view, "d-web")).to_contain_text("paused")
    button(view, "unpause").click()
    expect(line(view, "d-web")).to_contain_text("running for")
    line(view, "d-failed").click()
    button(view, "rm").click()
    expect(line(view, "d-failed")).to_be_visible()
    view.get_by_role("button", name="really remove 1?").click()
    expect(line(view, "d-failed")).to_have_count(0)
    nb.run(2)
    expect(names).to_have_count(0)


def test_it_is_used_by_key_and_opens_logs_and_a_terminal(notebook: Opened) -> None:
    nb = notebook(CELLS)
    nb.run(0)
    nb.run(1)
    view = nb.live(1, "dashboard")
    view.get_by_role("button", name="name", exact=True).click()
    expect(view.locator("tbody .name")).to_have_text(["d-busy", "d-failed", "d-web"])
    view.locator("tbody tr").first.focus()
    cells = nb.page.locator(".jp-Notebook .jp-CodeCell").count()
    nb.page.keyboard.press("ArrowDown")
    nb.page.keyboard.press("ArrowUp")
    for key in "dd":  # JupyterLab's keys delete no cell while the focus is in a view
        nb.page.keyboard.press(key)
    assert nb.page.locator(".jp-Notebook .jp-CodeCell").count() == cells
    nb.page.keyboard.press(" ")
    expect(line(view, "d-busy").get_by_role("checkbox")).to_be_checked()
    nb.page.keyboard.press("Enter")
    log = view.locator(".nbc-logs")
    expect(log.get_by_role("log")).to_contain_text("ready")
    expect(log.locator(".stderr")).to_contain_text("red")
    nb.photograph(1, "dashboard-logs")
    button(view, "close logs").click()
    expect(log).to_have_count(0)
    button(view, "terminal").click()
    view.locator(".nbc-terminal").get_by_role("textbox").wait_for()
    view.locator(".nbc-terminal").click()
    nb.page.keyboard.type("echo $((6*7)) hostname\n")
    expect(view.locator(".nbc-terminal")).to_contain_text("42 hostname")
    nb.photograph(1, "dashboard-terminal")
    button(view, "close terminal").click()
    expect(view.locator(".nbc-terminal")).to_have_count(0)
    nb.run(2)


MANY = """
import nbcontainers as nbc
for n in range(200):
    nbc.container.create("mini", "true", name=f"many-{n:03d}")
nbc.container.dashboard()
"""


@pytest.mark.slow
def test_two_hundred_containers_stay_usable(notebook: Opened) -> None:
    nb = notebook(["%load_ext nbcontainers", MANY, "%container prune -f"])
    nb.run(0)
    nb.run(1)
    view = nb.live(1, "dashboard")
    expect(view.locator("tbody tr")).to_have_count(200)
    begun = time.monotonic()
    view.get_by_role("searchbox").fill("many-19")
    expect(view.locator("tbody tr")).to_have_count(10)
    view.get_by_label("select all that are shown").check()
    expect(view.get_by_role("status").last).to_contain_text("10 selected, 0 of 200 running, 10 shown")
    assert time.monotonic() - begun < 3
    nb.run(2)
    expect(view.locator("tbody tr")).to_have_count(0)
    sizes = sum(len(str(output)) for output in nb.saved(1))
    assert sizes < 300_000
