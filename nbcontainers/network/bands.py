"""How much room each network of a drawing needs, and where the columns are: the sizes of everything.

A band is what is drawn of one network, beside it what carries its ports, behind it its containers: large boxes with all
they have, or tiles in columns where they are many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nbcontainers.network import wording
from nbcontainers.network.facts import Container, Endpoint, Facts, Group, Port

MOST_LARGE = 12
"""So many containers of a network are drawn with all they have; more are tiles."""
MOST_VISITS, MOST_PORTS, MOST_INTERFACES = 16, 24, 8
"""So many cables to other networks, rows of published ports of one network, and interfaces are drawn; others are told."""

EDGE, SIDE, GAP, LANE, PAD = 6.0, 18.0, 10.0, 8.0, 7.0
INTERFACE, BAR, CARRIER, BRIDGE, CABLE, LARGE, TILE = 150.0, 13.0, 186.0, 150.0, 98.0, 188.0, 124.0
RATE = 64.0
"""Of a large box's line, for what runs over its cable."""
ROW, TILE_HEIGHT, TILE_PITCH, PORT_HEIGHT, SLOT = 30.0, 33.0, 45.0, 33.0, 30.0


class Columns(NamedTuple):
    """Left edges; `right` is where the containers end. `inner` is the bar of a user's namespace, 0 without one."""

    interfaces: float
    lanes: float
    bar: float
    carriers: float
    inner: float
    bridges: float
    cables: float
    containers: float
    right: float


class Place(NamedTuple):
    """A container in a band, relative to its top: a `large` box or a tile; `rows` are where its cables go, by network."""

    container: Container
    x: float
    y: float
    height: float
    large: bool
    rows: dict[str, float]


class Band(NamedTuple):
    """A group with its height and what is in it; `slots` are for the cables of visitors."""

    group: Group
    height: float
    places: tuple[Place, ...]
    ports: tuple[Port, ...]
    more_ports: int
    slots: tuple[tuple[Container, Endpoint], ...]
    hidden: int
    """Cables of visitors that are told in words."""


def measure(facts: Facts) -> list[Band]:
    """A band for each group, in their order."""
    groups = facts.groups()
    visits = sum(len(one.visitors) for one in groups)
    drawn = visits <= MOST_VISITS and all(len(one.homes) <= MOST_LARGE for one in groups)
    return [_band(one, facts, slots=drawn) for one in groups]


def _band(group: Group, facts: Facts, *, slots: bool) -> Band:
    places = tuple(_places(group.homes, facts, large=len(group.homes) <= MOST_LARGE))
    ports = [port for one in group.homes if one.lives for port in one.ports]
    visits = tuple((one, end) for one, end in group.visitors if end.interface)
    drawn, shown = visits if slots else (), tuple(ports[:MOST_PORTS])
    hidden = len(visits) - len(drawn)
    carriers = SLOT * leads_out(group) + (PORT_HEIGHT + 6) * len(shown) + 16 * (len(ports) > len(shown))
    cabled = max((one.y + one.height for one in places), default=0.0) + SLOT * len(drawn) + 4 * bool(drawn)
    height = max(22 + 12 * len(said_of(group, hidden)) + 6, carriers, cabled, 44.0)
    return Band(group, height, places, shown, len(ports) - len(shown), drawn, hidden)


def leads_out(group: Group) -> bool:
    """Whether a line goes from the bridge to the outside."""
    found = group.network
    return bool(found and group.kind == "bridge" and not found.internal and found.interface)


def columns(bands: Sequence[Band], *, user: bool) -> Columns:
    """As wide as what is in them."""
    carried = user or any(one.ports for one in bands)
    carrier = CARRIER if carried else 96.0 if any(leads_out(one.group) for one in bands) else 20.0
    interfaces = EDGE + SIDE
    bar = interfaces + INTERFACE + 11 + LANE * len(parents(bands))
    carriers = bar + BAR + 13
    end = carriers + carrier + 14
    inner = end + 4 if user else 0.0
    bridges = inner + BAR + 18 if user else end
    cables = bridges + BRIDGE
    told = any(place.large for one in bands for place in one.places)
    containers = cables + (CABLE if told else 30.0) + LANE * sum(len(one.slots) for one in bands)
    width = max([place.x + (LARGE if place.large else TILE) for one in bands for place in one.places] or [0.0])
    return Columns(
        interfaces, interfaces + INTERFACE, bar, carriers, inner, bridges, cables, containers, containers + width
    )


def parents(bands: Sequence[Band]) -> list[str]:
    """The interfaces that macvlan networks are on."""
    return sorted({one.group.network.parent for one in bands if one.group.network and one.group.kind == "macvlan"})


def key_of(group: Group) -> str:
    return group.network.name if group.network else group.kind


def said_of(group: Group, hidden: int) -> list[str]:
    """The lines below a network's name."""
    one = group.network
    if one is None:
        return list(wording.ALONE_SHORT[group.kind])
    found = [*one.subnets]
    if one.driver == "macvlan":
        return ["macvlan", *found, f"parent {one.parent}", f"mode {one.mode}"]
    link = one.interface
    found += [f"{one.bridge} #{link.number}" if link else "no bridge now"]
    found += [f"gateway {gateway}" for gateway in one.gateways]
    found += ["internal: no way out"] if one.internal else []
    found += ["rules missing"] if link and not one.admitted else []
    return [*found, *([f"and {hidden} drawn elsewhere"] if hidden > 0 else [])]


def _places(containers: Sequence[Container], facts: Facts, *, large: bool) -> Iterator[Place]:
    """In a band: below each other, or as tiles in columns."""
    y = 0.0
    columns = 2 if len(containers) <= 24 else 3 if len(containers) <= 60 else 4
    for number, one in enumerate(containers):
        if not large:
            row, column = divmod(number, columns)
            yield Place(one, column * (TILE + 8), 12 + row * TILE_PITCH, TILE_HEIGHT, False, {})
            continue
        rows, height = _rows(one, facts)
        yield Place(one, 0.0, y, height, True, {name: y + at for name, at in rows.items()})
        y += height + GAP


def _rows(one: Container, facts: Facts) -> tuple[dict[str, float], float]:
    """Where in a large box the cable of each network goes, and how high the box is."""
    found, y = {}, 22.0
    for end in one.endpoints:
        found[end.network] = y + 15
        y += end_height(end)
    return found, y + 12 * bool(served(one)) + 13 * len(facts.sharing(one.id)) + 6


def end_height(end: Endpoint) -> float:
    """Of a container's lines for one network: room for its cable's words, or a line where it has none."""
    lines = max(0, len(end.addresses) - 1) + bool(end.aliases)
    return (ROW if end.interface else 16.0) + 12 * lines


def served(one: Container) -> str:
    """The ports that it publishes, as it knows them."""
    texts = (port.inner + (" udp" if port.protocol == "udp" else "") for port in one.ports)
    return " ".join(dict.fromkeys(texts))
