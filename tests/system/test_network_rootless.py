"""Networks and published ports of an ordinary user: his own namespace, our own forwarder; on the loopback of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import container, network, system
from nbcontainers.container.container import Container
from nbcontainers.errors import CreateFailed, HostNotCapable, InvalidArgument, InvalidState
from nbcontainers.linux import process
from tests.conftest import close_launcher
from tests.monitored import wait_for
from tests.networked import ASK, ECHO, SERVE, ask

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
    for name in network.prune():
        assert name != "nbcontainers", "its bridge goes with the last container"
    assert not Path(engine.run, ".host").exists(), "and so does the namespace"


def reached(one: Container, port: str) -> int:
    """Where on 127.0.0.1 a port is published."""
    return int(one.ports[port][0].rpartition(":")[2])


def test_a_published_port_answers(serve: Any) -> None:
    web = serve("web", publish="127.0.0.1::8000")
    assert ask("127.0.0.1", reached(web, "8000/tcp")) == f"web {gateway('nbcontainers')}"
    assert ask("127.0.0.1", reached(web, "8000/tcp")) == f"web {gateway('nbcontainers')}"


def test_a_restart_policy_keeps_the_port(serve: Any) -> None:
    web = serve("web", publish="127.0.0.1::8000", restart="always")
    port, address = reached(web, "8000/tcp"), web.ip
    assert ask("127.0.0.1", port).startswith("web ")
    for _ in range(2):
        before = web.pid
        os.kill(before, signal.SIGKILL)
        wait_for(lambda before=before: web.pid not in (None, before))
        wait_for(lambda: answers(port))
        assert (reached(web, "8000/tcp"), web.ip) == (port, address)


def answers(port: int) -> bool:
    try:
        return ask("127.0.0.1", port).startswith("web ")
    except OSError:
        return False


def test_it_starts_again_where_connections_were(serve: Any) -> None:
    """TIME_WAIT of the port is no reason to be refused it."""
    first = serve("web", publish="127.0.0.1::8000")
    port = reached(first, "8000/tcp")
    assert ask("127.0.0.1", port)
    first.rm(force=True)
    again = serve("again", publish=f"127.0.0.1:{port}:8000")
    assert ask("127.0.0.1", port).startswith("again ")
    again.stop(0)
    again.start()
    wait_for(lambda: not ask_in_vain(port))


def test_udp_too(serve: Any) -> None:
    clock = serve("clock", 7000, ECHO, publish="127.0.0.1::7000/udp")
    assert ask("127.0.0.1", reached(clock, "7000/udp"), udp=True) == f"clock {gateway('nbcontainers')}"


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
    assert ask("127.0.0.1", reached(again, "8000/tcp")).startswith("again ")


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


def client(program: str, *words: object, **options: Any) -> str:
    """What a Python program writes in a container that goes again."""
    heard: list[bytes] = []
    container.run("host", PYTHON, "-c", program, *map(str, words), rm=True, stdout=heard.append, **options)
    return b"".join(heard).decode().strip()


def gateway(name: str) -> str:
    return str(network.inspect(name)[0]["IPAM"]["Config"][0]["Gateway"])


def test_containers_find_each_other_by_name(serve: Any) -> None:
    """What a student on a hub needs: two containers of one network, without root."""
    network.create("lab")
    db = serve("db", network="lab", network_alias="sql", publish="8000")
    said = client(ASK, "db", 8000, network="lab").split()
    assert said[0] == "db"
    assert said[1] != gateway("lab"), "container to container nothing is translated"
    assert client(ASK, "sql", 8000, network="lab").startswith("db ")
    assert client(ASK, db.ip, 8000, network="lab").startswith("db ")
    assert ask("127.0.0.1", reached(db, "8000/tcp")) == f"db {gateway('lab')}"
    assert client(ASK, gateway("lab"), reached(db, "8000/tcp"), network="lab").startswith("db ")
    with pytest.raises(InvalidState, match="in use by db"):
        network.rm("lab")


def test_networks_are_kept_apart(serve: Any) -> None:
    network.create("one"), network.create("two"), network.create("closed", internal=True)
    one, closed = serve("one", network="one"), serve("closed", network="closed")
    code = (
        "import socket, sys\n"
        "for address in sys.argv[1:]:\n"
        "    try: socket.create_connection((address, 8000), 0.5)\n"
        "    except OSError: print('apart')"
    )
    assert client(code, one.ip, closed.ip, network="two") == "apart\napart"


def ask_in_vain(port: int) -> bool:
    try:
        return not ask("127.0.0.1", port)
    except OSError:
        return True


def test_connect_and_disconnect_move_the_port(serve: Any) -> None:
    network.create("front"), network.create("back", subnet="10.77.0.0/24")
    web = serve("web", network="front", publish="127.0.0.1::8000")
    port = reached(web, "8000/tcp")
    assert network.connect("back", web, ip="10.77.0.9") == ["10.77.0.9"]
    network.disconnect("front", web)
    assert ask("127.0.0.1", port) == "web 10.77.0.1"
    assert client(ASK, "web", 8000, network="back").startswith("web ")
    network.disconnect("back", web)
    assert ask_in_vain(port), "it waits for an address"
    network.connect("front", web)
    assert ask("127.0.0.1", port).startswith("web ")


def test_reload_puts_the_rules_back(serve: Any, engine: Any) -> None:
    web = serve("web", publish="8000")
    assert network.reload() == ["nbcontainers"]
    assert client(ASK, gateway("nbcontainers"), reached(web, "8000/tcp"), network="nbcontainers").startswith("web ")


def test_the_namespace_goes_with_a_killed_monitor(serve: Any, engine: Any) -> None:
    """At the next sweep; until then another container may use it."""
    web = serve("web", network="nbcontainers")
    os.kill(json.loads(Path(engine.run, web.id, "monitor.json").read_text())["pid"], signal.SIGKILL)
    wait_for(lambda: web.status == "dead")
    assert Path(engine.run, ".host").exists()
    serve("other", network="nbcontainers")
    assert client(ASK, "other", 8000, network="nbcontainers").startswith("other ")
    assert "killed monitor" in {row["what"] for row in system.prune()}
    container.rm("other", force=True)
    assert not Path(engine.run, ".host").exists()


def test_a_killed_holder_is_replaced(serve: Any, engine: Any) -> None:
    serve("web", network="nbcontainers")
    holder = json.loads(Path(engine.run, ".host/host.json").read_text())["processes"][0]["pid"]
    os.kill(holder, signal.SIGKILL)
    wait_for(lambda: process.start_time(holder) is None)
    serve("after", network="nbcontainers")
    assert client(ASK, "after", 8000, network="nbcontainers").startswith("after ")


def test_macvlan_needs_root(serve: Any) -> None:
    with pytest.raises(HostNotCapable, match="interface of the host"):
        network.create("wire", driver="macvlan", subnet="10.99.0.0/24")


def test_subnets_of_the_user_are_checked(serve: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"overlaps 10\.0\.2\.0/24 of slirp4netns"):
        network.create("bad", subnet="10.0.2.0/25")


def test_it_says_what_is_missing_for_the_outside(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    close_launcher()
    heard: list[bytes] = []
    container.run("mini", "true", rm=True, network="nbcontainers", stderr=heard.append)
    close_launcher()
    assert b"cannot reach the outside; slirp4netns (apt install" in b"".join(heard)


@pytest.mark.may_skip("/dev/net/tun is root's alone on some machines")
@pytest.mark.parametrize("program", ["pasta", "slirp4netns"])
def test_a_program_gives_a_way_outside(
    serve: Any, engine: Any, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No packet is sent: the interface and its route are there."""
    path = shutil.which(program)
    if not path or not os.access("/dev/net/tun", os.W_OK):
        pytest.skip(f"{program} is not installed, or /dev/net/tun is not to be had")
    (tmp_path / program).symlink_to(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    close_launcher()
    heard: list[bytes] = []
    container.run("mini", "ip", "route", rm=True, network="nbcontainers", stdout=heard.append, stderr=heard.append)
    assert b"default via" in b"".join(heard)
    assert b"cannot reach the outside" not in b"".join(heard)
    close_launcher()


def test_rounds_of_create_kill_and_remove(serve: Any, engine: Any) -> None:
    """Seeded; more with NBCONTAINERS_ROUNDS. The namespace goes with the last of them, however that ended."""
    from random import Random

    random = Random(5)
    names = [network.create(f"net{number}").name for number in range(2)]
    made: list[Container] = []
    for _ in range(int(os.environ.get("NBCONTAINERS_ROUNDS", "8"))):
        chosen = random.sample(names, random.randint(1, 2))
        made.append(container.run("mini", "sleep", "60", network=chosen, publish="127.0.0.1::80", detach=True))
        for victim in random.sample(made, random.randint(0, min(2, len(made)))):
            if random.random() < 0.5 and victim.running:
                os.kill(json.loads(Path(engine.run, victim.id, "monitor.json").read_text())["pid"], signal.SIGKILL)
            else:
                made.remove(victim)
                victim.rm(force=True)
    system.prune()
    for one in made:
        one.rm(force=True)
    assert list(Path(engine.root).glob("networks/*/leases/*")) == []
    assert not Path(engine.run, ".host").exists()
