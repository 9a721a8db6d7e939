"""The client's side of the verbs: what was typed, checked and put in order for a process of the launcher."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.launcher import client
from nbcontainers.network import store, subnet
from nbcontainers.network import wish as wanted

Pairs = Sequence[str] | Mapping[str, str]

_DRIVERS = ("bridge", "macvlan")
_MODES = ("bridge", "private", "vepa", "passthru")
_KEYS = {
    "mtu": "mtu",
    "com.docker.network.driver.mtu": "mtu",
    "parent": "parent",
    "mode": "mode",
    "macvlan_mode": "mode",
}
_DIGITS = frozenset("0123456789abcdef")


def create(
    engine: Engine, name: str, *, driver: str, subnets: Sequence[str] | str, gateways: Sequence[str] | str,
    ranges: Sequence[str] | str, ipv6: bool, internal: bool, options: Pairs | None, labels: Pairs | None,
) -> None:  # fmt: skip
    store.check_name(name)
    if driver in store.BUILT_IN:
        raise InvalidArgument(
            f"there is one network {driver}, and it is always there", hint=f"type --network {driver} with container run"
        )
    if driver not in _DRIVERS:
        raise InvalidArgument(f"--driver: {driver!r} is no kind of network", hint="write bridge or macvlan")
    known = _options(pairs("opt", options), driver)
    asked = [[text] if isinstance(text, str) else list(text) for text in (subnets, gateways, ranges)]
    subnet.ranges(subnet.pair(*asked[:2]), asked[2])
    client.call(
        "nbcontainers.network.creation:create", root=str(engine.root), name=name, driver=driver, subnets=asked[0],
        gateways=asked[1], ranges=asked[2], ipv6=ipv6, internal=internal, labels=pairs("label", labels), **known,
    )  # fmt: skip


def pairs(option: str, given: Pairs | None) -> dict[str, str]:
    """KEY=VALUE texts, or a mapping."""
    if isinstance(given, Mapping):
        return {str(key): str(text) for key, text in given.items()}
    found = {}
    for one in [given] if isinstance(given, str) else given or ():
        key, _, text = one.partition("=")
        if not key:
            raise InvalidArgument(f"--{option}: {one!r} has no name", hint="write KEY=VALUE")
        found[key] = text
    return found


def _options(given: Mapping[str, str], driver: str) -> dict[str, Any]:
    if unknown := given.keys() - _KEYS:
        raise InvalidArgument(f"--opt: {min(unknown)!r} is no option of a network", hint="write mtu, parent or mode")
    found = {_KEYS[key]: text for key, text in given.items()}
    if driver != "macvlan" and found.keys() & {"parent", "mode"}:
        raise InvalidArgument("--opt: parent and mode are of macvlan", hint="add -d macvlan, or leave them out")
    if found.get("mode", "bridge") not in _MODES:
        raise InvalidArgument(f"--opt: mode {found['mode']!r} is unknown", hint=f"write {', '.join(_MODES)}")
    mtu = found.get("mtu", "0")
    if not (mtu.isascii() and mtu.isdecimal() and len(mtu) < 7):
        raise InvalidArgument(f"--opt: mtu {mtu!r} is no number", hint="write -o mtu=1400")
    return {"mtu": int(mtu), "parent": found.get("parent", ""), "mode": found.get("mode", "bridge")}


def wish(
    network: str, ip: str, ip6: str, alias: Sequence[str] | str, mac: str, link_local: Sequence[str] | str
) -> wanted.Wish:
    """An entry of container.json; whether the network can give it is seen where it is joined."""
    if network in store.BUILT_IN:
        raise InvalidArgument(f"nothing can be connected to {network}", hint=f"use container run --network {network}")
    aliases, more = ([given] if isinstance(given, str) else list(given) for given in (alias, link_local))
    found = wanted.empty(network)
    return {**found, "ip": ip, "ip6": ip6, "aliases": aliases, "mac": wanted.mac(mac), "link_local": more}


def container(engine: Engine, given: Any) -> str:
    """The id of a container by its handle, name, id or the beginning of its id. Raises NotFound, InvalidArgument."""
    if id := getattr(given, "id", None):
        return str(id)
    if not isinstance(given, str) or not given or "/" in given:
        raise InvalidArgument(f"{given!r} is no container", hint="give a handle, or the name or id as text")
    try:
        return os.readlink(f"{engine.names}/{given}")
    except OSError:
        pass
    begun = [id for id in os.listdir(engine.containers) if id.startswith(given)] if _DIGITS.issuperset(given) else []
    if len(begun) > 1:
        raise InvalidArgument(f"{len(begun)} containers have an id beginning with {given!r}", hint="type more digits")
    if not begun:
        raise NotFound(f"no container {given!r}", hint="container ps -a shows them", reference=given)
    return begun[0]
