"""A real terminal in a cell: typed into, resized, flooded, left, reloaded, restarted and saved, as a person would.

Screenshots: terminal-*.png.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, TimeoutError

import nbcontainers
from nbcontainers.container.container import Container
from tests.e2e.harness import Notebook

LOAD = "%load_ext nbcontainers"
Open = Callable[..., Notebook]


@pytest.fixture
def web() -> Iterator[Container]:
    """A container that the page's kernel and we see."""
    with nbcontainers.run("mini", "sleep", "1000", name=f"web-{uuid.uuid4().hex[:4]}", detach=True) as container:
        yield container


class Shown:
    """The terminal of a cell."""

    def __init__(self, nb: Notebook, number: int) -> None:
        self.nb, self.number = nb, number
        self.keyboard = nb.page.keyboard

    @property
    def view(self) -> Locator:
        return self.nb.live(self.number, "terminal")

    def text(self) -> str:
        rows = self.view.locator(".xterm-rows > div").all_inner_texts()
        return "\n".join(row.replace("\u00a0", " ").rstrip() for row in rows).rstrip()

    def until(self, wanted: str, timeout_s: float = 15) -> str:
        deadline = time.monotonic() + timeout_s
        while not re.search(wanted, shown := self.text(), re.M):
            if time.monotonic() > deadline:
                self.nb.photograph(self.number, "terminal-stuck")
                pytest.fail(f"{wanted!r} does not come: {shown}")
            time.sleep(0.03)
        return shown

    def focus(self) -> None:
        self.view.locator(".xterm-screen").click()

    def type(self, text: str) -> None:
        self.keyboard.type(text)

    def line(self, text: str) -> None:
        self.keyboard.type(text)
        self.keyboard.press("Enter")

    def state(self, wanted: str) -> None:
        """Wait for the line over it to say so."""
        try:
            self.view.locator(".nbc-terminal-head").get_by_text(wanted).wait_for(timeout=15_000)
        except TimeoutError:
            self.nb.photograph(self.number, "terminal-stuck")
            pytest.fail(f"{wanted!r} is not said of\n{self.view.inner_text()}")

    def focused(self) -> bool:
        return bool(self.nb.page.evaluate("() => !!document.activeElement?.closest('.nbc-terminal')"))

    def size(self) -> tuple[int, int]:
        """What stty says in there."""
        mark = uuid.uuid4().hex[:6]
        self.line(f"echo {mark}=$(stty size)")
        rows, columns = re.findall(rf"^{mark}=(\d+) (\d+)", self.until(rf"^{mark}=\d+ \d+"), re.M)[0]
        return int(rows), int(columns)


def shell(nb: Notebook, number: int) -> Shown:
    """The terminal that cell `number` shows, with a prompt and the keys."""
    nb.run(number)
    shown = Shown(nb, number)
    shown.until(r"^/ #")
    shown.focus()
    return shown


def test_a_shell(notebook: Open, web: Container) -> None:
    nb = notebook([LOAD, f"%container exec -it {web.name} sh", "1 + 1"])
    nb.run(0)
    shown = shell(nb, 1)
    assert nb.prompt(1).inner_text() == "[2]:", "the cell has ended"
    cells = nb.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length")
    shown.line("echo ddxxaabb 漢字 é 🙂\\|")
    shown.until(r"^ddxxaabb 漢字 é 🙂\|$")
    assert cells == nb.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length")
    colours = "".join(f"\\033[{n}mcolour{n} " for n in (*range(31, 38), *range(91, 97)))
    shown.line(
        f"clear; printf '{colours}\\033[0m\\033[1mbold\\033[0m \\033[7mreverse\\033[0m\\n'; ls --color /; ls / | wc -l"
    )
    shown.until(r"^\d+$")
    nb.photograph(1, "terminal-light")
    rows, columns = shown.size()
    assert rows > 15
    assert columns > 80
    shown.view.locator(".nbc-terminal-screen").evaluate("node => node.style.height = '250px'")
    for _ in range(25):
        nb.page.wait_for_timeout(200)
        fewer, same = shown.size()
        if fewer < rows:
            break
    assert fewer < rows
    assert same == columns
    shown.line("sleep 100")
    nb.page.wait_for_timeout(300)
    shown.keyboard.press("Control+c")
    shown.until(r"^\^C\n/ #")
    shown.keyboard.press("Shift+Escape")
    assert not shown.focused()
    nb.theme("dark")
    nb.page.wait_for_timeout(600)
    nb.photograph(1, "terminal-dark")
    background = shown.view.locator(".xterm-scrollable-element").evaluate(
        "node => getComputedStyle(node).backgroundColor"
    )
    assert background == "rgb(17, 17, 17)"
    nb.theme("light")
    shown.focus()
    shown.line("exit 3")
    shown.state("exited with 3")
    nb.page.locator(".jp-Notebook [data-number='2'] .cm-content").click()
    nb.until("[...document.querySelectorAll('.nbc-terminal')].length === 1")
    nb.page.wait_for_timeout(500)
    saved = nb.saved(1)[0].data
    assert "exited with 3" in saved["text/plain"]
    assert "ddxxaabb" not in saved["text/plain"].partition("\n")[0]
    assert "exited with 3" in saved["text/html"]
    assert "<script" not in saved["text/html"]
    assert len(saved["text/html"]) < 60_000
    shown.until("exit 3")
    nb.photograph(1, "terminal-ended")


@pytest.mark.slow
def test_a_full_screen_program_and_the_clipboard(notebook: Open, web: Container) -> None:
    nb = notebook([LOAD, f"%container exec -it {web.name} sh"])
    nb.run(0)
    shown = shell(nb, 1)
    shown.line("vi /note")
    shown.until(r"/note.*1/1|No such|^~")
    shown.type("ione two")
    shown.keyboard.press("Enter")
    shown.type("three")
    shown.keyboard.press("Escape")
    assert shown.focused(), "Escape is the program's"
    shown.until(r"one two\nthree\n~")
    nb.photograph(1, "terminal-vi")
    shown.line(":wq")
    shown.until(r"^/ #$")
    shown.line("cat /note")
    shown.until(r"^one two\nthree\n")
    nb.page.evaluate("() => navigator.clipboard.writeText('echo pasted $((6*7))')")
    shown.keyboard.press("Control+Shift+V")
    shown.until(r"# echo pasted \$\(\(6\*7\)\)$")
    shown.keyboard.press("Enter")
    shown.until("^pasted 42$")
    row = shown.view.locator(".xterm-rows > div").filter(has_text=re.compile("^pasted.42")).first
    box = row.bounding_box()
    assert box is not None
    nb.page.mouse.dblclick(box["x"] + 10, box["y"] + box["height"] / 2)
    shown.keyboard.press("Control+Shift+C")
    nb.page.wait_for_timeout(200)
    assert nb.page.evaluate("() => navigator.clipboard.readText()").strip() == "pasted"
    shown.line("\x0cexit")
    shown.state("exited with 0")


@pytest.mark.slow
def test_a_reload_and_a_saved_notebook(notebook: Open, web: Container) -> None:
    nb = notebook([LOAD, f"%container exec -it {web.name} sh", "1"])
    nb.run(0)
    nb.run(1)
    nb.live(1, "terminal")
    nb.page.wait_for_timeout(2500)
    assert "/ #" in nb.saved(1)[0].data["text/plain"], "how it began, where nobody types"
    shown = shell(nb, 1)
    shown.line("printf 'be''fore\\033[6n\\n'; echo \\<b\\>")
    shown.until("^before")
    nb.page.wait_for_timeout(300)
    shown.keyboard.press("Shift+Escape")
    nb.page.wait_for_timeout(500)
    saved = nb.saved(1)[0].data
    assert "running · as it was at 20" in saved["text/plain"]
    assert "before" in saved["text/plain"]
    assert "&lt;b&gt;" in saved["text/html"]
    shown.until("^before")
    nb.reload()
    shown = Shown(nb, 1)
    shown.until("^before")
    shown.focus()
    nb.page.wait_for_timeout(300)
    assert not re.search(r"\d+;\d+R.*\d+;\d+R", shown.text()), "questions are answered once"
    shown.keyboard.press("Control+c")
    shown.line("echo af''ter")
    shown.until("^after")
    nb.photograph(1, "terminal-reloaded")
    shown.keyboard.press("Shift+Escape")
    nb.page.wait_for_timeout(500)
    nb.reopen(kernel=False)
    nb.output(1).get_by_text("running · as it was at 20").wait_for()
    nb.output(1).get_by_text("after", exact=False).first.wait_for()
    nb.photograph(1, "terminal-saved")


@pytest.mark.slow
def test_a_flood_freezes_neither_page_nor_kernel(notebook: Open, web: Container) -> None:
    nb = notebook([LOAD, f"%container exec -it {web.name} sh", "print(6 * 7)"])
    nb.run(0)
    shown = shell(nb, 1)
    shown.line("yes flooded")
    shown.until("^flooded")
    nb.page.wait_for_timeout(2500)
    slowest = nb.page.evaluate(
        """async () => { let slowest = 0, last = performance.now();
        for (let n = 0; n < 90; n++) { await new Promise(requestAnimationFrame);
          const now = performance.now(); slowest = Math.max(slowest, now - last); last = now; }
        return slowest; }"""
    )
    assert slowest < 500, "milliseconds without a frame"
    begun = time.monotonic()
    nb.run(2)
    assert time.monotonic() - begun < 3
    nb.output(2).get_by_text("42").wait_for()
    shown.focus()
    begun = time.monotonic()
    shown.keyboard.press("Control+c")
    shown.until(r"\^C\n/ #|KiB not shown[\s\S]*/ #")
    took = time.monotonic() - begun
    print(f"from the key to the prompt {took:.2f} s; slowest frame {slowest:.0f} ms")
    assert took < 3, "half a second on a machine that has time"
    nb.photograph(1, "terminal-flood")
    shown.line("echo go''es on")
    shown.until("^goes on")


@pytest.mark.slow
def test_keys_while_a_cell_runs(notebook: Open, web: Container) -> None:
    nb = notebook([LOAD, f"%container exec -it {web.name} sh", "import time; time.sleep(8)"])
    nb.run(0)
    shown = shell(nb, 1)
    nb.run(2, wait=False)
    shown.focus()
    begun = time.monotonic()
    shown.line("echo mean''while")
    shown.until("^meanwhile")
    assert time.monotonic() - begun < 4
    assert "*" in nb.prompt(2).inner_text()


@pytest.mark.slow
@pytest.mark.parametrize("front_end", ["lab", "notebook"])
def test_a_restart(notebook: Open, web: Container, front_end: str) -> None:
    """What is a container's own lives on and is shown again; an exec ended with its kernel."""
    name = f"own-{uuid.uuid4().hex[:4]}"
    cells = [LOAD, f"%container run -it --rm --name {name} mini sh", f"%container exec -it {web.name} sh"]
    nb = notebook(cells, front_end=front_end)
    nb.run(0)
    other = shell(nb, 2)
    other.line("echo of the ex''ec")
    other.until("^of the exec")
    shown = shell(nb, 1)
    shown.line("echo be''fore")
    shown.until("^before")
    nb.photograph(1, f"terminal-{front_end}")
    nb.restart()
    nb.run(0)
    nb.until("!document.querySelector('.nbc-stale')")
    shown = Shown(nb, 1)
    shown.state("running")
    shown.until("^before", timeout_s=30)
    shown.focus()
    shown.line("echo af''ter")
    shown.until("^after")
    nb.output(2).get_by_text("an exec ends with the kernel that began it").wait_for()
    nb.output(2).get_by_text("of the exec").first.wait_for()
    nb.photograph(2, f"terminal-{front_end}-restarted-exec")
    shown.focus()
    shown.line("exit 7")
    shown.state("exited with 7")
    nb.page.wait_for_timeout(300)
    nb.photograph(1, f"terminal-{front_end}-restarted")


def test_hostile_output_does_nothing(notebook: Open, web: Container) -> None:
    nb = notebook([LOAD, f"%container exec -it {web.name} sh", f"%container exec -it {web.name} sh"])
    nb.run(0)
    nb.page.evaluate("() => navigator.clipboard.writeText('mine')")
    title = nb.page.title()
    shown = shell(nb, 1)
    link = r"\033]8;;http://127.0.0.1:1/\033\\a link\033]8;;\033\\"
    shown.line(f"printf '\\033]0;stolen\\007\\033]52;c;c3RvbGVu\\007{link}\\n<img src=x onerror=alert(1)>\\n'")
    shown.until("^a link")
    row = shown.view.locator(".xterm-rows > div").filter(has_text=re.compile("^a.link")).first
    pages = len(nb.page.context.pages)
    box: Any = row.bounding_box()
    nb.page.mouse.move(box["x"] + 8, box["y"] + 5)
    nb.page.wait_for_timeout(200)
    assert "xterm-cursor-pointer" not in str(shown.view.locator(".xterm").get_attribute("class")), "it is no link"
    nb.page.mouse.click(box["x"] + 8, box["y"] + 5)
    nb.page.wait_for_timeout(300)
    assert len(nb.page.context.pages) == pages
    assert nb.page.title() == title
    assert nb.page.evaluate("() => navigator.clipboard.readText()") == "mine"
    assert shown.view.locator("img").count() == 0
    second = shell(nb, 2)
    second.line("echo sec''ond")
    second.until("^second")
    assert "second" not in shown.text(), "each its own"
