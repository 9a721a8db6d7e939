"""A virtual machine on a network of ours: address, name and ports as a container's. Each boots for many looks."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nbcontainers import container, network, system
from nbcontainers import vm as machines
from nbcontainers.errors import Error, HostNotCapable, InvalidState
from nbcontainers.monitor.files import Files
from nbcontainers.network import ipam, state
from nbcontainers.vm.machine import Machine
from tests import networked, peers, vm
from tests.conftest import close_launcher
from tests.monitored import wait_for
from tests.networked import ASK, PYTHON, SERVE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

ADDRESS, PORT = "10.77.0.50", 8000
ROOT = os.geteuid() == 0
ASKS = f"nc $(nslookup web | awk '/^Address: [0-9.]+$/ {{print $2}}') {PORT}"
"""A static program finds no libnss in that image: nsswitch.conf(5)."""
SERVES = f"while :; do echo guest $({ASKS}) | nc -l -p {PORT}; done"


@pytest.fixture
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An engine with the network `lab`, on which the container `web` says who it is and who asks."""
    for name in ("linux.uml", "mke2fs", "busybox"):
        peers.program(name)
    if not ROOT:
        monkeypatch.delenv("NBCONTAINERS_NETWORK")
    engine = request.getfixturevalue("ours" if ROOT else "fresh_engine")
    network.create("lab", subnet=["10.77.0.0/24", "fd77::/64"])
    web = container.run("host", PYTHON, "-c", SERVE, str(PORT), "web", name="web", network="lab", detach=True)
    log = Path(engine.containers, web.id, "log")
    wait_for(lambda: b"ready" in log.read_bytes())
    yield engine
    for one in Running.begun:
        one.end()
    Running.begun.clear()
    system.prune(force=True)
    web.rm(force=True)
    assert ipam.leases(str(engine.root), "lab") == {}
    assert list(Path(engine.run).glob("*/network.json")) == []
    network.prune()
    assert not Path(engine.run, ".host").exists()
    close_launcher()


class Running:
    """A machine that serves, in a thread; `ended` is its handle or what was raised."""

    begun: ClassVar[list[Running]] = []

    def __init__(self, engine: Any, **options: Any) -> None:
        self.engine, self.ended, self.said = engine, [], []  # type: ignore[var-annotated]
        self.options = {"kind": "uml", "memory": "128m", "hostname": "box", "timeout": "60s", **options}
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.begun.append(self)

    def _run(self) -> None:
        try:
            self.ended.append(
                machines.run("mini", "sh", "-c", self.options.pop("script", SERVES), stdout=self.said.append,
                             stderr=self.said.append, raise_error=False, **self.options)
            )  # fmt: skip
        except Error as error:
            self.ended.append(error)

    def files(self) -> Files | None:
        """Of the only machine that runs."""
        root, run = str(self.engine.root), str(self.engine.run)
        found = (Files(root, run, id) for id, made in state.running(root, run) if made["networks"])
        return next((one for one in found if not os.path.exists(one.folder)), None)

    def end(self) -> None:
        """Kill its keeper, if it still runs."""
        if files := self.files():
            os.kill(files.read_state("monitor.json")["pid"], signal.SIGKILL)
        self.thread.join(30)


def until(ask: Callable[[], str], limit: float = 45) -> str:
    """What it says once it answers."""
    deadline = time.monotonic() + limit
    while True:
        try:
            if found := ask().strip():
                return found
        except (OSError, Error, AssertionError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def from_web() -> str:
    said: list[bytes] = []
    container.exec_("web", PYTHON, "-c", ASK, "box", str(PORT), stdout=said.append, stderr=said.append)
    return b"".join(said).decode()


def test_it_is_reached_and_reaches_others_as_a_container(lab: Any) -> None:
    """By name from a container and to it, by a published port, by address from the host; then its keeper is killed."""
    port = free_port()
    machine = Running(lab, network=f"lab:ip={ADDRESS}", publish=[f"127.0.0.1:{port}:{PORT}"])
    greeting = f"guest web {ADDRESS}"
    assert until(lambda: networked.ask("127.0.0.1", port)) == greeting, machine.said
    assert until(from_web) == greeting
    if ROOT:
        assert until(lambda: networked.ask(ADDRESS, PORT)) == greeting
    assert "box" in str(network.inspect("lab"))
    assert "lab" in network.topology().text()  # which draws containers
    assert [row["name"] for row in container.ps(all=True)] == ["web"]
    with pytest.raises(InvalidState, match="in use by web, box"):
        network.rm("lab")
    files = machine.files()
    assert files
    machine.end()
    assert isinstance(machine.ended[0], Error)
    system.prune(force=True)
    assert not os.path.exists(files.state)
    with pytest.raises(OSError):
        networked.ask("127.0.0.1", port, timeout=1)


def test_its_end_leaves_nothing_and_its_handle_says_where_it_was(lab: Any) -> None:
    script = f"ip addr; cat /etc/hosts /etc/resolv.conf; nslookup web; {ASKS}"
    machine = Running(lab, network=f"lab:ip={ADDRESS}", script=script, publish=[f"127.0.0.1::{PORT}"])
    machine.thread.join(45)
    (found,) = machine.ended
    said = b"".join(machine.said).decode()
    assert isinstance(found, Machine), found
    assert found.addresses[0] == ADDRESS
    assert found.addresses[1] in said.partition("inet6 ")[2]
    assert f"127.0.0.1:{found.ports[0]['host_port']}→{PORT}/tcp" in found.text()
    assert f"{ADDRESS}\tbox" in said
    assert "nameserver 169.254.1.1" in said
    assert "Name:\tweb" in said
    assert said.endswith(f"web {ADDRESS}\n")
    assert list(Path(lab.run).glob(f"{found.id}*")) == []


def test_qemu_is_on_the_network_where_there_is_tap(lab: Any) -> None:
    for name in ("qemu-system-x86_64", "mkfs.erofs"):
        peers.program(name)
    options = {"kind": "tcg", "kernel": str(vm._kernel()[0]), "memory": "192m", "root": "erofs"}
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        with pytest.raises(HostNotCapable, match="/dev/net/tun, which cannot be opened") as caught:
            machines.run("mini", "true", network="lab", **options)
        assert "--kind uml" in caught.value.hint
        assert "--network user" in caught.value.hint
        return
    machine = Running(lab, network=f"lab:ip={ADDRESS}", script=f"echo $({ASKS}) | nc -l -p {PORT}", **options)
    assert until(from_web) == f"web {ADDRESS}"
    machine.thread.join(20)
    assert machine.ended[0].exit_code == 0


def test_what_cannot_be_is_said_before_anything_is_made(lab: Any) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"network": "host"}, "has a network of its own"),
        ({"network": "container:web"}, "has a network of its own"),
        ({"network": "none", "publish": ["80"]}, "the machine has no network"),
        ({"network": f"lab:ip={ADDRESS},mac=x"}, "is no address that one interface can have"),
        ({"network": "lab:ip=10.78.0.1"}, "10.78.0.1"),
        ({"network": "nosuch"}, "nosuch"),
        ({"network": "lab:ip=10.77.0.2"}, "belongs to container web"),
        ({"network": "user"}, "--network user is QEMU's"),
    ]
    for options, words in wrong:
        with pytest.raises(Error, match=words):
            machines.run("mini", "true", kind="uml", memory="128m", **options)
