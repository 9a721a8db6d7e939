"""DNS packets, and what the resolver of a container answers."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcontainers.monitor.files import Files, replace
from nbcontainers.network import dns, ipam, resolver, store
from tests.unit.test_network_ipam import monitor, record


def query(name: str, kind: int = dns.A, id: int = 7, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack(">HHHHHH", id, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def answers(packet: bytes) -> list[bytes]:
    """The data of each record of a response with pointers for names."""
    count, at = struct.unpack_from(">H", packet, 6)[0], packet.index(b"\0", 12) + 5
    found = []
    for _ in range(count):
        length = struct.unpack_from(">H", packet, at + 10)[0]
        found.append(packet[at + 12 : at + 12 + length])
        at += 12 + length
    assert at == len(packet)
    return found


def test_a_query_is_read() -> None:
    found = dns.parse(query("Web.Backend", dns.AAAA))
    assert (found.id, found.name, found.kind, found.class_) == (7, "web.backend", dns.AAAA, 1)


@pytest.mark.parametrize(
    "packet",
    [
        b"", b"\0" * 12, query("a")[:-1], query("a", flags=0x8100), query("a", flags=0x2800),
        query("a")[:12] + b"\xc0\x0c\0\1\0\1", query("a")[:4] + b"\0\2" + query("a")[6:], query("x" * 63 + "." + "y" * 63 + "." + "z" * 63 + "." + "w" * 63 + ".vv"),
    ],
    ids=["empty", "no question", "cut", "a response", "no query", "compressed", "two questions", "too long"],
)  # fmt: skip
def test_what_is_no_query_is_refused(packet: bytes) -> None:
    with pytest.raises(dns.Malformed):
        dns.parse(packet)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_query_or_refused(packet: bytes) -> None:
    dns.question(packet)
    dns.is_response(packet)
    try:
        found = dns.parse(packet)
    except dns.Malformed:
        return
    reply = dns.answer(found, (), dns.SERVFAIL)
    assert reply[:2] == packet[:2]
    assert dns.is_response(reply)
    assert len(reply) <= dns.LARGEST


@given(st.binary(max_size=80), st.integers(0, 0xFFFF))
def test_a_query_with_any_tail_keeps_its_question(tail: bytes, id: int) -> None:
    packet = query("web", id=id)
    found = dns.parse(packet + tail)
    assert dns.answer(found, dns.addresses(["10.0.0.2"], dns.A))[12 : found.end] == packet[12:]


@given(st.ip_addresses())
def test_reverse_names_are_addresses(address: Any) -> None:
    assert dns.reverse(address.reverse_pointer) == str(address)


@given(st.text(alphabet="0123456789abcdef.xz-inp6r", max_size=90))
def test_no_other_name_is_an_address(text: str) -> None:
    for suffix in ("", ".in-addr.arpa", ".ip6.arpa"):
        if found := dns.reverse(text + suffix):
            assert ip_address(found)


def test_an_answer_that_is_too_long_says_so() -> None:
    found = dns.parse(query("web"))
    records = dns.addresses([f"10.0.0.{n}" for n in range(1, 60)], dns.A)
    packet = dns.answer(found, records)
    assert len(packet) < dns.LARGEST
    assert packet[2] & 0x02, "truncated"
    assert len(answers(dns.answer(found, records, largest=0xFFFF))) == 59


@pytest.fixture
def names(tmp_path: Path) -> resolver.Names:
    """A container `me` on the networks `net` and `other`, with neighbours."""
    root, run = str(tmp_path), f"{tmp_path}/run"
    for name, subnet in (("net", "10.77.0.0/29"), ("other", "10.78.0.0/29")):
        store.create(root, record(name, subnet))
    ours = {"me": ["net", "other"], "db": ["net"], "db2": ["net"], "far": ["other"], "dead": ["net"]}
    for id, networks in ours.items():
        monitor(root, id, alive=id != "dead")
        for network in networks:
            given = record(network, store.read(root, network)["subnets"][0]["subnet"])
            ipam.take(root, run, given, {"container": id, "names": [id, "store"] if "db" in id else [id]})
    Path(root, "containers/me").mkdir(parents=True)
    replace(f"{root}/containers/me/container.json", {"name": "me", "dns": ["203.0.113.9"]})
    joined = {name: {"gateways": ["x"], "addresses": []} for name in ("net", "other")}
    replace(f"{run}/me/network.json", {"networks": joined})
    return resolver.Names(Files(root, run, "me"))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("db", ["10.77.0.3"]),
        ("DB.", ["10.77.0.3"]),
        ("db.net", ["10.77.0.3"]),
        ("db.other", None),
        ("far", ["10.78.0.3"]),
        ("dead", None),
        ("example.org", None),
        ("", None),
    ],
)
def test_names_on_our_networks(names: resolver.Names, name: str, wanted: list[str] | None) -> None:
    found = names.answer(dns.parse(query(name)))
    if wanted is None:
        assert found is None, "passed on"
    else:
        assert found
        assert [str(ip_address(data)) for data in answers(found)] == wanted


def test_an_alias_of_several_takes_turns(names: resolver.Names) -> None:
    first = [answers(names.answer(dns.parse(query("store", id=id))) or b"")[0][-1] for id in range(4)]
    assert first == [3, 4, 3, 4]


def test_a_known_name_of_another_kind_is_empty_not_unknown(names: resolver.Names) -> None:
    found = names.answer(dns.parse(query("db", dns.AAAA)))
    assert found
    assert (answers(found), found[3] & 0xF) == ([], dns.NOERROR)


def test_addresses_have_names(names: resolver.Names) -> None:
    found = names.answer(dns.parse(query("3.0.77.10.in-addr.arpa", dns.PTR)))
    assert found
    assert answers(found) == [b"\2db\3net\0"]
    assert names.answer(dns.parse(query("9.0.77.10.in-addr.arpa", dns.PTR))) is None


def test_what_was_given_back_is_unknown_again(names: resolver.Names) -> None:
    assert names.addresses("db") == ["10.77.0.3"]
    ipam.give_back(names.files.root, "net", "db", ["10.77.0.3"])
    assert names.addresses("db") == []


def test_without_a_way_outside_nothing_is_passed_on(names: resolver.Names) -> None:
    files = names.files
    replace(f"{files.folder}/container.json", {"name": "me"})
    replace(f"{files.state}/network.json", {"networks": {"net": {"gateways": [], "addresses": []}}})
    found = names.answer(dns.parse(query("example.org")))
    assert found
    assert found[3] & 0xF == dns.NXDOMAIN
