"""Which subnet a network gets, and which addresses may be asked for."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.network import subnet

networks = st.builds(
    lambda address, size: IPv4Network((address, size), strict=False),
    st.sampled_from([int(ip_address(text)) for text in ("10.208.0.0", "172.16.0.0", "192.168.128.0", "8.0.0.0")]).flatmap(
        lambda start: st.integers(start, start + 2**20)
    ),
    st.integers(14, 32),
)  # fmt: skip


def test_the_first_free_one_is_taken() -> None:
    assert str(subnet.choose([])) == "172.20.0.0/20"
    assert str(subnet.choose([ip_network("172.20.0.0/20"), ip_network("172.20.17.4/32")])) == "172.20.32.0/20"
    assert str(subnet.choose([ip_network("172.16.0.0/12")])) == "10.208.0.0/20"


def test_a_default_route_takes_nothing_away() -> None:
    assert str(subnet.choose([ip_network("0.0.0.0/0"), ip_network("::/0")])) == "172.20.0.0/20"


def test_where_everything_is_taken_it_says_what_to_type() -> None:
    private = [ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    with pytest.raises(HostNotCapable) as caught:
        subnet.choose(private)
    assert "--subnet" in caught.value.hint


@settings(max_examples=60, deadline=None)
@given(st.lists(networks, max_size=30))
def test_a_chosen_one_collides_with_nothing(taken: list[IPv4Network]) -> None:
    found = subnet.choose(taken)
    assert not any(found.overlaps(one) for one in taken)
    assert found.is_private


def test_ipv6_subnets_are_random_and_our_own() -> None:
    found = {subnet.choose6([]) for _ in range(20)}
    assert len(found) == 20
    assert all(one.prefixlen == 64 and one.subnet_of(IPv6Network("fd00::/8")) for one in found)


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "10.0.0.0/33", "ten", "", "127.0.0.0/24", "224.0.0.0/24", "10.0.0.0/31"]
)
def test_bad_subnets(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        subnet.parse(text)
    assert "--subnet 10.77.0.0/24" in caught.value.hint


def test_gateways_belong_to_their_subnet() -> None:
    found = subnet.pair(["10.77.0.0/24", "fd77::/64"], ["fd77::9"])
    assert [(str(one), str(gateway)) for one, gateway in found] == [
        ("10.77.0.0/24", "10.77.0.1"), ("fd77::/64", "fd77::9"),
    ]  # fmt: skip
    for gateway in ("10.78.0.1", "10.77.0.0", "10.77.0.255"):
        with pytest.raises(InvalidArgument, match="is not a host's address"):
            subnet.pair(["10.77.0.0/24"], [gateway])


def test_hosts_come_in_order_without_the_ends() -> None:
    assert [str(one) for one in subnet.hosts(ip_network("10.0.0.0/29"))] == [f"10.0.0.{n}" for n in range(1, 7)]
    assert [str(one) for one in islice(subnet.hosts(ip_network("fd00::/64")), 2)] == ["fd00::1", "fd00::2"]


def test_collisions_name_the_owner() -> None:
    taken = [(ip_network("0.0.0.0/0"), "x"), (ip_network("fd00::/64"), "y"), (ip_network("10.0.0.0/8"), "of eth0")]
    assert subnet.collision(ip_network("10.1.0.0/16"), taken) == "10.0.0.0/8 of eth0"
    assert subnet.collision(ip_network("11.0.0.0/16"), taken) == ""
