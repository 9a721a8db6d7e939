"""What a container wants of one network: an entry of container.json, from the words of --network and `connect`.

{"network": NAME, "ip", "ip6": address or "", "aliases": [name], "mac": "" or 02:…, "link_local": [address],
 "interface": "" or its name in the container}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbcontainers.errors import InvalidArgument

if TYPE_CHECKING:  # ipaddress is loaded for those who name an address
    from nbcontainers.network import subnet

Wish = dict[str, Any]

_KEYS = {
    "ip": "ip", "ip6": "ip6", "mac": "mac", "mac-address": "mac", "mac_address": "mac", "alias": "aliases",
    "link-local-ip": "link_local", "interface_name": "interface",
}  # fmt: skip
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")


def empty(network: str) -> Wish:
    return {"network": network, "ip": "", "ip6": "", "aliases": [], "mac": "", "link_local": [], "interface": ""}


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """`lab`, `lab:ip=10.77.0.5,alias=db` (podman's form) or `name=lab,ip=10.77.0.5` (Docker's): name and the rest.

    Raises InvalidArgument, naming --network.
    """
    name, _, rest = text.partition(":")
    if "=" in name:
        name, rest = "", text
    elif name == "container" or not rest:
        return text, {}
    found: dict[str, Any] = {}
    for pair in rest.split(","):
        key, equals, value = pair.partition("=")
        if key == "name" and not name:
            name = value
        elif key not in _KEYS or not equals:
            raise InvalidArgument(
                f"--network: {pair!r} is no part of {text!r}",
                hint=f"write NAME:KEY=VALUE,… with {', '.join(sorted(_KEYS))}", option="network",
            )  # fmt: skip
        elif _KEYS[key] in ("aliases", "link_local"):
            found.setdefault(_KEYS[key], []).append(value)
        else:
            found[_KEYS[key]] = value
    if not name:
        raise InvalidArgument(f"--network: {text!r} names no network", hint="write NAME:ip=…", option="network")
    return name, found


def check(wish: Wish, network: Mapping[str, Any]) -> Wish:
    """The wish in its usual form. Raises InvalidArgument for what the network cannot give."""
    if wish == {**empty(wish["network"]), "aliases": wish["aliases"]}:
        return wish
    from nbcontainers.network import subnet

    subnets = [subnet.parse(entry["subnet"]) for entry in network["subnets"]]
    for option, key, version in (("--ip", "ip", 4), ("--ip6", "ip6", 6)):
        if wish[key]:
            wish[key] = str(_address(option, wish[key], version, subnets, network["name"]))
    if network["driver"] == "macvlan" and network.get("mode") == "passthru" and wish["mac"]:
        raise InvalidArgument("--mac-address: passthru has the address of the interface", hint="leave it out")
    wish["mac"] = mac(wish["mac"])
    wish["link_local"] = [link_local(text) for text in wish["link_local"]]
    if (wish["interface"] and not _INTERFACE.fullmatch(wish["interface"])) or wish["interface"] == "lo":
        raise InvalidArgument(f"--network: {wish['interface']!r} is no name of an interface", hint="write as eth5")
    return wish


def _address(
    option: str, text: str, version: int, subnets: Sequence[subnet.Subnet], network: str
) -> subnet.Address:  # fmt: skip
    from nbcontainers.network import subnet

    address = subnet.parse_address(option, text)
    if address.version != version:
        other = "ip6" if version == 4 else "ip"
        raise InvalidArgument(f"{option}: {address} is of the other family", hint=f"write it as --{other}")
    matching = next((one for one in subnets if one.version == version), None)
    if matching is None:
        hint = "make one that has: network create --ipv6 NAME" if version == 6 else "network inspect shows its subnets"
        raise InvalidArgument(f"{option}: network {network} has no IPv{version}", hint=hint)
    subnet.check(matching, address, option)
    return address


def mac(text: str) -> str:
    """`02:42:0a:4d:00:05` in its usual form; "" stays. Raises InvalidArgument."""
    found = text.lower().replace("-", ":")
    if found and (not _MAC.fullmatch(found) or int(found[:2], 16) & 1 or found == "00:00:00:00:00:00"):
        raise InvalidArgument(
            f"--mac-address: {text!r} is no address that one interface can have",
            hint="write six bytes, the first of them even, as in --mac-address 02:42:0a:4d:00:05", option="mac-address",
        )  # fmt: skip
    return found


def link_local(text: str) -> str:
    """Raises InvalidArgument for what is not in 169.254.0.0/16 or fe80::/10."""
    from nbcontainers.network import subnet

    address = subnet.parse_address("--link-local-ip", text)
    if not address.is_link_local:
        raise InvalidArgument(
            f"--link-local-ip: {text} is not a link-local address", hint="write one from 169.254.1.0 on, or fe80::…"
        )
    return str(address)
