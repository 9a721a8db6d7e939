"""image build where the user namespace holds one id: what package managers do as root succeeds (builder/pretence.py)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbcontainers.container import api as containers
from nbcontainers.container import host
from nbcontainers.engine import Engine
from nbcontainers.image import api


@pytest.fixture
def one_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A PATH without newuidmap(1)."""
    for folder in os.get_exec_path():
        for path in Path(folder).glob("*"):
            if path.name not in ("newuidmap", "newgidmap") and not (tmp_path / path.name).exists():
                (tmp_path / path.name).symlink_to(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    host.this_host.cache_clear()
    yield
    host.this_host.cache_clear()


@pytest.mark.as_user
def test_what_package_managers_do_succeeds(one_id: None, fresh_engine: Engine) -> None:
    text = (
        "FROM mini\n"
        "RUN touch /a && chown 5:6 /a && chgrp 7 /a && chown -h 3 /a && mknod /null c 1 3 && su root -c 'echo su > /b'\n"
        "RUN test ! -e /null && mkfifo /fifo && mkdir -p /usr/bin /var/lib && touch /usr/bin/apt-get\n"
        "RUN grep -q root $APT_CONFIG && echo ${APT_CONFIG} > /c\n"
        "COPY --chown=8:9 --from=mini /bin/busybox /given\n"
    )
    image = api.build("-", dockerfile=text, network="none")
    output: list[bytes] = []
    containers.run(
        image.id, "sh", "-c", "stat -c '%u:%g %F' /a /fifo /given; cat /b /c; ls /run", rm=True, network=["none"],
        stdout=output.append,
    )  # fmt: skip
    said = b"".join(output).decode().splitlines()
    assert said == ["0:0 regular empty file", "0:0 fifo", "0:0 regular file", "su", "/run/apt.conf"]
