"""The quickstart in JupyterLab, in a real browser, light and dark.

Screenshots go to .artefacts/screenshots (or $NBCONTAINERS_ARTEFACTS): look at them after a change of anything
that shows itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, TimeoutError, sync_playwright

from tests import peers

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = Path(os.environ.get("NBCONTAINERS_ARTEFACTS") or ROOT / ".artefacts") / "screenshots"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
pytestmark = pytest.mark.timeout(500)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A JupyterLab of our own: its address, its token, and the folder it serves."""
    home = tmp_path_factory.mktemp("lab")
    work = home / "work"
    work.mkdir()
    port, token = free_port(), secrets.token_hex(16)
    options = [f"--port={port}", "--ip=127.0.0.1", "--no-browser", "--allow-root", f"--ServerApp.root_dir={work}"]
    options += [f"--IdentityProvider.token={token}", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    options += ["--LabApp.news_url=None"]
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data")}
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(home / "config/lab/user-settings")
    with open(home / "log", "w") as log:
        lab = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log, cwd=work
        )
    try:
        answers(f"http://127.0.0.1:{port}/api?token={token}", home / "log")
        yield f"http://127.0.0.1:{port}", token, home
    finally:
        lab.terminate()
        lab.wait(timeout=30)


def answers(address: str, log: Path) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab does not answer; its log ends with\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = peers.program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


def choose_theme(home: Path, theme: str) -> None:
    folder = home / "config/lab/user-settings/@jupyterlab"
    for plugin, settings in {
        "apputils-extension/themes": {"theme": THEMES[theme]},
        "notebook-extension/tracker": {"autoStartDefaultKernel": True},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        path = folder / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))


def open_notebook(browser: Browser, server: tuple[str, str, Path], theme: str) -> Page:
    address, token, home = server
    choose_theme(home, theme)
    shutil.copy(ROOT / "notebooks/quickstart.ipynb", home / "work" / f"{theme}.ipynb")
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.goto(f"{address}/lab/tree/{theme}.ipynb?token={token}&reset")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=90_000)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=90_000)
    return page


def run_all(page: Page) -> None:
    """Until the first cell has a star or a number: JupyterLab drops the command while it is still settling in."""
    started = page.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[(\*|\d+)\]"))
    for _ in range(6):
        page.get_by_text("Run", exact=True).first.click()
        page.locator("li[data-command='runmenu:run-all']").click()
        with contextlib.suppress(TimeoutError):
            return started.first.wait_for(timeout=10_000)
        page.keyboard.press("Escape")
    return pytest.fail("JupyterLab does not run the cells")


def saved(page: Page, path: Path, deadline_s: float = 240) -> list[nbformat.NotebookNode]:
    """The notebook as JupyterLab saves it, once all cells have run or one has failed that should not."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        page.keyboard.press("Control+s")
        time.sleep(1)
        cells = code_cells(path)
        if all(cell.execution_count for cell in cells) or failures(cells):
            return cells
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / "stuck.png")
    pytest.fail(
        f"after {deadline_s:.0f} s these cells have not run: {[c.source for c in cells if not c.execution_count]}"
    )


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def failures(cells: list[nbformat.NotebookNode]) -> list[str]:
    """The errors of cells that are not meant to fail."""
    meant = [cell for cell in cells if "raises-exception" not in cell.metadata.get("tags", ())]
    return [plain(output) for cell in meant for output in cell.outputs if output.output_type == "error"]


def plain(output: nbformat.NotebookNode) -> str:
    return f"{output.ename}: {output.evalue}"


def photograph(page: Page, theme: str) -> list[Path]:
    """One picture of each cell that shows something."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    made = []
    cells: Locator = page.locator(".jp-Notebook .jp-CodeCell")
    for number in range(cells.count()):
        cell = cells.nth(number)
        cell.scroll_into_view_if_needed()
        path = ARTEFACTS / f"quickstart-{theme}-{number:02d}.png"
        cell.screenshot(path=path)
        made.append(path)
    return made


@pytest.mark.parametrize("theme", THEMES)
def test_the_quickstart_runs_in_jupyterlab(browser: Browser, server: tuple[str, str, Path], theme: str) -> None:
    page = open_notebook(browser, server, theme)
    run_all(page)
    cells = saved(page, server[2] / "work" / f"{theme}.ipynb")
    pictures = photograph(page, theme)
    page.close()
    assert failures(cells) == []
    assert all(path.stat().st_size > 1000 for path in pictures)


def test_the_stop_button_ends_the_container(browser: Browser, server: tuple[str, str, Path]) -> None:
    """The program gets SIGINT at once, and the notebook goes on."""
    cells = ["%load_ext nbcontainers", "%container run mini sleep 120", "print('goes', 'on')"]
    write(server[2] / "work/light.ipynb", cells)
    page = open_written(browser, server)
    begun = time.monotonic()
    page.locator(".jp-CodeCell").nth(1).click()
    run_cell(page, 0)
    run_cell(page, 1)
    time.sleep(3)
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("i")
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=30_000)
    run_cell(page, 2)
    page.get_by_text("goes on").wait_for(timeout=10_000)
    assert time.monotonic() - begun < 60
    page.close()


def write(path: Path, sources: list[str]) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)


def open_written(browser: Browser, server: tuple[str, str, Path]) -> Page:
    address, token, _ = server
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    page.goto(f"{address}/lab/tree/light.ipynb?token={token}&reset")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=90_000)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=90_000)
    return page


def run_cell(page: Page, number: int) -> None:
    page.locator(".jp-Notebook .jp-CodeCell").nth(number).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
