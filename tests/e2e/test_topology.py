"""The drawing of networks in a browser: to be read on light and dark, live, clicked, looked at closely."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from nbcontainers.network import facts as told
from nbcontainers.network.drawing import Topology
from tests import surveyed
from tests.e2e.contrast import faint
from tests.e2e.harness import ARTEFACTS, FRONT_ENDS, Notebook
from tests.e2e.test_views import HOSTS, document
from tests.unit.test_topology import SHAPES

Opened = Callable[..., Notebook]
SERVED = "mini httpd -f -p 80 -h /etc"
START = [
    "%load_ext nbcontainers",
    "import nbcontainers\n"
    "if not any(row['name'] == 'backend' for row in nbcontainers.network.ls()):\n"
    "    nbcontainers.network.create('backend')",
    f"%container run -d -q --replace --name web -p 8098:80 --network nbcontainers --network backend {SERVED}",
    f"%container run -d -q --replace --name db --network backend:alias=sql {SERVED}",
]
END = ["%container rm -f web db late", "%network rm backend"]
LOOK = "%network topology"


def picture(page: Page, host: str, shape: surveyed.Document, port: str = "") -> Locator:
    view = Topology(told.of(shape), (), port)
    page.set_content(document([("network topology", view.html())], host))
    return page.locator("section")


@pytest.fixture
def page(browser: Browser):
    found = browser.new_page(viewport={"width": 1100, "height": 900})
    yield found
    found.close()


@pytest.mark.parametrize("host", ["jupyterlab-light", "jupyterlab-dark", "plain-dark"])
@pytest.mark.parametrize(("shape", "port"), [("typical", ""), ("user", ""), ("typical", "8080"), ("200", "")])
def test_every_word_of_the_picture_can_be_read(page: Page, host: str, shape: str, port: str) -> None:
    assert host in HOSTS
    section = picture(page, host, SHAPES[shape], port)
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    section.screenshot(path=ARTEFACTS / f"topology-{shape}{'-port' if port else ''}-{host}.png")
    assert [*map(str, faint(section.locator("svg")))] == []


def test_no_letter_leaves_its_box(page: Page) -> None:
    """As the browser measures it, in whatever monospace font there is."""
    section = picture(page, "jupyterlab-light", SHAPES["macvlan"])
    outside = section.locator("svg").evaluate("""svg => [...svg.querySelectorAll('g[role=img]')].flatMap(group => {
        const box = group.querySelector('rect').getBoundingClientRect();
        return [...group.querySelectorAll('text')].filter(text => {
            const own = text.getBoundingClientRect();
            return own.right > box.right + 1 || own.left < box.left - 1 || own.bottom > box.bottom + 1;
        }).map(text => text.textContent);
    })""")
    assert outside == []
    assert section.locator("svg").bounding_box()["width"] <= 1100  # type: ignore[index]


def test_it_is_live(notebook: Opened) -> None:
    """It follows containers that come and go, tells of what is clicked, and can be looked at closely, by keys too."""
    nb = notebook([*START, LOOK, f"%container run -d -q --replace --name late -p 8097:80 --network backend {SERVED}",
                   "%container rm -f late",
                   "from urllib.request import urlopen\nfor _ in range(200): urlopen('http://127.0.0.1:8098/hostname').read()",
                   *END])  # fmt: skip
    for number in range(5):
        nb.run(number)
    live = nb.live(4, "topology")
    expect(live.locator("svg")).to_be_visible()
    box = live.locator("g[role=button]", has=live.page.locator("title", has_text=re.compile("^web running")))
    expect(box).to_have_count(1)
    nb.in_both_themes(4, "topology-live", live.locator("svg"))
    clicked(live, box)
    looked_at_closely(live)
    followed(nb, live)
    nb.in_both_themes(4, "topology-live-chosen")
    kept = nb.saved(4)[-1]["data"]
    assert set(kept) == {"text/html", "text/plain"}
    assert kept["text/html"].count("<svg") == 1
    for number in range(8, 10):
        nb.run(number)


def clicked(live: Locator, box: Locator) -> None:
    box.locator("rect").click()
    panel = live.locator(".panel")
    expect(panel).to_contain_text("web running")
    expect(panel).to_contain_text(re.compile(r"eth0 #\d+ up on nbcontainers"))
    expect(panel).to_contain_text("veth nbcv")
    port = live.locator("g[role=button]", has=live.page.locator("a")).first
    port.locator("text").last.click()
    expect(panel).to_contain_text("prerouting and output, @ports4 { tcp . 8098 :")
    expect(panel.get_by_role("link")).to_have_attribute("href", "http://127.0.0.1:8098/")
    port.focus()
    live.page.keyboard.press("Escape")
    expect(panel).to_be_empty()
    live.page.keyboard.press("Enter")
    expect(panel).to_contain_text("*:8098/tcp to web 80")


def looked_at_closely(live: Locator) -> None:
    svg, stage = live.locator("svg"), live.locator(".stage")
    whole = svg.get_attribute("viewBox")
    stage.focus()
    live.page.keyboard.press("+")
    expect(svg).not_to_have_attribute("viewBox", whole or "")
    before = svg.get_attribute("viewBox")
    live.page.keyboard.press("ArrowRight")
    expect(svg).not_to_have_attribute("viewBox", before or "")
    live.page.keyboard.press("0")
    expect(svg).to_have_attribute("viewBox", whole or "")
    live.get_by_role("button", name="larger (+)").click()
    expect(svg).not_to_have_attribute("viewBox", whole or "")
    live.get_by_role("button", name="all of it (0)").click()
    expect(svg).to_have_attribute("viewBox", whole or "")


def followed(nb: Notebook, live: Locator) -> None:
    late = live.locator("title", has_text=re.compile("^late running"))
    nb.run(5)
    nb.output(4)
    expect(late).to_have_count(1)
    expect(live.locator(".heading")).to_contain_text("3 containers")
    expect(live.locator(".panel")).to_contain_text("*:8098/tcp to web 80")
    nb.run(6)
    nb.output(4)
    expect(late).to_have_count(0)
    nb.run(7, wait=False)
    nb.output(4)
    expect(live.locator("[data-flow]").first).to_be_attached()
    expect(live.locator("[data-rate]", has_text="↓").first).to_be_attached()


@pytest.mark.slow
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_it_is_there_again(notebook: Opened, front_end: str) -> None:
    """After a reload, after a restart of the kernel, and as a picture without any kernel."""
    nb = notebook([*START, f"{LOOK} --port 8098", *END], front_end)
    for number in range(5):
        nb.run(number)
    live = nb.live(4, "topology")
    expect(live.locator(".way li").first).to_contain_text("8098")
    nb.save()
    nb.reload()
    expect(nb.live(4, "topology").locator("svg")).to_be_visible()
    nb.restart()
    nb.run(0)
    expect(nb.live(4, "topology").locator("svg")).to_be_visible()
    nb.photograph(4, f"topology-{front_end}-port")
    for number in range(5, 7):
        nb.run(number)
    nb.reopen(kernel=False)
    shown = nb.output(4)
    expect(shown.locator("svg[aria-label^=networks]")).to_be_visible()
    expect(shown).to_contain_text("the way to *:8098/tcp")
