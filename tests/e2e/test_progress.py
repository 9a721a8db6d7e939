"""A pull in JupyterLab, in a real browser, light and dark: its area while it works, what a reload shows, the stop button.

The registry is docker-registry on loopback, behind a slow line. Screenshots: see test_jupyterlab.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, TimeoutError

from tests.e2e.test_jupyterlab import ARTEFACTS, THEMES, choose_theme, code_cells, open_written, run_cell, write
from tests.e2e.test_jupyterlab import browser as browser
from tests.e2e.test_jupyterlab import server as server
from tests.registries import DockerRegistry, docker_registry, fill
from tests.throttle import Line, throttled

MIB = 1 << 20
pytestmark = pytest.mark.timeout(300)


def layer(seed: int, mib: float) -> bytes:
    """A tar of one file that cannot be compressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        one = tarfile.TarInfo(f"data/{seed}")
        one.size = int(mib * MIB)
        tar.addfile(one, io.BytesIO(random.Random(seed).randbytes(one.size)))
    return out.getvalue()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as found:
        below = [layer(1, 12), layer(2, 3)]
        for theme, seed in zip(THEMES, (10, 20), strict=True):
            fill(found, f"{theme}/web:1.21.6", [*below, layer(seed, 9), layer(seed + 1, 0.5)])
            fill(found, f"{theme}/web:1.21.7", [*below, layer(seed, 9), layer(seed + 2, 1)])
        fill(found, "large/web:1", [layer(30, 40)])
        yield found


@pytest.fixture(scope="module")
def slow(registry: DockerRegistry) -> Iterator[tuple[str, Line]]:
    with throttled(registry.host, 3 * MIB) as found:
        yield found


def output(page: Page, number: int) -> Locator:
    return page.locator(".jp-Notebook .jp-CodeCell").nth(number).locator(".jp-Cell-outputArea")


def run(page: Page, number: int) -> None:
    """Until the cell has a star or a number: JupyterLab drops the keys while it is still settling in."""
    prompt = page.locator(".jp-Notebook .jp-CodeCell").nth(number).locator(".jp-InputPrompt")
    for _ in range(6):
        run_cell(page, number)
        with contextlib.suppress(TimeoutError):
            return prompt.filter(has_text=re.compile(r"\[(\*|\d+)\]")).wait_for(timeout=5_000)
    page.screenshot(path=ARTEFACTS / "stuck.png")
    return pytest.fail("JupyterLab does not run the cell")


def photograph(page: Page, number: int, name: str) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.locator(".jp-Notebook .jp-CodeCell").nth(number).screenshot(path=ARTEFACTS / f"{name}.png")


def save(page: Page, path: Path, words: str) -> str:
    """The notebook's text once it holds `words`."""
    deadline = time.monotonic() + 30
    while words not in path.read_text():
        assert time.monotonic() < deadline, f"{words!r} was not saved: {path.read_text()[-3000:]}"
        page.keyboard.press("Control+s")
        time.sleep(0.5)
    return path.read_text()


@pytest.mark.parametrize("theme", THEMES)
def test_a_pull_shows_its_progress_and_keeps_its_end(
    browser: Browser, server: tuple[str, str, Path], slow: tuple[str, Line], theme: str
) -> None:
    """`dark` after `light`: its lower layers are there already then."""
    name = f"{slow[0]}/{theme}/web"
    path = server[2] / "work/light.ipynb"
    cells = ["%load_ext nbcontainers", f"%image pull {name}:1.21.6", f"%image pull {name}:1.21.7", f"%image tags {name}",
             "%image outdated", f"%image pull {name}:9"]  # fmt: skip
    write(path, cells)
    choose_theme(server[2], theme)
    page = open_written(browser, server)
    run(page, 0)
    run(page, 1)
    shown = output(page, 1)
    shown.get_by_text("downloading").first.wait_for(timeout=30_000)
    shown.get_by_text(" left").wait_for(timeout=30_000)
    photograph(page, 1, f"pull-{theme}-working")
    shown.get_by_text("pulled", exact=True).wait_for(timeout=60_000)
    photograph(page, 1, f"pull-{theme}-ended")
    for number in (2, 3, 4, 5):
        run(page, number)
    output(page, 2).get_by_text("3 already there").wait_for(timeout=30_000)
    output(page, 5).get_by_text("RegistryError").first.wait_for(timeout=30_000)
    save(page, path, "RegistryError")
    (area,) = code_cells(path)[1].outputs
    assert area.data["text/plain"].startswith(f"pulled {name}:1.21.6 in ")
    assert "downloading" not in area.data["text/html"]
    page.reload()
    output(page, 1).get_by_text("pulled", exact=True).wait_for(timeout=90_000)
    output(page, 1).get_by_text("each layer").click()
    for number in (1, 2, 3, 4, 5):
        photograph(page, number, f"pull-{theme}-reloaded-{number}")
    page.close()


def test_the_stop_button_ends_a_pull(browser: Browser, server: tuple[str, str, Path], slow: tuple[str, Line]) -> None:
    path = server[2] / "work/light.ipynb"
    write(path, ["%load_ext nbcontainers", f"%image pull {slow[0]}/large/web:1", "%image ls", "print('goes', 'on')"])
    choose_theme(server[2], "light")
    page = open_written(browser, server)
    run(page, 0)
    run(page, 1)
    output(page, 1).get_by_text("downloading").first.wait_for(timeout=30_000)
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("i")
    output(page, 1).get_by_text("pull interrupted").wait_for(timeout=20_000)
    photograph(page, 1, "pull-interrupted")
    for number in (2, 3):
        run(page, number)
    page.get_by_text("goes on").wait_for(timeout=20_000)
    assert "large/web" not in output(page, 2).inner_text()
    page.close()
