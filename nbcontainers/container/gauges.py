"""What running containers use now: their counters read by this very process, for as long as somebody looks.

    with gauges.of(engine).watched() as watched:
        for gauge in watched.read().values(): gauge.point, gauge.ring.since(0.0)

Nothing runs by itself: a reading is made when it is asked for, and one that is fresh serves all who ask. The files of the
counters stay open between, but for at most half of the descriptors this process may have, and those of a container that
rests are hardly read at all (see `Glance`). The network's counters come from the host's ends of all cables, in one read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import struct
import threading
import time
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Self

from nbcontainers.cgroups.glance import FIGURES, NOW, OFTEN, SELDOM, SOMETIMES, WHOLE, Glance, Uppers
from nbcontainers.cgroups.stats import cpu_limit
from nbcontainers.container import points, store
from nbcontainers.container.points import Point
from nbcontainers.engine import Engine
from nbcontainers.errors import NotFound
from nbcontainers.linux import netdev

SPAN_S = 60.0
RATE_HZ = 4
FRESH_S = 0.2
"""A younger reading is as good as a new one."""
_LOOK_S = 4.0
"""How often what seldom changes is looked at: limits, cables, whether it still runs."""
_AGES_NS = {OFTEN: 450_000_000, SOMETIMES: 950_000_000, SELDOM: 1_950_000_000, WHOLE: 7_950_000_000}
"""How old what a deeper look reads may grow: full seconds of looks that come a little early."""
_MOST_OPEN = 11
_MEMORY, _INACTIVE = FIGURES.index("memory"), FIGURES.index("memory_inactive_file")
_NOTHING = (-1, -1)


class Ring:
    """The points of the last minute, packed: 28 kB a container, whatever happens. Those of one that rests differ in their time
    alone, and that is all that is kept of them."""

    __slots__ = ("_added", "_kept", "_places", "_times", "_values")
    _RECORD = struct.Struct(f"<{len(Point._fields) - 1}d")
    LENGTH = int(SPAN_S * RATE_HZ)

    def __init__(self) -> None:
        self._values = bytearray(self._RECORD.size * self.LENGTH)
        self._times = array("d", bytes(8 * self.LENGTH))
        self._places = array("H", bytes(2 * self.LENGTH))
        """Of each point where in the values those of it are: what is overwritten there belongs to none of the last minute."""
        self._added = self._kept = 0

    def add(self, point: Point) -> None:
        place = self._kept % self.LENGTH * self._RECORD.size
        self._RECORD.pack_into(self._values, place, *[_NAN if value is None else value for value in point[1:]])
        self._kept += 1
        self.again(point[0])

    def again(self, moment: float) -> None:
        """The last point once more, at another time."""
        at = self._added % self.LENGTH
        self._times[at], self._places[at] = moment, (self._kept - 1) % self.LENGTH
        self._added += 1

    def since(self, moment: float) -> list[Point]:
        """Those after a time (seconds since the epoch), the oldest first."""
        found = []
        for number in range(self._added - 1, max(0, self._added - self.LENGTH) - 1, -1):
            time_s = self._times[number % self.LENGTH]
            if time_s <= moment:
                break
            values = self._RECORD.unpack_from(self._values, self._places[number % self.LENGTH] * self._RECORD.size)
            found.append(Point(time_s, *[None if value != value else value for value in values]))
        return found[::-1]


_NAN = float("nan")


class Gauge:
    """One running container: its last reading, the point it makes with the one before, and the points of the last minute.

    `limits` has the form of the runtime-spec's linux.resources, as read back from the kernel.
    """

    __slots__ = (
        "_deep", "_deep_moment", "_due", "_folders", "_next", "_passed", "_planned", "_point", "_reading", "_values", "cables",
        "counted", "created", "engine", "glance", "id", "limits", "looked", "moment", "name", "process", "rests", "ring", "turn",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        id: str,
        state: Mapping[str, Any],
        *,
        keep: bool,
        turn: int = 0,
        uppers: Uppers | None = None,
    ) -> None:
        self.engine, self.id, self.turn = engine, id, turn
        self.process: dict[str, Any] = {"pid": int(state["pid"]), "start_time": state.get("start_time")}
        self.cables: Sequence[bytes] | None = None
        """The host's ends; None where its traffic is counted inside."""
        self.counted = True
        """Whether its traffic is its own."""
        self.ring = Ring()
        self._reading: list[int] | None = None
        """A `points.Reading`."""
        self._deep: list[int] | None = None
        """The last that had all of which a rate is made."""
        self.moment = self._deep_moment = 0
        """When the last look was, and the last of that kind; nanoseconds since the epoch."""
        self.looked = -(10**9)
        """When the last look was by the clock that nobody sets."""
        self._values: list[int] = []
        self._passed = _NOTHING
        self.rests = False
        """Whether the last point says that nothing moved, in any figure."""
        self._due, self._next = dict.fromkeys(_AGES_NS, 0), 0
        self._planned = False
        self._point: Point | None = None
        self.glance = Glance(state.get("cgroup") or {}, keep=keep, uppers=uppers)
        self._folders = self._changed()
        self._know(state)

    def look(self) -> None:
        """Its name, limits and networks, if any of them changed. Raises OSError where it has ended, NotFound."""
        folders = self._changed()
        state = store.state(self.engine, self.id) if folders != self._folders else self.process
        if state.get("pid") != self.process["pid"] or not store.alive(self.process):
            raise ProcessLookupError(errno.ESRCH, "the container has ended", self.id)
        if folders != self._folders:
            self._folders = folders
            self._know(state)

    def _changed(self) -> tuple[int, int]:
        """When a file was put into its folders; all of ours are replaced by renaming."""
        folders = store.folder(self.engine, self.id), f"{self.engine.run}/{self.id}"
        return os.stat(folders[0]).st_mtime_ns, os.stat(folders[1]).st_mtime_ns

    def _know(self, state: Mapping[str, Any]) -> None:
        self.limits: Mapping[str, Any] = (state.get("cgroup") or {}).get("limits") or {}
        self.glance.held = cpu_limit(self.limits) is not None
        record = store.read(self.engine, self.id, "container.json")
        self.name, self.created = str(record.get("name", "")), str(record.get("created", ""))
        mode = str(record.get("network", ""))
        made = store.state(self.engine, self.id, "network.json").get("networks") or {}
        self.counted = mode != "host"
        links = [str(one.get("link") or "").encode() for one in made.values()]
        self.cables = [] if mode == "none" else links if links and all(links) else None

    def read(self, traffic: Mapping[bytes, netdev.Traffic], *, whole: bool = False) -> None:
        """One more point; all of it is read for the first two, and where `whole`. Raises OSError once it has ended."""
        moment, now = time.time_ns(), time.monotonic_ns()
        depth = WHOLE if whole else NOW if now < self._next else self._deepest(now)
        values, passed = self.glance.read(depth), self._traffic(traffic)
        if values[_MEMORY] < values[_INACTIVE] and depth < SELDOM:  # file pages were dropped since that was looked at
            depth, values = SELDOM, self.glance.read(SELDOM)
        if depth != NOW:
            self._plan(now, depth)
        deep = self.glance.depth >= SOMETIMES
        if not (self.rests and values is self._values and passed == self._passed):
            self._values, self._passed = values, passed
            self._add([moment, *values, *passed], deep)
        else:
            self.ring.again(moment / 1e9)
        self.moment, self.looked = moment, now
        if deep:
            self._deep_moment = moment

    def _add(self, now: list[int], deep: bool) -> None:
        before, since = self._reading, self._deep
        if before and since:  # one that rested has moved on in time alone
            before[0], since[0] = self.moment, self._deep_moment
        self._point = points.point(before, now, since, None if deep else self._point)
        self.ring.add(self._point)
        self._reading, self.rests = now, False
        if deep:
            self.rests = since is not None and since[1:] == now[1:]
            self._deep = now.copy()

    def _deepest(self, now: int) -> int:
        return next(depth for depth in (WHOLE, SELDOM, SOMETIMES, OFTEN) if now >= self._due[depth])

    def _plan(self, now: int, depth: int) -> None:
        """When to look so deep again; of many containers that began together not all at the same look."""
        ahead = self.turn * 10**9 // RATE_HZ if self._deep and not self._planned else 0
        self._planned = self._deep is not None
        for one in range(OFTEN, depth + 1):
            self._due[one] = now + self._planned * _AGES_NS[one] - ahead % _AGES_NS[one]
        self._next = min(self._due.values())

    @property
    def point(self) -> Point | None:
        """The last; of one that rests at the last look's time."""
        point = self._point
        return Point(self.moment / 1e9, *point[1:]) if point and self.rests else point

    def _traffic(self, found: Mapping[bytes, netdev.Traffic]) -> netdev.Traffic:
        """What the host's ends sent is what it received."""
        if not self.counted:
            return _NOTHING
        if self.cables is None:
            try:
                return netdev.total(netdev.of(self.process["pid"]))
            except OSError:
                return _NOTHING
        if len(self.cables) == 1:
            received, sent = found.get(self.cables[0], _NOTHING)
            return sent, received
        ends = [found.get(name) for name in self.cables]
        if None in ends:
            return _NOTHING
        return sum(end[1] for end in ends if end), sum(end[0] for end in ends if end)

    def counter(self, name: str) -> int | None:
        """A figure of `points.READING` as last read."""
        value = self._reading[points.READING.index(name)] if self._reading else -1
        return None if value < 0 else value


class Gauges:
    """The gauges of an engine's running containers. Any thread may ask."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._gauges: dict[str, Gauge] = {}
        self._waiting: set[str] = set()
        self._changed, self._looked = -1, 0.0
        self._cables = Cables(engine)
        self._uppers = Uppers()
        self._watchers = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def watched(self) -> Iterator[Self]:
        """While somebody looks: with the last one who leaves all files are closed, and the points forgotten."""
        self.enter()
        try:
            yield self
        finally:
            self.leave()

    def enter(self) -> None:
        with self._lock:
            self._watchers += 1

    def leave(self) -> None:
        with self._lock:
            self._watchers -= 1
            if self._watchers <= 0:
                self._watchers = 0
                self._forget()

    def _forget(self) -> None:
        for gauge in self._gauges.values():
            gauge.glance.close()
        self._gauges, self._waiting, self._changed = {}, set(), -1
        self._uppers.close()
        self._cables.close()

    def read(self, ids: Collection[str] | None = None, *, whole: bool = False) -> dict[str, Gauge]:
        """The gauges of all running containers, or of those of them that are named, each not older than FRESH_S: processor
        and network; memory is half a second old at most, the rest one, what others change of one that rests two, unless
        `whole`."""
        with self._lock:
            self._find()
            wanted = self._gauges if ids is None else {id: self._gauges[id] for id in ids if id in self._gauges}
            stale = time.monotonic_ns() - int(FRESH_S * 1e9)
            due = [gauge for gauge in wanted.values() if gauge.looked <= stale]
            self._uppers.again()
            traffic = self._cables.read() if any(gauge.cables for gauge in due) else {}
            ended = [gauge for gauge in due if not _still(gauge, traffic, whole)]
            for gauge in ended:
                self._drop(gauge)
            return {id: gauge for id, gauge in wanted.items() if gauge not in ended}

    def _drop(self, gauge: Gauge) -> None:
        """It may start again."""
        gauge.glance.close()
        self._gauges.pop(gauge.id, None)
        self._waiting.add(gauge.id)

    def _find(self) -> None:
        """Containers that started since the last look; now and then, whether those known still run, and how."""
        run, now = str(self.engine.run), time.monotonic()
        try:
            changed = os.stat(run).st_mtime_ns
        except FileNotFoundError:  # nothing ever ran
            return
        if changed != self._changed:
            self._changed = changed
            self._waiting = _folders(run) - set(self._gauges)
        for id in list(self._waiting):
            self._add(id)
        if now - self._looked > _LOOK_S:
            self._looked = now
            for gauge in list(self._gauges.values()):
                self._look(gauge)

    def _add(self, id: str) -> None:
        state = store.state(self.engine, id)
        if not store.alive(state):
            return
        keep = _MOST_OPEN + sum(gauge.glance.kept for gauge in self._gauges.values()) <= _room()
        try:
            self._gauges[id] = Gauge(self.engine, id, state, keep=keep, turn=len(self._gauges), uppers=self._uppers)
        except (OSError, NotFound):  # it has just ended
            return
        self._waiting.discard(id)

    def _look(self, gauge: Gauge) -> None:
        try:
            gauge.look()
        except (OSError, NotFound):
            self._drop(gauge)


def _folders(run: str) -> set[str]:
    """The run folders of containers; what else is there are files and hidden folders."""
    with os.scandir(run) as entries:
        return {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}


def _still(gauge: Gauge, traffic: Mapping[bytes, netdev.Traffic], whole: bool) -> bool:
    try:
        gauge.read(traffic, whole=whole)
    except OSError:  # ENODEV: its cgroup has gone
        return False
    return True


def _room() -> int:
    """How many descriptors all gauges may keep: select(2) and the notebook's own code need theirs."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


class Cables:
    """The host's ends of all cables of an engine: veth(4). An ordinary user's are in a namespace of his own."""

    PREFIX = b"nbcv"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file = -1
        self._text, self._found = b"", dict[bytes, netdev.Traffic]()

    def read(self) -> dict[bytes, netdev.Traffic]:
        """By name what each end received and sent; empty where there are none."""
        try:
            text = netdev.content(self._open()) if not self._engine.rootless else self._of_user()
        except OSError:
            return {}
        if text != self._text:
            self._text, self._found = text, dict(netdev.interfaces(text, self.PREFIX))
        return self._found

    def _open(self) -> int:
        if self._file < 0:
            self._file = netdev.open_of(os.getpid())
        return self._file

    def _of_user(self) -> bytes:
        """Opened each time: an open file would keep the namespace when its last container has gone."""
        from nbcontainers.network import userhost

        holder = userhost.find(str(self._engine.run))
        return netdev.of(holder) if holder else b""

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@cache
def of(engine: Engine) -> Gauges:
    """The gauges all views of an engine share."""
    return Gauges(engine)
