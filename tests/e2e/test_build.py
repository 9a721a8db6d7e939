"""A build in JupyterLab, in a real browser, light and dark: its area while it works, what is kept of it, the stop button."""

from __future__ import annotations

import time

from tests.e2e.harness import THEMES

GOOD = """\
%%image build --no-cache -t shown -
FROM mini AS maker
RUN for i in $(seq 1 30); do echo "line $i of <b>thirty</b>"; [ $i != 12 ] || sleep 3; done; head -c 300000 /dev/urandom > /made
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


def test_a_build_shows_its_lines_and_keeps_its_end(notebook):
    nb = notebook(["%load_ext nbcontainers", GOOD, GOOD.replace(" --no-cache", ""), BAD,
                   "%container run --rm failed-build ls -d /data", "%image rm -f shown failed-build"])  # fmt: skip
    nb.run(0)
    shown = nb.run(1, wait=False)
    shown.get_by_text("line 12 of <b>thirty</b>").wait_for()
    shown.get_by_text("running", exact=True).wait_for(timeout=2_000)
    nb.photograph(1, "build-working")
    assert shown.get_by_text('$(seq 1 30); do echo "line $i of').count() == 1, "dollar signs are no mathematics"
    shown.get_by_text("built shown in").wait_for(timeout=60_000)
    nb.in_both_themes(1, "build-ended")
    nb.run(2).get_by_text("all 3 steps cached").wait_for()
    nb.run(3).get_by_text("try: ").wait_for()
    nb.run(4)
    good, bad = nb.saved(1)[0], nb.saved(3)[0]
    assert good.data["text/plain"].startswith("built shown in ")
    assert "running" not in good.data["text/html"]
    assert bad.data["text/plain"].startswith("build failed: shown")
    nb.reload()
    nb.output(1).get_by_text("30 lines of output").click()
    nb.output(1).get_by_text("line 30 of <b>thirty</b>").wait_for()
    for theme in THEMES:
        nb.theme(theme)
        for number in (1, 2, 3, 4):
            nb.photograph(number, f"build-reloaded-{number}-{theme}")
    nb.run(5)


def test_the_stop_button_ends_a_build(notebook):
    source = "%%image build -t stopped -\nFROM mini\nRUN echo begun; sleep 100\nRUN true"
    nb = notebook(
        ["%load_ext nbcontainers", source, "%container ps\n%image ls stopped", "print('goes', 'on')"], theme="dark"
    )
    nb.run(0)
    nb.run(1, wait=False).get_by_text("begun", exact=True).wait_for()
    begun = time.monotonic()
    nb.interrupt()
    nb.output(1).get_by_text("build interrupted: stopped").wait_for()
    assert time.monotonic() - begun < 15
    nb.photograph(1, "build-interrupted")
    assert "stopped" not in nb.run(2).inner_text()
    nb.run(3).get_by_text("goes on").wait_for()
