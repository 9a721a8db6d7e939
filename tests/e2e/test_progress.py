"""A pull in JupyterLab, in a real browser, light and dark: its area while it works, what a reload shows, the stop button.

The registry is docker-registry on loopback, behind a slow line.
"""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterator

import pytest

from tests.e2e.harness import THEMES
from tests.registries import DockerRegistry, docker_registry, fill
from tests.throttle import Line, throttled

MIB = 1 << 20


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
        fill(found, "shop/web:1.21.6", [*below, layer(10, 9), layer(11, 0.5)])
        fill(found, "shop/web:1.21.7", [*below, layer(10, 9), layer(12, 1)])
        fill(found, "large/web:1", [layer(30, 40)])
        yield found


@pytest.fixture(scope="module")
def slow(registry: DockerRegistry) -> Iterator[tuple[str, Line]]:
    with throttled(registry.host, 3 * MIB) as found:
        yield found


def test_a_pull_shows_its_progress_and_keeps_its_end(notebook, slow):
    name = f"{slow[0]}/shop/web"
    nb = notebook(["%load_ext nbcontainers", f"%image pull {name}:1.21.6", f"%image pull {name}:1.21.7",
                   f"%image tags {name}", "%image outdated", f"%image pull {name}:9"], theme="dark")  # fmt: skip
    nb.run(0)
    shown = nb.run(1, wait=False)
    shown.get_by_text("downloading").first.wait_for()
    shown.get_by_text(" left").wait_for()
    nb.photograph(1, "pull-working")
    shown.get_by_text("pulled", exact=True).wait_for(timeout=60_000)
    nb.in_both_themes(1, "pull-ended")
    nb.run(2).get_by_text("3 already there").wait_for()
    for number in (3, 4):
        nb.run(number)
    nb.run(5).get_by_text("RegistryError").first.wait_for()
    (area,) = nb.saved(1)
    assert area.data["text/plain"].startswith(f"pulled {name}:1.21.6 in ")
    assert "downloading" not in area.data["text/html"]
    nb.reload()
    nb.output(1).get_by_text("pulled", exact=True).wait_for()
    nb.output(1).get_by_text("each layer").click()
    for theme in THEMES:
        nb.theme(theme)
        for number in (1, 2, 3, 4, 5):
            nb.photograph(number, f"pull-reloaded-{number}-{theme}")


def test_the_stop_button_ends_a_pull(notebook, slow):
    nb = notebook(["%load_ext nbcontainers", f"%image pull {slow[0]}/large/web:1", "%image ls", "print('goes', 'on')"])
    nb.run(0)
    nb.run(1, wait=False).get_by_text("downloading").first.wait_for()
    nb.interrupt()
    nb.output(1).get_by_text("pull interrupted").wait_for()
    nb.photograph(1, "pull-interrupted")
    assert "large/web" not in nb.run(2).inner_text()
    nb.run(3).get_by_text("goes on").wait_for()
