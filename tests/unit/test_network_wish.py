"""What --network says of one network, filters, ranges: text in, values out."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from nbcontainers.errors import InvalidArgument
from nbcontainers.network import filtering, foreign, subnet, wish

LAB = {"name": "lab", "driver": "bridge", "subnets": [{"subnet": "10.77.0.0/24"}, {"subnet": "fd00:77::/64"}]}


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("lab", "lab", {}),
        ("container:web", "container:web", {}),
        ("lab:ip=10.77.0.5", "lab", {"ip": "10.77.0.5"}),
        ("lab:alias=a,alias=b,mac=02:42:00:00:00:01", "lab", {"aliases": ["a", "b"], "mac": "02:42:00:00:00:01"}),
        ("name=lab,ip6=fd00:77::5,link-local-ip=fe80::7", "lab", {"ip6": "fd00:77::5", "link_local": ["fe80::7"]}),
        ("ip=10.77.0.5,name=lab", "lab", {"ip": "10.77.0.5"}),
        ("lab:interface_name=wan0", "lab", {"interface": "wan0"}),
    ],
)
def test_both_forms_are_read(text: str, name: str, rest: dict[str, Any]) -> None:
    assert wish.parse(text) == (name, rest)


@pytest.mark.parametrize("text", ["lab:ip", "lab:color=red", "alias=x", "lab:name=other"])
def test_what_is_no_part_is_told(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--network") as caught:
        wish.parse(text)
    assert caught.value.hint


def test_a_wish_gets_its_usual_form() -> None:
    asked = {**wish.empty("lab"), "ip": "10.77.0.5", "ip6": "FD00:77::0005", "mac": "02-42-0A-4D-00-05"}
    assert wish.check(asked, LAB) == {
        **wish.empty("lab"), "ip": "10.77.0.5", "ip6": "fd00:77::5", "mac": "02:42:0a:4d:00:05"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("ip", "ten", "is no address"), ("ip", "fd00:77::5", "of the other family"), ("ip6", "10.77.0.5", "--ip"),
        ("ip", "10.77.0.0", "not a host's address"), ("ip6", "fd00:78::1", "not a host's address"),
        ("mac", "ff:ff:ff:ff:ff:ff", "one interface"), ("mac", "00:00:00:00:00:00", "one interface"),
        ("link_local", ["10.77.0.5"], "not a link-local"), ("interface", "a/b", "no name of an interface"),
        ("interface", "sixteenletters16", "no name of an interface"),
    ],
)  # fmt: skip
def test_what_the_network_cannot_give(key: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        wish.check({**wish.empty("lab"), key: value}, LAB)
    assert words in str(caught.value)


def test_filters() -> None:
    row = {"id": "abc", "name": "lab", "driver": "bridge", "labels": {"tier": "web"}, "containers": [],
           "created": "2020-01-01T00:00:00.123456789Z"}  # fmt: skip

    def passes(*texts: str) -> bool:
        return filtering.passes(row, filtering.tests(texts))

    assert passes()
    assert passes("name=la", "name=x", "label=tier", "label=tier=web", "until=1h", "id=ab")
    assert passes("until=2021-01-01T00:00:00+00:00", "type=custom", "dangling=1", "label!=other")
    for text in ("name=x", "label=tier=db", "label!=tier", "until=2019-01-01T00:00:00+00:00", "driver=macvlan",
                 "type=builtin", "dangling=false", "id=b"):  # fmt: skip
        assert not passes(text), text
    assert not passes("label=tier", "label=other"), "all labels must hold"


def test_ranges_are_parts_of_their_subnets() -> None:
    pairs = subnet.pair(["10.77.0.0/24", "fd00:77::/64"], [])
    assert subnet.ranges(pairs, ["10.77.0.128/25"]) == {"10.77.0.0/24": "10.77.0.128/25"}
    for text in ("10.78.0.0/25", "10.77.0.0/23", "ten", "10.77.0.1/25"):
        with pytest.raises(InvalidArgument, match="--ip-range"):
            subnet.ranges(pairs, [text])
    first = [str(one) for one, _ in zip(subnet.hosts(pairs[0][0], "10.77.0.0/30"), range(9), strict=False)]
    assert first == ["10.77.0.1", "10.77.0.2", "10.77.0.3"], "the network's own address is nobody's"


@pytest.mark.parametrize(("verdict", "drops"), [(-1, True), (-2, False)])
def test_the_policy_of_iptables_legacy(verdict: int, drops: bool) -> None:
    """struct ipt_entry, its standard target behind it, the verdict behind that: -NF_DROP - 1, -NF_ACCEPT - 1."""
    entry = bytes(84 + 4) + struct.pack("=HH", 112, 152) + bytes(20) + bytes(32) + struct.pack("=i", verdict) + bytes(4)
    assert foreign._drops(16, bytes(16) + entry) is drops
