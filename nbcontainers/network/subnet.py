"""Which subnet a new network gets: one that collides with nothing the host can reach or already gave away."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)  # fmt: skip

from nbcontainers.errors import HostNotCapable, InvalidArgument

Subnet = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

#: Private ranges (RFC 1918), those first that VPNs and home routers use least; 4094 hosts each.
_POOLS = tuple(IPv4Network(text) for text in ("172.20.0.0/14", "10.208.0.0/12", "172.24.0.0/13", "192.168.128.0/17"))
_SIZE = 20
_IPV6_SIZE = 64


def choose(taken: Iterable[Subnet]) -> IPv4Network:
    """The first free subnet of the pools. Raises HostNotCapable when everything is taken."""
    found = [one for one in taken if isinstance(one, IPv4Network) and one.prefixlen]
    for pool in _POOLS:
        near = [one for one in found if one.overlaps(pool)]
        for candidate in pool.subnets(new_prefix=_SIZE):
            if not any(candidate.overlaps(one) for one in near):
                return candidate
    raise HostNotCapable(
        "every private subnet that we could take is in use on this host",
        hint="name a free one, as in network create --subnet 10.77.0.0/24 NAME, or type network prune",
    )


def choose6(taken: Iterable[Subnet]) -> IPv6Network:
    """A /64 below a random prefix of our own: RFC 4193, 3.2."""
    found = [one for one in taken if isinstance(one, IPv6Network) and one.prefixlen]
    while True:
        candidate = IPv6Network((b"\xfd" + os.urandom(5) + bytes(10), _IPV6_SIZE))
        if not any(candidate.overlaps(one) for one in found):
            return candidate


def parse(text: str) -> Subnet:
    """`10.77.0.0/24`. Raises InvalidArgument."""
    try:
        found = ip_network(text)
    except ValueError:
        raise InvalidArgument(f"--subnet: {text!r} is no subnet{_meant(text)}", hint=_HINT) from None
    if found.num_addresses < 4 or found.is_loopback or found.is_multicast or found.is_unspecified:
        raise InvalidArgument(f"--subnet: {text} has no room for containers", hint=_HINT)
    return found


_HINT = "write an address and its bits, as in --subnet 10.77.0.0/24"


def _meant(text: str) -> str:
    try:
        return f" (its first address is {ip_network(text, strict=False)})" if "/" in text else ""
    except ValueError:
        return ""


def parse_address(option: str, text: str) -> Address:
    """One address. Raises InvalidArgument naming the option."""
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidArgument(
            f"{option}: {text!r} is no address", hint=f"write one as in {option} 10.77.0.5", option=option
        ) from None


def collision(subnet: Subnet, taken: Iterable[tuple[Subnet, str]]) -> str:
    """Who has a part of it, in words; "" if nobody has."""
    for one, owner in taken:
        if one.prefixlen and one.version == subnet.version and one.overlaps(subnet):
            return f"{one} {owner}"
    return ""


def gateway(subnet: Subnet, asked: str = "") -> Address:
    """The first address, or the one asked for. Raises InvalidArgument where it is not in the subnet."""
    address = parse_address("--gateway", asked) if asked else subnet[1]
    check(subnet, address, "--gateway")
    return address


def check(subnet: Subnet, address: Address, option: str) -> None:
    """An address a host may have. Raises InvalidArgument."""
    ends = (subnet.network_address, subnet.broadcast_address)
    if address in subnet and (address not in ends or (subnet.version == 6 and address != ends[0])):
        return
    last = subnet[-2] if subnet.version == 4 else subnet[-1]
    raise InvalidArgument(
        f"{option}: {address} is not a host's address in {subnet}", hint=f"write one from {subnet[1]} to {last}",
        option=option,
    )  # fmt: skip


def hosts(subnet: Subnet, part: str = "") -> Iterator[Address]:
    """The addresses for containers in order, lazily: an IPv6 subnet has more than can be listed.

    With `part` only those in it, which is a subnet of the subnet.
    """
    last = int(subnet.broadcast_address) - (1 if subnet.version == 4 else 0)
    kind = type(subnet.network_address)
    within = ip_network(part) if part else subnet
    first = max(int(subnet.network_address) + 1, int(within.network_address))
    for number in range(first, min(last, int(within.broadcast_address)) + 1):
        yield kind(number)


def pair(subnets: Sequence[str], gateways: Sequence[str]) -> list[tuple[Subnet, Address]]:
    """Each subnet with its gateway. Raises InvalidArgument for a gateway of no subnet, or two subnets of one family."""
    parsed = [parse(text) for text in subnets]
    if len({one.version for one in parsed}) < len(parsed):
        raise InvalidArgument("--subnet was given twice for one family", hint="give one for IPv4 and one for IPv6")
    asked = {address.version: str(address) for address in (parse_address("--gateway", text) for text in gateways)}
    for version, address in asked.items():
        if version not in {one.version for one in parsed}:
            raise InvalidArgument(f"--gateway: {address} has no --subnet", hint="type --subnet with its subnet too")
    return [(one, gateway(one, asked.get(one.version, ""))) for one in parsed]


def ranges(pairs: Sequence[tuple[Subnet, Address]], asked: Sequence[str]) -> dict[str, str]:
    """By subnet the part of it that addresses are given out of. Raises InvalidArgument for one that is in none."""
    found: dict[str, str] = {}
    for text in asked:
        try:
            part = ip_network(text)
        except ValueError:
            hint = "write an address and its bits, as in --ip-range 10.77.0.128/25"
            raise InvalidArgument(f"--ip-range: {text!r} is no range{_meant(text)}", hint=hint) from None
        whole = next((one for one, _ in pairs if one.version == part.version and _within(part, one)), None)
        if whole is None or str(whole) in found:
            raise InvalidArgument(
                f"--ip-range: {part} is not the one part of a --subnet", hint="type --subnet with its subnet too"
            )
        found[str(whole)] = str(part)
    return found


def _within(part: Subnet, whole: Subnet) -> bool:
    return part.network_address in whole and part.broadcast_address in whole
