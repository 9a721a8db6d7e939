"""What is said of each thing of a topology: a head, then its facts, in the same words in the text, on hover and to click."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbcontainers.network import firewall
from nbcontainers.network.facts import Container, Endpoint, Facts, Network, Port, UserHost, version
from nbcontainers.network.interfaces import Interface
from nbcontainers.table import amount, stored

ALONE = {
    "host": "on the host's own network", "none": "without a network",
    "lost": "on a network or a container that is not there",
}  # fmt: skip
ALONE_SHORT = {"host": ["no namespace of", "their own"], "none": ["loopback only"], "lost": ["not there now"]}
ROUTING = (
    "routing and nftables", f"table inet {firewall.TABLE}: prerouting, forward, postrouting, output decide on every packet"
)  # fmt: skip
SOCKETS = ("sockets of this host", "an ordinary user's ports are sockets, which his forwarders hold")
_NFT = f"nft inet {firewall.TABLE}"


def interface(one: Interface, plugged: int = 0) -> list[str]:
    """`eth0 #4 up`, then addresses, default routes, and the rest."""
    found = [f"{one.name} #{one.number} {one.state}", *one.addresses]
    found += [f"default route via {gateway or 'the wire'}" for gateway in one.gateways]
    found += [one.kind] if one.kind else []
    found += [f"{plugged} plugged in"] if plugged else []
    return [*found, f"mtu {one.mtu}", *([f"mac {one.mac}"] if one.mac.strip("0:") else []), *traffic(one)]


def traffic(one: Interface) -> list[str]:
    if one.received is None or one.sent is None:
        return []
    return [f"in {amount(one.received, stored)}, out {amount(one.sent, stored)}"]


def network(one: Network) -> list[str]:
    """`network lab`, its driver and subnets, and what it is made of on the host."""
    found = [f"network {one.name}", one.driver, *one.subnets]
    if one.driver == "macvlan":
        found += [f"gateway {gateway}" for gateway in one.gateways]
        return [*found, f"parent {one.parent}", f"mode {one.mode}"]
    link = one.interface
    found.append(f"bridge {one.bridge}" + (f" #{link.number} {link.state}" if link else ""))
    found += [f"gateway {gateway}" for gateway in one.gateways]
    found += [f"mtu {link.mtu}", *traffic(link)] if link else ["not there now: the first container makes it"]
    return found + list(_reach(one))


def _reach(one: Network) -> Iterator[str]:
    if one.internal:
        yield f"internal: no way in or out ({_NFT}, chain forward drops, set internal)"
    if one.interface and not one.admitted:
        yield "its rules are missing: type network reload"
    elif one.interface and not one.internal:
        yield f"to the outside by masquerade ({_NFT}, chain postrouting, set bridges)"


def container(one: Container, facts: Facts) -> list[str]:
    """`web running`, its image, and whose network it has if not its own."""
    found = [f"{one.name} {one.state}", one.id[:12], *([one.image] if one.image else [])]
    if one.network == "host":
        found.append("has the host's network: every interface, address and port of it")
    elif one.network == "none":
        found.append("has a loopback and nothing else")
    elif one.owner:
        names = [other.name for other in facts.containers if other.id == one.owner]
        found.append(f"shares the network of {names[0] if names else one.owner[:12]}")
    return found


def endpoint(one: Endpoint) -> list[str]:
    """`eth0 #2 up`, its addresses, and where the cable's other end is."""
    own = one.interface
    if own is None:
        found = ["not plugged in", f"would join {one.network}"]
        return [*found, f"also called {', '.join(one.aliases)}"] if one.aliases else found
    found = [f"{own.name} #{own.number} {own.state} on {one.network}", *one.addresses, cable(one)]
    found += [f"default route via {gateway or 'the wire'}" for gateway in own.gateways]
    found += [f"also called {', '.join(one.aliases)}"] if one.aliases else []
    return [*found, f"mac {own.mac}", *traffic(own)]


def cable(one: Endpoint) -> str:
    """Both ends of it: `veth nbcv12 #14 on the host`."""
    own = one.interface
    if one.link:
        return f"veth {one.link.name} #{one.link.number} {one.link.state} on the host"
    if own and own.kind == "macvlan":
        return f"macvlan on interface #{own.peer} of the host"
    return "its cable is gone"


def port(one: Port, *, user: bool) -> list[str]:
    """`*:8080/tcp to web 80`, and what carries it."""
    found = [f"{one.outer} to {one.container} {one.inner}"]
    if one.waiting:
        return [*found, "waits: the container is on no network that leads outside"]
    if one.pid:
        found.append(f"forwarder with pid {one.pid} {_carried(one, user=user)}")
    elif user or not one.maps:
        found.append("its forwarder is gone: type container restart")
    if one.maps and not one.led:
        return [*found, f"missing in {_NFT}, @{', @'.join(one.maps)}: type network reload"]
    where = "in the namespace: " if user else ""
    return found + [f"{where}{_NFT}, prerouting and output, @{name} {{ {entry(one, name)} }}" for name in one.maps]


def carrier(one: Port, *, user: bool) -> str:
    """In few words what carries it."""
    if one.waiting:
        return "waits for a network"
    if user or not one.maps:
        return f"forwarder, pid {one.pid}" if one.pid else "its forwarder is gone"
    if not one.led:
        return "rule missing: network reload"
    return f"nft @{', @'.join(one.maps)}" + (f"; ::1 by pid {one.pid}" if one.pid else "")


def _carried(one: Port, *, user: bool) -> str:
    sockets = [f"{f'[{address}]' if ':' in address else address}:{one.inner}" for address in one.targets]
    return f"{'listens on the host' if user else 'carries what comes to ::1'} and connects to {', '.join(sockets)}"


def entry(one: Port, map: str) -> str:
    """The map's entry as nft(8) writes it: `tcp . 8080 : 10.77.0.2 . 80`; of a range all in one."""
    target = next(address for address in one.targets if str(version(address)) == map[-1])
    host = f"{one.host} . " if one.host else ""
    outer = one.outer.rpartition("/")[0].rpartition(":")[2]
    entries = f" ({one.count} entries)" if one.count > 1 else ""
    return f"{host}{one.protocol} . {outer} : {target} . {one.inner}{entries}"


def user_host(one: UserHost) -> list[str]:
    """`your network namespace`, who holds it and what leads outside from it."""
    return [f"your network namespace, held by pid {one.pid}", way_out(one)]


def way_out(one: UserHost) -> str:
    if one.program:
        return f"{one.program} with pid {one.program_pid} leads outside"
    return "no way outside: pasta (apt install passt) or slirp4netns makes one"


def isolation(networks: Sequence[Network]) -> str:
    """Of bridges that are up with their rules; "" where there are fewer than two."""
    apart = [one.name for one in networks if one.interface and one.admitted]
    if len(apart) < 2:
        return ""
    return f"kept apart: {', '.join(apart)} ({_NFT}, chain forward drops what goes from one to another)"
