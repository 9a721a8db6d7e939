"""Our one nftables table: `inet nbcontainers`. Rules never change; sets and maps say what they apply to.

    bridges, internal   interfaces        same   pairs of one bridge with itself
    ports4, ports6      protocol . port -> container's address . port, on every address of the host
    bound4, bound6      address . protocol . port -> the same, on one address of the host
    self4, self6        pairs of the address of a container that publishes ports with itself

Other tables are never touched. Two engines on one host share the table; each adds and takes away its own entries.
"""

from __future__ import annotations

import errno
import os
import socket as sockets
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from ipaddress import ip_address
from typing import NamedTuple

from nbcontainers.network import netlink
from nbcontainers.network.nftables import (
    ACCEPT,
    DROP,
    R1,
    R2,
    R32,
    Batch,
    Chain,
    Element,
    Set,
    compare,
    connection,
    dnat,
    elements,
    generation,
    lookup,
    masquerade,
    meta,
    payload,
    to_local,
    verdict,
)  # fmt: skip

TABLE = "nbcontainers"
LOOPBACK6 = "::1"
"""What is sent to it never leaves the host, whatever a rule says: `forwarder` carries it."""

_PREROUTING, _FORWARD, _OUTPUT, _POSTROUTING = 0, 2, 3, 4
_CHAINS = (
    Chain("raw", "filter", _PREROUTING, -300),
    Chain("prerouting", "nat", _PREROUTING, -100),
    Chain("output", "nat", _OUTPUT, -100),
    Chain("postrouting", "nat", _POSTROUTING, 100),
    Chain("forward", "filter", _FORWARD, 0),
)
_PORT, _V4, _V6 = ("inet_proto", "inet_service"), ("ipv4_addr", "inet_service"), ("ipv6_addr", "inet_service")
_SETS = (
    Set("bridges", ("ifname",)),
    Set("internal", ("ifname",)),
    Set("same", ("ifname", "ifname")),
    Set("ports4", _PORT, _V4),
    Set("ports6", _PORT, _V6),
    Set("bound4", ("ipv4_addr", *_PORT), _V4),
    Set("bound6", ("ipv6_addr", *_PORT), _V6),
    Set("self4", ("ipv4_addr", "ipv4_addr")),
    Set("self6", ("ipv6_addr", "ipv6_addr")),
)
NAMES = tuple(one.name for one in _SETS)
"""Of all sets and maps."""
_IPV4, _IPV6 = 2, 10
_FAMILIES = ((_IPV4, 4, 12, 4), (_IPV6, 6, 8, 16))
"""netfilter's number, the version, where the source's address is in the header, its size; the destination's follows."""
_ESTABLISHED_RELATED, _DST_NAT = 0x2 | 0x4, 0x20
_NUMBERS = {"tcp": sockets.IPPROTO_TCP, "udp": sockets.IPPROTO_UDP}
_TRIES = 10

Entries = dict[str, list[Element]]
"""By set."""


class Forward(NamedTuple):
    """One published port: `host` is "" for every address of the host's of the target's family."""

    protocol: str
    host: str
    host_port: int
    target: str
    target_port: int

    @property
    def map(self) -> str:
        return f"{'bound' if self.host else 'ports'}{ip_address(self.target).version}"

    @property
    def element(self) -> Element:
        key = struct.pack("B3xH2x", _NUMBERS[self.protocol], sockets.htons(self.host_port))
        if self.host:
            key = ip_address(self.host).packed + key
        return Element(key, ip_address(self.target).packed + struct.pack("H2x", sockets.htons(self.target_port)))

    @property
    def loop(self) -> tuple[str, Element]:
        """(set, entry) that lets the container reach itself by way of the host."""
        target = ip_address(self.target)
        return f"self{target.version}", Element(target.packed * 2)


def interface(name: str) -> Element:
    return Element(name.encode().ljust(16, b"\0"))


def _pair(name: str) -> Element:
    return Element(interface(name).key * 2)


def _netfilter() -> netlink.Socket:
    """The socket of our process and namespace."""
    return _opened(os.getpid(), os.stat("/proc/thread-self/ns/net").st_ino)


@cache
def _opened(pid: int, namespace: int) -> netlink.Socket:
    """Never closed: close(2) waits until no processor can see any more what anybody deleted, 15 ms, which the end of
    the process may (nf_tables_api.c, nft_rcv_nl_event)."""
    return netlink.Socket(netlink.NETFILTER)


def admit(bridge: str, *, internal: bool) -> None:
    """Let a bridge's containers reach each other and, unless it is internal, the outside."""

    def change(batch: Batch) -> None:
        batch.add_elements("same", [_pair(bridge)])
        batch.add_elements("internal" if internal else "bridges", [interface(bridge)])

    _with_table(change)


def dismiss(bridge: str, *, internal: bool) -> None:
    """Forget a bridge. The table goes with the last one, if nobody brings another meanwhile."""
    socket = _netfilter()
    _delete(socket, {"same": [_pair(bridge)], "internal" if internal else "bridges": [interface(bridge)]})
    batch = Batch(TABLE)
    batch.delete_table()
    for _ in range(_TRIES):
        seen = generation(socket)
        if elements(socket, TABLE, "same"):
            return
        try:
            batch.commit(socket, seen)
            return
        except OSError as error:
            if error.errno == errno.ENOENT:  # it has gone already
                return
            if error.errno != errno.ERESTART:
                raise


def publish(forwards: Sequence[Forward]) -> None:
    """Lead ports of the host to containers. An entry that is there is a dead container's, and gives way.

    It may go by itself between the look and the deletion, and so may the table with the last bridge: then once more.
    """
    wanted = _by_set(forwards)
    socket = _netfilter()
    batch = Batch(TABLE)
    for left in reversed(range(_TRIES)):
        _add(batch, wanted)
        try:
            batch.commit(socket)
            return
        except OSError as error:
            if not left or error.errno not in (errno.ENOENT, errno.EBUSY, errno.EEXIST):
                raise
            batch = rules() if error.errno == errno.ENOENT else _clearing(socket, wanted)


def _by_set(forwards: Sequence[Forward]) -> Entries:
    found: Entries = {}
    for one in forwards:
        if one.host == LOOPBACK6:
            continue
        for name, element in ((one.map, one.element), one.loop):
            if element not in found.setdefault(name, []):
                found[name].append(element)
    return found


def _add(batch: Batch, wanted: Entries) -> None:
    for name, entries in wanted.items():
        batch.add_elements(name, entries)


def _clearing(socket: netlink.Socket, wanted: Entries) -> Batch:
    """A batch that takes away what has the keys of the wanted entries."""
    batch = Batch(TABLE)
    for name, entries in wanted.items():
        keys = {one.key for one in entries}
        batch.delete_elements(name, [one for one in elements(socket, TABLE, name) if one.key in keys])
    return batch


def withdraw(forwards: Sequence[Forward]) -> None:
    """Take entries away that are still as we made them."""
    socket = _netfilter()
    ours = _by_set(forwards)
    _delete(socket, {name: [one for one in elements(socket, TABLE, name) if one in ours[name]] for name in ours})


def restore(bridges: Iterable[tuple[str, bool]], forwards: Sequence[Forward]) -> None:
    """All rules anew, and these entries: what `network reload` does. `bridges` are (name, internal)."""
    batch = rules()
    for bridge, internal in bridges:
        _add(batch, {"same": [_pair(bridge)], "internal" if internal else "bridges": [interface(bridge)]})
    socket = _netfilter()
    batch.commit(socket)
    publish(forwards)


def _with_table(change: Callable[[Batch], None]) -> None:
    """Commit a change; where there is no table it is made first."""
    socket = _netfilter()
    batch = Batch(TABLE)
    change(batch)
    if not _attempt(batch, socket, errno.ENOENT):
        batch = rules()
        change(batch)
        batch.commit(socket)


def _attempt(batch: Batch, socket: netlink.Socket, *forgiven: int) -> bool:
    try:
        batch.commit(socket)
    except OSError as error:
        if error.errno not in forgiven:
            raise
        return False
    return True


def _delete(socket: netlink.Socket, unwanted: Entries) -> None:
    """All at once, or one by one where somebody else was quicker with some."""
    if not any(unwanted.values()) or _commit_deletion(socket, unwanted):
        return
    for name, entries in unwanted.items():
        for one in entries:
            _commit_deletion(socket, {name: [one]})


def _commit_deletion(socket: netlink.Socket, unwanted: Entries) -> bool:
    batch = Batch(TABLE)
    for name, entries in unwanted.items():
        batch.delete_elements(name, entries)
    return _attempt(batch, socket, errno.ENOENT)


def rules() -> Batch:
    """The whole table, but for the entries of its sets, which stay. Whatever was there of it before, it is so now."""
    batch = Batch(TABLE)
    batch.new_table()
    for one in _SETS:
        batch.new_set(one)
    for chain in _CHAINS:
        batch.new_chain(chain)
    batch.flush_rules()
    _loopback_is_ours(batch)
    _redirect(batch)
    _rename(batch)
    _isolate(batch)
    return batch


def _loopback(offset: int) -> list[bytes]:
    """An address of 127.0.0.0/8 at `offset` of the IPv4 header: 12 is the source, 16 the destination."""
    return [*_of(_IPV4), payload("network", offset, 1), compare(b"\x7f")]


def _loopback_is_ours(batch: Batch) -> None:
    """route_localnet lets the host reach containers from 127.0.0.1; nobody comes the other way (CVE-2020-8558)."""
    for name in ("bridges", "internal"):
        batch.new_rule("raw", *_loopback(16), meta("iifname"), lookup(name), verdict(DROP))
    batch.new_rule("prerouting", *_loopback(16), verdict(ACCEPT))  # no address of the host for anybody else


def _of(family: int) -> list[bytes]:
    """Only packets of that family."""
    return [meta("nfproto"), compare(bytes([family]))]


def _port(register: int) -> list[bytes]:
    """`meta l4proto . th dport`."""
    return [meta("l4proto", register), payload("transport", 2, 2, register + 1)]


def _redirect(batch: Batch) -> None:
    """`dnat ip to ip daddr . meta l4proto . th dport map @bound4`, the same for every address, and both of IPv6."""
    for chain in ("prerouting", "output"):
        for family, version, source, size in _FAMILIES:
            destination = payload("network", source + size, size, R32)
            behind = R32 + size // 4
            bound = [destination, *_port(behind), lookup(f"bound{version}", R32, into=R32)]
            real = [destination, compare(bytes(15) + b"\1", R32, equal=False)] if family == _IPV6 else []
            everywhere = [*real, *to_local(), *_port(R32), lookup(f"ports{version}", R32, into=R32)]
            for words in (bound, everywhere):
                batch.new_rule(chain, *_of(family), *words, dnat(family, R32, behind))


def _rename(batch: Batch) -> None:
    """Sources that the other side could not answer take the address of the interface they leave by."""
    outward = [meta("iifname"), lookup("bridges"), meta("oifname"), lookup("bridges", inverted=True)]
    batch.new_rule("postrouting", *outward, masquerade())
    back = [meta("iifname"), meta("oifname", R2), lookup("same"), *connection("status", _DST_NAT)]
    batch.new_rule("postrouting", *back, masquerade())
    for family, version, source, size in _FAMILIES:
        itself = [payload("network", source, 2 * size), lookup(f"self{version}"), *connection("status", _DST_NAT)]
        batch.new_rule("postrouting", *_of(family), *itself, masquerade())
    for name in ("bridges", "internal"):
        batch.new_rule("postrouting", *_loopback(12), meta("oifname"), lookup(name), masquerade())


def _isolate(batch: Batch) -> None:
    """Within a bridge everything; out of it unless it is internal; into it only answers and published ports."""
    batch.new_rule("forward", *connection("state", _ESTABLISHED_RELATED), verdict(ACCEPT))
    batch.new_rule("forward", meta("iifname", R1), meta("oifname", R2), lookup("same"), verdict(ACCEPT))
    for key in ("iifname", "oifname"):
        batch.new_rule("forward", meta(key), lookup("internal"), verdict(DROP))
    batch.new_rule("forward", meta("oifname"), lookup("bridges"), *connection("status", _DST_NAT), verdict(ACCEPT))
    batch.new_rule("forward", meta("oifname"), lookup("bridges"), verdict(DROP))
