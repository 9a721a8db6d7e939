"""The facts of `survey` with names: what a drawing of networks, its text and its frames are made of."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from nbcontainers.network.interfaces import Interface
from nbcontainers.network.ports import browsed

Document = Mapping[str, Any]
RUNNING = ("running", "paused")
"""States in which a container has its interfaces."""


@dataclass(frozen=True)
class Network:
    """One of ours; `interface` is its bridge, None while no container needs it."""

    name: str
    driver: str
    internal: bool = False
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    bridge: str = ""
    interface: Interface | None = None
    admitted: bool = False
    parent: str = ""
    mode: str = ""


@dataclass(frozen=True)
class Endpoint:
    """A container on a network. `interface` is in the container, `link` the cable's end on the host."""

    network: str
    interface: Interface | None = None
    link: Interface | None = None
    aliases: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """As `10.77.0.2/24`, without what the kernel gave itself."""
        return tuple(one for one in (self.interface.addresses if self.interface else ()) if not one.startswith("fe80:"))


@dataclass(frozen=True)
class Port:
    """Published ports of one container that differ only in their number: `first` to `last` of the host's, from
    `target_port` on in the container. `host` is "" for every address. `maps` are those of our nftables table that have
    the entries (`led`: they are there now, and a rule uses them); `pid` is our forwarder's, 0 where none is needed."""

    container: str
    protocol: str
    host: str
    first: int
    last: int
    targets: tuple[str, ...]
    target_port: int
    maps: tuple[str, ...] = ()
    led: bool = False
    pid: int = 0
    waiting: bool = False

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    @property
    def outer(self) -> str:
        """`*:8080/tcp`, `127.0.0.1:8000-8005/udp`, `[::1]:80/tcp`."""
        host = f"[{self.host}]" if ":" in self.host else self.host or "*"
        return f"{host}:{_range(self.first, self.count)}/{self.protocol}"

    @property
    def inner(self) -> str:
        """`80`, `80-85`."""
        return _range(self.target_port, self.count)

    @property
    def way(self) -> str:
        """`*:8080/tcp → web 80`; where the numbers are the same, they are said once."""
        same = self.count > 1 and self.first == self.target_port
        return f"{self.outer} → {self.container}{'' if same else f' {self.inner}'}"

    @property
    def key(self) -> str:
        """What names it among all that are published."""
        return f"{self.container} {self.outer}{' waiting' if self.waiting else ''}"

    @property
    def link(self) -> str:
        """What a browser may open of it, "" for UDP: on a hub its way through the hub."""
        forward = {"protocol": self.protocol, "host": self.host, "host_port": self.first, "target": self.targets[0]}
        return next(reversed(browsed(forward, os.environ)), "")

    def works(self, *, user: bool) -> bool:
        """Whether something carries it now; `user`: an ordinary user's are carried by forwarders only."""
        return not self.waiting and (bool(self.pid) if user or not self.maps else self.led)

    def has(self, number: int, protocol: str) -> bool:
        return self.first <= number <= self.last and self.protocol == protocol


@dataclass(frozen=True)
class Container:
    """`network` is `host`, `none`, `container:ID` or the names of networks."""

    id: str
    name: str
    state: str
    image: str = ""
    network: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[Port, ...] = ()

    @property
    def lives(self) -> bool:
        return self.state in RUNNING

    @property
    def owner(self) -> str:
        """The id of the container whose network this one shares; "" where it has its own, or none."""
        kind, _, id = self.network.partition(":")
        return id if kind == "container" else ""


@dataclass(frozen=True)
class Group:
    """What is shown together: a network, or those with the host's (`host`), without one (`none`) or on one that is not
    there (`lost`). `homes` are at home here; `visitors` are at home on another network, with their end on this one."""

    kind: str
    network: Network | None
    homes: tuple[Container, ...]
    visitors: tuple[tuple[Container, Endpoint], ...] = ()


@dataclass(frozen=True)
class UserHost:
    """An ordinary user's network namespace: who holds it, and what leads outside from it ("" where nothing does)."""

    pid: int
    program: str
    program_pid: int
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True)
class Facts:
    """One moment. Interfaces of the host without the cables' ends; `plugged` counts what hangs on each index."""

    time: str
    name: str
    interfaces: tuple[Interface, ...]
    plugged: Mapping[int, int]
    networks: tuple[Network, ...]
    containers: tuple[Container, ...]
    user: UserHost | None = None

    def network(self, name: str) -> Network | None:
        return next((one for one in self.networks if one.name == name), None)

    def home(self, one: Container) -> str:
        """Where a container is shown: the first of its networks that are, or a kind of `Group`."""
        if one.network in ("host", "none"):
            return one.network
        return next((end.network for end in one.endpoints if self.network(end.network)), "lost")

    def groups(self) -> list[Group]:
        """In the order shown; every container is at home in one, but for those that share another's network."""
        shown = {one.id for one in self.containers}
        free = [(self.home(one), one) for one in self.containers if one.owner not in shown]
        found = [Group(one.driver, one, *self._on(one.name, free)) for one in self.networks]
        found += [Group(kind, None, self._on(kind, free)[0]) for kind in ("host", "none", "lost")]
        order = ("bridge", "host", "macvlan", "none", "lost")
        return sorted((one for one in found if one.network or one.homes), key=lambda one: order.index(one.kind))

    def _on(
        self, name: str, free: Sequence[tuple[str, Container]]
    ) -> tuple[tuple[Container, ...], tuple[tuple[Container, Endpoint], ...]]:
        homes = tuple(one for home, one in free if home == name)
        ends = ((home, one, end) for home, one in free for end in one.endpoints if end.network == name)
        return homes, tuple((one, end) for home, one, end in ends if home != name)

    def sharing(self, id: str) -> list[Container]:
        """Those that share the network of a container."""
        return [one for one in self.containers if one.owner == id]


def counters(facts: Facts) -> dict[str, tuple[int, int]]:
    """Bytes (received, sent) of everything that counts them, by its key in the drawing; a cable's as its container does."""
    named = [(f"if {one.name}", one) for one in facts.interfaces]
    named += [(f"net {one.name}", one.interface) for one in facts.networks if one.interface]
    named += [
        (f"cable {one.id[:12]} {end.network}", end.interface)
        for one in facts.containers for end in one.endpoints if end.interface
    ]  # fmt: skip
    return {key: (one.received or 0, one.sent or 0) for key, one in named}


def still(facts: Facts) -> Facts:
    """The same without what changes with every packet: what two moments differ in is then a change of the networks."""
    networks = (replace(one, interface=_uncounted(one.interface)) for one in facts.networks)
    containers = (
        replace(one, endpoints=tuple(
            replace(end, interface=_uncounted(end.interface), link=_uncounted(end.link)) for end in one.endpoints
        ))
        for one in facts.containers
    )  # fmt: skip
    user = facts.user and replace(facts.user, interfaces=tuple(filter(None, map(_uncounted, facts.user.interfaces))))
    return replace(
        facts, time="", interfaces=tuple(filter(None, map(_uncounted, facts.interfaces))), networks=tuple(networks),
        containers=tuple(containers), user=user,
    )  # fmt: skip


def _uncounted(one: Interface | None) -> Interface | None:
    return one and one._replace(received=None, sent=None)


def of(document: Document) -> Facts:
    """From the document of `survey`."""
    user = document["user"]
    networks = tuple(map(_network, document["networks"]))
    here = _interfaces(document["host"])
    ours = {one.bridge for one in networks}
    containers = sorted(map(_container, document["containers"]), key=lambda one: (not one.lives, _natural(one.name)))
    return Facts(
        time=document["time"], name=document["name"], networks=networks, containers=tuple(containers),
        interfaces=tuple(sorted((one for one in here if not one.master and one.name not in ours), key=_outward)),
        plugged={one.master: sum(other.master == one.master for other in here) for one in here if one.master},
        user=_user(user, ours) if user else None,
    )  # fmt: skip


def _natural(name: str) -> list[tuple[int, str]]:
    """To sort by: worker-2 before worker-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _outward(one: Interface) -> tuple[bool, bool, bool, int]:
    """The ways outside first, then what is up, the loopback, what is down."""
    return (not one.gateways, one.state == "down", one.kind == "loopback", one.number)


def _interfaces(document: Document) -> tuple[Interface, ...]:
    return tuple(_interface(one) for one in document["interfaces"])


def _interface(record: Document) -> Interface:
    return Interface(
        **{**record, "addresses": tuple(record["addresses"]), "gateways": tuple(record["gateways"])}
    )  # fmt: skip


def _user(record: Document, ours: set[str]) -> UserHost:
    here = (one for one in _interfaces(record) if not one.master and one.name not in ours)
    return UserHost(record["pid"], record["program"], record["program_pid"], tuple(sorted(here, key=_outward)))


def _network(record: Document) -> Network:
    return Network(
        name=record["name"], driver=record["driver"], internal=record["internal"],
        subnets=tuple(one["subnet"] for one in record["subnets"]),
        gateways=tuple(one["gateway"] for one in record["subnets"]),
        bridge=record["bridge"] if record["driver"] == "bridge" else "",
        interface=_interface(record["interface"]) if record["interface"] else None, admitted=record["admitted"],
        parent=record["parent"] or "", mode=record["mode"] or "",
    )  # fmt: skip


def _container(record: Document) -> Container:
    return Container(
        id=record["id"], name=record["name"], state=record["state"], image=record["image"], network=record["network"],
        endpoints=tuple(map(_endpoint, record["endpoints"])), ports=tuple(_ports(record["name"], record["ports"])),
    )  # fmt: skip


def _endpoint(record: Document) -> Endpoint:
    ends = {key: _interface(record[key]) if record[key] else None for key in ("interface", "link")}
    return Endpoint(network=record["network"], aliases=tuple(record["aliases"]), **ends)


def _ports(container: str, records: Sequence[Document]) -> Iterator[Port]:
    """One for the address families of a port, and one for a range whose numbers follow each other on both sides."""
    found: dict[tuple[Any, ...], Port] = {}
    for one in sorted(records, key=lambda one: (one["protocol"], one["host"], one["host_port"], ":" in one["target"])):
        key = (one["protocol"], one["host"], one["host_port"], one["target_port"], one["waiting"])
        before = found.get(key)
        found[key] = Port(
            container, one["protocol"], one["host"], one["host_port"], one["host_port"],
            (*(before.targets if before else ()), one["target"]), one["target_port"],
            (*(before.maps if before else ()), one["map"]) if one["map"] else (),
            bool(one["led"]) and (before is None or before.led), one["pid"] or (before.pid if before else 0),
            one["waiting"],
        )  # fmt: skip
    yield from _joined(list(found.values()))


def _joined(ports: Sequence[Port]) -> Iterator[Port]:
    last: Port | None = None
    for one in ports:
        if last and one == _moved(last, one):
            last = _longer(last)
            continue
        if last:
            yield last
        last = one
    if last:
        yield last


def _moved(before: Port, one: Port) -> Port:
    """What would follow `before` in a range, with everything else as it is."""
    return replace(before, first=before.last + 1, last=before.last + 1, target_port=before.target_port + before.count)


def _longer(one: Port) -> Port:
    return replace(one, last=one.last + 1)


def _range(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def version(address: str) -> int:
    """Of an address with or without its prefix length."""
    return ip_address(address.partition("/")[0]).version
