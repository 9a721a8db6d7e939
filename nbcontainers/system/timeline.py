"""Events drawn over time: a lane an object, a mark an event, a bar where a container ran. As SVG and as characters.

Time is to scale but for long pauses, which are cut short and say how long they were. Bounded: the last events, the
lanes with the latest of them; what is left out is counted, and is in the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

from nbcontainers.table import (
    AMBER,
    AS_IT_IS,
    BLUE,
    GREEN,
    GREY,
    MONOSPACE,
    RED,
    duration,
    ink,
    moment,
    pad,
    plain,
    timestamp,
    width,
)

Event = dict[str, Any]
MOST_EVENTS, MOST_LANES = 400, 20
_PAUSE_S, _PART = 60.0, 0.15
"""A pause longer than that, and than this part of the whole, is drawn a quarter as long as all that is no pause."""
_LABEL, _WIDTH, _LANE, _MARK = 170, 640, 26, 11
_COLUMNS = 72


class Kind(NamedTuple):
    """How an action is shown: what it is called in the legend, its colour, its mark."""

    word: str
    colour: str
    mark: str


START, GOOD, BAD = Kind("start", GREEN, "▶"), Kind("end", GREY, "■"), Kind("failure", RED, "■")
OOM, RESTART, STOP = Kind("out of memory", RED, "✸"), Kind("restart", AMBER, "↻"), Kind("stop, kill", AMBER, "▼")
WELL, ILL, PAUSE = Kind("healthy", GREEN, "✚"), Kind("unhealthy", RED, "✖"), Kind("pause", AMBER, "‖")
OTHER = Kind("other", BLUE, "•")
_HEAVY = (GOOD, START, PAUSE, STOP, RESTART, BAD, ILL, OOM)
_KINDS = {
    "start": START, "oom": OOM, "restart": RESTART, "stop": STOP, "kill": STOP, "pause": PAUSE, "unpause": START,
    "health_status: healthy": WELL, "health_status: unhealthy": ILL, "health_status: starting": OTHER,
}  # fmt: skip


def kind(event: Event) -> Kind:
    if event["action"] in ("die", "exec_die"):
        return GOOD if event["attributes"].get("exit_code", "0") == "0" else BAD
    return _KINDS.get(event["action"], OTHER)


@dataclass(frozen=True)
class Lane:
    """One object: its marks as (place from 0 to 1, event) and its bars as (from, to, whether paused)."""

    label: str
    marks: Sequence[tuple[float, Event]]
    bars: Sequence[tuple[float, float, bool]]


@dataclass(frozen=True)
class Timeline:
    """`cuts` are places of pauses and how long they were (seconds); `left` counts events not drawn."""

    lanes: Sequence[Lane]
    cuts: Sequence[tuple[float, float]]
    begin: str
    end: str
    left: int

    @property
    def kinds(self) -> list[Kind]:
        """For the legend, in the order of their first mark."""
        return list(dict.fromkeys(kind(event) for lane in self.lanes for _, event in lane.marks))

    @property
    def caption(self) -> str:
        left = f" · {self.left} events are not drawn" if self.left else ""
        return f"{self.begin} to {self.end}{left}"

    @property
    def pauses(self) -> list[str]:
        return [f"{duration(seconds)} without events, cut short" for _, seconds in self.cuts]


def of(events: Sequence[Event]) -> Timeline:
    """The timeline of rows of `system events`, the oldest first."""
    drawn = [event for event in events[-MOST_EVENTS:] if timestamp(event["time"]) is not None]
    owners: dict[tuple[str, str], list[Event]] = {}
    for event in reversed(drawn):
        owners.setdefault((event["type"], event["id"]), []).insert(0, event)
    kept = dict(list(owners.items())[:MOST_LANES])
    shown = sorted((event for several in kept.values() for event in several), key=lambda event: str(event["time"]))
    if not shown:
        return Timeline([], [], "", "", len(events))
    seconds = [timestamp(event["time"]) or 0.0 for event in shown]
    places, cuts = _places(seconds)
    where = {id(event): place for event, place in zip(shown, places, strict=True)}
    lanes = [_lane(several, where) for several in sorted(kept.values(), key=lambda several: str(several[0]["time"]))]
    return Timeline(lanes, cuts, _said(shown[0]), _said(shown[-1]), len(events) - len(shown))


def _places(seconds: Sequence[float]) -> tuple[list[float], list[tuple[float, float]]]:
    """From 0 to 1 in time, with long pauses cut short, and those with their middles."""
    gaps = [max(0.0, after - before) for before, after in pairwise(seconds)]
    pauses = [gap for gap in gaps if gap > _PAUSE_S and gap > sum(gaps) * _PART]
    short = (sum(gaps) - sum(pauses)) / 4
    drawn = [min(gap, short) if short and gap in pauses else gap for gap in gaps]
    whole = sum(drawn) or 1.0
    places, cuts = [0.0], []
    for gap, length in zip(gaps, drawn, strict=True):
        places.append(places[-1] + length / whole)
        if length < gap:
            cuts.append(((places[-2] + places[-1]) / 2, gap))
    return places, cuts


def _lane(events: Sequence[Event], where: dict[int, float]) -> Lane:
    last = events[-1]
    name = next((event["name"] for event in reversed(events) if event.get("name")), last["id"].rpartition(":")[2][:12])
    label = name if last["type"] == "container" else f"{last['type']} {name}"
    return Lane(plain(label), [(where[id(event)], event) for event in events], list(_bars(events, where)))


def _bars(events: Sequence[Event], where: dict[int, float]) -> Iterator[tuple[float, float, bool]]:
    """Where a container ran, as far as the events say; one that runs on has a bar to the end."""
    began, paused = None, False
    for event in events if events[0]["type"] == "container" else ():
        at, action = where[id(event)], event["action"]
        if began is not None and action in ("die", "pause", "unpause"):
            yield began, at, paused
            began = None
        if action in ("start", "pause", "unpause"):
            began, paused = at, action == "pause"
    if began is not None:
        yield began, 1.0, paused


def _said(event: Event) -> str:
    when = moment(event["time"])
    return f"{when:%Y-%m-%d %H:%M:%S} UTC" if when else ""


def text(line: Timeline) -> str:
    """A line a lane, and below them what the marks mean."""
    if not line.lanes:
        return "no events"
    longest = min(28, max(width(lane.label) for lane in line.lanes))
    rows = [f"{pad(_cut(lane.label, longest), longest)}  {_drawn(lane)}" for lane in line.lanes]
    legend = "  ".join(f"{kind.mark} {kind.word}" for kind in line.kinds)
    return "\n".join([line.caption, *rows, f"{legend}  ━ runs  ┅ paused", *line.pauses])


def _drawn(lane: Lane) -> str:
    cells = ["·"] * _COLUMNS
    for begin, end, paused in lane.bars:
        for at in range(_column(begin), _column(end) + 1):
            cells[at] = "┅" if paused else "━"
    for place, event in sorted(lane.marks, key=lambda mark: _weight(kind(mark[1]))):
        cells[_column(place)] = kind(event).mark
    return "".join(cells)


def _weight(shown: Kind) -> int:
    """Of two at one place the one of more weight is seen."""
    return _HEAVY.index(shown) if shown in _HEAVY else -1


def _column(place: float) -> int:
    return round(place * (_COLUMNS - 1))


def _cut(label: str, longest: int) -> str:
    return label if width(label) <= longest else f"{label[: longest - 1]}…"


def svg(line: Timeline) -> str:
    """Inline, without definitions, in the front end's colours; each mark says its event when pointed at."""
    if not line.lanes:
        return '<div style="opacity: .75;">no events</div>'
    height = len(line.lanes) * _LANE + 10
    body = "".join(_svg_lane(lane, number * _LANE + 16) for number, lane in enumerate(line.lanes))
    cuts = "".join(
        f'<line x1="{_x(place):.1f}" x2="{_x(place):.1f}" y1="4" y2="{height - 4}" style="stroke: {GREY};" '
        f'stroke-dasharray="2 4"><title>{escape(duration(seconds))} without events, cut short</title></line>'
        for place, seconds in line.cuts
    )
    legend = " ".join(
        f'<span style="white-space: nowrap;"><span style="color: {ink(kind.colour)};">{kind.mark}</span> {kind.word}</span> &nbsp;'
        for kind in line.kinds
    )
    notes = "".join(f"<div>{escape(words)}</div>" for words in line.pauses)
    return (
        f'<div {AS_IT_IS} style="font-size: 12px;"><div style="opacity: .75;">{escape(line.caption)}</div>'
        f'<svg role="img" aria-label="events over time" width="{_LABEL + _WIDTH + 30}" height="{height}" '
        f'viewBox="0 0 {_LABEL + _WIDTH + 30} {height}" style="max-width: 100%; height: auto; overflow: visible; '
        f'font-family: {MONOSPACE}; font-size: 12px;">{cuts}{body}</svg>'
        f'<div style="opacity: .85;">{legend} {_bar(GREEN)} runs &nbsp; {_bar(AMBER)} paused</div><div style="opacity: .75;">{notes}</div></div>'
    )


def _bar(colour: str) -> str:
    """A piece of a bar, for the legend."""
    return f'<span style="display: inline-block; width: 14px; height: 4px; margin-bottom: 3px; background: {colour}; opacity: .8;"></span>'


def _svg_lane(lane: Lane, y: int) -> str:
    label = f'<text x="0" y="{y}" fill="currentColor">{escape(_cut(lane.label, 22))}<title>{escape(lane.label)}</title></text>'
    rule = f'<line x1="{_x(0)}" x2="{_x(1)}" y1="{y + 6}" y2="{y + 6}" style="stroke: {GREY}; opacity: .35;"/>'
    bars = "".join(
        f'<rect x="{_x(begin):.1f}" y="{y + 4}" width="{max(1.5, _x(end) - _x(begin)):.1f}" height="4" rx="1" '
        f'style="fill: {AMBER if paused else GREEN}; opacity: .8;"/>'
        for begin, end, paused in lane.bars
    )
    places = _apart([_x(place) for place, _ in lane.marks])
    marks = (_svg_mark(x, event, y) for x, (_, event) in zip(places, lane.marks, strict=True))
    return label + rule + bars + "".join(marks)


def _apart(places: Sequence[float]) -> list[float]:
    """Moved to the right, so far that each mark can be seen; where there is no room for all they stay."""
    found: list[float] = []
    for x in places:
        found.append(max(x, found[-1] + _MARK) if found else x)
    return found if found[-1] <= _x(1) + 2 * _MARK else list(places)


def _svg_mark(x: float, event: Event, y: int) -> str:
    shown = kind(event)
    more = ", ".join(f"{name} {text}" for name, text in sorted(event["attributes"].items()) if name != "name")
    said = plain(f"{event['time'][11:23]} {event['action']} {event.get('name', '')} {more}".strip())[:300]
    size = " font-size: 18px;" if shown is OOM else ""
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="middle" style="fill: {ink(shown.colour)};{size}">{shown.mark}'
        f"<title>{escape(said)}</title></text>"
    )


def _x(place: float) -> float:
    return _LABEL + place * _WIDTH
