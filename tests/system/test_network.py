"""Networks, ports and names on a host of the test's own: the course's drawing and everything around it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import container, network, system, volume
from nbcontainers.errors import CreateFailed, Error, HostNotCapable, InvalidArgument, InvalidState, NameInUse, NotFound
from nbcontainers.monitor.files import Files
from nbcontainers.network import foreign
from tests import networked
from tests.monitored import wait_for
from tests.networked import (
    ASK,
    ASK_UDP,
    ECHO,
    HOST,
    MACHINE,
    PYTHON,
    Machine,
    ask,
    client,
    ip,
    nft,
    serve,
    sh,
)  # fmt: skip

pytestmark = pytest.mark.as_root


def test_the_drawing_of_the_course(machine: Machine) -> None:
    """web with -p 8080:80: from another machine, from the host in three ways, from a client by name."""
    web = serve("web", publish="8080:80")
    gateway = network.inspect("nbcontainers")[0]["IPAM"]["Config"][0]["Gateway"]
    assert machine.ask(HOST, 8080) == f"web {MACHINE}", "the service sees the client's own address"
    assert ask("127.0.0.1", 8080) == f"web {gateway}"
    assert ask(gateway, 8080) == f"web {gateway}"
    assert ask(HOST, 8080) == f"web {HOST}"
    assert ask(str(web.ip), 80) == f"web {gateway}"
    said = client(ASK, "web", 80).split()
    assert said[0] == "web"
    assert said[1] not in (gateway, web.ip), "container to container nothing is translated"


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_published_ports_are_reached_from_their_own_network(ours: Any, filtered: str) -> None:
    """By a neighbour and by the container itself; also where br_netfilter shows bridged packets to nftables."""
    try:
        Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text(filtered)
    except FileNotFoundError:
        pass  # this kernel has no br_netfilter, which is as good as off
    web = serve("web", publish="8080:80")
    gateway = network.inspect("nbcontainers")[0]["IPAM"]["Config"][0]["Gateway"]
    assert client(ASK, gateway, 8080).startswith("web ")
    assert client(ASK, "web", 80).startswith("web ")
    heard: list[bytes] = []
    web.exec(PYTHON, "-c", ASK, gateway, "8080", stdout=heard.append)
    assert heard[0].startswith(b"web ")


def test_udp_is_published_too(machine: Machine) -> None:
    serve("clock", 7000, ECHO, publish="7001:7000/udp")
    assert machine.ask(HOST, 7001, udp=True) == f"clock {MACHINE}"
    assert ask("127.0.0.1", 7001, udp=True).startswith("clock ")
    assert client(ASK_UDP, "clock", 7000).startswith("clock ")


def test_a_port_of_one_address_is_on_no_other(machine: Machine) -> None:
    serve("web", publish="127.0.0.1:8080:80")
    assert ask("127.0.0.1", 8080).startswith("web ")
    with pytest.raises(AssertionError, match="refused"):
        machine.ask(HOST, 8080)
    with pytest.raises(ConnectionRefusedError):
        ask(HOST, 8080)


def test_ranges_and_ports_of_the_kernels_choice(ours: Any) -> None:
    web = serve("web", publish=["8000-8001:80-81", "80"], expose=["82/udp"], publish_all=True)
    assert web.ports["80/tcp"][0] == "0.0.0.0:8000"
    assert web.ports["81/tcp"] == ["0.0.0.0:8001"]
    assert ask("127.0.0.1", int(web.ports["80/tcp"][1].rpartition(":")[2])).startswith("web ")
    assert list(web.ports) == ["80/tcp", "81/tcp", "82/udp"]
    other = serve("other", publish="8000-8009:80")
    assert other.ports["80/tcp"] == ["0.0.0.0:8002"], "the first of the range that is free"
    rows = container.port("web", "81")
    assert [dict(row) for row in rows] == [{"port": "81/tcp", "host": "0.0.0.0:8001"}]
    with pytest.raises(NotFound, match="publishes no port 9/tcp"):
        container.port("web", "9")
    assert "0.0.0.0:8001->81/tcp" in str(container.ps())
    assert f"{web.ip} (nbcontainers)" in web._repr_mimebundle_()["text/plain"]


def test_a_taken_port_names_its_owner_and_leaves_nothing(ours: Any) -> None:
    serve("web", publish="8080:80")
    with pytest.raises(CreateFailed, match="port 8080/tcp of the host is taken by container web") as caught:
        container.run("mini", "true", publish=["8081:80", "8080:80"])
    assert "container rm -f web" in caught.value.hint
    with socket.create_server(("127.0.0.1", 8082)):
        with pytest.raises(CreateFailed, match=rf"port 8082/tcp of the host is taken by \S+ \(pid {os.getpid()}\)"):
            container.run("mini", "true", publish="8082:80")
    assert [row["name"] for row in container.ps(all=True)] == ["web"]
    assert len(list(Path(ours.root).glob("networks/*/leases/*"))) == 1
    container.rm("web", force=True)
    serve("again", publish=["8080:80", "8081:80"])
    assert ask("127.0.0.1", 8080).startswith("again ")


def test_names_and_aliases(ours: Any) -> None:
    network.create("backend")
    serve("db", 5432, network="backend", network_alias=["sql", "Store"], hostname="dbhost")
    for name in ("db", "sql", "store", "STORE", "dbhost", "db.backend"):
        assert client(ASK, name, 5432, network="backend").startswith("db "), name
    code = "import socket; print(socket.gethostbyaddr(socket.gethostbyname('db'))[0])"
    assert client(code, network="backend") == "db.backend"
    with pytest.raises(Error):
        client(ASK, "db", 5432)  # not on that network
    container.rm("db", force=True)
    with pytest.raises(Error):
        client("import socket; socket.gethostbyname('db')", network="backend")


DNS_SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\\0", 12) + 5
    answer = query[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + query[12:end]
    server.sendto(answer + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x05\\0\\4" + bytes([198, 51, 100, 7]), client)
"""


def test_other_names_are_asked_of_the_hosts_servers(ours: Any) -> None:
    """The server is the test's own, on the loopback of the namespace."""
    with subprocess.Popen([sys.executable, "-c", DNS_SERVER, "127.0.0.1"], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            assert server.stdout.readline() == b"ready\n"
            code = "import socket; print(socket.gethostbyname('www.example.org'))"
            assert client(code, dns="127.0.0.1") == "198.51.100.7"
            network.create("closed", internal=True)
            assert client(code, dns="127.0.0.1", network="closed") == "198.51.100.7", "asked for by name it is allowed"
            with pytest.raises(Error):
                client(code, network="closed")
        finally:
            server.kill()


def test_hosts_and_resolv_conf(ours: Any) -> None:
    text = sh(
        "cat /etc/hosts /etc/resolv.conf", name="me", hostname="here", add_host=["a:10.1.1.1", "gw:host-gateway"],
        dns_search="example.org", dns_option="ndots:2",
    )  # fmt: skip
    gateway = network.inspect("nbcontainers")[0]["IPAM"]["Config"][0]["Gateway"]
    assert "10.1.1.1\ta\n" in text
    assert f"{gateway}\tgw\n" in text
    assert "\there me\n" in text
    assert text.endswith("nameserver 127.0.0.11\nsearch example.org\noptions ndots:2\n")


def test_a_container_that_is_a_name_server_has_port_53(ours: Any) -> None:
    text = sh("cat /etc/resolv.conf", publish="5353:53/udp", dns="203.0.113.9")
    assert text == "nameserver 203.0.113.9\n"


def test_networks_are_kept_apart(machine: Machine) -> None:
    for name, options in (("one", {}), ("two", {}), ("closed", {"internal": True})):
        network.create(name, **options)
    one, closed = serve("one", network="one", publish="8080:80"), serve("closed", network="closed")
    gateway = network.inspect("one")[0]["IPAM"]["Config"][0]["Gateway"]
    unreachable = f"import sys; sys.argv[1:] = ['{one.ip}', '80']\ntry:\n exec({ASK.replace(', 3)', ', 0.5)')!r})\nexcept OSError: print('apart')"
    assert client(unreachable, network="two") == "apart"
    assert client(unreachable, network="closed") == "apart"
    assert client(ASK, gateway, 8080, network="two").startswith("one "), "but what is published is for all"
    assert client(ASK, closed.ip, 80, network="closed").startswith("closed ")
    assert ask(str(closed.ip), 80).startswith("closed "), "the host itself sees all of them"
    machine.run("ip", "route", "add", f"{one.ip}/32", "via", HOST)
    with pytest.raises(AssertionError, match="timed out"):
        machine.ask(str(one.ip), 80)  # not published there: nobody from outside comes in
    machine.run("ip", "route", "add", "default", "via", HOST)
    outside = f"import socket; socket.create_connection(('{MACHINE}', 1), 3)"
    with pytest.raises(Error) as caught:
        client(outside, network="one")
    assert "ConnectionRefusedError" in str(caught.value), "the way outside is open: the machine itself refused"
    with pytest.raises(Error) as caught:
        client(outside, network="closed")
    assert "unreachable" in str(caught.value)


def test_containers_do_not_reach_the_loopback_of_the_host(ours: Any) -> None:
    """CVE-2020-8558: route_localnet, which 127.0.0.1:PORT needs, must not let anybody in."""
    serve("web", publish="8080:80")
    gateway = network.inspect("nbcontainers")[0]["IPAM"]["Config"][0]["Gateway"]
    with socket.create_server(("127.0.0.1", 8099)):
        attack = f"ip route add 127.0.0.1/32 via {gateway} 2>&1; ip addr del 127.0.0.1/8 dev lo; nc -w 2 127.0.0.1 8099"
        with pytest.raises(Error):
            sh(attack, privileged=True, sysctl={"net.ipv4.conf.all.route_localnet": "1"})


def test_ipv6(machine: Machine) -> None:
    network.create("six", ipv6=True)
    ip("address add 2001:db8::1/64 dev wire nodad")
    machine.run("ip", "address", "add", "2001:db8::2/64", "dev", "wire", "nodad")
    six = serve("web", network="six", publish="8080:80")
    assert machine.ask("2001:db8::1", 8080) == "web 2001:db8::2"
    address = six.addresses["six"][1]
    assert ask(address, 80).startswith("web ")
    assert ask("2001:db8::1", 8080).startswith("web ")
    assert ask("::1", 8080) == f"web {network.inspect('six')[0]['IPAM']['Config'][1]['Gateway']}"
    assert client(ASK, address, 80, network="six").startswith("web ")
    wanted = f"{address[:-1]}abc"
    assert wanted in sh("ip addr show eth0", network="six", ip6=wanted)


def test_ipv6_where_the_host_has_it_off(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off for every interface it is switched on for ours; a kernel without it is told."""
    for name in ("all", "default"):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    network.create("six", ipv6=True)
    six = serve("web", network="six")
    assert ask(six.addresses["six"][1], 80).startswith("web ")
    from nbcontainers.network import creation

    monkeypatch.setattr(creation, "_IPV6", "/nowhere")
    with pytest.raises(HostNotCapable, match="this kernel has no IPv6"):
        creation.create(
            str(ours.root), "bad", driver="bridge", subnets=[], gateways=[], ranges=[], ipv6=True, internal=False,
            parent="", mode="", mtu=0, labels={},
        )  # fmt: skip


def test_the_loopback_of_ipv6(ours: Any) -> None:
    """Also where the container has IPv4 alone; the process that carries it goes with the container."""
    web = serve("web", publish=["[::1]:8080:80", "[::1]:7001:7000/udp"])
    gateway = network.inspect("nbcontainers")[0]["IPAM"]["Config"][0]["Gateway"]
    assert ask("::1", 8080) == f"web {gateway}"
    with pytest.raises(ConnectionRefusedError):
        ask("127.0.0.1", 8080)
    (carrier,) = json.loads(Path(ours.run, web.id, "network.json").read_text())["processes"]
    assert web.inspect()["NetworkSettings"]["Ports"]["80/tcp"] == [{"HostIp": "::1", "HostPort": "8080"}]
    soft, hard = resource.prlimit(carrier["pid"], resource.RLIMIT_NOFILE)
    assert soft == hard
    web.rm(force=True)
    assert not Path(f"/proc/{carrier['pid']}").exists()


def test_addresses_asked_for(ours: Any) -> None:
    network.create("backend", subnet="10.77.0.0/24", gateway="10.77.0.254")
    assert "10.77.0.9/24" in sh("ip addr", network="backend", ip="10.77.0.9")
    assert "via 10.77.0.254" in sh("ip route", network="backend")
    serve("db", network="backend", ip="10.77.0.9")
    for address, error, words in (
        ("10.77.0.9", InvalidState, "belongs to container db"),
        ("10.77.0.254", InvalidState, "is the gateway"),
        ("10.78.0.1", InvalidArgument, "is not a host's address in 10.77.0.0/24"),
        ("10.77.0.255", InvalidArgument, "is not a host's address"),
        ("fd00::1", InvalidArgument, "of the other family"),
    ):
        with pytest.raises(error, match=words):
            container.run("mini", "true", network="backend", ip=address)


def test_subnets_avoid_what_the_host_has(machine: Machine) -> None:
    for subnet in ("172.20.0.0/14", "10.208.0.0/13"):
        ip(f"route add {subnet} via {MACHINE}")
    made = [network.create(f"n{number}") for number in range(3)]
    assert made[0].subnets == ["10.216.0.0/20"]
    assert len({one.subnets[0] for one in made}) == 3
    for subnet, words in (
        ("203.0.113.128/25", "overlaps 203.0.113.0/24 of interface wire"),
        ("172.20.5.0/24", "overlaps 172.20.0.0/14 of interface wire"),
        (made[0].subnets[0], "of network n0"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            network.create("bad", subnet=subnet)
    with pytest.raises(NameInUse, match="'n0' already"):
        network.create("n0")
    assert "bad" not in [row["name"] for row in network.ls()]


@pytest.mark.parametrize(
    ("name", "options", "words", "hint"),
    [
        ("a/b", {}, "is no name", "network create backend"),
        ("host", {}, "meaning of its own", "another name"),
        ("x", {"subnet": "10.0.0.1/8"}, "its first address is 10.0.0.0/8", "--subnet 10.77"),
        ("x", {"subnet": "10.0.0.0/31"}, "no room", "--subnet"),
        ("x", {"subnet": "ten"}, "is no subnet", "--subnet"),
        ("x", {"subnet": "10.77.0.0/24", "gateway": "10.78.0.1"}, "not a host's address", "write one from 10.77.0.1"),
        ("x", {"gateway": "10.78.0.1"}, "has no --subnet", "--subnet"),
        ("x", {"subnet": ["10.77.0.0/24", "10.78.0.0/24"]}, "twice for one family", "IPv6"),
        ("x", {"driver": "overlay"}, "is no kind", "macvlan"),
        ("x", {"driver": "host"}, "always there", "--network host"),
        ("x", {"driver": "macvlan"}, "no interface leads outside", "parent=eth0"),
        ("x", {"driver": "macvlan", "opt": ["parent=wire"]}, "addresses of the wire", "--subnet"),
        ("x", {"driver": "macvlan", "opt": ["parent=eth9"]}, "no interface 'eth9'", "this host has lo, wire"),
        ("x", {"opt": ["mtu=9"]}, "out of range", "68 to"),
        ("x", {"opt": ["mtu=big"]}, "is no number", "mtu=1400"),
        ("x", {"opt": ["speed=9"]}, "is no option", "mtu"),
    ],
)
def test_bad_networks_are_not_made(machine: Machine, name: str, options: Any, words: str, hint: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        network.create(name, **options)
    assert hint in caught.value.hint
    assert [row["driver"] for row in network.ls()] == ["bridge", "host", "none"]


def answers(address: str, port: int) -> bool:
    try:
        return bool(ask(address, port))
    except OSError:
        return False


def test_connect_and_disconnect_while_it_runs(ours: Any) -> None:
    network.create("front"), network.create("back", ipv6=True)
    web = serve("web", network="front", publish="8080:80")
    addresses = network.connect("back", "web", alias="inner")
    assert web.addresses["back"] == addresses
    assert client(ASK, "inner", 80, network="back").startswith("web ")
    with pytest.raises(InvalidState, match="on network back already"):
        network.connect("back", web)
    network.disconnect("front", "web")
    assert list(web.addresses) == ["back"]
    assert ask("127.0.0.1", 8080).startswith("web "), "the port follows to an address it still has"
    assert client(ASK, "web", 80, network="back").startswith("web ")
    with pytest.raises(InvalidState, match="is not on network front"):
        network.disconnect("front", "web")
    with pytest.raises(InvalidState, match="in use by web"):
        network.rm("back")
    web.stop(0)
    web.start()
    assert list(web.addresses) == ["back"], "for the next start too"
    network.disconnect("back", "web")
    with pytest.raises(ConnectionRefusedError):
        ask("127.0.0.1", 8080)
    with pytest.raises(CreateFailed, match="taken by container web"):
        container.run("mini", "true", publish="8080:80")
    network.connect("front", "web")
    wait_for(lambda: answers("127.0.0.1", 8080), 10)


def test_what_has_no_networks_cannot_be_connected(ours: Any) -> None:
    with container.run("mini", "sleep", "60", detach=True, network="none") as alone:
        with pytest.raises(InvalidState, match="has no networks of its own"):
            network.connect("nbcontainers", alone)


def test_several_networks_at_once(ours: Any) -> None:
    network.create("closed", internal=True), network.create("open")
    text = sh("ip addr; ip route", network=["closed", "open"])
    inside, outside = (network.inspect(name)[0]["IPAM"]["Config"][0] for name in ("closed", "open"))
    assert f"default via {outside['Gateway']} dev eth1" in text, "the first that leads outside has the default route"
    assert f"{inside['Subnet']} dev eth0" in text


def test_the_network_of_another_container(ours: Any) -> None:
    web = serve("web", publish="8080:80")
    text = sh("ip addr; cat /etc/hosts", network="container:web")
    assert f"{web.ip}/" in text
    assert f"{web.ip}\t" in text
    assert client(ASK, "127.0.0.1", 80, network="container:web") == "web 127.0.0.1"
    with pytest.raises(InvalidArgument, match="whose network it shares"):
        container.run("mini", "true", network="container:web", publish="80")
    web.stop(0)
    with pytest.raises(CreateFailed, match="does not run"):
        container.run("mini", "true", network="container:web")
    with pytest.raises(NotFound, match="no container 'nobody'"):
        container.run("mini", "true", network="container:nobody")


def test_the_mtu_is_that_of_the_way_out(machine: Machine) -> None:
    ip("link set wire mtu 1380")
    ip(f"route add default via {MACHINE}")
    assert "mtu 1380" in sh("ip link show eth0")
    network.create("small", opt=["mtu=1300"])
    assert "mtu 1300" in sh("ip link show eth0", network="small")


def test_macvlan_is_on_the_wire(machine: Machine) -> None:
    network.create("wire", driver="macvlan", subnet=networked.SUBNET, gateway=HOST, opt=["parent=wire"])
    serve("near", network="wire", ip="203.0.113.77")
    assert machine.ask("203.0.113.77", 80) == f"near {MACHINE}"
    with pytest.raises(InvalidArgument, match="nothing outside can reach"):
        container.run("mini", "true", network="wire", publish="80")


def test_reload_puts_back_what_was_flushed(machine: Machine) -> None:
    nft("add table ip theirs")
    serve("web", publish="8080:80")
    nft("flush ruleset")
    nft("add table ip theirs")
    with pytest.raises(AssertionError):
        machine.ask(HOST, 8080)
    assert network.reload() == ["nbcontainers"]
    assert machine.ask(HOST, 8080) == f"web {MACHINE}"
    before = nft("list ruleset")
    network.reload()
    assert nft("list ruleset") == before, "once more changes nothing"
    assert "table ip theirs" in nft("list tables")
    nft("delete table ip theirs")


def test_a_killed_monitor_gives_everything_back(ours: Any) -> None:
    """kill -9 of the monitor: the port is free again at once, the address when asked for or swept."""
    web = serve("web", publish="8080:80")
    address = web.ip
    assert address
    monitor = json.loads(Path(ours.run, web.id, "monitor.json").read_text())["pid"]
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not Files(str(ours.root), str(ours.run), web.id).monitor_alive())
    other = serve("other", publish="8080:80", ip=address)
    assert other.ip == address
    assert ask("127.0.0.1", 8080).startswith("other ")
    swept = {row["what"] for row in system.prune()}
    assert "killed monitor" in swept
    assert other.ip == address, "the sweep leaves the address to its new owner"
    assert ask("127.0.0.1", 8080).startswith("other ")


def test_prune_leaves_what_runs(ours: Any) -> None:
    network.create("unused"), network.create("used")
    web = serve("web", network="used", publish="8080:80")
    assert network.prune() == ["unused"]
    assert ask("127.0.0.1", 8080).startswith("web ")
    web.rm(force=True)
    assert network.prune() == ["used"]


def test_forwarding_is_switched_on_and_said(machine: Machine) -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    heard: list[bytes] = []
    container.run("mini", "true", rm=True, stderr=heard.append)
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    assert b"net.ipv4.ip_forward = 1" in b"".join(heard)


def test_names_are_answered_by_a_monitor_that_sleeps(ours: Any) -> None:
    web = serve("web")
    with container.run("host", "sleep", "60", detach=True) as sleeper:
        monitor = json.loads(Path(ours.run, sleeper.id, "monitor.json").read_text())["pid"]
        wait_for(lambda: b"idle.main" in Path(f"/proc/{monitor}/cmdline").read_bytes(), 20)
        heard: list[bytes] = []
        sleeper.exec(PYTHON, "-c", ASK, "web", "80", stdout=heard.append)
        assert heard[0] == f"web {sleeper.ip}\n".encode()
    assert web.running


def test_rounds_of_create_kill_and_remove(ours: Any) -> None:
    """Networks, ports and volumes. Seeded; 1,000 rounds with NBCONTAINERS_ROUNDS=1000."""
    from random import Random

    random = Random(5)
    names = [network.create(f"net{number}", ipv6=number == 0).name for number in range(3)]
    mounts = Path("/proc/self/mountinfo").read_text()
    for _ in range(int(os.environ.get("NBCONTAINERS_ROUNDS", "15"))):
        port = f"{random.randint(8000, 8003)}:80"
        chosen = random.sample(names, random.randint(1, 2))
        kept = random.choice([f"vol{random.randint(0, 3)}:/data", "/data"])
        try:
            made = container.run("mini", "sleep", "60", network=chosen, publish=port, detach=True, volume=kept)
        except CreateFailed as error:
            assert "is taken by container" in str(error)  # noqa: PT017
            made = None
        alive = list(container.ps())
        for victim in random.sample(alive, min(len(alive), random.randint(0, 3))):
            _end(ours, str(victim["id"]), random.choice(["rm", "kill monitor", "kill", "disconnect"]), names)
        time.sleep(random.choice([0, 0.01]))
        assert made is None or made.id
    system.prune(containers=True)
    for row in container.ps(all=True):
        container.rm(str(row["id"]), force=True, volumes=True)
    assert network.prune()
    assert networked.settled(set()) == set()
    assert list(Path(ours.root).glob("networks/*/leases/*")) == []
    assert [name for name in os.listdir(ours.run) if len(name) == 64] == []
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert {str(row["name"]) for row in volume.ls(filter=["anonymous=false"])} <= {
        f"vol{number}" for number in range(4)
    }
    volume.prune(all=True)
    assert list(volume.ls()) == []


def _end(engine: Any, id: str, how: str, names: list[str]) -> None:
    if how == "rm":
        container.rm(id, force=True)
    elif how == "kill":
        with contextlib.suppress(InvalidState):  # it is stopping already
            container.kill(id)
    elif how == "disconnect":
        try:
            network.disconnect(names[0], id)
        except InvalidState:
            with contextlib.suppress(InvalidState):  # it is ending already
                network.connect(names[0], id)
    else:
        os.kill(json.loads(Path(engine.run, id, "monitor.json").read_text())["pid"], signal.SIGKILL)


def test_system_prune_takes_down_what_nobody_needs(ours: Any) -> None:
    network.create("idle")
    sh("true", network="idle")
    assert networked.traces()
    half = Path(ours.root, "networks", ".half.999999999.new")
    (half / "leases").mkdir(parents=True)
    Path(ours.root, "networks", "idle", "leases", "172.20.0.77").write_text('{"container": "gone", "names": []}')
    swept = {(row["what"], row["name"]) for row in system.prune()}
    assert swept == {
        ("bridge", "of network idle"), ("half-made network", "half"), ("address", "172.20.0.77 of idle")
    }  # fmt: skip
    assert networked.settled(set()) == set()
    assert "eth0" in sh("ip addr", network="idle"), "it comes back by itself"


def bridges() -> set[str]:
    return {name for name in networked.links() if name.startswith("nbc-")}


def test_the_bridge_of_an_engine_that_was_deleted_goes(ours: Any) -> None:
    """Somebody's `rm -rf` of a root folder: the next bridge of anybody, or system prune, clears it away."""
    network.create("closed", internal=True)
    sh("true"), sh("true", network="closed")
    before = bridges()
    assert len(before) == 2
    shutil.rmtree(ours.root / "networks")
    network.create("new")
    sh("true", network="new")
    assert len(bridges()) == 1
    assert bridges().isdisjoint(before)
    assert nft("list set inet nbcontainers internal").count("nbc-") == 0


def test_a_firewall_that_drops_what_containers_send_is_told(machine: Machine) -> None:
    """As Docker, ufw and administrators do: said with the bridge's making, and what it says to type helps."""
    nft("add table inet strict")
    nft("add chain inet strict hop { type filter hook forward priority 0; policy drop; }")
    heard: list[bytes] = []
    container.run("mini", "true", rm=True, stderr=heard.append)
    said = b"".join(heard).decode()
    assert "chain hop of table inet strict drops what containers send" in said
    outside = f"import socket; socket.create_connection(('{MACHINE}', 1), 1)"
    with pytest.raises(Error, match="timed out"):
        client(outside)
    subprocess.run(["sh", "-c", said.partition("type: ")[2]], check=True)
    with pytest.raises(Error, match="ConnectionRefusedError"):
        client(outside)
    assert foreign.notes("nbc-0") == [], "whoever has a rule about our bridges has thought of them"
    nft("delete table inet strict")


@pytest.mark.parametrize("program", ["iptables", "iptables-legacy"])
@pytest.mark.may_skip("Debian's iptables is not among what the tests install")
def test_what_to_type_for_iptables(ours: Any, program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    run = [shutil.which(program) or program]
    assert foreign.notes("nbc-0") == []
    for words, chain in (("-P FORWARD DROP", "FORWARD"), ("-N DOCKER-USER", "FORWARD"),
                         ("-A FORWARD -j DOCKER-USER", "DOCKER-USER")):  # fmt: skip
        subprocess.run([*run, *words.split()], check=True)
        if words != "-N DOCKER-USER":
            (note,) = foreign.notes("nbc-0")
            assert f"{program} -I {chain} -i nbc-+ -j ACCEPT" in note
    subprocess.run(["sh", "-c", note.partition("type: ")[2]], check=True)
    assert foreign.notes("nbc-0") == []
    for words in ("-F", "-X", "-P FORWARD ACCEPT"):
        subprocess.run([*run, *words.split()], check=True)
    if program == "iptables":
        nft("delete table ip filter")


def test_entries_that_go_while_they_are_replaced(ours: Any) -> None:
    """Several monitors take and give back one port, and the table comes and goes: nobody meets an error."""
    program = (
        "import sys\n"
        "from nbcontainers.network import firewall\n"
        "for turn in range(100):\n"
        "    one = [firewall.Forward('tcp', '', 8000 + turn % 2, '10.0.0.' + sys.argv[1], 80)]\n"
        "    firewall.publish(one)\n"
        "    if turn % 3: firewall.withdraw(one)\n"
        "    if turn % 7 == 0: firewall.admit('nbc-1', internal=False); firewall.dismiss('nbc-1', internal=False)\n"
        "firewall.withdraw([one[0]._replace(host_port=8000), one[0]._replace(host_port=8001)])\n"
        "firewall.dismiss('nbc-1', internal=False)\n"
    )
    several = [subprocess.Popen([sys.executable, "-c", program, str(number)]) for number in (2, 3, 4)]
    assert [one.wait(60) for one in several] == [0, 0, 0]
