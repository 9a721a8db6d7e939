"""The drawing of networks against what ip(8) and nft(8) say of them, on a host of the test's own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import container, network
from nbcontainers.errors import NotFound
from nbcontainers.network.drawing import Topology
from nbcontainers.widgets.topology import Topology as Live
from tests import networked, peers
from tests.monitored import wait_for
from tests.networked import HOST, SERVE, Machine, ask, nft, serve

PYTHON = "/usr/bin/python3"


def ip_json(words: str, pid: int | None = None) -> list[dict[str, Any]]:
    """What ip(8) says, in the network namespace of a process."""
    inside = ["nsenter", "-t", str(pid), "-n"] if pid else []
    return json.loads(networked.output([*inside, peers.program("ip"), "-j", *words.split()]))  # type: ignore[no-any-return]


def addresses(link: dict[str, Any]) -> list[str]:
    return [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]]


def elements(name: str) -> list[list[Any]]:
    """Keys and values of a map of ours, as nft(8) has them."""
    listed = json.loads(nft(f"-j list map inet nbcontainers {name}"))["nftables"]
    found = next(one["map"] for one in listed if "map" in one).get("elem", [])
    return [[side["concat"] for side in pair] for pair in found]


def assert_interfaces(seen: Topology, where: str, pid: int | None = None) -> None:
    """Every interface that it shows is as ip(8) says."""
    links = {one["ifname"]: one for one in ip_json("addr", pid)}
    routes = [one for one in ip_json("route show default", pid) + ip_json("-6 route show default", pid) if "dev" in one]
    rows = [row for row in seen.interfaces if row["where"] == where]
    shown = {row["name"] for row in rows}
    assert shown == {name for name, one in links.items() if "master" not in one}
    for row in rows:
        link = links[row["name"]]
        facts = (link["ifindex"], link["mtu"], addresses(link), link["address"])
        assert (row["index"], row["mtu"], row["addresses"], row["mac"]) == facts, row
        assert (row["state"] == "up") == ("UP" in link["flags"] and "NO-CARRIER" not in link["flags"]), link
        assert row["gateways"] == [one.get("gateway", "") for one in routes if one["dev"] == row["name"]]


def assert_links(seen: Topology, pid: int | None = None) -> None:
    """Every cable has the two ends, in the bridge and the container, that ip(8) says."""
    links = {one["ifname"]: one for one in ip_json("link", pid)}
    rows = [row for row in seen.links if row["interface"]]
    assert rows
    for row in rows:
        inside = {one["ifname"]: one for one in ip_json("addr", container.get(row["container"]).pid)}[row["interface"]]
        own = [one for one in addresses(inside) if not one.startswith("fe80:")]
        assert (row["index"], row["addresses"], row["mac"]) == (inside["ifindex"], own, inside["address"])
        if row["host_interface"]:
            outside = links[row["host_interface"]]
            assert (row["host_index"], row["bridge"]) == (outside["ifindex"], outside["master"])
            assert outside["link_index"] == row["index"], "it is the other end of this very cable"


@pytest.fixture
def lesson(machine: Machine) -> Any:
    """What a lesson has: see `surveyed.typical`."""
    network.create("backend", subnet=["10.77.1.0/24", "fd77::/64"])
    network.create("vault", internal=True)
    web = serve("web", publish=["8080:80", f"{HOST}:8443:80"])
    network.connect("backend", web)
    serve("clock", 7000, networked.ECHO, publish="7000-7003:7000-7003/udp")
    db = serve("db", 5432, network=["backend:alias=sql,alias=store", "vault"])
    serve("six", 80, network="backend", publish="8086:80")
    container.run("mini", "sleep", "600", detach=True, name="sidecar", network="container:web")
    container.run("mini", "sleep", "600", detach=True, name="probe", network="host")
    container.run("mini", "sleep", "600", detach=True, name="sandbox", network="none")
    container.run("mini", "true", name="old-job", network="backend")
    container.pause(db)
    return web


@pytest.mark.as_root
def test_it_shows_what_ip_and_nft_show(lesson: Any) -> None:
    seen = network.topology()
    assert_interfaces(seen, "host")
    assert_links(seen)
    states = {row["container"]: row["state"] for row in seen.links}
    assert states == {
        "web": "running", "clock": "running", "db": "paused", "six": "running", "sidecar": "running", "probe": "running",
        "sandbox": "running", "old-job": "exited",
    }  # fmt: skip
    assert_ports(seen)
    text = seen.text()
    for words in (
        "web running", "sidecar running", "shares the network of web", "also called sql, store", "db paused",
        "has the host's network", "has a loopback and nothing else", "old-job exited", "would join backend",
        "kept apart: backend, nbcontainers, vault", "internal: no way in or out", f"{HOST}/24",
    ):  # fmt: skip
        assert words in text, words
    assert len(network.topology("vault").facts.networks) == 1
    assert {row["container"] for row in network.topology("vault").links} == {"db"}
    assert {row["container"] for row in network.topology("host").links} == {"probe"}
    with pytest.raises(NotFound, match="no network 'valt'"):
        network.topology("valt")


def assert_ports(seen: Topology) -> None:
    """Each port is carried by entries that nft(8) shows, and there are no others."""
    found: list[list[Any]] = []
    for row in seen.ports:
        assert row["works"], row
        for name, target in zip(row["maps"], row["addresses"], strict=True):
            for number in range(row["count"]):
                key = [*([row["host"]] if row["host"] else []), row["protocol"], row["host_port"] + number]
                found.append([name, [key, [target, row["container_port"] + number]]])
    there = [[name, pair] for name in ("ports4", "ports6", "bound4", "bound6") for pair in elements(name)]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, there))
    six = [row for row in seen.ports if row["container"] == "six"]
    assert [row["maps"] for row in six] == [["ports4", "ports6"]]
    carriers = [process_name(row["pid"]) for row in six]
    assert all(carriers), "what comes to ::1 is carried by a process"


def process_name(pid: int | None) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.mark.as_root
def test_rules_that_somebody_flushed_are_missing_until_they_are_put_back(ours: Any) -> None:
    serve("web", publish="8080:80")
    nft("flush map inet nbcontainers ports4")
    seen = network.topology(port="8080")
    assert not seen.ports[0]["works"]
    assert "missing in nft inet nbcontainers, @ports4: type network reload" in seen.text()
    nft("flush table inet nbcontainers")
    assert "its rules are missing: type network reload" in network.topology().text()
    network.reload()
    assert network.topology().ports[0]["works"]
    assert "rules are missing" not in network.topology().text()
    assert ask("127.0.0.1", 8080).startswith("web ")


@pytest.mark.as_root
def test_the_way_to_a_port_is_the_one_that_packets_take(machine: Machine) -> None:
    web = serve("web", publish="8080:80")
    seen = network.topology(port="8080")
    words = seen.text()
    assert f"1  another machine connects to {HOST}:8080" in words
    assert "2  wire #" in words
    assert f"@ports4 {{ tcp . 8080 : {web.ip} . 80 }}" in words
    assert f"web gets it at {web.ip}:80" in words
    link = seen.links[0]["host_interface"]
    before = next(one for one in ip_json("-s link") if one["ifname"] == link)["stats64"]["tx"]["packets"]
    assert machine.ask(HOST, 8080).startswith("web ")
    after = next(one for one in ip_json("-s link") if one["ifname"] == link)["stats64"]["tx"]["packets"]
    assert after > before, "over the very cable that is drawn"


@pytest.mark.as_root
def test_a_macvlan_network_hangs_on_its_parent(machine: Machine) -> None:
    network.create("air", driver="macvlan", subnet="203.0.113.0/24", gateway="203.0.113.2", opt=["parent=wire"])
    serve("camera", network="air:ip=203.0.113.9")
    seen = network.topology("air")
    assert_links(seen)
    assert "macvlan on interface #" in seen.text()
    assert "parent wire" in seen.text()
    index = next(one["ifindex"] for one in ip_json("link") if one["ifname"] == "wire")
    assert f"macvlan on interface #{index} of the host" in seen.text()


@pytest.mark.as_root
def test_without_networks_it_is_the_host_alone(ours: Any) -> None:
    seen = network.topology()
    assert [row["name"] for row in seen.interfaces] == ["lo"]
    assert seen.heading == "0 networks, 0 containers"
    assert len(seen.links) == len(seen.to_pandas()) == 0
    network.create("lab")
    assert "not there now: the first container makes it" in network.topology().text()


@pytest.mark.as_root
def test_live_it_follows_what_happens(ours: Any) -> None:
    """A new picture for what changes, rates for what flows, neither for what rests."""
    web = serve("web", publish="8080:80")
    live = Live()
    first = live.look()
    assert live.look()["version"] == first["version"]
    for _ in range(20):
        assert ask("127.0.0.1", 8080).startswith("web ")
    facts = live.look()
    assert facts["version"] == first["version"], "traffic is no change"
    received, sent = facts["rates"][f"cable {web.id[:12]} nbcontainers"]
    assert received > 1000
    assert sent > 1000
    picture = live.picture()
    assert picture.value["version"] == first["version"]
    other = serve("other", 81)
    changed = live.look()
    assert changed["version"] != first["version"]
    other.rm(force=True)
    assert live.look()["version"] != changed["version"]
    assert len(json.dumps(facts)) < 2000


@pytest.mark.as_user
def test_of_an_ordinary_user(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """His bridges are in a namespace of his own, and his ports are sockets of his forwarder."""
    monkeypatch.delenv("NBCONTAINERS_NETWORK")
    assert network.topology().facts.user is None, "not there before the first container"
    web = container.run("host", PYTHON, "-c", SERVE, "8000", "web", name="web", detach=True, publish="127.0.0.1::8000")
    try:
        log = Path(engine.containers, web.id, "log")
        wait_for(lambda: b"ready" in log.read_bytes())
        seen = network.topology()
        user = seen.facts.user
        assert user is not None
        assert process_name(user.pid) == "sleep"
        assert not user.program or user.program.startswith(process_name(user.program_pid)[:4])
        assert_of_user(seen, web, user.pid)
        port = int(web.ports["8000/tcp"][0].rpartition(":")[2])
        row = seen.ports[0]
        assert (row["host"], row["host_port"], row["works"]) == ("127.0.0.1", port, True)
        assert listens(row["pid"], port), "the process that is named has the socket"
        words = network.topology(port=str(port)).text()
        assert f"forwarder with pid {row['pid']} listens on the host and connects to {web.ip}:8000" in words
        assert f"sees {seen.facts.networks[0].gateways[0]} as its client" in words
    finally:
        web.rm(force=True)


def assert_of_user(seen: Topology, web: Any, holder: int) -> None:
    """As his own launcher sees it, for only that may enter the namespace."""
    from nbcontainers.launcher import client

    command = ["nsenter", "-t", str(holder), "-n", peers.program("ip"), "-j", "link"]
    links = json.loads(client.call("tests.system.launcher_targets:output", command=command))
    inner = {one["ifname"]: one["ifindex"] for one in links}
    rows = {row["name"]: row for row in seen.interfaces if row["where"] == "namespace"}
    assert set(rows) == {name for name in inner if not name.startswith("nbcv")}
    assert {name: row["index"] for name, row in rows.items()} == {name: inner[name] for name in rows}
    link = seen.links[0]
    assert inner[link["host_interface"]] == link["host_index"]
    assert link["addresses"][0].partition("/")[0] == web.ip


def listens(pid: int, port: int) -> bool:
    sockets = {os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in sockets for row in rows)
