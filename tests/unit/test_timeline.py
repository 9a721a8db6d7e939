"""Events over time, and what takes room: as characters and as SVG, bounded, escaped, the same facts in both."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html import unescape

from nbcontainers.system import history, timeline
from nbcontainers.system.room import Room
from nbcontainers.table import AMBER, BLUE, Column, stored


def event(second, action, name="web", kind="container", **attributes):
    time = f"2026-11-22T{10 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000000000Z"
    found = {"name": name, **{key: str(value) for key, value in attributes.items()}}
    return {"time": time, "type": kind, "action": action, "id": f"{name}-id", "name": name, "attributes": found}


LIFE = [
    event(0, "create"), event(1, "start"), event(5, "health_status: unhealthy"), event(6, "oom"),
    event(7, "die", exit_code=137), event(8, "restart"), event(9, "start"), event(12, "pause"), event(14, "unpause"),
    event(20, "create", "lab", "network"),
]  # fmt: skip


def table(events):
    return history.History(events, history._columns())


def test_lanes_marks_and_bars():
    line = timeline.of(LIFE)
    assert [lane.label for lane in line.lanes] == ["web", "network lab"]
    assert line.caption == "2026-11-22 10:00:00 UTC to 2026-11-22 10:00:20 UTC"
    web = line.lanes[0]
    assert [round(place * 20) for place, _ in web.marks] == [0, 1, 5, 6, 7, 8, 9, 12, 14]
    assert [(round(a * 20), round(b * 20), paused) for a, b, paused in web.bars] == [
        (1, 7, False), (9, 12, False), (12, 14, True), (14, 20, False)
    ]  # fmt: skip
    assert [kind.word for kind in line.kinds] == [
        "other", "start", "unhealthy", "out of memory", "failure", "restart", "pause"
    ]  # fmt: skip


def test_text():
    shown = timeline.text(timeline.of(LIFE)).splitlines()
    assert shown[1].startswith("web          •")
    assert "✸" in shown[1]
    assert shown[1].count("┅") == 6
    assert shown[-1].startswith("• other  ▶ start  ✖ unhealthy  ✸ out of memory")
    assert timeline.text(timeline.of([])) == "no events"


def test_a_long_pause_is_cut_short_and_says_so():
    line = timeline.of([event(0, "start"), event(10, "die"), event(20, "start"), event(7220, "die")])
    assert [round(seconds) for _, seconds in line.cuts] == [7200]
    assert line.pauses == ["2 h 00 min without events, cut short"]
    assert [round(place, 2) for place, _ in line.lanes[0].marks] == [0, 0.4, 0.8, 1]
    assert "2 h 00 min without events" in timeline.svg(line)
    assert "2 h 00 min without events" in timeline.text(line)


def test_ends_are_told_apart():
    assert timeline.kind(event(0, "die", exit_code=0)) is timeline.GOOD
    assert timeline.kind(event(0, "die", exit_code=1)) is timeline.BAD


def test_the_svg_is_whole_and_needs_nothing():
    svg = timeline.svg(timeline.of(LIFE))
    ElementTree.fromstring(svg.replace("&nbsp;", " "))
    assert not re.search(r"<(script|style|defs|link|image|use)|href|url\(|https?:", svg)


def test_every_fact_of_the_html_is_in_the_text():
    seen = table(LIFE).seen()
    words = set(re.sub(r"<title>.*?</title>|<[^>]*>", " ", unescape(seen.html())).replace("●", " ").split())
    text = seen.text()
    assert [word for word in words if word not in text] == []


def test_hostile_names_stay_text():
    name = '<img src=x onerror=alert(1)>"\x1b[2J'
    shown = table([event(0, "start", name), event(1, "die", name, exit_code="<b>")]).seen()
    assert "<img" not in shown.html()
    assert "<b>" not in shown.html()
    assert "\x1b" not in shown.html() + shown.text()


def test_thousands_of_events_stay_small():
    events = [
        event(number % 50000, "start" if number % 2 else "die", f"name-{number % 200}", label="x" * 500)
        for number in range(8000)
    ]
    shown = table(events)._repr_mimebundle_()
    assert len(json.dumps(shown)) < 300_000
    assert "… 7940 events before these; .to_pandas() has all" in shown["text/plain"]
    assert "… 7940 events before these; .to_pandas() has all" in shown["text/html"]
    assert "events are not drawn" in shown["text/plain"]
    frame = table(events[:10]).to_pandas()
    assert str(frame["time"].dtype).startswith("datetime64")
    assert frame["time"].dt.tz is not None


def room(*rows):
    columns = [Column("type"), Column("total"), Column("active"), Column("size", format=stored),
               Column("reclaimable", format=stored)]  # fmt: skip
    keys = ("type", "total", "active", "size", "reclaimable")
    return Room([dict(zip(keys, row, strict=True)) for row in rows], columns)


def test_room():
    shown = room(("images", 3, 1, 4_000_000, 3_000_000), ("volumes", 1, 1, 2_000_000, 0)).seen()
    text = shown.text().splitlines()
    assert text[4] == "images     [########~~~~~~~~~~~~~~~~~~~~~~] 4 MB, 3 MB (75%) reclaimable"
    assert text[5] == "volumes    [###############...............] 2 MB, 0 B (0%) reclaimable"
    assert text[-2:] == ["together 6 MB, 3 MB (50%) of it reclaimable", "gives it back: image prune -a"]
    for words in ("4 MB, 3 MB (75%) reclaimable", "together 6 MB", "gives it back: image prune -a"):
        assert words in shown.html()
    for colour in (BLUE, AMBER):
        assert shown.html().count(f"background: {colour};") == 3, "a bar a row, and the legend in the same colour"
    empty = room(("images", 0, 0, 0, 0)).seen()
    assert empty.text().endswith("together 0 B, 0 B of it reclaimable\nnothing can be had back")
