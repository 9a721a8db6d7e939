"""The drawing of networks: nothing lies on anything else, nothing is lost between picture, words and frames."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import xml.etree.ElementTree as etree
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.network import drawing, layout
from nbcontainers.network import facts as told
from nbcontainers.network.drawing import Topology
from nbcontainers.network.scene import Box, Label, Scene, Wire
from nbcontainers.widgets import topology as live
from nbcontainers.widgets.live import encoded
from tests import surveyed
from tests.surveyed import container, endpoint, host, interface, network, port, stopped, user_host

SVG = "{http://www.w3.org/2000/svg}"
LABEL = re.compile(r"<text[^>]*>([^<]+)</text>")


def facts(document: surveyed.Document) -> told.Facts:
    return told.of(json.loads(json.dumps(document)))


def drawn(document: surveyed.Document, port: str = "") -> Topology:
    return Topology(facts(document), (), port)


def macvlan() -> surveyed.Document:
    end = endpoint("wire", 9, 0, 3)
    end["link"], end["interface"]["kind"] = None, "macvlan"
    document = surveyed.typical()
    document["networks"].append(network(3, "wire", driver="macvlan"))
    document["containers"].append(container(9, "camera", end))
    document["host"]["interfaces"] += [interface(n, f"dummy{n}", f"198.51.100.{n}/24") for n in range(3, 15)]
    return document


def of_user(program: str = "slirp4netns") -> surveyed.Document:
    document = surveyed.typical()
    for one in document["containers"]:
        for published in one["ports"]:
            published["pid"] = 991
    return user_host(document["networks"], document["containers"], program)


SHAPES = {
    "nothing": host(), "typical": surveyed.typical(), "macvlan": macvlan(), "user": of_user(), "user alone": of_user(""),
    **{str(count): surveyed.many(count, min(count, 30)) for count in (1, 3, 12, 13, 20, 25, 61, 200)},
    "macvlan below host": host(
        [network(0, "air", driver="macvlan")], [container(0, "h", network="host"), container(1, "n", network="none")]
    ),
    "all visit": host(
        [network(n) for n in range(4)],
        [container(n, "", *(endpoint(f"net{place}", n, place, place) for place in range(4))) for n in range(8)],
    ),
}  # fmt: skip


# -- geometry --------------------------------------------------------------------------------------------------------


def overlap(one: tuple[float, ...], other: tuple[float, ...], by: float = 0.5) -> bool:
    """Of two rectangles (left, top, right, bottom)."""
    return min(one[2], other[2]) - max(one[0], other[0]) > by and min(one[3], other[3]) - max(one[1], other[1]) > by


def extent(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.y, box.right, box.bottom


def segments(wire: Wire) -> list[tuple[float, float, float, float]]:
    found = []
    for (x, y), (to_x, to_y) in itertools.pairwise(wire.points):
        assert x == to_x or y == to_y, f"{wire.key} is crooked"
        found.append((min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y)))
    return found


def check(scene: Scene) -> None:
    """All of it can be read, and every line is one's own."""
    picture = (0, 0, scene.width, scene.height)
    for one, other in itertools.combinations(scene.boxes, 2):
        assert not overlap(extent(one), extent(other)), f"{one.key} lies on {other.key}"
    for box in [*scene.boxes, *scene.frames]:
        assert inside(extent(box), picture), box.key
        for label in box.labels:
            assert inside(label.extent, extent(box)), f"{label.text!r} leaves {box.key}"
        apart(box.labels)
    keys = [one.key for one in (*scene.boxes, *scene.frames, *scene.wires)]
    assert len(keys) == len(set(keys)), "a key names one thing"
    check_wires(scene)


def inside(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] >= other[0] and one[1] >= other[1] and one[2] <= other[2] and one[3] <= other[3]


def apart(labels: tuple[Label, ...]) -> None:
    for one, other in itertools.combinations(labels, 2):
        assert not overlap(one.extent, other.extent), f"{one.text!r} lies on {other.text!r}"


def check_wires(scene: Scene) -> None:
    lines = [(wire, part) for wire in scene.wires for part in segments(wire)]
    for wire, (left, top, right, bottom) in lines:
        grown = (left - 0.4, top - 0.4, right + 0.4, bottom + 0.4)
        for box in scene.boxes:
            assert not overlap(grown, extent(box), 0.6), f"{wire.key} crosses {box.key}"
    labels = [(wire, label) for wire in scene.wires for label in wire.labels]
    apart(tuple(label for _, label in labels))
    for wire, label in labels:
        for box in scene.boxes:
            assert not overlap(label.extent, extent(box)), f"{label.text!r} of {wire.key} lies on {box.key}"
    cables = [(wire.key, part) for wire, part in lines if wire.kind == "cable"]
    for (one, part), (other, rest) in itertools.combinations(cables, 2):
        if one != other and not (one.startswith("parent") and other.startswith("parent")):  # they share a lane
            lies = [min(part[2], rest[2]) - max(part[0], rest[0]), min(part[3], rest[3]) - max(part[1], rest[1])]
            assert not (min(lies) == 0 and max(lies) > 1), f"{one} and {other} are one line"


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_lies_on_anything_else(shape: str) -> None:
    check(layout.draw(facts(SHAPES[shape])))


NAMES = some.text(min_size=1, max_size=70)


@some.composite
def documents(draw: Any) -> surveyed.Document:
    """Any host: networks of all kinds, containers in all states on any of them, ports of all kinds."""
    networks = [
        network(
            n, draw(NAMES) + str(n), driver=draw(some.sampled_from(["bridge", "bridge", "macvlan"])), up=draw(some.booleans()),
            ipv6=draw(some.booleans()), internal=draw(some.booleans()),
        )
        for n in range(draw(some.integers(0, 5)))
    ]  # fmt: skip
    made: list[surveyed.Document] = []
    for n in range(draw(some.integers(0, 20))):
        made.append(draw(containers(n, networks, made)))
    program = draw(some.sampled_from(["root", "root", "pasta", ""]))
    document = host(networks, made) if program == "root" else user_host(networks, made, program)
    extra = [interface(3000 + n, f"wlan{n}", *(["198.51.100.7/24"] * draw(some.integers(0, 7))), state=draw(STATES))
             for n in range(draw(some.integers(0, 12)))]  # fmt: skip
    document["host"]["interfaces"] += extra
    return document


STATES = some.sampled_from(["up", "down", "no carrier"])


@some.composite
def containers(draw: Any, n: int, networks: list[surveyed.Document], others: list[surveyed.Document]) -> Any:
    mode = draw(some.sampled_from(["own", "own", "own", "own", "host", "none", "container:"]))
    state = draw(some.sampled_from(["running", "running", "paused", "exited", "created"]))
    if mode == "container:":
        owner = draw(some.sampled_from(others))["id"] if others else "f" * 64
        return container(n, draw(NAMES), network=f"container:{owner}", state=state)
    if mode != "own" or not networks:
        return container(n, draw(NAMES), network=mode if mode != "own" else "gone", state=state)
    chosen = draw(some.lists(some.sampled_from(networks), min_size=1, max_size=3, unique_by=lambda one: one["name"]))
    aliases = draw(some.lists(NAMES, max_size=2))
    ends = []
    for place, one in enumerate(chosen):
        up = one["interface"] and state in ("running", "paused")
        of = networks.index(one)
        ends.append(endpoint(one["name"], n, place, of, aliases=aliases, ipv6=True) if up else stopped(one["name"]))
    made = container(n, draw(NAMES), *ends, state=state)
    address = f"10.77.{networks.index(chosen[0])}.{n + 2}"
    made["ports"] = [
        port(8000 + 10 * n + k, 80 + 3 * k, address, draw(some.sampled_from(["tcp", "udp"])),
             draw(some.sampled_from(["", "127.0.0.1"])), led=draw(some.booleans()), waiting=draw(some.booleans()))
        for k in range(draw(some.integers(0, 3)))
    ]  # fmt: skip
    return made


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(documents())
def test_nothing_lies_on_anything_else_whatever_the_host_is(document: surveyed.Document) -> None:
    found = drawn(document)
    check(layout.draw(found.facts))
    assert_told(found)
    etree.fromstring(found.picture)


# -- the three levels ------------------------------------------------------------------------------------------------


def assert_told(found: Topology) -> None:
    """What the picture says of things, the words say too."""
    scene, words = layout.draw(found.shown), found.text()
    for box in scene.boxes:
        if box.key.split(" ")[0] in ("if", "inner", "net", "container", "port"):
            missing = [line for line in box.facts if told_by(line, words)]
            assert not missing, (box.key, missing)


def told_by(line: str, words: str) -> bool:
    from nbcontainers.table import plain

    return plain(line) not in words and not line.endswith("shares its network") and "routing" not in line


@pytest.mark.parametrize("shape", SHAPES)
def test_the_words_say_what_the_picture_says(shape: str) -> None:
    assert_told(drawn(SHAPES[shape]))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_stands_alone_in_a_cell(shape: str) -> None:
    """No script, no style sheet, no definition or id that another cell could change, and little enough for one output."""
    found = drawn(SHAPES[shape])._repr_mimebundle_()
    html = found["text/html"]
    for word in ("<script", "<style", "<defs", "url(", " id=", "<foreignObject"):
        assert word not in html
    assert re.findall(r"https?://(?!127\.0\.0\.1[:/]|www\.w3\.org/2000/svg)", html) == []
    assert len(json.dumps(found, ensure_ascii=False).encode()) < 300_000
    assert drawn(SHAPES[shape]).picture == drawn(SHAPES[shape]).picture


def test_more_than_a_cell_holds_is_in_the_frames() -> None:
    found = drawn(surveyed.many(700, 600))
    assert len(json.dumps(found._repr_mimebundle_(), ensure_ascii=False).encode()) < 300_000
    assert "containers more, which .links has" in found.text()
    assert "containers more, which .links has" in found.html()
    assert len(found.to_pandas()) == 700
    assert len(found.ports) == 600


def test_names_are_no_markup() -> None:
    evil = '<script>alert("1")</script>\x1b[31m'
    document = host([network(0, "a-network")], [container(1, evil, endpoint("a-network", 1, 0, aliases=[evil]))])
    document["name"] = evil
    found = drawn(document)
    assert "<script" not in found.html()
    assert "\x1b" not in found.html() + found.text()
    root = etree.fromstring(found.picture)
    titles = [one.text or "" for one in root.iter(f"{SVG}title")]
    assert any("<script>alert" in title for title in titles), "whole on hover"


def test_a_long_name_is_cut_and_whole_on_hover() -> None:
    name = "a-very-long-name-that-fits-in-no-box-" * 2
    found = drawn(host([network(0, name[:63])], [container(1, name, endpoint(name[:63], 1, 0))]))
    shown = LABEL.findall(found.picture)
    assert not any(name in label for label in shown)
    assert any(label.endswith("…") and name.startswith(label[:-1]) for label in shown)
    assert f"<title>{name} running" in found.picture
    assert name in found.text()


def test_what_everybody_asks_is_on_the_picture() -> None:
    shown = LABEL.findall(drawn(surveyed.typical()).picture)
    for words in (
        "host lab-7", "eth0", "#2 up", "192.0.2.5/24", "default via 192.0.2.1", "lo", "nbcontainers", "10.77.0.0/24",
        "gateway 10.77.0.1", "nbc-0000000000 #100", "nbcv0000010000", "#1010 ↔ #2", "web", "running", "10.77.0.3/24",
        "*:8080/tcp → web 80", "nft @ports4", "127.0.0.1:8443/tcp → web 443", "nft @bound4", "*:7000-7005/udp → clock",
        "masquerade", "✕ kept apart", "internal: no way out", "also sql, store", "+ sidecar running shares it", "exited",
        "paused", "host", "none", "loopback only", "another machine",
    ):  # fmt: skip
        assert words in shown, (words, shown)


def test_bridges_of_others_lead_to_no_other_machine() -> None:
    document = host()
    document["host"]["interfaces"] += [
        interface(3, "docker0", "172.17.0.1/16", kind="bridge"), interface(4, "wire", "203.0.113.1/24", kind="veth"),
        interface(5, "veth1", kind="veth", master=3),
    ]  # fmt: skip
    found = drawn(document)
    wires = {one.key for one in layout.draw(found.shown).wires}
    assert {"outside eth0", "outside wire"} <= wires
    assert "outside docker0" not in wires
    assert "docker0 #3 up · 172.17.0.1/16 · bridge · 1 plugged in" in found.text()


def test_of_an_ordinary_user_everything_is_in_his_namespace() -> None:
    found = drawn(of_user())
    shown = LABEL.findall(found.picture)
    for words in ("slirp4netns", "pid 4712", "tap0", "forwarder, pid 991", "your network namespace, held by pid 4711"):
        assert words in shown, (words, shown)
    assert "forwarder with pid 991 listens on the host and connects to 10.77.0.3:80" in found.text()
    assert (
        "in the namespace: nft inet nbcontainers, prerouting and output, @ports4 { tcp . 8080 : 10.77.0.3 . 80 }"
        in found.text()
    )
    assert "no way outside" in LABEL.findall(drawn(of_user("")).picture)


# -- facts -----------------------------------------------------------------------------------------------------------


def test_a_range_is_one_port() -> None:
    clock = next(one for one in facts(surveyed.typical()).containers if one.name == "clock")
    assert [(one.outer, one.inner, one.count) for one in clock.ports] == [("*:7000-7005/udp", "7000-7005", 6)]
    made = container(1, "c", endpoint("net0", 1, 0))
    made["ports"] = [
        port(80, 80, "10.77.0.3"),
        port(80, 80, "fd00::3"),
        port(82, 82, "10.77.0.3"),
        port(83, 90, "10.77.0.3"),
    ]
    found = facts(host([network(0)], [made])).containers[0].ports
    assert [(one.outer, one.inner, one.maps) for one in found] == [
        ("*:80/tcp", "80", ("ports4", "ports6")), ("*:82/tcp", "82", ("ports4",)), ("*:83/tcp", "90", ("ports4",)),
    ]  # fmt: skip


def test_rules_that_are_gone_are_said() -> None:
    document = surveyed.typical()
    document["networks"][0]["admitted"] = False
    document["containers"][0]["ports"][0]["led"] = False
    found = drawn(document)
    assert "its rules are missing: type network reload" in found.text()
    assert "missing in nft inet nbcontainers, @ports4: type network reload" in found.text()
    assert {"rules missing", "rule missing: network reload"} <= set(LABEL.findall(found.picture))


def test_tables_and_frames() -> None:
    found = drawn(surveyed.typical())
    frame = found.to_pandas()
    web = frame[frame["container"] == "web"]
    assert list(web["network"]) == ["nbcontainers", "backend"]
    assert list(web["host_interface"]) == ["nbcv0000010000", "nbcv0000010001"]
    assert list(web["bridge"]) == ["nbc-0000000000", "nbc-0000000001"]
    assert frame["received"].dtype == "Int64"
    ports = found.ports.to_pandas()
    assert list(ports["host_port"]) == [7000, 8080, 8443]
    assert list(ports["works"]) == [True, True, True]
    assert list(found.interfaces.to_pandas()["name"])[:2] == ["eth0", "lo"]
    assert len(found.interfaces) == 5


def test_the_document_of_a_topology_is_its_tables_and_the_way() -> None:
    found = drawn(surveyed.typical(), "8080")
    document = json.loads(json.dumps(found.document()))
    assert document["links"] == found.links.rows
    assert [one["host_port"] for one in document["ports"]] == [7000, 8080, 8443]
    assert document["path"][0] == "another machine connects to 192.0.2.5:8080"
    assert "path" not in drawn(surveyed.typical()).document()


# -- the way to a port -----------------------------------------------------------------------------------------------


def test_the_way_to_a_port_hop_by_hop() -> None:
    found = drawn(surveyed.typical(), "8080")
    assert found.path is not None
    assert [hop.box for hop in found.path.hops] == [
        "outside", "if eth0", "routing", "port web *:8080/tcp", "net nbcontainers", "container 100000000000",
    ]  # fmt: skip
    text = found.text()
    assert text.index("1  another machine connects to 192.0.2.5:8080") < text.index("host lab-7 ·")
    assert "4  @ports4 { tcp . 8080 : 10.77.0.3 . 80 }" in text
    assert "web gets it at 10.77.0.3:80, and sees the client's own address" in text
    scene = layout.draw(found.shown)
    keys = {one.key for one in (*scene.boxes, *scene.wires)}
    assert set(found.path.lit()) <= keys
    assert found.picture.count("<circle") == len(found.path.hops) + 7


def test_the_way_on_the_loopback_and_of_a_user() -> None:
    found = drawn(surveyed.typical(), "8443")
    assert found.text().splitlines()[2:4] == [
        "  1  a program of this machine connects to 127.0.0.1:8443, by lo",
        "  2  nft inet nbcontainers, chain output: to an address of this host, so the maps of ports are asked",
    ]
    assert "chain postrouting puts 10.77.0.1 in the place of 127.0.0.1" in found.text()
    assert "chain forward lets" not in found.text()
    assert "sees 10.77.0.1 as its client" in found.text(), "nobody could answer 127.0.0.1"
    user = drawn(of_user(), "8080")
    assert user.path is not None
    assert "4  forwarder with pid 991 listens on the host and connects to 10.77.0.3:80" in user.text()
    assert "sees 10.77.0.1 as its client" in user.text()
    scene = layout.draw(user.shown)
    assert set(user.path.lit()) <= {one.key for one in (*scene.boxes, *scene.wires)}


def test_the_way_is_drawn_among_many() -> None:
    found = drawn(surveyed.many(200, 200), "8199")
    assert found.path is not None
    scene = layout.draw(found.shown)
    assert {hop.box for hop in found.path.hops} <= {one.key for one in scene.boxes}


def test_a_way_that_ends_says_where() -> None:
    document = surveyed.typical()
    document["containers"][0]["ports"][0]["led"] = False
    found = drawn(document, "8080")
    assert found.path is not None
    assert found.path.hops[-1].words == "missing in nft inet nbcontainers, @ports4: type network reload"


@pytest.mark.parametrize(("wanted", "error", "words"), [
    ("9999", NotFound, "no container publishes port 9999/tcp"), ("8080/udp", NotFound, "no container publishes port 8080/udp"),
    ("web", InvalidArgument, "--port: 'web'"), ("1-5", InvalidArgument, "'1-5' is a range"),
])  # fmt: skip
def test_a_port_that_is_not_there(wanted: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        drawn(surveyed.typical(), wanted)
    assert caught.value.hint  # type: ignore[attr-defined]


# -- what changes ----------------------------------------------------------------------------------------------------


def test_traffic_is_no_change() -> None:
    document = surveyed.typical()
    before = facts(document)
    end = document["containers"][0]["endpoints"][0]["interface"]
    end["received"] += 5000
    document["time"] = "2026-11-23T07:31:00.0Z"
    after = facts(document)
    assert before != after
    assert told.still(before) == told.still(after)
    key = "cable 100000000000 nbcontainers"
    assert told.counters(after)[key][0] - told.counters(before)[key][0] == 5000
    assert "in 2 kB" not in Topology(told.still(before)).text(), "what is not told is no zero"
    document["containers"].pop()
    assert told.still(facts(document)) != told.still(after)


def test_live_it_sends_a_picture_for_a_change_and_rates_for_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    document = surveyed.typical()
    monkeypatch.setattr(drawing, "facts", lambda engine, names: facts(document))
    now = iter(range(100))
    monkeypatch.setattr(live.time, "monotonic", lambda: float(next(now)))
    view = live.Topology([], "8080")
    first = view.look()
    assert first["rates"] == {}
    document["containers"][0]["endpoints"][0]["interface"]["sent"] += 2048
    assert view.look() == {"version": first["version"], "rates": {"cable 100000000000 nbcontainers": [0, 2048]}}
    sent = view.picture()
    assert sent.value["version"] == first["version"]
    assert sent.value["title"] == "the way to *:8080/tcp → web 80"
    picture = gzip.decompress(sent.buffers[0]).decode()
    assert picture.startswith("<svg")
    assert "in 2 kB" not in picture, "it would grow old"
    document["containers"].pop()
    assert view.look()["version"] != first["version"]


def test_live_an_update_of_200_containers_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    document = surveyed.many(200, 200)
    monkeypatch.setattr(drawing, "facts", lambda engine, names: facts(document))
    view = live.Topology()
    view.look()
    for one in document["containers"]:
        one["endpoints"][0]["interface"]["received"] += 123456
    assert len(encoded(view.look())) < 20_000
    assert len(view.picture().buffers[0]) < 40_000
