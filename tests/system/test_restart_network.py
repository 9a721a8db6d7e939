"""A container that is started again keeps its address, its port and its name, and nobody else gets them meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import container
from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.errors import Error
from nbcontainers.system import api as system
from tests.monitored import wait_for
from tests.networked import SERVE, ask

pytestmark = pytest.mark.as_root
PYTHON = "/usr/bin/python3"


def serve(name: str, **options: Any) -> Container:
    made = container.run("host", PYTHON, "-c", SERVE, "80", name, name=name, detach=True, **options)
    assert isinstance(made, Container)
    return made


def runs(one: Container) -> int:
    return str(one.logs()).count("ready")


def test_the_same_address_port_and_name(ours: Any) -> None:
    web = serve("web", publish=["8080:80"], restart="always")
    wait_for(lambda: runs(web) == 1)
    address, ports = web.ip, web.ports
    assert address
    assert ports
    for _ in range(2):
        before, count = web.pid, runs(web)
        assert before
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: web.status == "restarting")
        with pytest.raises(Error, match="8080"):
            container.run("mini", "true", publish=["8080:80"])
        wait_for(lambda count=count: runs(web) > count)
        assert web.pid != before
        assert (web.ip, web.ports) == (address, ports)
        assert ask("127.0.0.1", 8080).startswith("web ")
        assert ask(address, 80).startswith("web ")
    seen: list[bytes] = []
    container.run("mini", "nslookup", "web", rm=True, stdout=seen.append, stderr=seen.append, raise_error=False)
    assert address.encode() in b"".join(seen)


def test_a_monitor_killed_while_it_waits_leaves_no_link_lease_or_port(ours: Any) -> None:
    web = container.run("mini", "false", name="web", detach=True, restart="always", publish=["8081:80"])
    assert isinstance(web, Container)
    wait_for(lambda: web.ended.get("restart_count", 0) >= 3 and web.status == "restarting")
    monitor = store.state(web.engine, web.id, "monitor.json")
    os.kill(monitor["pid"], signal.SIGKILL)
    wait_for(lambda: not store.alive(monitor))
    system.prune()
    assert list(Path(ours.root).glob("networks/*/leases/*")) == []
    assert serve("other", publish=["8081:80"]).running
