"""The log viewer in JupyterLab: a million lines, what follows, what is looked for, and what must not happen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from nbcontainers import container
from tests.e2e.harness import Notebook

Opened = Callable[..., Notebook]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    for row in container.ps(all=True, filter=["name=^l-"]):
        container.rm(str(row["id"]), force=True)


SAY = r"""
import nbcontainers as nbc
script = r'''
i=0; while [ $i -lt 300 ]; do echo "line $i"; i=$((i+1)); done
printf '\033[1;32mgreen\033[0m and \033[38;5;208morange\033[0m \033]0;title\007<img src=x onerror=alert(1)>'
printf ' \033[1;44mwhite on blue\033[0m \033[38;2;0;0;0mblack\033[0m \033[38;2;255;255;255mwhite\033[0m \033[7;31mred\033[0m\n'
printf 'begin\rover\n' >&2
while read word; do echo "heard $word"; done
'''
c = nbc.run("mini", "sh", "-c", script, name="l-talk", detach=True, interactive=True)
import time; time.sleep(1)
nbc.logs("l-talk")
"""
HEAR = """
i = 0
nbc.exec_("l-talk", "sh", "-c", "echo more > /proc/1/fd/1; echo END > /proc/1/fd/1")
"""
CELLS = ["%load_ext nbcontainers", SAY, HEAR, "%container rm -f l-talk"]


def test_it_follows_finds_and_escapes(notebook: Opened) -> None:
    nb = notebook(CELLS)
    nb.run(0)
    nb.run(1)
    view = nb.live(1, "logs")
    log = view.get_by_role("log")
    expect(log).to_contain_text("<img src=x onerror=alert(1)>")
    expect(log).not_to_contain_text("line 5\n")
    assert log.locator("img").count() == 0
    assert "rgb(181, 137, 0) 60%" in (log.get_by_text("orange").get_attribute("style") or ""), (
        "the nearest that can be read"
    )
    expect(log.locator(".stderr")).to_have_text("over")
    expect(view.get_by_role("status")).to_have_text("302 lines")
    nb.in_both_themes(1, "logs")

    view.get_by_role("searchbox").fill("line 29")
    expect(view.get_by_role("status")).to_have_text("11 of 302 lines")
    view.get_by_role("button", name=".*", exact=True).click()
    view.get_by_role("searchbox").fill("^line 1?5$")
    expect(log).to_have_text("line 5line 15")
    view.get_by_role("searchbox").fill("(")
    expect(nb.output(1).get_by_role("alert")).to_contain_text("is no regular expression")
    view.get_by_role("searchbox").press("Escape")
    view.get_by_label("stream").select_option("stderr")
    expect(view.get_by_role("status")).to_have_text("1 of 302 lines")
    view.get_by_label("stream").select_option("")

    log.focus()
    nb.page.keyboard.press("Home")
    expect(log).to_contain_text("line 0")
    expect(view.get_by_role("button", name="follow")).to_have_attribute("aria-pressed", "false")
    nb.page.keyboard.press("t")
    expect(log.locator(".time").first).to_contain_text(":")
    nb.page.keyboard.press("End")
    expect(view.get_by_role("button", name="follow")).to_have_attribute("aria-pressed", "true")
    nb.run(2)
    expect(log).to_contain_text("END")
    view.get_by_role("button", name="copy", exact=True).click()
    expect(view.get_by_role("button", name="copied 304 lines")).to_be_visible()
    copied = nb.page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied[:2] == ["line 0", "line 1"]
    said = "green and orange <img src=x onerror=alert(1)> white on blue black white red"
    assert copied[300:302] == [said, "over"]
    nb.run(3)


MILLION = r"""
import nbcontainers as nbc, json, time
c = nbc.container.create("mini", "true", name="l-long")
with open(f"{c.engine.containers}/{c.id}/log", "w") as file:
    for n in range(1_000_000):
        file.write(json.dumps({"log": f"record {n:07d}\n", "stream": "stdout", "time": "2026-11-23T07:00:00.000000000Z"}) + "\n")
"""
SHOW = "t = time.perf_counter(); shown = nbc.logs('l-long'); seconds = time.perf_counter() - t; shown"


@pytest.mark.slow
def test_a_million_lines(notebook: Opened) -> None:
    nb = notebook(["%load_ext nbcontainers", MILLION, SHOW, "print(round(seconds, 2))", "%container rm -f l-long"])
    nb.run(0)
    nb.run(1)
    nb.run(2)
    view = nb.live(2, "logs")
    log = view.get_by_role("log")
    expect(log).to_contain_text("record 0999999", timeout=20_000)
    assert log.locator(".line").count() < 60
    log.focus()
    begun = time.monotonic()
    nb.page.keyboard.press("Home")
    expect(log).to_contain_text("record 0000000")
    box = view.locator(".nbc-logs-scroll")
    box.evaluate("bar => { bar.scrollTop = (bar.scrollHeight - bar.clientHeight) / 2 }")
    expect(log).to_contain_text("record 05000")
    assert time.monotonic() - begun < 5
    view.get_by_role("searchbox").fill("777777")
    expect(log).to_contain_text("record 0777777", timeout=30_000)
    expect(view.get_by_role("status")).to_have_text("1 of 1,000,000 lines, ended", timeout=30_000)
    nb.photograph(2, "logs-million")
    assert sum(len(str(output)) for output in nb.saved(2)) < 300_000
    nb.run(4)
