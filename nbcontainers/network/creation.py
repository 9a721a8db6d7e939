"""`network create`, in a process of the launcher: what is asked, checked against what the host has."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Any

from nbcontainers.errors import HostNotCapable, InvalidArgument, NameInUse, NotFound
from nbcontainers.linux.namespaces import in_user_namespace
from nbcontainers.monitor import events
from nbcontainers.monitor.files import rfc3339
from nbcontainers.network import bridge, hosts, rtnetlink, store, subnet
from nbcontainers.network.netlink import Socket

Record = dict[str, Any]

_IPV6 = "/proc/sys/net/ipv6"
_SLIRP = ip_network("10.0.2.0/24")
"""What slirp4netns(1) gives to the namespace that it leads outside."""
_SMALLEST_MTU, _SMALLEST_IPV6_MTU, _LARGEST_MTU = 68, 1280, 65535


def create(
    root: str, name: str, *, driver: str, subnets: Sequence[str], gateways: Sequence[str], ranges: Sequence[str],
    ipv6: bool, internal: bool, parent: str, mode: str, mtu: int, labels: dict[str, str],
) -> Record:  # fmt: skip
    """Make a network's record; nothing in the kernel changes. Raises InvalidArgument, NameInUse, HostNotCapable."""
    asked = subnet.pair(subnets, gateways)
    within = subnet.ranges(asked, ranges)
    if driver == "macvlan" and in_user_namespace():
        raise HostNotCapable(
            "macvlan needs an interface of the host, which an ordinary user may not use",
            hint="leave -d macvlan out, or run it as root",
        )
    with store.locked(root):
        if name in store.names(root):
            raise NameInUse(f"there is a network {name!r} already", hint=f"choose another, or type network rm {name}")
        with Socket() as socket:
            taken = list(_taken(root, socket))
            if driver == "macvlan":
                parent = _parent(socket, parent)
        for one, _ in asked:
            _check_free(
                one, taken if driver == "bridge" else [(other, who) for other, who in taken if "network" in who]
            )
        ipv6 = ipv6 or any(one.version == 6 for one, _ in asked)
        if ipv6 and not os.path.exists(_IPV6):
            raise HostNotCapable(
                "this kernel has no IPv6 (ipv6.disable=1 at its start, or built without it)",
                hint="leave --ipv6 and subnets of IPv6 out",
            )
        _check_mtu(mtu, ipv6=ipv6)
        asked += _chosen(asked, taken, driver=driver, ipv6=ipv6)
        id = os.urandom(32).hex()
        record: Record = {
            "id": id, "name": name, "driver": driver, "internal": internal, "bridge": bridge.name(id), "mtu": mtu,
            "subnets": [{"subnet": str(one), "gateway": str(gateway), "range": within.get(str(one), "")}
                        for one, gateway in asked],
            "parent": parent, "mode": mode, "labels": labels, "created": rfc3339(time.time_ns()),
        }  # fmt: skip
        store.create(root, record)
    events.record(root, "network", "create", id, name=name)
    return record


def find(root: str, name: str) -> Record:
    """A network by its name; the default one is made when it is first asked for."""
    try:
        return store.read(root, name)
    except NotFound:
        if name != store.DEFAULT:
            raise
    try:
        return create(
            root, name, driver="bridge", subnets=(), gateways=(), ranges=(), ipv6=False, internal=False, parent="", mode="",
            mtu=0, labels={},
        )  # fmt: skip
    except NameInUse:  # another container was quicker
        return store.read(root, name)


def _chosen(
    asked: Sequence[tuple[subnet.Subnet, subnet.Address]], taken: Sequence[tuple[subnet.Subnet, str]], *, driver: str,
    ipv6: bool,
) -> list[tuple[subnet.Subnet, subnet.Address]]:  # fmt: skip
    """Subnets of our own choice where none was asked for."""
    if driver == "macvlan":
        if not asked:
            raise InvalidArgument(
                "a macvlan network has the addresses of the wire it is on",
                hint="name them: network create -d macvlan --subnet 192.168.1.0/24 --gateway 192.168.1.1 NAME",
            )
        return []
    versions = {one.version for one, _ in asked}
    subnets = [one for one, _ in taken]
    found: list[subnet.Subnet] = [] if versions else [subnet.choose(subnets)]
    if ipv6 and 6 not in versions:
        found.append(subnet.choose6(subnets))
    return [(one, subnet.gateway(one)) for one in found]


def _taken(root: str, socket: Socket) -> Iterator[tuple[subnet.Subnet, str]]:
    """Everything the host has an address in, a route to, or asks names of, and the subnets of other networks."""
    for name in store.names(root):
        for entry in store.read(root, name)["subnets"]:
            yield ip_network(entry["subnet"]), f"of network {name}"
    ours = {store.read(root, name)["bridge"] for name in store.names(root)}
    links = {link.number: link.name for link in rtnetlink.links(socket)}
    for route in rtnetlink.routes(socket):
        interface = links.get(route.link, "")
        if interface not in ours:
            yield route.subnet, f"of interface {interface}" if interface else "in a route of the host"
    if in_user_namespace():
        yield _SLIRP, "of slirp4netns"
    for address in hosts.resolvers():
        yield ip_network(address), f"of the host's name server in {hosts.RESOLV_CONF}"


def _check_free(one: subnet.Subnet, taken: Sequence[tuple[subnet.Subnet, str]]) -> None:
    if owner := subnet.collision(one, taken):
        raise InvalidArgument(
            f"--subnet: {one} overlaps {owner}", hint="choose another, or leave --subnet out and a free one is chosen",
            option="subnet",
        )  # fmt: skip


def _check_mtu(mtu: int, *, ipv6: bool) -> None:
    least = _SMALLEST_IPV6_MTU if ipv6 else _SMALLEST_MTU
    if mtu and not least <= mtu <= _LARGEST_MTU:
        raise InvalidArgument(
            f"--opt: mtu {mtu} is out of range", hint=f"write {least} to {_LARGEST_MTU}, as -o mtu=1400"
        )


def _parent(socket: Socket, wanted: str) -> str:
    """The interface of the host that a macvlan stands on."""
    known = [link.name for link in rtnetlink.links(socket)]
    if wanted and wanted not in known:
        hint = f"this host has {', '.join(sorted(known))}: network create -d macvlan -o parent=NAME …"
        raise InvalidArgument(f"--opt: there is no interface {wanted!r}", hint=hint)
    return wanted or _outward(socket)


def _outward(socket: Socket) -> str:
    """The interface that leads outside."""
    links = {link.number: link.name for link in rtnetlink.links(socket)}
    for route in rtnetlink.routes(socket):
        if not route.subnet.prefixlen and route.link in links:
            return links[route.link]
    raise InvalidArgument("no interface leads outside", hint="name one: network create -d macvlan -o parent=eth0 …")
