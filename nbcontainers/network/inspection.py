"""What a network is made of right now, in Docker's words where it has any: for `inspect` and for whoever draws it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from nbcontainers.errors import NotFound
from nbcontainers.monitor.files import Files
from nbcontainers.network import creation, rtnetlink, state, userhost
from nbcontainers.network.publish import of
from nbcontainers.network.store import Record

Document = dict[str, Any]


def inspect(root: str, run: str, name: str) -> Document:
    """In a process of the launcher, which goes to where the bridges are. Raises NotFound.

    `Containers` is by id, of those that run: Docker's Name, MacAddress, IPv4Address, IPv6Address; of ours Interface
    (in the container), HostInterface and HostIndex (its cable's other end; 0 where there is none) and Ports (HostIp,
    HostPort, ContainerPort, Protocol, and the Map of our nftables table that has the entry). `Bridge` has Name, Index
    (0 while no container needs it), Mtu and Addresses.
    """
    record = creation.find(root, name)
    there = userhost.enter(run)
    containers = {
        id: _container(Files(root, run, id), record, made, there=there)
        for id, made in state.running(root, run) if name in made["networks"]
    }  # fmt: skip
    return {**document(record), "Bridge": _bridge(record, there=there), "Containers": containers}


def document(record: Mapping[str, Any]) -> Document:
    """What was decided when the network was made."""
    subnets = record["subnets"]
    return {
        "Name": record["name"], "Id": record["id"], "Created": record.get("created", ""), "Scope": "local",
        "Driver": record["driver"], "EnableIPv4": _has(subnets, 4), "EnableIPv6": _has(subnets, 6),
        "IPAM": {"Driver": "default", "Config": [_config(one) for one in subnets]},
        "Internal": record["internal"], "Options": _options(record), "Labels": dict(record.get("labels") or {}),
    }  # fmt: skip


def _has(subnets: list[Record], version: int) -> bool:
    return any(ip_network(one["subnet"]).version == version for one in subnets)


def _config(entry: Record) -> Document:
    found = {"Subnet": entry["subnet"], "Gateway": entry["gateway"]}
    return {**found, "IPRange": entry["range"]} if entry.get("range") else found


def _options(record: Mapping[str, Any]) -> dict[str, str]:
    found = {"com.docker.network.driver.mtu": str(record["mtu"])} if record.get("mtu") else {}
    if record["driver"] == "macvlan":
        found |= {"parent": record["parent"], "macvlan_mode": record["mode"]}
    return found


def _bridge(record: Record, *, there: bool) -> Document | None:
    if record["driver"] != "bridge":
        return None
    number = rtnetlink.index(record["bridge"]) if there else 0
    addresses = [f"{one['gateway']}/{ip_network(one['subnet']).prefixlen}" for one in record["subnets"]]
    mtu = rtnetlink.mtu(record["bridge"]) if number else record["mtu"] or None
    return {"Name": record["bridge"], "Index": number, "Mtu": mtu, "Addresses": addresses}


def _container(files: Files, record: Record, made: Record, *, there: bool) -> Document:
    entry = made["networks"][record["name"]]
    sizes = {ip_network(one["subnet"]).version: ip_network(one["subnet"]).prefixlen for one in record["subnets"]}
    by_version = {ip_address(text).version: text for text in entry["addresses"]}
    try:
        name = str(files.read("container.json")["name"])
    except NotFound:
        name = files.id[:12]
    ports = [
        {"HostIp": one.host, "HostPort": one.host_port, "ContainerPort": one.target_port, "Protocol": one.protocol,
         "Map": one.map}
        for one in of(made) if one.target in entry["addresses"]
    ]  # fmt: skip
    return {
        "Name": name, "MacAddress": entry["mac"],
        **{f"IPv{version}Address": f"{text}/{sizes[version]}" for version, text in by_version.items()},
        "Interface": entry["interface"], "HostInterface": entry["link"],
        "HostIndex": rtnetlink.index(entry["link"]) if there and entry["link"] else 0, "Ports": ports,
    }  # fmt: skip
