"""Every view of notebooks/views.ipynb as static HTML: readable on light and on dark, with and without a front end's colours,
and exported to a page that is opened without a network. Screenshots: views-HOST.png.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.contrast import faint
from tests.e2e.harness import ARTEFACTS, ROOT
from tests.headless import executed, stripped

JUPYTERLAB = Path(sys.prefix, "share/jupyter/lab/themes/@jupyterlab")
OWN = "background: var(--jp-layout-color0); color: var(--jp-content-font-color1)"
VSCODE_DARK = (
    "--vscode-editor-font-family: monospace; --vscode-panel-border: #2b2b2b; --vscode-editor-foreground: #cccccc; "
    "--vscode-charts-blue: #3794ff; --vscode-charts-green: #89d185; --vscode-charts-yellow: #cca700; "
    "--vscode-charts-red: #f14c4c; --vscode-textLink-foreground: #4daafc; background: #1f1f1f; color: #cccccc"
)
VSCODE_LIGHT = (
    "--vscode-editor-font-family: monospace; --vscode-panel-border: #e5e5e5; --vscode-editor-foreground: #3b3b3b; "
    "--vscode-charts-blue: #1a85ff; --vscode-charts-green: #388a34; --vscode-charts-yellow: #bf8803; "
    "--vscode-charts-red: #e51400; --vscode-textLink-foreground: #005fb8; background: #ffffff; color: #3b3b3b"
)
HOSTS = {
    "jupyterlab-light": OWN,
    "jupyterlab-dark": OWN,
    "vscode-dark": VSCODE_DARK,
    "vscode-light": VSCODE_LIGHT,
    "plain-light": "background: #ffffff; color: #1f2328",
    "plain-dark": "background: #0d1117; color: #e6edf3",
}
"""Style of the body; the first two have the variables of the theme of that name."""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """views.ipynb, run without a front end."""
    return executed(ROOT / "notebooks/views.ipynb", tmp_path_factory.mktemp("views") / "views.ipynb")


@pytest.fixture(scope="module")
def views(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Source and HTML of each output that has some."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = [(cell.source, output.get("data", {}).get("text/html")) for cell in cells for output in cell.outputs]
    return [(source, html) for source, html in found if html]


@pytest.fixture
def offline(browser: Browser) -> Iterator[Page]:
    """A page that can reach nothing at all; `page.asked` is what it asked for."""
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.asked = []  # type: ignore[attr-defined]
    page.on("request", lambda request: page.asked.append(request.url))  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.asked.append(f"exception: {error}"))  # type: ignore[attr-defined]
    yield page
    context.close()


def document(views: list[tuple[str, str]], host: str) -> str:
    theme = JUPYTERLAB / f"theme-{host.removeprefix('jupyterlab-')}-extension/index.css"
    style = theme.read_text() if theme.exists() else ""
    body = "".join(f"<h4>{escape(source[:80])}</h4><section>{html}</section>" for source, html in views)
    body = body.replace("<details", "<details open")
    return f'<!doctype html><style>{style}</style><body style="{HOSTS[host]}; font: 13px sans-serif; margin: 20px">{body}</body>'


@pytest.mark.parametrize("host", HOSTS)
def test_every_word_can_be_read(offline, views, host):
    offline.set_content(document(views, host))
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    offline.screenshot(path=ARTEFACTS / f"views-{host}.png", full_page=True)
    assert [*map(str, faint(offline.locator("body")))] == []
    assert offline.asked == []


def test_without_its_styles_it_reads_in_order(offline, views):
    """As a page shows it that strips them; nothing is wider than the page or hidden."""
    offline.set_content(
        "<!doctype html>" + "".join(f"<h4>{escape(source[:80])}</h4>{stripped(html)}" for source, html in views)
    )
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    offline.screenshot(path=ARTEFACTS / "views-stripped.png", full_page=True)
    assert offline.asked == []


def exported(notebook: nbformat.NotebookNode, folder: Path) -> Path:
    """The page that `jupyter nbconvert --to html` makes."""
    source = folder / "exported.ipynb"
    nbformat.write(notebook, source)
    command = [str(Path(sys.executable).with_name("jupyter")), "nbconvert", "--to", "html", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return source.with_suffix(".html")


def test_the_exported_page_needs_no_network(offline, notebook, views, tmp_path):
    """The page's own frame asks for MathJax and require.js, also without any output; what we show asks for nothing."""
    empty = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    offline.goto(exported(empty, tmp_path).as_uri())
    offline.wait_for_load_state()
    frame = set(offline.asked)
    offline.asked.clear()
    offline.goto(exported(notebook, tmp_path).as_uri())
    offline.wait_for_load_state()
    assert set(offline.asked) <= frame
    outputs = offline.locator(".jp-OutputArea-output.jp-RenderedHTMLCommon, .jp-RenderedHTML")
    assert outputs.count() >= len(views)
    assert not [text for text in outputs.all_inner_texts() if not text.strip()]
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    offline.screenshot(path=ARTEFACTS / "views-exported.png", full_page=True)
