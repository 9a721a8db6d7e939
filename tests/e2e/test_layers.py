"""The explorer of an image's layers and the overlay view in a browser: mouse and keys, five thousand files, light and dark,
and what is left without a kernel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from nbcontainers.image import api
from tests import tarballs as t
from tests.e2e.contrast import faint
from tests.e2e.harness import Notebook

Opened = Callable[..., Notebook]
NAME = "local/explored:1"
LAYERS = [
    t.archive(
        t.folder("usr"), t.file("usr/lib/big.so", b"b" * 3_000_000), t.file("usr/lib/x86/deep/only.so", b"o" * 1000),
        t.file("etc/passwd", b"p" * 1000), t.file("etc/motd", b"m" * 50), t.folder("many"),
        *(t.file(f"many/file-{number:04}", b"x" * (number % 50)) for number in range(5000)),
        *(t.file(f"var/cache/p{number}", b"x" * 1000 * number) for number in range(9)), t.symlink("usr/lib/l", "big.so"),
    ),
    t.archive(
        t.file("usr/lib/big.so", b"c" * 2_000_000), t.file("etc/.wh.motd"), t.file("var/.wh.cache"),
        t.file("etc/passwd", b"p" * 1000, mode=0o600), t.file("srv/<img src=x onerror=alert(1)>", b"?"),
    ),
]  # fmt: skip
CELLS = ["%load_ext nbcontainers", f"%image layers {NAME}"]


@pytest.fixture(scope="module", autouse=True)
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("layers") / "image.tar"
    config = {
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [t.sha256(layer) for layer in LAYERS]},
        "history": [{"created_by": "COPY . / # buildkit"}, {"created_by": "RUN /bin/sh -c make <b>install</b> # buildkit"}],
    }  # fmt: skip
    api.load(str(t.docker_archive(Path(path), LAYERS, NAME, config=config)))
    yield
    api.rm(NAME, force=True)


def explorer(nb: Notebook) -> Locator:
    nb.run(0)
    nb.run(1)
    found = nb.live(1, "layers")
    expect(found.locator(".layer")).to_have_count(2)
    expect(found.locator(".row[data-index='0']")).to_be_visible()
    return found


def row(found: Locator, path: str) -> Locator:
    return found.locator(f".row[title^='{path} '], .row[title='{path}']")


def test_the_explorer(notebook: Opened) -> None:
    nb = notebook(CELLS)
    found = explorer(nb)
    expect(found.locator(".head")).to_contain_text(
        re.compile(r"local/explored:1 .*efficiency 41\.2 %, wasted 3\.04 MB in 4 paths")
    )
    expect(found.locator(".layer[aria-selected=true] .instruction")).to_have_text("RUN make <b>install</b>")
    for path in ("/usr/lib", "/etc", "/var/cache"):
        expect(row(found, path)).to_be_visible()
    expect(row(found, "/srv")).to_contain_text("+1")
    assert found.locator("img").count() == 0
    row(found, "/etc").click()
    expect(row(found, "/etc/passwd")).to_contain_text("0600 0:0, of layer 1")
    expect(row(found, "/etc/motd")).to_have_class(re.compile("removed"))
    nb.in_both_themes(1, "layers", found)
    found.get_by_role("button", name="removed", exact=True).click()
    expect(row(found, "/etc/motd")).to_have_count(0)
    expect(row(found, "/var/cache")).to_have_count(0)
    found.get_by_role("button", name="up to here").click()
    expect(row(found, "/many")).to_contain_text("5,000 files")
    nb.in_both_themes(1, "layers-together", found)


_HELD = """
import threading
from nbcontainers.image import layerview, unread
unread._PATIENCE_S, read, gate = 0, layerview.read, threading.Event()
layerview.read = lambda image, told=None: gate.wait(60) and read(image, told)
"""


@pytest.mark.slow
def test_what_was_not_read_yet_is_shown_at_once_and_the_explorer_follows(notebook: Opened) -> None:
    nb = notebook(["%load_ext nbcontainers", _HELD, f"%image layers {NAME}", "gate.set()"])
    for number in range(3):
        nb.run(number)
    shown = nb.output(2)
    expect(shown).to_contain_text("5.16 MB in 2 layers")
    expect(shown).to_contain_text("its files were not read yet")
    expect(shown).not_to_contain_text("efficiency")
    nb.in_both_themes(2, "layers-not-read", shown.locator(".jp-RenderedHTML"))
    nb.run(3)
    found = nb.live(2, "layers")
    expect(found.locator(".layer")).to_have_count(2)
    expect(found.locator(".row[data-index='0']")).to_be_visible()
    expect(nb.output(2)).not_to_contain_text("not read yet")
    assert "efficiency 41.2 %" in nb.saved(2)[0].data["text/plain"]


@pytest.mark.slow
def test_five_thousand_files_are_scrolled_through(notebook: Opened) -> None:
    nb = notebook(CELLS)
    found = explorer(nb)
    found.locator(".layer[data-layer='1']").click()
    row(found, "/many").click()
    expect(row(found, "/many/file-0049")).to_be_visible()
    assert found.locator(".row").count() < 60
    tree = found.get_by_role("tree")
    tree.evaluate("tree => tree.scrollTop = tree.scrollHeight / 2")
    expect(found.locator(".row", has_text=re.compile(r"file-\d{4}")).first).to_be_visible()
    tree.evaluate("tree => tree.scrollTop = tree.scrollHeight")
    expect(row(found, "/etc")).to_be_visible()
    assert found.locator(".row").count() < 60


@pytest.mark.slow
def test_by_keys(notebook: Opened) -> None:
    nb = notebook(CELLS)
    found = explorer(nb)
    found.get_by_role("listbox").focus()
    for key, number in (("Home", "1"), ("ArrowDown", "2"), ("ArrowUp", "1")):
        nb.page.keyboard.press(key)
        expect(found.locator(f".layer[data-layer='{number}']")).to_have_attribute("aria-selected", "true")
    nb.page.keyboard.press("Enter")
    expect(found.get_by_role("tree")).to_be_focused()
    expect(found.locator(".row.at")).to_have_attribute("title", "/usr/lib (added)")
    nb.page.keyboard.press("ArrowRight")
    expect(row(found, "/usr/lib/big.so")).to_be_visible()
    for _ in range(2):
        nb.page.keyboard.press("ArrowDown")
    expect(found.locator(".row.at")).to_have_attribute("title", "/usr/lib/x86/deep (added)")
    nb.page.keyboard.press("ArrowLeft")
    expect(found.locator(".row.at")).to_have_attribute("title", "/usr/lib (added)")
    nb.page.keyboard.press("ArrowLeft")
    expect(row(found, "/usr/lib/big.so")).to_have_count(0)
    nb.page.keyboard.press("/")
    nb.page.keyboard.type("file-0049")
    expect(found.locator(".sum")).to_have_text("1 file, 49B")
    expect(row(found, "/many/file-0049")).to_be_visible()
    nb.page.keyboard.press("Escape")
    expect(found.locator(".sum")).to_contain_text("5,014 files")
    nb.page.keyboard.press("Escape")
    nb.page.keyboard.press("a")
    expect(found.get_by_role("button", name="up to here")).to_have_attribute("aria-pressed", "true")
    found.locator(".path[data-path='/var/cache']").click()
    expect(found.locator(".sum")).to_contain_text("9 files, 36kB")
    found.get_by_label("sort by").select_option("name")
    expect(row(found, "/var/cache/p0")).to_be_visible()
    nb.photograph(1, "layers-filtered")


@pytest.mark.slow
def test_it_is_there_again_and_leaves_a_picture(notebook: Opened) -> None:
    nb = notebook(CELLS, "notebook", "dark")
    found = explorer(nb)
    found.locator(".layer[data-layer='1']").click()
    row(found, "/usr/lib").click()
    nb.restart()
    nb.run(0)
    found = nb.live(1, "layers")
    expect(found.locator(".layer[data-layer='1']")).to_have_attribute("aria-selected", "true")
    expect(row(found, "/usr/lib/big.so")).to_be_visible()
    nb.reopen(kernel=False)
    shown = nb.output(1)
    expect(shown).to_contain_text("efficiency 41.2 %")
    expect(shown).to_contain_text("usr/lib/big.so")
    assert shown.locator(".nbc-layers").count() == 0
    nb.photograph(1, "layers-saved")
    assert faint(shown.locator(".jp-RenderedHTML")) == []


@pytest.mark.slow
def test_the_overlay_of_a_container(notebook: Opened) -> None:
    nb = notebook(
        [
            "%load_ext nbcontainers",
            "%container run -q --replace --name kitchen -v /tmp:/host:ro mini sh -c 'echo soup > /monday; rm /bin/yes; rm -r /srv; mkdir /srv'",
            "%container overlay kitchen",
            "%container rm kitchen",
        ]
    )
    for number in range(4):
        nb.run(number)
    shown = nb.output(2)
    for words in (
        "upper",
        "lower 2",
        "lower 1",
        "work",
        "a whiteout: character device 0:0",
        "monday",
        "mounted over",
    ):
        expect(shown).to_contain_text(words)
    nb.in_both_themes(2, "overlay", shown.locator(".jp-RenderedHTML"))


@pytest.mark.slow
def test_the_card_of_an_image_opens_the_explorer(notebook: Opened) -> None:
    nb = notebook(["%load_ext nbcontainers", f"import nbcontainers\nnbcontainers.image.tag('{NAME}', '{NAME}')"])
    nb.run(0)
    nb.run(1)
    found = nb.live(1, "layers")
    expect(found.locator(".card")).to_contain_text("5.16 MB in 2 layers")
    expect(found.locator(".card")).to_contain_text("/bin/sh")
    expect(found.locator(".layer")).to_have_count(0)
    found.get_by_role("button", name="files of the layers").click()
    expect(found.locator(".layer")).to_have_count(2)
    expect(found.locator(".row[data-index='0']")).to_be_visible()
    nb.in_both_themes(1, "image-card", found)
    found.get_by_role("button", name="files of the layers").click()
    expect(found.locator(".tree")).not_to_be_visible()
