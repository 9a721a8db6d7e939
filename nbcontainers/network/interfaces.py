"""What a network namespace has: interfaces with their addresses, the way outside, and what went through (rtnetlink(7))."""

from __future__ import annotations

import socket as sockets
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

from nbcontainers.network import netlink
from nbcontainers.network.netlink import Socket

_GETLINK, _GETADDR, _GETROUTE = 18, 22, 26
_ADDRESS, _IFNAME, _MTU, _LINK, _MASTER, _LINKINFO, _STATS64 = 1, 3, 4, 5, 10, 18, 23
_INFO_KIND = 1
_UP, _LOOPBACK, _RUNNING = 0x1, 0x8, 0x40
_MAIN, _UNICAST = 254, 1
_RTA_OIF, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_TABLE, _RTA_VIA = 4, 5, 9, 15, 18
_FAMILIES = (sockets.AF_INET, sockets.AF_INET6)


class Interface(NamedTuple):
    """One of them. `state` is `up`, `down` (the administrator's word) or `no carrier`.

    `peer` is the index of a veth's other end, or of a macvlan's parent, in whatever namespace that is; `master` of the
    bridge it is plugged into; 0 without one. `gateways` are those of default routes that leave here, "" of one without
    a gateway. `received` and `sent` are bytes since it was made; None where they are left out.
    """

    number: int
    name: str
    kind: str
    state: str
    mtu: int
    mac: str
    peer: int
    master: int
    received: int | None
    sent: int | None
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


def read(socket: Socket) -> list[Interface]:
    """All of the namespace the socket was made in, by index."""
    addresses, gateways = _by_index(_addresses(socket)), _by_index(_default_routes(socket))
    found = [_interface(body) for body in socket.dump(_GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0))]
    return [
        one._replace(addresses=addresses.get(one.number, ()), gateways=gateways.get(one.number, ()))
        for one in sorted(found)
    ]


def _by_index(pairs: Iterator[tuple[int, str]]) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for index, text in pairs:
        if text not in found.setdefault(index, ()):
            found[index] += (text,)
    return found


def _interface(body: bytes) -> Interface:
    _, _, index, flags, _ = struct.unpack_from("=BxHiII", body)
    found = dict(netlink.attributes(body[16:]))
    info = dict(netlink.attributes(found.get(_LINKINFO, b"")))
    kind = info.get(_INFO_KIND, b"loopback" if flags & _LOOPBACK else b"").rstrip(b"\0").decode(errors="replace")
    _, _, received, sent = struct.unpack_from("=4Q", found.get(_STATS64, b"").ljust(32, b"\0"))
    return Interface(
        index, found.get(_IFNAME, b"").rstrip(b"\0").decode(errors="replace"), kind, _state(flags),
        _number(found, _MTU), found.get(_ADDRESS, b"").hex(":"), _number(found, _LINK), _number(found, _MASTER),
        received, sent,
    )  # fmt: skip


def _number(found: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(found.get(kind, b""), "little")


def _state(flags: int) -> str:
    if not flags & _UP:
        return "down"
    return "up" if flags & _RUNNING else "no carrier"


def _addresses(socket: Socket) -> Iterator[tuple[int, str]]:
    """(index, `10.0.0.5/24`) of each. IFA_LOCAL is ours where the wire has two ends, IFA_ADDRESS then the other's."""
    for body in socket.dump(_GETADDR, struct.pack("=BBBBI", 0, 0, 0, 0, 0)):
        family, size, _, _, index = struct.unpack_from("=BBBBI", body)
        found = dict(netlink.attributes(body[8:]))
        packed = found.get(2) or found.get(1)
        if packed and family in _FAMILIES:
            yield index, f"{ip_address(packed)}/{size}"


def _default_routes(socket: Socket) -> Iterator[tuple[int, str]]:
    """(index, gateway) of each of the main table."""
    for family in _FAMILIES:
        for body in socket.dump(_GETROUTE, struct.pack("=BBBBBBBBI", family, *([0] * 8))):
            _, size, _, _, table, _, _, kind, _ = struct.unpack_from("=BBBBBBBBI", body)
            found = dict(netlink.attributes(body[12:]))
            if size == 0 and kind == _UNICAST and (_number(found, _RTA_TABLE) or table) == _MAIN:
                yield from _ways(found)


def _ways(found: dict[int, bytes]) -> Iterator[tuple[int, str]]:
    """Of one route, or of each of its next hops (struct rtnexthop)."""
    if _RTA_OIF in found:
        yield _number(found, _RTA_OIF), _gateway(found)
    rest = found.get(_RTA_MULTIPATH, b"")
    while len(rest) >= 8:
        length, _, _, index = struct.unpack_from("=HBBi", rest)
        yield index, _gateway(dict(netlink.attributes(rest[8:length])))
        rest = rest[max(length, 8) + (-length % 4) :]


def _gateway(found: dict[int, bytes]) -> str:
    packed = found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:]
    return str(ip_address(packed)) if packed else ""
