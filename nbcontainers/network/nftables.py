"""nftables over netlink: what nft(8) would send, for the few words that our table needs.

Everything between `Batch` and its `commit` becomes one transaction: the kernel takes all of it or nothing. Numbers
are big-endian (linux/netfilter/nf_tables.h, nfnetlink.h).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nbcontainers.network import netlink
from nbcontainers.network.netlink import Message, attribute, nested

INET = 1
ACCEPT, DROP = 1, 0

_SUBSYSTEM = 10
(_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN, _DELCHAIN, _NEWRULE, _GETRULE, _DELRULE, _NEWSET, _GETSET,
 _DELSET, _NEWSETELEM, _GETSETELEM, _DELSETELEM) = range(15)  # fmt: skip
_GETGEN = 16
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_MAP = 0x8
_CHUNK = 300
"""Elements in one message: an attribute holds at most 64 KiB."""

#: What nft(8) calls the types, so that it shows our sets in words: src/datatype.h.
TYPES = {"ipv4_addr": (7, 4), "ipv6_addr": (8, 16), "inet_proto": (12, 4), "inet_service": (13, 4), "ifname": (41, 16)}
_TYPE_BITS = 6
_HOST_ORDER = bytes([0, 4]) + struct.pack("=I", 1)
"""For nft(8) alone, which could not show names of interfaces otherwise: NFTNL_UDATA_SET_KEYBYTEORDER."""

R1, R2 = 1, 2
"""The 16-byte registers; `R32 + n` are the four-byte ones, four in each of those."""
R32 = 8


class Set(NamedTuple):
    """A set, or with `data` a map: types as nft(8) names them."""

    name: str
    key: tuple[str, ...]
    data: tuple[str, ...] = ()


class Chain(NamedTuple):
    """A base chain: netfilter's hook number and priority."""

    name: str
    kind: str
    hook: int
    priority: int


class Element(NamedTuple):
    """One entry of a set, already in bytes."""

    key: bytes
    data: bytes = b""


class Batch:
    """One transaction on one table of the family inet."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.messages: list[Message] = []

    def add(self, kind: int, flags: int, *attributes: bytes, doing: str) -> None:
        self.messages.append(Message(_SUBSYSTEM << 8 | kind, flags, _family(INET) + b"".join(attributes), doing))

    def new_table(self, *, exclusive: bool = False) -> None:
        flags = netlink.CREATE | (netlink.EXCL if exclusive else 0)
        self.add(_NEWTABLE, flags, attribute(1, self.table), doing=f"add table inet {self.table}")

    def delete_table(self) -> None:
        self.add(_DELTABLE, 0, attribute(1, self.table), doing=f"delete table inet {self.table}")

    def new_chain(self, chain: Chain) -> None:
        hook = nested(4, attribute(1, _be32(chain.hook)), attribute(2, struct.pack(">i", chain.priority)))
        content = (attribute(1, self.table), attribute(3, chain.name), hook, attribute(7, chain.kind))
        self.add(_NEWCHAIN, netlink.CREATE, *content, doing=f"add chain inet {self.table} {chain.name}")

    def new_set(self, one: Set) -> None:
        identity = sum(one.name.encode())  # only has to differ within a batch; names decide
        key, size = _typed(one.key)
        content = [attribute(1, self.table), attribute(2, one.name), attribute(3, _be32(_MAP if one.data else 0)),
                   attribute(4, _be32(key)), attribute(5, _be32(size)), attribute(10, _be32(identity))]  # fmt: skip
        if one.key == ("ifname",):
            content.append(attribute(13, _HOST_ORDER))
        if one.data:
            data, data_size = _typed(one.data)
            content += [attribute(6, _be32(data)), attribute(7, _be32(data_size))]
        self.add(_NEWSET, netlink.CREATE, *content, doing=f"add set inet {self.table} {one.name}")

    def flush_rules(self) -> None:
        """Of all chains."""
        self.add(_DELRULE, 0, attribute(1, self.table), doing=f"flush table inet {self.table}")

    def new_rule(self, chain: str, *expressions: bytes) -> None:
        content = (attribute(1, self.table), attribute(2, chain), nested(4, *expressions))
        flags = netlink.CREATE | netlink.APPEND
        self.add(_NEWRULE, flags, *content, doing=f"add rule inet {self.table} {chain}")

    def add_elements(self, name: str, elements: Sequence[Element]) -> None:
        """Those that are there already stay."""
        for part in _parts(name, elements, self.table):
            self.add(_NEWSETELEM, netlink.CREATE, part, doing=f"add element inet {self.table} {name}")

    def delete_elements(self, name: str, elements: Sequence[Element]) -> None:
        """All must be there, or the whole batch fails with ENOENT."""
        for part in _parts(name, [one._replace(data=b"") for one in elements], self.table):
            self.add(_DELSETELEM, 0, part, doing=f"delete element inet {self.table} {name}")

    def commit(self, socket: netlink.Socket, generation: int | None = None) -> None:
        """All or nothing. Raises OSError for the first message the kernel refused.

        With a `generation` nothing, and ERESTART, if anybody has committed anything since: nfnetlink.c.
        """
        begin = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
        since = b"" if generation is None else attribute(1, _be32(generation))
        socket.request([Message(_BATCH_BEGIN, 0, begin + since, "nftables"), *self.messages,
                        Message(_BATCH_END, 0, begin, "nftables")])  # fmt: skip


def _family(family: int) -> bytes:
    return struct.pack(">BBH", family, 0, 0)


def _be32(number: int) -> bytes:
    return struct.pack(">I", number)


def _typed(names: tuple[str, ...]) -> tuple[int, int]:
    """(nft's number, bytes) of a type or a concatenation of types."""
    number = size = 0
    for name in names:
        kind, length = TYPES[name]
        number, size = number << _TYPE_BITS | kind, size + length
    if len(names) == 1 and names[0] in ("inet_proto", "inet_service"):
        raise ValueError("alone these have another size than in a concatenation")
    return number, size


def _parts(name: str, elements: Sequence[Element], table: str) -> Iterable[bytes]:
    for start in range(0, len(elements), _CHUNK):
        entries = [nested(1, *_element(one)) for one in elements[start : start + _CHUNK]]
        yield attribute(1, table) + attribute(2, name) + nested(3, *entries)


def _element(one: Element) -> list[bytes]:
    found = [nested(1, attribute(1, one.key))]
    return found + ([nested(2, attribute(1, one.data))] if one.data else [])


def generation(socket: netlink.Socket) -> int:
    """How many transactions there have been, of anybody."""
    parts = dict(netlink.attributes(socket.ask(_SUBSYSTEM << 8 | _GETGEN, _family(0))[4:]))
    return int.from_bytes(parts[1], "big")


def elements(socket: netlink.Socket, table: str, name: str) -> list[Element]:
    """What a set holds; nothing where the table or the set is not there."""
    body = _family(INET) + attribute(1, table) + attribute(2, name)
    found = []
    try:
        for content in socket.dump(_SUBSYSTEM << 8 | _GETSETELEM, body):
            for kind, listed in netlink.attributes(content[4:]):
                if kind == 3:
                    found += [_read(dict(netlink.attributes(entry))) for _, entry in netlink.attributes(listed)]
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    return found


class Hooked(NamedTuple):
    """A base chain of anybody's: its family's number, and netfilter's of its hook and of its policy."""

    family: int
    table: str
    name: str
    hook: int
    policy: int


def chains(socket: netlink.Socket) -> list[Hooked]:
    """Every base chain of every table."""
    found = []
    for content in socket.dump(_SUBSYSTEM << 8 | _GETCHAIN, _family(0)):
        parts = dict(netlink.attributes(content[4:]))
        if 4 not in parts:
            continue
        hook = dict(netlink.attributes(parts[4])).get(1, b"")
        table, name = (parts[kind].rstrip(b"\0").decode(errors="replace") for kind in (1, 3))
        policy = int.from_bytes(parts[5], "big") if 5 in parts else ACCEPT
        found.append(Hooked(content[0], table, name, int.from_bytes(hook, "big"), policy))
    return found


def rules(socket: netlink.Socket, family: int, table: str) -> bytes:
    """The rules of a table as the kernel says them, for a search in them."""
    return b"".join(socket.dump(_SUBSYSTEM << 8 | _GETRULE, _family(family) + attribute(1, table)))


def _read(parts: dict[int, bytes]) -> Element:
    values = [dict(netlink.attributes(parts[kind])).get(1, b"") if kind in parts else b"" for kind in (1, 2)]
    return Element(*values)


# -- expressions: linux/netfilter/nf_tables.h ----------------------------------------------------------------------


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, attribute(1, name), nested(2, *attributes))


def meta(key: str, register: int = R1) -> bytes:
    keys = {"iifname": 6, "oifname": 7, "nfproto": 15, "l4proto": 16}
    return _expression("meta", attribute(1, _be32(register)), attribute(2, _be32(keys[key])))


def payload(base: str, offset: int, length: int, register: int = R1) -> bytes:
    bases = {"network": 1, "transport": 2}
    numbers = (register, bases[base], offset, length)
    return _expression("payload", *(attribute(kind, _be32(number)) for kind, number in enumerate(numbers, 1)))


def compare(data: bytes, register: int = R1, *, equal: bool = True) -> bytes:
    return _expression(
        "cmp", attribute(1, _be32(register)), attribute(2, _be32(0 if equal else 1)), nested(3, attribute(1, data))
    )


def lookup(name: str, register: int = R1, *, into: int | None = None, inverted: bool = False) -> bytes:
    content = [attribute(1, name), attribute(2, _be32(register))]
    content += [attribute(3, _be32(into))] if into is not None else []
    content += [attribute(5, _be32(1))] if inverted else []
    return _expression("lookup", *content)


def verdict(code: int) -> bytes:
    return _expression("immediate", attribute(1, _be32(0)), nested(2, nested(2, attribute(1, _be32(code)))))


def connection(key: str, bits: int) -> list[bytes]:
    """`ct state …` or `ct status …`: whether any of the bits is set."""
    keys = {"state": 0, "status": 2}
    mask = struct.pack("=I", bits)
    return [
        _expression("ct", attribute(1, _be32(R1)), attribute(2, _be32(keys[key]))),
        _expression("bitwise", *(attribute(kind, _be32(number)) for kind, number in ((1, R1), (2, R1), (3, 4))),
                    nested(4, attribute(1, mask)), nested(5, attribute(1, bytes(4)))),
        compare(bytes(4), equal=False),
    ]  # fmt: skip


def to_local() -> list[bytes]:
    """`fib daddr type local`: an address of this host."""
    return [
        _expression("fib", attribute(1, _be32(R1)), attribute(2, _be32(3)), attribute(3, _be32(2))),
        compare(struct.pack("=I", 2)),
    ]


def dnat(family: int, address: int, port: int) -> bytes:
    numbers = {1: 1, 2: family, 3: address, 5: port}
    return _expression("nat", *(attribute(kind, _be32(number)) for kind, number in numbers.items()))


def masquerade() -> bytes:
    return _expression("masq")
