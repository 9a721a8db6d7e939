"""DNS packets: RFC 1035. Only what a resolver needs that answers a few names and passes the rest on."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple

A, PTR, AAAA = 1, 12, 28
_IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, REFUSED = 0, 1, 2, 3, 5
_HEADER = struct.Struct(">HHHHHH")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _WANTED, _AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
_TTL = 5
"""Seconds: a container may come back with another address at once."""
_POINTER = struct.pack(">H", 0xC000 | _HEADER.size)
LARGEST = 512


class Malformed(ValueError):
    """Not a query."""


class Query(NamedTuple):
    """The first question of a query. `name` is in lower case, without the last dot; `end` is where it ends."""

    id: int
    flags: int
    name: str
    kind: int
    class_: int
    end: int
    packet: bytes


def parse(packet: bytes) -> Query:
    """Raises Malformed. Compressed names have no place in a question, and are refused."""
    if len(packet) < _HEADER.size + 5:
        raise Malformed("too short")
    id, flags, questions, _, _, _ = _HEADER.unpack_from(packet)
    if flags & _RESPONSE or flags & _OPCODE or questions != 1:
        raise Malformed("no plain query")
    labels, at = _labels(packet)
    if at + 4 > len(packet):
        raise Malformed("no type")
    kind, class_ = struct.unpack_from(">HH", packet, at)
    return Query(id, flags, ".".join(labels).lower(), kind, class_, at + 4, packet)


def _labels(packet: bytes) -> tuple[list[str], int]:
    labels: list[str] = []
    at = _HEADER.size
    while at < len(packet):
        length = packet[at]
        at += 1
        if not length:
            return labels, at
        if length > 63 or at + length > len(packet) or at - _HEADER.size + length > 255:
            break
        labels.append(packet[at : at + length].decode("ascii", "replace"))
        at += length
    raise Malformed("no name")


def answer(query: Query, records: Sequence[bytes], code: int = NOERROR, largest: int = LARGEST) -> bytes:
    """A response; one that is longer than `largest` is cut to the question and says so, for the asker to use TCP."""
    flags = _RESPONSE | _AVAILABLE | (_AUTHORITATIVE if records else 0) | (query.flags & _WANTED) | code
    question = query.packet[_HEADER.size : query.end]
    size = _HEADER.size + len(question) + sum(map(len, records))
    if size > largest:
        flags, records = flags | _TRUNCATED, ()
    return _HEADER.pack(query.id, flags, 1, len(records), 0, 0) + question + b"".join(records)


def addresses(found: Sequence[str], kind: int) -> list[bytes]:
    """A or AAAA records of the question's name."""
    version = {A: 4, AAAA: 6}[kind]
    packed = [ip_address(text).packed for text in found if ip_address(text).version == version]
    return [_POINTER + struct.pack(">HHIH", kind, _IN, _TTL, len(data)) + data for data in packed]


def pointer(name: str) -> bytes:
    """A PTR record of the question's name."""
    data = b"".join(bytes([len(label)]) + label for label in name.encode("ascii", "replace").split(b".")) + b"\0"
    return _POINTER + struct.pack(">HHIH", PTR, _IN, _TTL, len(data)) + data


def reverse(name: str) -> str:
    """The address that a name below in-addr.arpa or ip6.arpa stands for; "" for any other."""
    for suffix, size in ((".in-addr.arpa", 4), (".ip6.arpa", 32)):
        parts = name.removesuffix(suffix).split(".")[::-1]
        if not name.endswith(suffix) or len(parts) != size:
            continue
        text = ".".join(parts) if size == 4 else ":".join("".join(parts[at : at + 4]) for at in range(0, 32, 4))
        try:
            return str(ip_address(text))
        except ValueError:
            return ""
    return ""


def question(packet: bytes) -> bytes:
    """What identifies a question: the name as it was asked, type and class; b"" for no packet of one question."""
    if len(packet) < _HEADER.size or _HEADER.unpack_from(packet)[2] != 1:
        return b""
    try:
        _, at = _labels(packet)
    except Malformed:
        return b""
    return packet[_HEADER.size : at + 4].lower()


def is_response(packet: bytes) -> bool:
    return len(packet) >= _HEADER.size and bool(packet[2] & 0x80)
