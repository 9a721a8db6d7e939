"""A service outlives the notebook that started it, and another notebook finds it by its name."""

from __future__ import annotations

import contextlib
import os
import time
import urllib.request
from collections.abc import Iterator

import pytest

from nbcontainers.container import api as container
from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound
from nbcontainers.linux import process
from nbcontainers.network import api as network
from nbcontainers.network import store as networks
from tests.conftest import close_launcher
from tests.monitored import wait_for
from tests.networked import own_host
from tests.system.kernel import Kernel

PORT = 18088
URL = f"http://127.0.0.1:{PORT}/hostname"


@pytest.fixture
def own_network() -> Iterator[None]:
    """Root's networks are made in a namespace of the test; an ordinary user can change nobody's. `web` goes with it."""
    with own_host() if os.geteuid() == 0 else contextlib.nullcontext():
        close_launcher()
        yield
        with contextlib.suppress(NotFound):
            container.rm("web", force=True)
        network.prune()
        close_launcher()


def launchers(kernel: int) -> list[int]:
    """The processes that a kernel started."""
    with open(f"/proc/{kernel}/task/{kernel}/children") as file:
        return [int(pid) for pid in file.read().split()]


def fetched() -> bytes:
    """What the service says, once it listens."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            return bytes(urllib.request.urlopen(URL, timeout=5).read())
        time.sleep(0.05)
    raise AssertionError(f"{URL} does not answer")


@pytest.mark.slow
def test_a_service_outlives_its_kernel_and_is_found_by_another(own_network: None, engine: Engine) -> None:
    first = Kernel()
    made = first.run(
        f"web = %container run -d --name web --network {networks.DEFAULT} -p {PORT}:80 mini httpd -f -v -p 80 -h /etc"
    )
    assert not made.error, made.traceback
    before = fetched()
    kernel = first.manager.provisioner.process
    started = launchers(kernel.pid)
    first.client.stop_channels()
    kernel.kill()
    wait_for(lambda: not any(process.alive(one, None) for one in started))
    assert fetched() == before
    kernel.wait()
    first.manager.cleanup_resources()

    second = Kernel()
    try:
        listed = second.run("%container ps").shown()[0]
        assert "web" in listed
        assert f":{PORT}->80/tcp" in listed
        assert "response:200" in second.run("%container logs web").shown()[0]
        assert second.run("%container exec web cat /etc/hostname").text().encode() == before
        attached = second.run(
            f"import threading, urllib.request\n"
            f"threading.Timer(0.5, lambda: urllib.request.urlopen('{URL}').read()).start()\n"
            f"%container attach web",
            interrupts=(1.5,),
        )
        assert attached.error == "KeyboardInterrupt"
        assert "left container web running" in attached.text("stderr")
        assert "response:200" in attached.text() + attached.text("stderr")
        assert second.run("import nbcontainers\nnbcontainers.container.get('web').status").shown() == ["'running'"]
        stopped = second.run("%container stop -t 0 web")
        assert not stopped.error, stopped.traceback
        assert "Exited (137)" in second.run("%container ps -a").shown()[0]
    finally:
        removed = second.run("%container rm -f web")
        second.close()
    assert not removed.error, removed.traceback
    with pytest.raises(OSError):
        urllib.request.urlopen(URL, timeout=1)
