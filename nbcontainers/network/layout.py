"""Where everything of a topology is drawn: columns from the outside to the containers, a band for each network.

    the outside
    host  | interfaces | routing | what carries ports | bridge or wire | cables | containers |

A container is drawn at the first of its networks; its cables to others run in lanes before it. Many containers on one
network are small tiles in columns, and many cables to other networks are told in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nbcontainers.network import wording
from nbcontainers.network.bands import (
    BAR,
    BRIDGE,
    CABLE,
    EDGE,
    GAP,
    INTERFACE,
    LANE,
    LARGE,
    MOST_INTERFACES,
    PAD,
    PORT_HEIGHT,
    RATE,
    SLOT,
    TILE,
    Band,
    Place,
    columns,
    end_height,
    key_of,
    leads_out,
    measure,
    parents,
    said_of,
    served,
)
from nbcontainers.network.facts import Container, Endpoint, Facts, Port
from nbcontainers.network.interfaces import Interface
from nbcontainers.network.scene import Box, Label, Point, Scene, Wire, cut, length, lines

_OWN = ("bridge", "dummy")
"""Kinds of interfaces that lead to nobody else, unless a default route does."""
_TOP = 84.0
"""Where the host's content begins: below the outside and the host's own name."""


def draw(facts: Facts) -> Scene:
    """The same facts give the same drawing."""
    return Drawing(facts).scene


class Drawing:
    """One drawing while it is made."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.scene = Scene()
        self.bands = measure(facts)
        self.columns = columns(self.bands, user=bool(facts.user))
        self.tops: dict[str, float] = {}
        self.lanes_used: list[list[tuple[float, float]]] = []
        interfaces_end = self._interfaces()
        self._host(max(interfaces_end, self._bands(interfaces_end)) + PAD + 4)

    # -- the left side -------------------------------------------------------------------------------------------------

    def _interfaces(self) -> float:
        """The outside, and the host's interfaces below each other; where they end."""
        shown, left = _chosen(self.facts.interfaces)
        x, y = self.columns.interfaces, _TOP
        words = ["another machine", "the outside"]
        self._add(
            Box(
                "outside", "outside", x, EDGE, INTERFACE, 36, _titled(x, EDGE, INTERFACE - 2 * PAD, words), tuple(words)
            )
        )
        for one in shown:
            box = _interface_box(one, x, y, self.facts.plugged.get(one.number, 0))
            self._add(box)
            self._outward(one, box, first=one is shown[0])
            y = box.bottom + GAP
        if left:
            facts = ("other interfaces", *(f"{one.name} #{one.number} {one.state}" for one in left))
            label = Label(
                x + PAD, y + 15, _whole(["also", *(one.name for one in left)], INTERFACE - 2 * PAD), faint=True
            )
            self._add(Box("more", "note", x, y, INTERFACE, 24, (label,), facts, dashed=True))
            y += 24 + GAP
        return y - GAP

    def _outward(self, one: Interface, box: Box, *, first: bool) -> None:
        """The wire to the outside: straight from above to the first, along the side to others."""
        if one.kind == "loopback" or one.state != "up" or not one.addresses:
            return
        if one.kind in _OWN and not one.gateways:
            return
        outside = self.scene.box("outside")
        middle = outside.x + outside.width / 2
        points = [(middle, outside.bottom), (middle, box.y)]
        if not first:
            lane = box.x - 10
            points = [(outside.x, outside.middle), (lane, outside.middle), (lane, box.middle), (box.x, box.middle)]
        facts = (f"{one.name} is how other machines reach this one",)
        self._wire(f"outside {one.name}", "route", points, facts)

    # -- the bands -----------------------------------------------------------------------------------------------------

    def _bands(self, interfaces_end: float) -> float:
        """Networks below each other, those with bridges first; where they end."""
        y = self._way_out(_TOP) if self.facts.user else _TOP
        bridged = [one for one in self.bands if one.group.kind == "bridge"]
        for number, band in enumerate(bridged, 1):
            y = self._draw_band(band, y) + (24 if number < len(bridged) else 16)
        if self.facts.user:
            self._frame(y - 8)
            y += 14
        others = [one for one in self.bands if one.group.kind != "bridge"]
        y = self._routing(y, interfaces_end, bridged, others)
        for band in others:
            y = self._draw_band(band, y) + 16
        self._visits()
        self._apart(bridged)
        return y - 16

    def _routing(self, y: float, interfaces_end: float, bridged: Sequence[Band], others: Sequence[Band]) -> float:
        """The bar on which everything hangs but macvlan networks, which are below it; where the next band begins."""
        at_host = others[0].height if others and others[0].group.kind == "host" else 0.0
        if not (bridged or at_host or self.facts.user):
            return y
        end = max(y + at_host if at_host else y - 16, interfaces_end)
        self._bar("routing", self.columns.bar, _TOP, end, wording.SOCKETS if self.facts.user else wording.ROUTING)
        for one in self.facts.interfaces:
            box = next((box for box in self.scene.boxes if box.key == f"if {one.name}"), None)
            if box and one.state == "up" and one.addresses:
                points = [(box.right, box.middle), (self.columns.bar, box.middle)]
                self._wire(f"routing {one.name}", "route", points, (f"{one.name} and this host's own routing",))
        return y if at_host or not parents(self.bands) else max(y, end + 16)

    def _bar(self, key: str, x: float, top: float, bottom: float, facts: Sequence[str]) -> None:
        self._add(Box(key, "routing", x, top, BAR, bottom - top, (), tuple(facts)))

    def _way_out(self, y: float) -> float:
        """Of a user's namespace: the program that leads outside, and its interface."""
        user = self.facts.user
        assert user is not None
        y += 20
        columns = self.columns
        outward = [one for one in user.interfaces if one.kind != "loopback"]
        words = [user.program or "no way outside", f"pid {user.program_pid}" if user.program else "apt install passt"]
        room = self.columns.inner - self.columns.carriers - 16
        labels = _titled(columns.carriers, y, room - 2 * PAD, words)
        kind = "carrier" if user.program else "note"
        out = Box(
            "way out", kind, columns.carriers, y, room, 38, labels, (wording.way_out(user),), dashed=not user.program
        )
        self._add(out)
        height = 38.0
        for one in outward[:1]:
            box = _interface_box(one, columns.bridges, y, 0, BRIDGE, prefix="inner")
            self._add(box)
            height = max(height, box.height)
            ahead = columns.inner + BAR
            self._wire("way in", "route", [(columns.bar + BAR, out.middle), (out.x, out.middle)], out.facts)
            self._wire("way", "route", [(out.right, out.middle), (columns.inner, out.middle)], out.facts)
            self._wire("inner way", "route", [(ahead, box.middle), (box.x, box.middle)], box.facts)
        return y + height + 16

    def _frame(self, bottom: float) -> None:
        """Around what is in a user's namespace."""
        user, columns = self.facts.user, self.columns
        assert user is not None
        self._bar("inner routing", columns.inner, _TOP + 18, bottom - 6, wording.ROUTING)
        facts = wording.user_host(user)
        x, right = columns.inner - 9, max(columns.right + 6, columns.bridges + 320)
        label = Label(x + 8, _TOP + 10, cut(facts[0], right - x - 16), "fact", faint=True)
        self.scene.frames.append(
            Box("namespace", "frame", x, _TOP - 4, right - x, bottom - _TOP + 4, (label,), tuple(facts), dashed=True)
        )

    def _draw_band(self, band: Band, top: float) -> float:
        """From `top` on, or below the bar where the way to it would cross that; where it ends."""
        group = band.group
        if group.kind == "macvlan" and (bar := next((one for one in self.scene.boxes if one.key == "routing"), None)):
            top = max(top, bar.bottom + 12)
        self.tops[key_of(group)] = top
        middle = self._middle(band, top)
        for place in band.places:
            self._place(place, band, top)
        if group.kind == "bridge":
            self._carriers(band, top, middle)
        elif group.kind == "macvlan":
            self._parent(middle)
        elif group.kind == "host":
            y = min(middle.middle, top + 20)
            self._wire("routing host", "route", [(self.columns.bar + BAR, y), (middle.x, y)], middle.facts)
        return top + band.height

    def _middle(self, band: Band, top: float) -> Box:
        """The bridge, or what stands for it."""
        group, columns = band.group, self.columns
        facts = wording.network(group.network) if group.network else [wording.ALONE[group.kind]]
        title = group.network.name if group.network else group.kind
        x, room = columns.bridges, BRIDGE - 2 * PAD
        labels = (Label(x + PAD, top + 17, cut(title, room, "name"), "name"),
                  *lines(x + PAD, top + 32, room, said_of(group, band.hidden)))  # fmt: skip
        kind = {"bridge": "network", "macvlan": "network"}.get(group.kind, "note")
        there = bool(group.kind != "bridge" or (group.network and group.network.interface))
        box = Box(
            f"net {key_of(group)}", kind, x, top, BRIDGE, band.height, labels, tuple(facts), dashed=not there or kind == "note"
        )  # fmt: skip
        self._add(box)
        return box

    def _place(self, place: Place, band: Band, top: float) -> None:
        one, x, y = place.container, self.columns.containers + place.x, top + place.y
        width = LARGE if place.large else TILE
        labels = _large(place, self.facts, x, y) if place.large else _tile(one, x, y)
        facts = (
            *wording.container(one, self.facts),
            *(line for end in one.endpoints for line in wording.endpoint(end)),
        )
        facts += tuple(f"{other.name} {other.state} shares its network" for other in self.facts.sharing(one.id))
        kind = one.state if one.state in ("running", "paused") else "stopped"
        box = Box(f"container {one.id[:12]}", kind, x, y, width, place.height, labels, facts, dashed=not one.lives)
        self._add(box)
        if place.large:
            far = x + LARGE - PAD
            ends = (
                (f"cable {one.id[:12]} {end.network}", place.rows[end.network])
                for end in one.endpoints
                if end.interface
            )
            self.scene.gauges += [(key, far, top + row - 3) for key, row in ends]
        network = band.group.network
        end = next((end for end in one.endpoints if network and end.network == network.name and end.interface), None)
        if end and network:
            self._cable(place, end, top, y)
        elif band.group.kind == "host" and place.large:
            points = [(self.columns.cables, y + 14), (x, y + 14)]
            self._wire(f"shared {one.id[:12]}", "shared", points, facts)

    def _cable(self, place: Place, end: Endpoint, top: float, y: float) -> None:
        """From the bridge straight to the container; to tiles along the row, and down."""
        columns, facts = self.columns, tuple(wording.endpoint(end))
        key = f"cable {place.container.id[:12]} {end.network}"
        if place.large:
            at = top + place.rows[end.network]
            points = [(columns.cables, at), (columns.containers, at)]
            self._wire(key, "cable", points, facts, _ends(end, columns.cables + 7, at))
            return
        rail = y - 6
        x = columns.containers + place.x + TILE / 2
        if not any(one.key == f"rail {end.network} {rail:g}" for one in self.scene.wires):
            far = columns.containers + max(p.x for p in self._tiles(end.network)) + TILE / 2
            words = (f"cables into the bridge of {end.network}",)
            self._wire(f"rail {end.network} {rail:g}", "cable", [(columns.cables, rail), (far, rail)], words)
        self._wire(key, "cable", [(x, rail), (x, y)])  # told with the container

    def _tiles(self, network: str) -> tuple[Place, ...]:
        return next(one.places for one in self.bands if key_of(one.group) == network)

    def _visits(self) -> None:
        """Cables of containers that are drawn at another network: out of the bridge, along a lane, and in."""
        for band in self.bands:
            network = band.group.network
            for number, (one, end) in enumerate(band.slots):
                assert network is not None
                top = self.tops[network.name] + band.height - SLOT * (len(band.slots) - number) + 15
                place, home = self._home(one)
                row = self.tops[home] + place.rows[network.name]
                lane = self.columns.containers - 10 - LANE * self._lane(min(top, row), max(top, row))
                points = [(self.columns.cables, top), (lane, top), (lane, row), (self.columns.containers, row)]
                labels = _ends(end, self.columns.cables + 7, top)
                facts = (f"{one.name}, {wording.endpoint(end)[0]}", *wording.endpoint(end)[1:])
                self._wire(f"cable {one.id[:12]} {network.name}", "cable", points, facts, labels)

    def _home(self, one: Container) -> tuple[Place, str]:
        return next(
            (place, key_of(band.group)) for band in self.bands for place in band.places if place.container.id == one.id
        )

    def _lane(self, first: float, last: float) -> int:
        """The first lane that nobody uses there."""
        for number, used in enumerate(self.lanes_used):
            if all(last + 4 < begin or end + 4 < first for begin, end in used):
                used.append((first, last))
                return number
        self.lanes_used.append([(first, last)])
        return len(self.lanes_used) - 1

    def _carriers(self, band: Band, top: float, bridge: Box) -> None:
        """Between the routing and the bridge: the way out, and each published port with what carries it."""
        columns = self.columns
        begin = columns.inner + BAR if columns.inner else columns.bar + BAR
        y = top
        if leads_out(band.group):
            words = "masquerade"
            label = Label(columns.carriers + 2, y + 11, words, "small", faint=True)
            labels = () if columns.inner else (label,)
            facts = [one for one in bridge.facts if "masquerade" in one or "missing" in one]
            self._wire(
                f"out {key_of(band.group)}", "route", [(bridge.x, y + 15), (begin, y + 15)], facts, labels, arrow=True
            )
            y += SLOT
        for port in band.ports:
            self._port(port, y, bridge)
            y += PORT_HEIGHT + 6
        if band.more_ports:
            label = Label(columns.carriers, y + 10, f"and {band.more_ports} more ports", "small", faint=True)
            self._wire(f"ports {key_of(band.group)}", "note", [], (), (label,))

    def _port(self, port: Port, y: float, bridge: Box) -> None:
        columns, user = self.columns, bool(self.facts.user)
        end = columns.inner if columns.inner else bridge.x
        width = (columns.inner if columns.inner else columns.bridges) - columns.carriers - 16
        facts = tuple(wording.port(port, user=user))
        texts = (port.way, wording.carrier(port, user=user))
        labels = (
            Label(columns.carriers + PAD, y + 14, cut(texts[0], width - 2 * PAD, "fact"), "fact"),
            Label(columns.carriers + PAD, y + 26, cut(texts[1], width - 2 * PAD, "small"), "small", faint=True),
        )
        works = port.works(user=user)
        link = port.link if works else ""
        box = Box(
            f"port {port.key}", "carrier" if works else "broken", columns.carriers, y, width, PORT_HEIGHT, labels, facts,
            dashed=not works, link=link,
        )  # fmt: skip
        self._add(box)
        self._wire(f"to {box.key}", "route", [(columns.bar + BAR, box.middle), (box.x, box.middle)], facts)
        if works:
            self._wire(f"from {box.key}", "port", [(box.right, box.middle), (end, box.middle)], facts, arrow=True)

    def _parent(self, box: Box) -> None:
        """The line from a macvlan network to the interface whose wire it is on."""
        network = next(one.group.network for one in self.bands if f"net {key_of(one.group)}" == box.key)
        parent = network.parent if network else ""
        found = next((one for one in self.scene.boxes if one.key == f"if {parent}"), None)
        if found is None:
            return
        lane = self.columns.lanes + 6 + LANE * parents(self.bands).index(parent)
        at = found.bottom - 7
        points = [(found.right, at), (lane, at), (lane, box.middle), (box.x, box.middle)]
        self._wire(f"parent {box.key}", "cable", points, (f"{box.facts[0]} is on the wire of {parent}",))

    def _apart(self, bridges: Sequence[Band]) -> None:
        """Between bridges that are kept apart: a sign that no way leads across."""
        words = wording.isolation([one.group.network for one in bridges if one.group.network])
        for one, other in pairwise(bridges):
            networks = (one.group.network, other.group.network)
            if words and all(each and each.interface and each.admitted for each in networks):
                y = self.tops[key_of(one.group)] + one.height + 16
                label = Label(self.columns.bridges + BRIDGE / 2, y, "✕ kept apart", "small", "middle", faint=True)
                self._wire(f"apart {key_of(one.group)}", "note", [], (words,), (label,))

    # -- around it -----------------------------------------------------------------------------------------------------

    def _host(self, bottom: float) -> None:
        width = max(self.columns.right, self.columns.bridges + (330 if self.facts.user else 0)) + 14 - EDGE
        x = self.columns.interfaces + INTERFACE / 2 + 12
        label = Label(x, _TOP - 14, cut(f"host {self.facts.name}", width - x, "name"), "name")
        facts = (f"host {self.facts.name}",)
        self.scene.frames.insert(0, Box("host", "frame", EDGE, _TOP - 32, width, bottom - _TOP + 32, (label,), facts))
        self.scene.width, self.scene.height = width + 2 * EDGE, bottom + EDGE

    def _add(self, box: Box) -> None:
        self.scene.boxes.append(box)

    def _wire(
        self, key: str, kind: str, points: Sequence[Point], facts: Sequence[str] = (), labels: tuple[Label, ...] = (),
        *, arrow: bool = False,
    ) -> None:  # fmt: skip
        self.scene.wires.append(Wire(key, kind, tuple(points), labels, tuple(facts), arrow, dashed=kind == "shared"))


def _chosen(interfaces: Sequence[Interface]) -> tuple[list[Interface], list[Interface]]:
    """Those that are drawn, and the rest: what is down and has no address, and what is too many."""
    live = [one for one in interfaces if one.addresses or one.state != "down" or one.kind == "loopback"]
    shown = live[:MOST_INTERFACES]
    return shown, [one for one in interfaces if one not in shown]


def _whole(words: Sequence[str], room: float) -> str:
    """As many words as fit, none of them cut."""
    found = words[0]
    for number, word in enumerate(words[1:], 2):
        if length(f"{found} {word} …") > room and length(f"{found} {word}") > (room if number == len(words) else 0):
            return f"{found} …"
        found = f"{found} {word}"
    return found


def _titled(x: float, y: float, room: float, words: Sequence[str]) -> tuple[Label, ...]:
    head = Label(x + PAD, y + 15, cut(words[0], room, "name"), "name")
    return (head, *lines(x + PAD, y + 28, room, words[1:], faint=True))


def _interface_box(
    one: Interface, x: float, y: float, plugged: int, width: float = INTERFACE, prefix: str = "if"
) -> Box:
    state = f"#{one.number} {one.state}"
    room = width - 2 * PAD
    below = [*one.addresses[:4], *([f"and {len(one.addresses) - 4} addresses more"] if len(one.addresses) > 4 else [])]
    below += [f"default via {gateway or 'the wire'}" for gateway in one.gateways[:2]]
    below += [f"{plugged} plugged in"] if plugged else []
    labels = (
        Label(x + PAD, y + 15, cut(one.name, room - length(state) - 8, "name"), "name"),
        Label(x + width - PAD, y + 15, state, "fact", "end", faint=True),
        *lines(x + PAD, y + 29, room, below),
    )
    kind = "interface" if one.state == "up" else "note"
    facts = tuple(wording.interface(one, plugged))
    return Box(f"{prefix} {one.name}", kind, x, y, width, 23 + 12 * len(below) + 5 * bool(below), labels, facts)


def _large(place: Place, facts: Facts, x: float, y: float) -> tuple[Label, ...]:
    one, left, room = place.container, x + PAD, LARGE - 2 * PAD
    found = [
        Label(left + 12, y + 15, cut(one.name, room - 12 - length(one.state) - 6, "name"), "name"),
        Label(left + room, y + 15, one.state, "fact", "end", faint=True),
    ]
    at = y + 34.0
    for end in one.endpoints:
        head = f"{end.interface.name} #{end.interface.number}" if end.interface else f"would join {end.network}"
        told = facts.network(end.network) is None or facts.home(one) != end.network
        head = f"{head} on {end.network}" if told and end.interface else head
        words = [*end.addresses, *([f"also {', '.join(end.aliases)}"] if end.aliases else [])]
        found += [Label(left, at, cut(head, room - (RATE if end.interface else 0))), *lines(left, at + 12, room, words)]
        at += end_height(end)
    if ports := served(one):
        found += lines(left, at, room, [f"serves {ports}"])
        at += 12
    for other in facts.sharing(one.id):
        found += lines(left, at + 1, room, [f"+ {other.name} {other.state} shares it"])
        at += 13
    return tuple(found)


def _tile(one: Container, x: float, y: float) -> tuple[Label, ...]:
    end = next((end for end in one.endpoints if end.interface), None)
    words = end.addresses[0].partition("/")[0] if end and end.addresses else one.state
    more = f" +{len(one.endpoints) - 1}" if len(one.endpoints) > 1 else ""
    room = TILE - 2 * PAD
    return (
        Label(x + PAD + 12, y + 14, cut(one.name, room - 12, "fact"), "fact"),
        Label(x + PAD, y + 27, cut(words, room - length(more), "fact") + more, "fact", faint=True),
    )


def _ends(end: Endpoint, x: float, y: float) -> tuple[Label, ...]:
    """Both ends of a cable, above and below it."""
    own, link = end.interface, end.link
    if own is None:
        return ()
    if link is None:
        return (Label(x, y - 4, cut(own.kind, CABLE - 16, "small"), "small"),)
    numbers = f"#{link.number} ↔ #{own.number}"
    return (
        Label(x, y - 4, cut(link.name, CABLE - 16, "small"), "small"),
        Label(x, y + 11, numbers, "small", faint=True),
    )
