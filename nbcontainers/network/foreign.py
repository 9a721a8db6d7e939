"""Other firewalls of the host that drop what containers send: a packet has to pass the chains of everybody.

An accept in our table ends our chain alone (nft(8), VERDICT STATEMENT), and nobody else's table is ours to change. So
what is in the way is found over netlink, or getsockopt(2) for the older iptables, and said once with what to type.
"""

from __future__ import annotations

import ctypes
import socket as sockets
import struct

from nbcontainers.linux import libc
from nbcontainers.network import netlink, nftables
from nbcontainers.network.nftables import DROP, Hooked

_FORWARD = 2
_FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
_IPTABLES = {2: "iptables", 10: "ip6tables"}
_GET_INFO, _GET_ENTRIES = 64, 65
_INFO = struct.Struct("=32sI5I5III")
_ENTRY = struct.Struct("=84x4xHH")
"""struct ipt_entry up to its offsets; the verdict of a standard target comes 32 bytes after the target begins."""
_MARK = b"nbc-"
"""How every bridge of ours begins: whoever has a rule about one has thought of us."""


def notes(bridge: str, *, ipv6: bool = False) -> list[str]:
    """What drops the packets of a bridge, and what to type; nothing where nobody does or somebody lets us pass."""
    found = []
    with netlink.Socket(netlink.NETFILTER) as socket:
        for chain in nftables.chains(socket):
            if not _is_in_the_way(chain, ipv6=ipv6):
                continue
            if _MARK not in (rules := nftables.rules(socket, chain.family, chain.table)):
                where = f"chain {chain.name} of table {_FAMILIES[chain.family]} {chain.table}"
                found.append(_said(where, _advice(chain, rules, bridge)))
    entries = legacy()
    if entries and _drops(*entries) and _MARK not in entries[1]:
        found.append(_said("chain FORWARD of iptables-legacy", _iptables("iptables-legacy", entries[1])))
    return found


def _said(what: str, advice: str) -> str:
    return f"{what} drops what containers send and get; to let them pass, type: {advice}"


def _is_in_the_way(chain: Hooked, *, ipv6: bool) -> bool:
    """firewalld's policy is to accept, and its last rule to reject."""
    forwards = chain.hook == _FORWARD and chain.family in ((1, 2, 10) if ipv6 else (1, 2))
    return forwards and (chain.policy == DROP or chain.table == "firewalld")


def _advice(chain: Hooked, rules: bytes, bridge: str) -> str:
    if chain.table == "firewalld":
        return f"firewall-cmd --permanent --zone=trusted --add-interface={bridge}; firewall-cmd --reload"
    if b"ufw-" in rules:
        return f"ufw route allow in on {bridge}; ufw route allow out on {bridge}"
    if chain.family in _IPTABLES and (chain.table, chain.name) == ("filter", "FORWARD"):
        return _iptables(_IPTABLES[chain.family], rules)
    where = f"{_FAMILIES[chain.family]} {chain.table} {chain.name}"
    return "; ".join(f"nft insert rule {where} {key} 'nbc-*' accept" for key in ("iifname", "oifname"))


def _iptables(program: str, rules: bytes) -> str:
    """Docker keeps a chain for what others want to say."""
    chain = "DOCKER-USER" if b"DOCKER-USER" in rules else "FORWARD"
    return "; ".join(f"{program} -I {chain} -{key} nbc-+ -j ACCEPT" for key in "io")


def legacy() -> tuple[int, bytes] | None:
    """Of the filter table of iptables-legacy: where the policy of FORWARD is, and all entries. None without one.

    linux/netfilter_ipv4/ip_tables.h; only a look at /proc does not load the module.
    """
    try:
        with open("/proc/net/ip_tables_names") as file:
            if "filter" not in file.read().split():
                return None
    except OSError:
        return None
    with sockets.socket(sockets.AF_INET, sockets.SOCK_RAW | sockets.SOCK_CLOEXEC, sockets.IPPROTO_RAW) as raw:
        info = _INFO.unpack(_asked(raw, _GET_INFO, _INFO.pack(b"filter", *[0] * 13)))
        underflow, size = info[7:12][_FORWARD], info[13]
        head = struct.pack("=32sI4x", b"filter", size)
        return underflow, _asked(raw, _GET_ENTRIES, head + bytes(size))[len(head) :]


def _asked(raw: sockets.socket, option: int, question: bytes) -> bytes:
    """getsockopt(2) with something in the buffer, which Python's own does not do."""
    buffer = ctypes.create_string_buffer(question, len(question))
    length = ctypes.c_uint(len(question))
    address = (ctypes.addressof(buffer), ctypes.addressof(length))
    libc.syscall("getsockopt", raw.fileno(), sockets.IPPROTO_IP, option, *address)
    return buffer.raw


def _drops(underflow: int, entries: bytes) -> bool:
    target, _ = _ENTRY.unpack_from(entries, underflow)
    (verdict,) = struct.unpack_from("=i", entries, underflow + target + 32)
    return bool(verdict == -DROP - 1)
