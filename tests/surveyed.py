"""Hosts with networks as `network.survey` would tell of them, without any: for tests of what is drawn of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]


def interface(number: int, name: str, *addresses: str, kind: str = "", **more: Any) -> Document:
    """One interface, up unless `more` says otherwise."""
    return {
        "number": number, "name": name, "kind": kind, "state": "up", "mtu": 1500, "mac": f"02:00:00:00:{number // 256:02x}:{number % 256:02x}",
        "peer": 0, "master": 0, "received": 1000 * number, "sent": 500 * number, "addresses": list(addresses),
        "gateways": [], **more,
    }  # fmt: skip


LO = interface(1, "lo", "127.0.0.1/8", "::1/128", kind="loopback", mac="00:00:00:00:00:00")
ETH0 = interface(2, "eth0", "192.0.2.5/24", "2001:db8::5/64", gateways=["192.0.2.1"])


def network(
    number: int, name: str = "", *, driver: str = "bridge", up: bool = True, ipv6: bool = False, **more: Any
) -> Document:
    """The network 10.77.NUMBER.0/24."""
    bridge = f"nbc-{number:010x}"
    subnets = [{"subnet": f"10.77.{number}.0/24", "gateway": f"10.77.{number}.1"}]
    subnets += [{"subnet": f"fd00:{number:x}::/64", "gateway": f"fd00:{number:x}::1"}] if ipv6 else []
    link = interface(100 + number, bridge, f"10.77.{number}.1/24", kind="bridge") if up and driver == "bridge" else None
    return {
        "id": f"{number:064x}", "name": name or f"net{number}", "driver": driver, "internal": False, "subnets": subnets,
        "bridge": bridge, "parent": "eth0" if driver == "macvlan" else None, "mode": "bridge", "mtu": 0,
        "interface": link, "admitted": link is not None, **more,
    }  # fmt: skip


def endpoint(
    name: str, number: int, place: int, of: int = 0, *, aliases: Sequence[str] = (), ipv6: bool = False
) -> Document:
    """The end number `place` of the container `number` on network `of`."""
    addresses = [f"10.77.{of}.{number % 250 + 2}/24", *([f"fd00:{of:x}::{number + 2:x}/64"] if ipv6 else [])]
    own = interface(place + 2, f"eth{place}", *addresses, kind="veth", peer=1000 + 10 * number + place)
    link = interface(1000 + 10 * number + place, f"nbcv{number:06x}{place:04x}", kind="veth", master=100 + of)
    return {"network": name, "aliases": list(aliases), "interface": own, "link": link}


def container(number: int, name: str = "", *ends: Document, state: str = "running", **more: Any) -> Document:
    return {
        "id": f"{number:064x}"[::-1], "name": name or f"c{number}", "image": "mini:latest", "state": state,
        "network": ",".join(end["network"] for end in ends) or "none", "endpoints": list(ends), "ports": [], **more,
    }  # fmt: skip


def port(outer: int, inner: int, target: str, protocol: str = "tcp", host: str = "", **more: Any) -> Document:
    map = f"{'bound' if host else 'ports'}{6 if ':' in target else 4}"
    return {
        "protocol": protocol, "host": host, "host_port": outer, "target": target, "target_port": inner, "waiting": False,
        "map": map, "led": True, "pid": 0, **more,
    }  # fmt: skip


def stopped(network: str) -> Document:
    return {"network": network, "aliases": [], "interface": None, "link": None}


def host(networks: Sequence[Document] = (), containers: Sequence[Document] = (), **more: Any) -> Document:
    """The whole document: eth0, lo, the bridges and cables of these."""
    links = [one["interface"] for one in networks if one["interface"]]
    links += [end["link"] for one in containers for end in one["endpoints"] if end["link"]]
    return {
        "time": "2026-11-23T07:30:00.123456789Z", "name": "lab-7", "user": None,
        "host": {"interfaces": [LO, ETH0, *links]}, "networks": list(networks), "containers": list(containers), **more,
    }  # fmt: skip


def user_host(
    networks: Sequence[Document] = (), containers: Sequence[Document] = (), program: str = "slirp4netns"
) -> Document:
    """The same of an ordinary user."""
    inner = [LO, *([interface(2, "tap0", "10.0.2.100/24", kind="tun", gateways=["10.0.2.2"])] if program else [])]
    found = host(networks, containers)
    inner += found["host"]["interfaces"][2:]
    user = {"pid": 4711, "program": program, "program_pid": 4712 if program else 0, "interfaces": inner}
    return {**found, "host": {"interfaces": [LO, ETH0]}, "user": user}


def typical() -> Document:
    """What a lesson has: two networks, an internal one, ports, aliases, IPv6, host, none, a sidecar, one that has ended."""
    networks = [network(0, "nbcontainers"), network(1, "backend", ipv6=True), network(2, "vault", internal=True)]
    web = container(1, "web", endpoint("nbcontainers", 1, 0), endpoint("backend", 1, 1, 1, ipv6=True))
    web["ports"] = [port(8080, 80, "10.77.0.3"), port(8443, 443, "10.77.0.3", host="127.0.0.1")]
    clock = container(2, "clock", endpoint("nbcontainers", 2, 0))
    clock["ports"] = [port(7000 + n, 7000 + n, "10.77.0.4", "udp") for n in range(6)]
    db = container(
        3, "db", endpoint("backend", 3, 0, 1, aliases=["sql", "store"], ipv6=True), endpoint("vault", 3, 1, 2)
    )
    keys = container(4, "keys", endpoint("vault", 4, 0, 2), state="paused")
    side = container(5, "sidecar", network=f"container:{web['id']}")
    old = container(6, "old-job", stopped("backend"), state="exited")
    top = container(7, "probe", network="host")
    alone = container(8, "sandbox", network="none")
    return host(networks, [web, clock, db, keys, side, old, top, alone])


def many(count: int, ports: int = 0) -> Document:
    """One network with so many containers, the first of which publish a port."""
    made = [container(n, f"worker-{n}", endpoint("nbcontainers", n, 0)) for n in range(count)]
    for n in range(ports):
        made[n]["ports"] = [port(8000 + n, 80, f"10.77.0.{n % 250 + 2}")]
    return host([network(0, "nbcontainers")], made)
