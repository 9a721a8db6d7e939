"""Published ports of an ordinary user, by our own forwarder; on the loopback of this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import container, network
from nbcontainers.container.container import Container
from nbcontainers.errors import CreateFailed, Error, HostNotCapable
from tests.monitored import wait_for
from tests.networked import ECHO, SERVE, ask

pytestmark = pytest.mark.as_user

PYTHON = "/usr/bin/python3"


@pytest.fixture
def serve(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """serve(NAME, PORT): a container that says `NAME CLIENT` to everybody, published where the test wants it."""
    monkeypatch.delenv("NBCONTAINERS_NETWORK")
    made: list[Container] = []

    def start(name: str, port: int = 8000, program: str = SERVE, **options: Any) -> Container:
        made.append(container.run("host", PYTHON, "-c", program, str(port), name, name=name, detach=True, **options))
        log = Path(engine.containers, made[-1].id, "log")
        wait_for(lambda: b"ready" in log.read_bytes())
        return made[-1]

    yield start
    for one in made:
        if not one.removed:
            one.rm(force=True)


def reached(one: Container, port: str) -> int:
    """Where on 127.0.0.1 a port is published."""
    return int(one.ports[port][0].rpartition(":")[2])


def test_a_published_port_answers(serve: Any) -> None:
    web = serve("web", publish="127.0.0.1::8000")
    assert ask("127.0.0.1", reached(web, "8000/tcp")) == "web 127.0.0.1"
    assert ask("127.0.0.1", reached(web, "8000/tcp")) == "web 127.0.0.1"


def test_udp_too(serve: Any) -> None:
    clock = serve("clock", 7000, ECHO, publish="127.0.0.1::7000/udp")
    assert ask("127.0.0.1", reached(clock, "7000/udp"), udp=True) == "clock 127.0.0.1"


def test_much_goes_through_both_ways(serve: Any) -> None:
    program = (
        "import socket, sys\n"
        "server = socket.create_server(('', int(sys.argv[1])))\n"
        "print('ready', flush=True)\n"
        "connection, _ = server.accept()\n"
        "while data := connection.recv(65536): connection.sendall(data)\n"
    )
    port = reached(serve("echo", 9000, program, publish="127.0.0.1::9000"), "9000/tcp")
    sent, heard = os.urandom(3 << 20), b""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.setblocking(False)
        at = 0
        while len(heard) < len(sent):
            try:
                at += connection.send(sent[at : at + 65536]) if at < len(sent) else 0
            except BlockingIOError:
                pass
            try:
                heard += connection.recv(1 << 20)
            except BlockingIOError:
                continue
    assert heard == sent


def test_a_taken_port_names_its_owner(serve: Any) -> None:
    web = serve("web", publish="127.0.0.1::8000")
    port = reached(web, "8000/tcp")
    with pytest.raises(CreateFailed, match="taken by container web"):
        container.run("mini", "true", publish=f"127.0.0.1:{port}:80")
    web.rm(force=True)
    again = serve("again", publish=f"127.0.0.1:{port}:8000")
    assert ask("127.0.0.1", reached(again, "8000/tcp")) == "again 127.0.0.1"


@pytest.mark.may_skip("a host may let everybody listen on low ports")
def test_privileged_ports_are_refused_with_what_to_type(serve: Any) -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81:
        pytest.skip("every user may listen on port 81 here")
    with pytest.raises(CreateFailed, match="cannot be published") as caught:
        container.run("mini", "true", publish="127.0.0.1:81:80")
    assert "8080:80" in caught.value.hint


def test_a_killed_monitor_takes_the_forwarder_along(serve: Any, engine: Any) -> None:
    web = serve("web", publish="127.0.0.1::8000")
    port = reached(web, "8000/tcp")
    os.kill(json.loads(Path(engine.run, web.id, "monitor.json").read_text())["pid"], signal.SIGKILL)

    def free() -> bool:
        try:
            ask("127.0.0.1", port)
        except OSError:
            return True
        return False

    wait_for(free)


def test_it_says_what_is_missing_for_the_outside(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    heard: list[bytes] = []
    container.run("mini", "true", rm=True, network="nbcontainers", stderr=heard.append)
    assert b"cannot reach the outside; slirp4netns (apt install" in b"".join(heard)


@pytest.mark.may_skip("/dev/net/tun is root's alone on some machines")
def test_slirp4netns_gives_a_way_outside(serve: Any) -> None:
    """No packet is sent: the interface, its route and the name server are there."""
    if not (os.path.exists("/usr/bin/slirp4netns") and os.access("/dev/net/tun", os.W_OK)):
        pytest.skip("slirp4netns is not installed, or /dev/net/tun is not to be had")
    heard: list[bytes] = []
    line = "ip addr show tap0; ip route; cat /etc/resolv.conf"
    container.run("mini", "sh", "-c", line, rm=True, network="nbcontainers", stdout=heard.append)
    text = b"".join(heard).decode()
    assert "10.0.2.100/24" in text
    assert "default via 10.0.2.2" in text
    assert "nameserver 10.0.2.3" in text


def test_networks_in_common_need_root(serve: Any) -> None:
    for options in ({"network": "backend"}, {"network": "nbcontainers", "ip": "10.0.0.2"}):
        with pytest.raises(HostNotCapable, match="no networks in common"):
            container.run("mini", "true", **options)  # type: ignore[arg-type]
    with pytest.raises(Error, match="an ordinary user's containers"):
        network.create("backend")
