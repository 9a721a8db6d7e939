"""What can be said of one network: addresses of every kind, aliases, ranges, filters; and what `inspect` tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nbcontainers import container, network
from nbcontainers.errors import Error, InvalidArgument, InvalidState, NotFound
from nbcontainers.network import inspection
from tests.networked import ASK, Machine, ask, client, ip, serve, sh

pytestmark = pytest.mark.as_root


def test_a_network_with_its_address_alias_and_mac(ours: Any) -> None:
    """podman's form and Docker's, several networks at once, and the options that mean the only one."""
    network.create("one", subnet=["10.77.0.0/24", "fd00:77::/64"]), network.create("two", subnet="10.78.0.0/24")
    both = ["one:ip=10.77.0.9,ip6=fd00:77::9,alias=sql,mac=02:42:0A:4D:00:05", "name=two,ip=10.78.0.7,alias=inner"]
    db = serve("db", network=both, network_alias="all")
    assert db.addresses == {"one": ["10.77.0.9", "fd00:77::9"], "two": ["10.78.0.7"]}
    heard: list[bytes] = []
    db.exec("ip", "addr", stdout=heard.append)
    assert b"02:42:0a:4d:00:05" in b"".join(heard)
    for name, of in (("sql", "one"), ("inner", "two"), ("all", "one"), ("all", "two")):
        assert client(ASK, name, 80, network=of).startswith("db "), name
    with pytest.raises(Error):
        client(ASK, "inner", 80, network="one")
    text = sh(
        "ip addr", network="two", ip="10.78.0.8", mac_address="02:42:0a:4d:00:06", link_local_ip=["169.254.7.7"]
    )  # fmt: skip
    for word in ("10.78.0.8/24", "02:42:0a:4d:00:06", "169.254.7.7/16"):
        assert word in text
    assert "wan0" in sh("ip addr", network="two:interface_name=wan0")


@pytest.mark.parametrize(
    ("options", "error", "words", "hint"),
    [
        ({"network": "one:ip=10.78.0.1"}, InvalidArgument, "not a host's address in 10.77.0.0/24", "10.77.0.1 to"),
        ({"network": "one:ip6=fd00::1"}, InvalidArgument, "network one has no IPv6", "--ipv6"),
        ({"network": "one:color=red"}, InvalidArgument, "'color=red' is no part", "alias, interface_name"),
        ({"network": "one:alias=a_b!"}, InvalidArgument, "no host name", "letters"),
        ({"network": "ip=10.77.0.5"}, InvalidArgument, "names no network", "NAME:ip="),
        ({"network": "one", "mac_address": "01:00:00:00:00:01"}, InvalidArgument, "one interface can have", "even"),
        ({"network": "one", "mac_address": "02:42"}, InvalidArgument, "one interface can have", "six bytes"),
        ({"network": "one", "link_local_ip": "10.0.0.1"}, InvalidArgument, "not a link-local", "169.254"),
        ({"network": ["one", "two"], "ip": "10.77.0.5"}, InvalidArgument, "one network only", ":ip="),
        ({"network": "none", "mac_address": "02:42:0a:4d:00:05"}, InvalidArgument, "has no network", "--network"),
        ({"network": "oen"}, NotFound, "no network 'oen'", "did you mean one"),
        ({"network": ["one:ip=10.77.0.5", "one"]}, InvalidArgument, "one is given twice", "one:alias=NAME"),
        ({"network": "one", "dns_option": "a\nnameserver"}, InvalidArgument, "no option of resolv.conf", "ndots:2"),
        ({"network": "one:interface_name=lo"}, InvalidArgument, "no name of an interface", "eth5"),
    ],
)
def test_what_a_network_cannot_give(ours: Any, options: Any, error: Any, words: str, hint: str) -> None:
    network.create("one", subnet="10.77.0.0/24"), network.create("two")
    with pytest.raises(error, match=words) as caught:
        container.run("mini", "true", **options)
    assert hint in caught.value.hint + str(caught.value)
    assert list(container.ps(all=True)) == []


def test_an_address_that_is_taken_names_its_owner(ours: Any) -> None:
    network.create("one", subnet="10.77.0.0/24")
    serve("db", network="one:ip=10.77.0.9")
    with pytest.raises(InvalidState, match=r"10\.77\.0\.9 of network one belongs to container db") as caught:
        container.run("mini", "true", network="one:ip=10.77.0.9")
    assert "container rm -f db" in caught.value.hint
    web = serve("web", network="nbcontainers")
    with pytest.raises(InvalidState, match="belongs to container db"):
        network.connect("one", web, ip="10.77.0.9")
    assert list(web.addresses) == ["nbcontainers"], "nothing of it was done"


def test_connect_to_a_stopped_container(ours: Any) -> None:
    """Its address, aliases and hardware address are those of the next start."""
    network.create("one", subnet="10.77.0.0/24")
    web = serve("web", network="nbcontainers")
    web.stop(0)
    assert network.connect("one", web, ip="10.77.0.9", alias="later", mac_address="02:42:0a:4d:00:07") == []
    [before] = container.inspect("web")
    assert before["NetworkSettings"]["Networks"]["one"]["Aliases"] == ["later"]
    assert before["NetworkSettings"]["Networks"]["one"]["IPAddress"] == ""
    web.start()
    assert web.addresses["one"] == ["10.77.0.9"]
    [after] = container.inspect("web")
    assert after["NetworkSettings"]["Networks"].keys() == {"nbcontainers", "one"}
    assert after["NetworkSettings"]["Networks"]["one"]["IPAddress"] == "10.77.0.9"
    assert network.inspect("one")[0]["Containers"][web.id]["MacAddress"] == "02:42:0a:4d:00:07"
    network.disconnect("one", web)
    with pytest.raises(InvalidArgument, match="not a host's address"):
        network.connect("one", web, ip="10.78.0.9")


def test_addresses_come_from_the_range(ours: Any) -> None:
    network.create("one", subnet="10.77.0.0/24", ip_range="10.77.0.128/30")
    made = [serve(f"c{number}", network="one") for number in range(4)]
    assert [one.ip for one in made] == [f"10.77.0.{number}" for number in (128, 129, 130, 131)]
    with pytest.raises(InvalidState, match="no free address left"):
        container.run("mini", "true", network="one")
    with pytest.raises(InvalidArgument, match="not the one part"):
        network.create("two", subnet="10.78.0.0/24", ip_range="10.79.0.0/28")


def test_inspect_says_what_a_drawing_needs(ours: Any, machine: Machine) -> None:
    """Docker's names; the cables' both ends with the numbers that ip(8) shows; where the ports are in our table."""
    network.create("lab", subnet="10.77.0.0/24", ipv6=True, label=["course=net"], opt=["mtu=1400"])
    web = serve("web", network="lab", publish="8080:80")
    said = network.inspect("lab")[0]
    assert said["IPAM"]["Config"][0] == {"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}
    assert (said["Driver"], said["Scope"], said["EnableIPv6"]) == ("bridge", "local", True)
    assert (said["Labels"], said["Options"]) == ({"course": "net"}, {"com.docker.network.driver.mtu": "1400"})
    shown = {link["ifname"]: link for link in json.loads(ip("-j link show"))}
    bridge, end = said["Bridge"], said["Containers"][web.id]
    assert shown[bridge["Name"]]["ifindex"] == bridge["Index"]
    assert bridge["Mtu"] == shown[bridge["Name"]]["mtu"] == 1400
    assert shown[end["HostInterface"]]["ifindex"] == end["HostIndex"]
    assert shown[end["HostInterface"]]["master"] == bridge["Name"]
    assert (end["Name"], end["IPv4Address"], end["Interface"]) == ("web", "10.77.0.2/24", "eth0")
    assert end["IPv6Address"].endswith("::2/64")
    assert {"HostIp": "", "HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "Map": "ports4"} in end["Ports"]
    assert network.inspect("host")[0]["Driver"] == "host"
    web.rm(force=True)
    network.prune()
    with pytest.raises(NotFound, match="no network 'lab'"):
        inspection.inspect(str(ours.root), str(ours.run), "lab")


def test_filters_of_ls_and_prune(ours: Any) -> None:
    network.create("front", label=["tier=web"]), network.create("back", label=["tier=db"])
    web = serve("web", network="front")

    def names(*filters: str) -> list[str]:
        return [str(row["name"]) for row in network.ls(filter=list(filters))]

    assert names("name=fro") == ["front"]
    assert names("label=tier", "name=ack") == ["back"]
    assert names("label=tier=web") == ["front"]
    assert names("dangling=true") == ["back"]
    assert names("type=custom") == ["back", "front"]
    assert set(names("driver=host", "driver=none")) == {"host", "none"}
    assert names(f"id={network.inspect('back')[0]['Id'][:6]}") == ["back"]
    for bad in ("color=red", "name", "dangling=perhaps", "until=soon"):
        with pytest.raises(InvalidArgument, match="no filter of networks"):
            network.ls(filter=bad)
    assert network.prune(filter="until=1h") == []
    assert network.prune(filter="label!=tier=db") == []
    assert network.prune(filter="label=tier=db", force=True) == ["back"]
    assert ask(str(web.ip), 80).startswith("web ")
