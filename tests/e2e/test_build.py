"""A build in JupyterLab, in a real browser, light and dark: its area while it works, what is kept of it, the stop button.

Screenshots: see test_jupyterlab.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.test_jupyterlab import THEMES, choose_theme, code_cells, open_written, write
from tests.e2e.test_jupyterlab import browser as browser
from tests.e2e.test_jupyterlab import server as server
from tests.e2e.test_progress import output, photograph, run, save

Server = tuple[str, str, Path]
pytestmark = pytest.mark.timeout(300)
GOOD = """\
%%image build --no-cache -t shown -
FROM mini AS maker
RUN for i in $(seq 1 30); do echo "line $i of <b>thirty</b>"; sleep 0.1; done; head -c 300000 /dev/urandom > /made
FROM mini AS unused
RUN sleep 100
FROM mini
COPY --from=maker /made /srv/made
RUN mkdir -p /srv/more && \\
    seq 1 20000 > /srv/more/numbers
ENV TOKEN=x
CMD cat /srv/made
"""
BAD = """\
%%image build -t shown -
FROM mini
RUN mkdir /data
RUN <<END
echo "looking for it"
cat /data/nothing
END
CMD ["cat", "/data/nothing"]
"""


@pytest.mark.parametrize("theme", THEMES)
def test_a_build_shows_its_lines_and_keeps_its_end(browser: Browser, server: Server, theme: str) -> None:
    path = server[2] / "work/light.ipynb"
    write(path, ["%load_ext nbcontainers", GOOD, GOOD.replace(" --no-cache", ""), BAD,
                 "%container run --rm failed-build ls -d /data", "%image rm -f shown failed-build"])  # fmt: skip
    choose_theme(server[2], theme)
    page = open_written(browser, server)
    run(page, 0)
    run(page, 1)
    shown = output(page, 1)
    shown.get_by_text("line 12 of <b>thirty</b>").wait_for(timeout=30_000)
    shown.get_by_text("running", exact=True).wait_for(timeout=2_000)
    photograph(page, 1, f"build-{theme}-working")
    assert shown.get_by_text('$(seq 1 30); do echo "line $i of').count() == 1, "dollar signs are no mathematics"
    shown.get_by_text("built shown in").wait_for(timeout=60_000)
    photograph(page, 1, f"build-{theme}-ended")
    for number in (2, 3, 4):
        run(page, number)
    output(page, 2).get_by_text("all 3 steps cached").wait_for(timeout=30_000)
    output(page, 3).get_by_text("try: ").wait_for(timeout=30_000)
    save(page, path, "RUN failed with exit status 1")
    good, bad = (code_cells(path)[number].outputs[0] for number in (1, 3))
    assert good.data["text/plain"].startswith("built shown in ")
    assert "running" not in good.data["text/html"]
    assert bad.data["text/plain"].startswith("build failed: shown")
    page.reload()
    output(page, 1).get_by_text("30 lines of output").click(timeout=90_000)
    output(page, 1).get_by_text("line 30 of <b>thirty</b>").wait_for(timeout=10_000)
    for number in (1, 2, 3, 4):
        photograph(page, number, f"build-{theme}-reloaded-{number}")
    run(page, 5)
    page.close()


def test_the_stop_button_ends_a_build(browser: Browser, server: Server) -> None:
    path = server[2] / "work/light.ipynb"
    source = "%%image build -t stopped -\nFROM mini\nRUN echo begun; sleep 100\nRUN true"
    write(path, ["%load_ext nbcontainers", source, "%container ps\n%image ls stopped", "print('goes', 'on')"])
    choose_theme(server[2], "light")
    page = open_written(browser, server)
    run(page, 0)
    run(page, 1)
    output(page, 1).get_by_text("begun", exact=True).wait_for(timeout=30_000)
    begun = time.monotonic()
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("i")
    output(page, 1).get_by_text("build interrupted: stopped").wait_for(timeout=20_000)
    assert time.monotonic() - begun < 15
    photograph(page, 1, "build-interrupted")
    for number in (2, 3):
        run(page, number)
    page.get_by_text("goes on").wait_for(timeout=20_000)
    assert "stopped" not in output(page, 2).inner_text()
    page.close()
