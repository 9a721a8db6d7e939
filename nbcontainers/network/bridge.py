"""The host's side of a network: its bridge, made when the first container needs it, found again by the next."""

from __future__ import annotations

import errno
import os
from ipaddress import ip_interface, ip_network
from typing import Any

from nbcontainers.errors import HostNotCapable
from nbcontainers.network import firewall, foreign, rtnetlink, store
from nbcontainers.network.namespace import switch_ipv6
from nbcontainers.network.netlink import Socket

Record = dict[str, Any]

_PREFIX = "nbc-"
_IPV4, _IPV6 = "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"


def name(id: str) -> str:
    """Of the bridge of the network `id`: at most 15 bytes (IFNAMSIZ)."""
    return f"{_PREFIX}{id[:10]}"


def mac(address: str) -> bytes:
    """A hardware address that follows from the IP address, as Docker's: nobody remembers a wrong one."""
    packed = ip_interface(address).ip.packed
    return b"\x02\x42" + packed[-4:]


def ensure(root: str, network: Record) -> tuple[int, list[str]]:
    """The bridge's index, and what had to be changed on the host for it, in words."""
    if found := rtnetlink.index(network["bridge"]):
        return found, []
    with store.locked(root):
        index = rtnetlink.index(network["bridge"]) or _make(network, store.folder(root, network["name"]))
        if network["internal"]:
            return index, []
        ipv6 = any(ip_network(one["subnet"]).version == 6 for one in network["subnets"])
        return index, [*forward(network), *foreign.notes(network["bridge"], ipv6=ipv6)]


def _make(network: Record, folder: str) -> int:
    bridge = network["bridge"]
    sweep()
    addresses = [ip_interface(f"{one['gateway']}/{ip_network(one['subnet']).prefixlen}") for one in network["subnets"]]
    with Socket() as socket:
        try:
            size = network["mtu"] or rtnetlink.narrowest(socket)
            socket.request([rtnetlink.new_bridge(bridge, mac(network["subnets"][0]["gateway"]), size)])
            index = rtnetlink.index(bridge)
            try:
                ipv6 = any(one.version == 6 for one in addresses)
                if ipv6:
                    switch_ipv6(bridge, on=True)  # a host may have it off for new interfaces
                quiet = [] if ipv6 else [rtnetlink.quiet(index)]
                here = [rtnetlink.new_address(index, one) for one in addresses]
                socket.request(
                    [
                        rtnetlink.remark(index, folder),
                        *quiet,
                        rtnetlink.let_loopback_in(index),
                        *here,
                        rtnetlink.set_up(index),
                    ]
                )
                firewall.admit(bridge, internal=network["internal"])
            except OSError:
                socket.attempt([rtnetlink.delete_link(index)])
                raise
        except OSError as error:
            raise refused(error) from error
    return index


def refused(error: OSError) -> HostNotCapable:
    """What the kernel refused, with what to do about it."""
    hint = "type --network none (or host), or set NBCONTAINERS_NETWORK=none"
    if error.errno in (errno.EPERM, errno.EACCES):
        hint = f"networks need root's CAP_NET_ADMIN: {hint}"
    elif error.errno in (errno.EOPNOTSUPP, errno.ENOENT, errno.EPROTONOSUPPORT):
        hint = f"this kernel lacks a part of nftables, bridges or veth: {hint}"
    return HostNotCapable(f"the network could not be set up: {error.strerror}", hint=hint, errno=error.errno)


def forward(network: Record) -> list[str]:
    """Let the host pass on packets, which a published port and the way outside need; says what it changed."""
    versions = {ip_network(one["subnet"]).version for one in network["subnets"]}
    notes = []
    for version, path in ((4, _IPV4), (6, _IPV6)):
        if version in versions and _read(path) == "0":
            if version == 6:
                _keep_accepting_routers()
            _write(path, "1")
            notes.append(
                f"set {path.removeprefix('/proc/sys/').replace('/', '.')} = 1, for containers to reach outside"
            )
    return notes


def _keep_accepting_routers() -> None:
    """A host that forwards IPv6 ignores its own router's advertisements unless told otherwise: ip-sysctl.rst."""
    for interface in os.listdir("/proc/sys/net/ipv6/conf"):
        path = f"/proc/sys/net/ipv6/conf/{interface}/accept_ra"
        if _read(path) == "1" and not interface.startswith("nbc"):
            _write(path, "2")


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise HostNotCapable(
            f"{path} cannot be written: {error.strerror}", hint=f"ask the administrator for {path} = {text}"
        ) from None


def sweep() -> list[str]:
    """Remove bridges of ours whose network was deleted with its engine's folder; returns their names."""
    with Socket() as socket:
        ours = [link for link in rtnetlink.links(socket) if link.name.startswith(_PREFIX) and link.alias]
        gone = [link.name for link in ours if not os.path.exists(f"{link.alias}/network.json")]
        rtnetlink.delete_links(socket, gone)
    for one in gone:
        for internal in (False, True):
            firewall.dismiss(one, internal=internal)
    return gone


def remove(network: Record) -> bool:
    """Take the bridge and its rules away; whether it was there."""
    number = rtnetlink.index(network["bridge"])
    if number:
        with Socket() as socket:
            rtnetlink.delete_links(socket, [network["bridge"]])
    firewall.dismiss(network["bridge"], internal=network["internal"])
    return bool(number)
