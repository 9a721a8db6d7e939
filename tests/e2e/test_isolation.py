"""The X-ray of a container, the timeline, and what takes room, as static pictures in both front ends, light and dark; parts
fold and unfold by click and by key. Screenshots: isolation-*, timeline-*, room-*.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.harness import FRONT_ENDS, Notebook

Opened = Callable[..., Notebook]
HOSTILE = "<img src=x onerror=document.title=1>"
CELLS = [
    "%load_ext nbcontainers",
    f"%container run -d -q --replace --name xray-web -e 'NOTE={HOSTILE}' mini sh -c 'sleep 1000 & exec sleep 1001'",
    "%container xray xray-web",
    "%system events --since 2m --filter container=xray-web",
    "%system df",
    "%container rm -f xray-web",
]


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_static_views(notebook: Opened, front_end: str) -> None:
    nb = notebook(CELLS, front_end)
    nb.run_all()
    shown = nb.output(2)
    expect(shown).to_contain_text("own: pid mnt net uts ipc cgroup time")
    details = shown.locator("details")
    opened = [details.nth(number).get_attribute("open") is not None for number in range(details.count())]
    assert opened[:2] == [True, True]
    assert not any(opened[2:])
    processes = details.filter(has_text="just processes of the host")
    expect(processes.get_by_text("└─ sleep 1000")).to_be_hidden()
    processes.locator("summary").click()
    expect(processes.get_by_text("└─ sleep 1000")).to_be_visible()
    processes.locator("summary").press("Enter")
    expect(processes.get_by_text("└─ sleep 1000")).to_be_hidden()
    environment = details.filter(has_text="variables of its first process")
    environment.locator("summary").click()
    expect(environment.get_by_text(HOSTILE, exact=True)).to_be_visible()
    assert nb.page.title() != "1"
    expect(nb.output(3).get_by_role("img", name="events over time")).to_contain_text("xray-web")
    expect(nb.output(4)).to_contain_text("reclaimable")
    for number, name in ((2, "isolation"), (3, "timeline"), (4, "room")):
        html = nb.output(number).locator(".jp-RenderedHTMLCommon")
        nb.in_both_themes(number, f"{name}-{front_end}", html)
