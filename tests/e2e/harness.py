"""One notebook in a front end, driven as a person would, for the tests of what cells show.

    def test_dashboard(notebook):
        nb = notebook(["%load_ext nbcontainers", "%container dashboard"])   # front_end="lab" (or "notebook"), theme="light"
        nb.run_all()
        nb.live(1, "dashboard").get_by_text("running").click()             # Playwright's locators; nb.output(1): static too
        nb.photograph(1, "dashboard-light")                                # .artefacts/screenshots: look at it
        nb.theme("dark"); nb.restart(); nb.reload(); nb.save(); nb.reopen(kernel=False)

What is not the subject of a test (opening, running, saving) goes through the application object that the front ends
expose, so nothing depends on where the mouse is or whether the page has settled; the subject itself is clicked and typed.
A request to anywhere but the server, and an exception or error in the page's console, fail the test when it ends
(`nb.complaints`; clear it where an error is the subject).

Screenshots go to .artefacts/screenshots, or $NBCONTAINERS_ARTEFACTS/screenshots.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, TimeoutError

from tests.e2e.contrast import faint
from tests.e2e.server import Server

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = Path(os.environ.get("NBCONTAINERS_ARTEFACTS") or ROOT / ".artefacts") / "screenshots"
FRONT_ENDS = ("lab", "notebook")
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
PANEL = "[...(window.jupyterapp?.shell.widgets('main') ?? [])].find(widget => widget.context)"
"""The one notebook that is open; it is not the application's current widget while a dialog asks for a kernel."""
SETTLING_S = 90
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
NOISE = re.compile(
    r"Failed to load resource.*|.*favicon.*|.*(workspaces|custom\.css|translations).*|.*ResizeObserver loop.*"
    r"|Could not restore the debugger state.*|.*\(reading 'schema'\)|(Error: )?Command 'filebrowser:open-path' not registered\."
)
"""What the front ends say in the console of themselves."""
_OPEN = """async ([path, factory]) => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook'});
    app.shell.activateById(panel.id);
}"""
_NUMBER = f"""() => {PANEL}.content.widgets.filter(cell => cell.model.type === 'code').forEach((cell, number) =>
    cell.node.setAttribute('data-number', number))"""
_RUN = f"""number => {{
    const app = window.jupyterapp, notebook = {PANEL}.content, state = window.nbcRuns ??= {{}};
    const cell = notebook.widgets.filter(cell => cell.model.type === 'code')[number];
    notebook.activeCellIndex = notebook.widgets.indexOf(cell);
    notebook.mode = 'command';
    state[number] = 'running';
    app.commands.execute('notebook:run-cell').then(() => state[number] = 'ended', error => state[number] = `${{error}}`);
}}"""
_REVEAL = f"""async number => {{
    const notebook = {PANEL}.content;
    const cell = notebook.widgets.filter(cell => cell.model.type === 'code')[number];
    await notebook.scrollToItem(notebook.widgets.indexOf(cell), 'smart', 0);
}}"""
_CLOSE = f"""async () => {{
    const panel = {PANEL};
    if (!panel?.context) return;
    await panel.sessionContext.shutdown();
    panel.context.model.dirty = false;
    panel.close();
    panel.dispose();
}}"""
_COUNT = f"() => {PANEL}.content.widgets.filter(cell => cell.model.type === 'code').length"


class Notebook:
    """A notebook that is open in `front_end`; `number` counts code cells from 0."""

    def __init__(self, server: Server, context: BrowserContext, front_end: str, width: int = 1200) -> None:
        self.server = server
        self.front_end = front_end
        self.page: Page = context.new_page()
        self.page.set_viewport_size({"width": width, "height": 1000})
        self.page.set_default_timeout(30_000)
        self.complaints: list[str] = []
        self.path = Path()
        self._listen()

    def _listen(self) -> None:
        self.page.on("request", self._requested)
        self.page.on("websocket", lambda socket: self._outside(socket.url.replace("ws:", "http:", 1)))
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self._complain("exception in the page", str(error), error.stack))

    def _requested(self, request: Request) -> None:
        self._outside(request.url)

    def _outside(self, address: str) -> None:
        if not address.startswith((self.server.address, "data:", "blob:", "about:")):
            self.complaints.append(f"asked for {address}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._complain("console", message.text)

    def _complain(self, where: str, text: str, stack: str | None = None) -> None:
        if not NOISE.fullmatch(text.partition("\n")[0]):
            self.complaints.append(f"{where}: {(stack or text)[:1000]}")

    # Opening and closing

    def write(self, path: Path, sources: Sequence[str]) -> None:
        """A notebook of these code cells, trusted as if it had been written here."""
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)

    def open(self, path: Path, *, kernel: bool = True, trusted: bool = True) -> None:
        """Open a notebook of the served folder; without a kernel it is only looked at, and as somebody else's if not trusted."""
        self.path = path
        if not kernel:
            self._without_kernel(trusted)
        name = path.relative_to(self.server.work)
        if self.front_end == "notebook":
            self.page.goto(f"{self.server.address}/notebooks/{name}?token={self.server.token}")
        elif "/lab" not in self.page.url:
            self.page.goto(f"{self.server.address}/lab/tree/{name}?token={self.server.token}&reset")
        self._opened(kernel)

    def _opened(self, kernel: bool) -> None:
        name = str(self.path.relative_to(self.server.work))
        self.until("window.jupyterapp", timeout_s=SETTLING_S)
        if self.front_end == "lab":
            self.page.evaluate(_OPEN, [name, "Notebook"])
        self.until(f"{PANEL}?.context?.isReady && {PANEL}.context.path === '{name}'", timeout_s=SETTLING_S)
        if kernel:
            self.until(f"window.jupyterapp.shell.currentWidget === {PANEL}", timeout_s=SETTLING_S)
            self.idle(SETTLING_S)
        else:
            self.page.locator(".jp-Dialog button", has_text="No Kernel").click(timeout=SETTLING_S * 1000)
        self.page.evaluate(_NUMBER)

    def reload(self) -> None:
        """Save, and load the page again as with F5; the kernel goes on."""
        self.save()
        self.page.reload()
        self._opened(kernel=True)

    def reopen(self, *, kernel: bool = True) -> None:
        """Save, close the notebook, end its kernel, and open it again with a new one or none."""
        self.save()
        self.close()
        self.open(self.path, kernel=kernel)

    def _without_kernel(self, trusted: bool) -> None:
        """The front end asks which kernel to start where the notebook names none."""
        content = nbformat.read(self.path, as_version=4)
        content.metadata.pop("kernelspec", None)
        content.metadata.pop("language_info", None)
        nbformat.write(content, self.path)
        if trusted:
            self.server.trust(self.path)

    def close(self) -> None:
        """The notebook and its kernel. The page goes too: one that is kept may ask for kernels that have ended, and then
        every later test waits behind its dialog."""
        if self.page.url.startswith(self.server.address):
            self.page.evaluate(_CLOSE)
        self.page.goto("about:blank")
        self.server.end_kernels()

    def replace(self, sources: Sequence[str]) -> None:
        """Other code cells in the same notebook, whose kernel goes on: quicker than another notebook."""
        self.write(self.path, sources)
        content = nbformat.read(self.path, as_version=4)
        self.page.evaluate(f"content => {PANEL}.context.model.fromJSON(content)", content)
        self.page.evaluate(_NUMBER)

    # What a person does

    def run(self, number: int, *, wait: bool = True, timeout_s: float = 60) -> Locator:
        """Run one cell; its output area. Not waiting, it returns when the cell has a star or a number."""
        self.page.evaluate(_RUN, number)
        if wait:
            self.until(f"window.nbcRuns[{number}] !== 'running'", timeout_s=timeout_s)
        else:
            self.prompt(number).filter(has_text=re.compile(r"\[(\*|\d+)\]")).wait_for()
        return self.output(number)

    def run_all(self, *, timeout_s: float = 120) -> None:
        for number in range(self.page.evaluate(_COUNT)):
            self.run(number, timeout_s=timeout_s)

    def interrupt(self) -> None:
        """The stop button, by its keys."""
        self.page.evaluate(f"() => {PANEL}.content.activate()")
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("i")
        self.page.keyboard.press("i")

    def restart(self) -> None:
        """The kernel; the cells stay as they are."""
        self.page.evaluate(f"() => {PANEL}.sessionContext.restartKernel()")
        self.idle()

    def theme(self, theme: str) -> None:
        """`light` or `dark`, without loading the page again."""
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES[theme]
        )
        self.until(
            f"document.body.dataset.jpThemeName === '{THEMES[theme]}' && !document.getElementById('jupyterlab-splash')"
        )

    def save(self) -> nbformat.NotebookNode:
        """The notebook as the front end saves it."""
        self.page.evaluate(f"() => {PANEL}.context.save()")
        return nbformat.read(self.path, as_version=4)

    # What is seen

    def cell(self, number: int) -> Locator:
        return self.page.locator(f".jp-Notebook [data-number='{number}']")

    def prompt(self, number: int) -> Locator:
        return self.cell(number).locator(".jp-InputPrompt")

    def output(self, number: int) -> Locator:
        """The output area of a cell, scrolled to: JupyterLab keeps what is far away out of the page."""
        self.page.evaluate(_REVEAL, number)
        return self.cell(number).locator(".jp-Cell-outputArea")

    def live(self, number: int, kind: str) -> Locator:
        """The live view in a cell's output, once it has taken the place of the static HTML (widgets/live.py)."""
        shown = self.output(number).locator(f".nbcontainers-live .nbc-{kind}").first
        shown.wait_for()
        return shown

    def photograph(self, number: int, name: str) -> Path:
        """A picture of the cell in the artefacts."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        self.page.evaluate(_REVEAL, number)
        path = ARTEFACTS / f"{name}.png"
        self.cell(number).screenshot(path=path)
        return path

    def in_both_themes(self, number: int, name: str, read: Locator | None = None) -> None:
        """A picture of the cell in each theme; every word of `read` must have its contrast there."""
        for theme in THEMES:
            self.theme(theme)
            self.photograph(number, f"{name}-{theme}")
            unreadable = [*map(str, faint(read) if read else ())]
            assert not unreadable, (theme, unreadable)

    def saved(self, number: int) -> list[nbformat.NotebookNode]:
        """The outputs of a cell as they are saved."""
        return list(code_cells(self.save())[number].outputs)

    def idle(self, timeout_s: float = 60) -> None:
        self.until(f"{PANEL}?.sessionContext?.session?.kernel?.status === 'idle'", timeout_s=timeout_s)

    def until(self, condition: str, *, timeout_s: float = 30) -> None:
        """Wait for JavaScript to be true; the page is photographed where it does not come so far."""
        try:
            self.page.wait_for_function(f"() => !!({condition})", timeout=timeout_s * 1000)
        except TimeoutError:
            ARTEFACTS.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=ARTEFACTS / "stuck.png")
            pytest.fail(f"after {timeout_s:.0f} s not yet: {condition}; see {ARTEFACTS}/stuck.png")


def code_cells(notebook: nbformat.NotebookNode) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def failures(notebook: nbformat.NotebookNode) -> list[str]:
    """The errors of cells that are not meant to fail."""
    meant = [cell for cell in code_cells(notebook) if "raises-exception" not in cell.metadata.get("tags", ())]
    return [f"{o.ename}: {o.evalue}" for cell in meant for o in cell.outputs if o.output_type == "error"]
