"""Builds that are interrupted or killed at any moment: the store and what is kept stay whole, nothing is left.

NBCONTAINERS_SOAK=1000 for more rounds than six.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbcontainers.builder import api as builder
from nbcontainers.container import api as containers
from nbcontainers.engine import Engine
from nbcontainers.image import api, kept
from nbcontainers.system import api as system

ROUNDS = int(os.environ.get("NBCONTAINERS_SOAK", "6"))
TEXT = """FROM mini AS one
RUN --mount=type=cache,target=/cache echo $$ >> /cache/n; seq 1000 > /seq; sleep 0.05
COPY . /c/
FROM mini AS two
RUN seq 2000 > /seq2; ln /seq2 /seq3; chown 5:6 /seq2
FROM mini
COPY --from=one /seq /c/ /d/
COPY --from=two /seq2 /d/
RUN cat /d/* | sha256sum > /sum; rm /d/1
"""


@pytest.mark.leaks("a killed build's containers go when their monitors see it, which may be after the test")
def test_deaths(fresh_engine: Engine, tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / str(number)).write_text(f"{number}\n" * 200)
    (tmp_path / "Dockerfile").write_text(TEXT)
    expected = _sum(_built(tmp_path))
    chance = random.Random(4)
    for number in range(ROUNDS):
        if number % 2:
            builder.prune()
        process = _begin(tmp_path, no_cache=chance.random() < 0.5)
        time.sleep(chance.uniform(0.2, 1.2))
        process.send_signal(chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)))
        process.wait(30)
        assert _sum(_built(tmp_path)) == expected
    _quiet(fresh_engine)
    api.verify()
    assert list((fresh_engine.cache / "build/work").glob("*")) == []
    assert all(one["what"] for _, one in kept.every(fresh_engine))


def _begin(context: Path, *, no_cache: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nbcontainers", "build", "-q", "--network", "none", str(context)]
    return subprocess.Popen(
        [*command, *(["--no-cache"] if no_cache else [])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _built(context: Path) -> str:
    return api.build(str(context), network="none").id


def _sum(image: str) -> bytes:
    output: list[bytes] = []
    containers.run(image, "sh", "-c", "cat /sum; ls /d | wc -l; cat /d/* | sha256sum", rm=True, network=["none"],
                   stdout=output.append)  # fmt: skip
    return b"".join(output)


def _quiet(engine: Engine) -> None:
    """Until the monitors of killed builds are through, and all that died is tidied up."""
    deadline = time.monotonic() + 30
    while any(engine.containers.glob("[0-9a-f]*")) and time.monotonic() < deadline:
        system.prune()
        time.sleep(0.1)
    system.prune()
