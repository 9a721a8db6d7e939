"""rtnetlink(7): links, addresses and routes."""

from __future__ import annotations

import errno
import fcntl
import socket as sockets
import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from nbcontainers.network import netlink
from nbcontainers.network.netlink import Message, Socket, attribute, nested

Interface = IPv4Interface | IPv6Interface
Subnet = IPv4Network | IPv6Network

(_NEWLINK, _DELLINK, _GETLINK), (_NEWADDR, _DELADDR, _GETADDR), (_NEWROUTE, _DELROUTE, _GETROUTE) = (
    range(16, 19), range(20, 23), range(24, 27),
)  # fmt: skip
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_IFALIAS, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 20, 26, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_MACVLAN_MODE, _MODES = 1, {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_ROUTE_LOCALNET = 26
_SIOCGIFMTU = 0x8921
_SETLINK, _IFLA_PROTINFO, _BRPORT_MODE, _BRPORT_LEARNING, _AF_BRIDGE = 19, 12, 4, 8, 7
_UP = 1
_NODAD = 0x02
_MAIN, _STATIC, _UNIVERSE, _UNICAST = 254, 4, 0, 1
_EVERY_TABLE_TYPES = (1, 2, 6, 7, 8)  # unicast, local, blackhole, unreachable, prohibit


class Link(NamedTuple):
    """A network interface. `up` is the administrator's word, `alias` a remark of whoever made it."""

    number: int
    name: str
    mtu: int
    up: bool
    alias: str = ""


class Route(NamedTuple):
    """Where a subnet lies: `link` is the number of its interface, 0 if it has none."""

    subnet: Subnet
    link: int
    table: int
    gateway: bool


def _link(family: int = 0, index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", family, 0, index, flags, change)


def links(socket: Socket) -> list[Link]:
    return [_read_link(body) for body in socket.dump(_GETLINK, _link())]


def _read_link(body: bytes) -> Link:
    _, _, index, flags, _ = struct.unpack_from("=BxHiII", body)
    found = dict(netlink.attributes(body[16:]))
    name = found.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    alias = found.get(_IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="surrogateescape")
    return Link(index, name, int.from_bytes(found.get(_IFLA_MTU, b""), "little"), bool(flags & _UP), alias)


def index(name: str) -> int:
    """The number of an interface of our network namespace; 0 if there is none of that name."""
    try:
        return sockets.if_nametoindex(name)
    except OSError:
        return 0


def mtu(name: str) -> int:
    """Of an interface of our network namespace: netdevice(7), SIOCGIFMTU."""
    with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM | sockets.SOCK_CLOEXEC) as inet:
        answer = fcntl.ioctl(inet, _SIOCGIFMTU, struct.pack("16si20x", name.encode(), 0))
    return int(struct.unpack_from("=i", answer, 16)[0])


def routes(socket: Socket) -> Iterator[Route]:
    """Every route of every table, IPv4 and IPv6; each address of the host is one, in the table `local`."""
    for family in (sockets.AF_INET, sockets.AF_INET6):
        for body in socket.dump(_GETROUTE, struct.pack("=BBBBBBBBI", family, *([0] * 8))):
            _, size, _, _, table, _, _, kind, _ = struct.unpack_from("=BBBBBBBBI", body)
            found = dict(netlink.attributes(body[12:]))
            if kind not in _EVERY_TABLE_TYPES:
                continue
            address = found.get(1, bytes(4 if family == sockets.AF_INET else 16))
            subnet = ip_network((address, size), strict=False)
            number = int.from_bytes(found[15], "little") if 15 in found else table
            yield Route(subnet, int.from_bytes(found.get(4, b""), "little"), number, 5 in found or 18 in found)


def new_bridge(name: str, mac: bytes, mtu: int) -> Message:
    body = _link() + attribute(_IFLA_IFNAME, name) + attribute(_IFLA_ADDRESS, mac) + attribute(_IFLA_MTU, mtu)
    kind = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, "bridge"))
    return Message(_NEWLINK, netlink.CREATE | netlink.EXCL, body + kind, f"ip link add {name} type bridge")


def remark(index: int, alias: str) -> Message:
    """Say whose it is; what is longer than the kernel takes (IFALIASZ) is left out."""
    text = alias.encode("utf-8", "surrogateescape")
    body = _link(index=index) + attribute(_IFLA_IFALIAS, text if len(text) < 256 else b"")
    return Message(_NEWLINK, 0, body, f"ip link set {index} alias {alias}")


class Veth(NamedTuple):
    """A cable: `name` on this side, plugged into the bridge `master`; `peer` in the namespace behind `namespace`."""

    name: str
    peer: str
    mac: bytes
    mtu: int
    master: int
    namespace: int


def new_veth(one: Veth) -> Message:
    """Both ends are down yet."""
    far = (
        _link() + attribute(_IFLA_IFNAME, one.peer) + attribute(_IFLA_ADDRESS, one.mac)
        + attribute(_IFLA_MTU, one.mtu) + attribute(_IFLA_NET_NS_FD, one.namespace)
    )  # fmt: skip
    kind = nested(
        _IFLA_LINKINFO, attribute(_INFO_KIND, "veth"), nested(_INFO_DATA, attribute(_VETH_PEER | netlink.NESTED, far))
    )
    near = _link() + attribute(_IFLA_IFNAME, one.name) + attribute(_IFLA_MTU, one.mtu)
    body = near + attribute(_IFLA_MASTER, one.master) + kind
    doing = f"ip link add {one.name} type veth peer {one.peer}"
    return Message(_NEWLINK, netlink.CREATE | netlink.EXCL, body, doing)


def new_macvlan(name: str, parent: int, mac: bytes, mode: str, namespace: int) -> Message:
    """A second address on the wire of `parent`, made straight in another namespace."""
    data = nested(_INFO_DATA, attribute(_MACVLAN_MODE, _MODES[mode]))
    kind = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, "macvlan"), data)
    body = (
        _link(flags=_UP, change=_UP) + attribute(_IFLA_IFNAME, name) + attribute(_IFLA_LINK, parent)
        + attribute(_IFLA_ADDRESS, mac) + attribute(_IFLA_NET_NS_FD, namespace) + kind
    )  # fmt: skip
    return Message(_NEWLINK, netlink.CREATE | netlink.EXCL, body, f"ip link add {name} type macvlan mode {mode}")


def set_up(index: int) -> Message:
    return Message(_NEWLINK, 0, _link(index=index, flags=_UP, change=_UP), f"ip link set {index} up")


def plug_in(index: int, master: int, mac: bytes) -> Message:
    """Make it a port of the bridge `master`, with another hardware address of its own."""
    body = _link(index=index) + attribute(_IFLA_MASTER, master) + attribute(_IFLA_ADDRESS, mac)
    return Message(_NEWLINK, 0, body, f"ip link set {index} master {master}")


def quiet(index: int) -> Message:
    """No IPv6 address that nobody asked for: addrgenmode none (ip-link(8))."""
    spec = nested(_IFLA_AF_SPEC, nested(sockets.AF_INET6, attribute(8, bytes([1]))))
    return Message(_NEWLINK, 0, _link(index=index) + spec, f"ip link set {index} addrgenmode none")


def let_loopback_in(index: int) -> Message:
    """route_localnet: packets from and to 127.0.0.0/8 may take this interface (ip-sysctl.rst)."""
    spec = nested(_IFLA_AF_SPEC, nested(sockets.AF_INET, nested(1, attribute(_ROUTE_LOCALNET, 1))))
    return Message(_NEWLINK, 0, _link(index=index) + spec, f"sysctl net.ipv4.conf.{index}.route_localnet=1")


def reflect(index: int) -> Message:
    """Let a bridge send a packet back by the port it came from: `bridge link set dev … hairpin on`."""
    mode = nested(_IFLA_PROTINFO, attribute(_BRPORT_MODE, bytes([1])))
    return Message(_SETLINK, 0, _link(_AF_BRIDGE, index) + mode, f"bridge link set {index} hairpin on")


def learn_nothing(index: int) -> Message:
    """Let a bridge not believe that who is heard on this port lives there: `bridge link set dev … learning off`."""
    mode = nested(_IFLA_PROTINFO, attribute(_BRPORT_LEARNING, bytes([0])))
    return Message(_SETLINK, 0, _link(_AF_BRIDGE, index) + mode, f"bridge link set {index} learning off")


def delete_link(index: int) -> Message:
    return Message(_DELLINK, 0, _link(index=index), f"ip link delete {index}")


def new_address(index: int, address: Interface) -> Message:
    """Usable at once: without IPv6's duplicate address detection, for we give each address to one only."""
    family = sockets.AF_INET if address.version == 4 else sockets.AF_INET6
    flags = _NODAD if address.version == 6 else 0
    body = struct.pack("=BBBBI", family, address.network.prefixlen, flags, 0, index)
    body += attribute(2, address.ip.packed) + attribute(1, address.ip.packed)
    if isinstance(address, IPv4Interface) and address.network.prefixlen < 31:
        body += attribute(4, address.network.broadcast_address.packed)
    flags = netlink.CREATE | netlink.REPLACE
    return Message(_NEWADDR, flags, body, f"ip address add {address} dev {index}")


def delete_address(index: int, address: IPv4Address) -> Message:
    """Whatever the size of its network."""
    body = struct.pack("=BBBBI", sockets.AF_INET, 32, 0, 0, index) + attribute(2, address.packed)
    return Message(_DELADDR, 0, body, f"ip address delete {address} dev {index}")


def new_peer(index: int, address: str, peer: str) -> Message:
    """An IPv4 address for one other end alone, which is there."""
    local, other = ip_address(address), ip_address(peer)
    body = (
        struct.pack("=BBBBI", sockets.AF_INET, 32, 0, 0, index)
        + attribute(2, local.packed)
        + attribute(1, other.packed)
    )
    return Message(_NEWADDR, netlink.CREATE | netlink.EXCL, body, f"ip address add {address} peer {peer} dev {index}")


def new_default_route(index: int, gateway: str, metric: int = 0) -> Message:
    address = ip_address(gateway)
    family = sockets.AF_INET if address.version == 4 else sockets.AF_INET6
    body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _MAIN, _STATIC, _UNIVERSE, _UNICAST, 0)
    body += attribute(5, address.packed) + attribute(4, index)
    body += attribute(6, metric) if metric else b""
    doing = f"ip route add default via {gateway} dev {index}"
    return Message(_NEWROUTE, netlink.CREATE | netlink.EXCL, body, doing)


def delete_links(socket: Socket, names: Sequence[str]) -> None:
    """Those that are still there."""
    for name in names:
        if number := index(name):
            for _, error in socket.attempt([delete_link(number)]):
                if error.errno not in (errno.ENODEV, errno.EINVAL):
                    raise error


def narrowest(socket: Socket) -> int:
    """The MTU of the interface that leads to the outside; 1500 where none does."""
    outward = {one.link for one in routes(socket) if not one.subnet.prefixlen and one.gateway}
    return min((link.mtu for link in links(socket) if link.number in outward), default=1500)
