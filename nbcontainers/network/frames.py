"""A topology as tables, each of which is a DataFrame on request: links, ports, interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nbcontainers.network import wording
from nbcontainers.network.facts import Container, Endpoint, Facts, Port
from nbcontainers.network.interfaces import Interface
from nbcontainers.table import Column, Table, digest, stored

Row = dict[str, Any]

_LINKS = [
    Column("container"), Column("state"), Column("network"), Column("interface"), Column("index"), Column("addresses"),
    Column("mac"), Column("aliases"), Column("host_interface"), Column("host_index"), Column("bridge"),
    Column("received", format=stored), Column("sent", format=stored), Column("id", "CONTAINER ID", digest),
]  # fmt: skip
_PORTS = [
    Column("container"), Column("protocol"), Column("host"), Column("host_port"), Column("container_port"), Column("count"),
    Column("addresses"), Column("carrier"), Column("maps"), Column("pid"), Column("works"),
]  # fmt: skip
_INTERFACES = [
    Column("where"), Column("name"), Column("index"), Column("kind"), Column("state"), Column("addresses"),
    Column("gateways"), Column("mtu"), Column("mac"), Column("received", format=stored), Column("sent", format=stored),
]  # fmt: skip


def links(facts: Facts) -> Table:
    """A row for each network of each container; one with the host's network, none, or another's has one, too.

    `received` and `sent` are bytes as the container counts them; None of one that does not run.
    """
    return Table([row for one in facts.containers for row in _links(one, facts)], _LINKS)


def _links(one: Container, facts: Facts) -> Iterator[Row]:
    ends = one.endpoints or (Endpoint(network=one.network),)
    for end in ends:
        own, link, network = end.interface, end.link, facts.network(end.network)
        yield {
            "container": one.name, "state": one.state, "network": end.network, "id": one.id,
            "interface": own.name if own else None, "index": own.number if own else None,
            "addresses": list(end.addresses), "mac": own.mac if own else None, "aliases": list(end.aliases),
            "host_interface": link.name if link else None, "host_index": link.number if link else None,
            "bridge": network.bridge if network and link else None,
            "received": own.received if own else None, "sent": own.sent if own else None,
        }  # fmt: skip


def ports(facts: Facts) -> Table:
    """A row for each published port or range: `host_port` and `container_port` are the first of `count`; `maps` those of
    our nftables table, `pid` the forwarder's, None without one; `works`: whether something carries it now."""
    return Table([_port(port, facts) for one in facts.containers for port in one.ports], _PORTS)


def _port(one: Port, facts: Facts) -> Row:
    user = bool(facts.user)
    return {
        "container": one.container, "protocol": one.protocol, "host": one.host, "host_port": one.first,
        "container_port": one.target_port, "count": one.count, "addresses": list(one.targets),
        "carrier": wording.carrier(one, user=user), "maps": list(one.maps), "pid": one.pid or None,
        "works": one.works(user=user),
    }  # fmt: skip


def interfaces(facts: Facts) -> Table:
    """A row for each interface of the host, and of a user's namespace, but for the cables' ends; bridges of ours too."""
    found = [_interface("host", one) for one in facts.interfaces]
    inner = facts.user.interfaces if facts.user else ()
    found += [_interface("namespace", one) for one in inner]
    where = "namespace" if facts.user else "host"
    found += [_interface(where, one.interface) for one in facts.networks if one.interface]
    return Table(found, _INTERFACES)


def _interface(where: str, one: Interface) -> Row:
    found = one._asdict()
    return {
        "where": where,
        "index": found.pop("number"),
        **found,
        "addresses": list(one.addresses),
        "gateways": list(one.gateways),
    }
