"""The way of one connection, from the client to the container that publishes the port, hop by hop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.network import ports, wording
from nbcontainers.network.facts import Container, Endpoint, Facts, Network, Port
from nbcontainers.network.interfaces import Interface
from nbcontainers.table import plain

_LOOPBACK = ("127.", "::1")


class Hop(NamedTuple):
    """Where it comes by, in words; `box` is that in the drawing, `wires` lead to it."""

    box: str
    words: str
    wires: tuple[str, ...] = ()


class Path(NamedTuple):
    """A published port with the container and the end that it leads to, and the hops on the way."""

    port: Port
    container: Container
    end: Endpoint
    hops: tuple[Hop, ...]

    @property
    def title(self) -> str:
        return f"the way to {self.port.way}"

    def lit(self) -> dict[str, int]:
        """For the drawing: step by box, 0 by wire."""
        found = {wire: 0 for hop in self.hops for wire in hop.wires}
        return found | {hop.box: number for number, hop in enumerate(self.hops, 1)}

    def text(self) -> str:
        lines = [self.title, *(f"  {number}  {hop.words}" for number, hop in enumerate(self.hops, 1))]
        return "\n".join(map(plain, lines))


def trace(facts: Facts, wanted: str) -> Path:
    """`8080`, `8080/udp`. Raises InvalidArgument for what is no port, NotFound where no container publishes it."""
    try:
        (protocol, number), *more = ports.exposed(wanted)
    except ValueError as error:
        raise InvalidArgument(f"--port: {error}", hint="write one port of this host, as --port 8080") from None
    if more:
        raise InvalidArgument(f"--port: {wanted!r} is a range", hint="write one port of it, as --port 8080")
    for one in facts.containers:
        for port in one.ports:
            if port.has(number, protocol):
                return Path(port, one, *_followed(facts, one, port))
    near = [f"{port.outer} ({one.name})" for one in facts.containers for port in one.ports][:3]
    raise NotFound(
        f"no container publishes port {number}/{protocol}",
        hint=f"published are {', '.join(near)}" if near else f"container run -p {number}:80 … publishes one",
    )


def _followed(facts: Facts, one: Container, port: Port) -> tuple[Endpoint, tuple[Hop, ...]]:
    end = next(
        (end for end in one.endpoints for address in end.addresses if address.partition("/")[0] in port.targets),
        Endpoint(network=""),
    )
    network = facts.network(end.network)
    hops = [*_arrival(facts, port), *_carried(facts, port)]
    if port.works(user=bool(facts.user)) and network:
        hops += _delivery(facts, one, port, end, network)
    return end, tuple(hops)


def _arrival(facts: Facts, port: Port) -> Iterator[Hop]:
    """From the client to this host."""
    address, door = _door(facts, port)
    place = f"{f'[{address}]' if ':' in address else address}:{port.outer.rpartition('/')[0].rpartition(':')[2]}"
    if door and door.kind != "loopback":
        yield Hop("outside", f"another machine connects to {place}")
        yield Hop(f"if {door.name}", f"{door.name} #{door.number} of this host receives it", (f"outside {door.name}",))
    elif door:
        yield Hop(f"if {door.name}", f"a program of this machine connects to {place}, by {door.name}")
    else:
        yield Hop("outside", f"a client connects to {place}")


def _door(facts: Facts, port: Port) -> tuple[str, Interface | None]:
    """The address that a client would name, and the interface that has it: the way outside, if it is on every address."""
    offered = [(text.partition("/")[0], one) for one in facts.interfaces for text in one.addresses if one.state == "up"]
    if port.host:
        return port.host, next((one for address, one in offered if address == port.host), None)
    v6 = all(":" in one for one in port.targets)
    fits = [(text, one) for text, one in offered if (":" in text) == v6 and not text.startswith("fe80:")]
    outer = [(text, one) for text, one in fits if not text.startswith(_LOOPBACK)]
    return next(iter(outer or fits), ("this host", None))


def _carried(facts: Facts, port: Port) -> Iterator[Hop]:
    """By the rule, or by the process."""
    _, door = _door(facts, port)
    ahead = (f"routing {door.name}",) if door else ()
    box, user = f"port {port.key}", bool(facts.user)
    first, *rest = wording.port(port, user=user)
    if user or not port.maps or not port.led:
        yield Hop("routing", f"it comes to a socket of this host for {port.outer}", ahead)
        yield Hop(box, "; ".join(rest[:1] or [first]), (f"to {box}",))
        return
    loop = door is not None and door.kind == "loopback"
    chain = "output" if loop else "prerouting (from this machine itself: output)"
    yield Hop(
        "routing",
        f"nft inet nbcontainers, chain {chain}: to an address of this host, so the maps of ports are asked",
        ahead,
    )
    entries = "; ".join(f"@{name} {{ {wording.entry(port, name)} }}" for name in port.maps)
    yield Hop(box, f"{entries}: the destination becomes that of the container (dnat)", (f"to {box}",))


def _delivery(facts: Facts, one: Container, port: Port, end: Endpoint, network: Network) -> Iterator[Hop]:
    """Over the bridge and the cable."""
    box, ahead = f"port {port.key}", (f"from port {port.key}",)
    if facts.user:
        yield Hop("inner routing", f"in your namespace it is routed to {network.subnets[0]}", (f"from {box}",))
        ahead = (f"out {network.name}",)
    why = "" if facts.user else _why(_door(facts, port)[1], network)
    at = network.interface
    number = f" #{at.number}" if at else ""
    yield Hop(
        f"net {network.name}", f"routed to bridge {network.bridge}{number}, {_first(network.gateways)}{why}", ahead
    )
    own = end.interface
    arrives = f"over {wording.cable(end)} and {own.name} #{own.number}" if own else "over its cable"
    yield Hop(
        f"container {one.id[:12]}", f"{arrives}: {one.name} gets it at {_socket(port)}, {_seen(facts, port, network)}",
        (f"cable {one.id[:12]} {network.name}",),
    )  # fmt: skip


def _why(door: Interface | None, network: Network) -> str:
    """Which of our chains it passes: what starts on this machine is not forwarded, but could not be answered."""
    if door and door.kind == "loopback":
        return (
            f"; chain postrouting puts {_first(network.gateways)} in the place of {door.addresses[0].partition('/')[0]}"
        )
    return "; chain forward lets pass what was redirected"


def _socket(port: Port) -> str:
    target = port.targets[0]
    return f"{f'[{target}]' if ':' in target else target}:{port.inner}"


def _seen(facts: Facts, port: Port, network: Network) -> str:
    """Whose address the service sees: it could not answer 127.0.0.1, and a forwarder connects by itself."""
    _, door = _door(facts, port)
    if facts.user or (door and door.kind == "loopback"):
        return f"and sees {_first(network.gateways)} as its client"
    return "and sees the client's own address"


def _first(texts: Sequence[str]) -> str:
    return next(iter(texts), "")
