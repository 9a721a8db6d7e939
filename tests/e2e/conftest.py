"""One Jupyter server and one browser a session; `notebook([...])` opens cells in a front end (harness.py)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, expect

from nbcontainers import container, network
from tests import networked
from tests.conftest import close_launcher
from tests.e2e import server as jupyter
from tests.e2e.harness import Notebook

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser test may wait for a kernel, a page and a container."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session", autouse=True)
def own_host() -> Iterator[None]:
    """Root's tests, and all that they start, are on a host of their own: no way out, and containers have networks."""
    if os.geteuid() != 0:
        yield
        return
    with pytest.MonkeyPatch.context() as patch, networked.own_host():
        patch.delenv("NBCONTAINERS_NETWORK", raising=False)
        close_launcher()
        yield
        for row in container.ps(all=True):
            container.rm(str(row["id"]), force=True)
        network.prune()
        close_launcher()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[jupyter.Server]:
    with jupyter.serving(tmp_path_factory.mktemp("jupyter")) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=15_000)  # a busy machine: what comes, comes; only what never comes costs so long
    with jupyter.chromium() as found:
        yield found


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One set of cookies for all pages; tests paste, so they may read the clipboard."""
    found = browser.new_context()
    found.grant_permissions(["clipboard-read", "clipboard-write"])
    yield found
    found.close()


@pytest.fixture(scope="session")
def pages(server: jupyter.Server, context: BrowserContext) -> dict[str, Notebook]:
    """The front ends of this session, by name; each test loads its page anew."""
    return {}


@pytest.fixture
def notebook(
    server: jupyter.Server, context: BrowserContext, pages: dict[str, Notebook]
) -> Iterator[Callable[..., Notebook]]:
    """`notebook(sources, front_end="lab", theme="light")`: these cells in an open notebook with a kernel of its own.

    One notebook of a front end is open at a time. When the test ends it is closed, its kernel ended, and what the page
    complained of fails the test.
    """
    used: dict[str, Notebook] = {}

    def opened(sources: Sequence[str], front_end: str = "lab", theme: str = "light") -> Notebook:
        one = used[front_end] = pages.get(front_end) or Notebook(server, context, front_end)
        pages[front_end] = one
        one.complaints.clear()
        path = server.work / f"{front_end}-{next(_numbers)}.ipynb"
        one.write(path, sources)
        one.open(path)
        one.theme(theme)
        return one

    yield opened
    complaints = {name: list(one.complaints) for name, one in used.items() if one.complaints}
    for name, one in used.items():
        try:
            one.close()
        except Error:  # the page is not what it was after a test that failed: the next test gets another
            pages.pop(name).page.close()
    assert not complaints
