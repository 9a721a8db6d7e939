"""What the pages that show views say to this process, and what it answers: the views they have open, and the clock.

One wire serves all views, pages and tabs of a kernel; messages say which view they mean:

    page to kernel    {open, kind, with, visible}  {see: {view: visible}}  {close: view}  {view, call, with, reply}
                      {module, reply}
    kernel to page    {view, facts}  {view, trouble}  {view, static}  {view, reply, value | error}  {view, send}
                      {view, lost}  {reply, source, style}  {alive}
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from nbcontainers.errors import Error
from nbcontainers.widgets.live import FASTEST_S, LEASE_S, Binary, Clock, Gone, Live, action_of, encoded, said
from nbcontainers.widgets.wire import Wire, module

_FORGET_S = 600.0
_WORK_S = 5.0
_BESIDE = 8
"""Actions of one view at once, but for those that are done in order."""

Send = Callable[[Mapping[str, Any], list[bytes]], None]


class Workers:
    """Threads that do calls in their order, at most `most` at once, and wait a moment for the next: one each is too much
    for ipykernel, which gives every thread that sends a socket of its own."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._calls: deque[Callable[[], None]] = deque()
        self._more = threading.Condition()
        self._threads = self._idle = 0

    def do(self, work: Callable[[], None]) -> None:
        """`work` raises nothing."""
        with self._more:
            self._calls.append(work)
            if len(self._calls) <= self._idle:
                self._more.notify()
            elif self._threads < self.most:
                threading.Thread(target=self._work, name="nbcontainers-action", daemon=True).start()
                self._threads += 1

    def _work(self) -> None:
        while True:
            with self._more:
                self._idle += 1
                came = self._more.wait_for(lambda: self._calls, _WORK_S)
                self._idle -= 1
                if not came:
                    self._threads -= 1
                    return
                work = self._calls.popleft()
            work()


class Place:
    """One place of a page: its view, whether it is seen, what it last showed."""

    def __init__(self, view: Live, send: Send, page: Page) -> None:
        self.view = view
        self.send = send
        self.page = page
        self.seen_until = 0.0
        self.last_seen = time.monotonic()
        self._begun = self._next = 0.0
        self._hurried = False
        self._shown = ""
        self._over = False
        self._looking = threading.Lock()
        self._workers = {"ordered": Workers(1), "beside": Workers(_BESIDE)}
        view._send = send

    def seen(self, visible: bool) -> None:
        now = time.monotonic()
        self.seen_until = now + LEASE_S if visible else 0.0
        self.last_seen = now

    def due(self, now: float) -> float | None:
        seen = self.seen_until > now or (self.page.busy and self.seen_until > 0)
        return self._next if seen and not self._over else None

    def look(self) -> None:
        """Send the facts if they changed; a slow look makes the next one later: a quarter of the time at most."""
        self._begun, self._hurried = time.monotonic(), False
        with self._looking:
            if not self._over:
                self._look()
        took = time.monotonic() - self._begun
        self._next = self._begun + max(0.0 if self._hurried else self.view.interval, FASTEST_S, 4 * took)

    def hurry(self) -> None:
        """Look as soon as it may be, also where a look is under way."""
        self._hurried, self._next = True, self._begun + FASTEST_S
        self.page.clock.hurry()

    def _look(self) -> None:
        try:
            self._show("facts", self.view.look())
        except Gone as gone:
            self._over = True
            self._show("trouble", said(gone) | {"over": True})
        except Exception as error:  # noqa: BLE001 - shown in the page
            self._show("trouble", said(error))

    def end(self) -> None:
        """Close the view, after the look that may be under way."""
        self._over = True
        with self._looking:
            self.view._send = None
            self.view.closed()

    def _show(self, key: str, value: Any) -> None:
        if value is None:
            return
        try:
            text = encoded(value)
        except (Error, TypeError, ValueError) as error:
            key, text = "trouble", json.dumps(said(error))
        if key + text != self._shown:
            self._shown = key + text
            self.send({key: json.loads(text)}, [])

    def call(self, name: str, arguments: Mapping[str, Any], reply: Any, buffers: list[Any]) -> None:
        """Do an action in a thread of ours and answer; see `Live`."""
        try:
            method = action_of(self.view, name)
        except Error as error:
            return self.send({"reply": reply, "error": said(error)}, [])
        given = {**arguments, "buffers": buffers} if buffers else dict(arguments)
        workers = self._workers[method.live_action]  # type: ignore[attr-defined]
        workers.do(lambda: self._answer(method, given, reply))
        return None

    def _answer(self, method: Callable[..., Any], arguments: dict[str, Any], reply: Any) -> None:
        result = None
        try:
            result = method(**arguments)
            value, buffers = (result.value, result.buffers) if isinstance(result, Binary) else (result, [])
            answer: dict[str, Any] = {"reply": reply, "value": json.loads(json.dumps(value, default=str))}
        except Exception as error:  # noqa: BLE001 - shown in the page
            answer, buffers = {"reply": reply, "error": said(error)}, []
        self.send(answer, buffers)
        if result is None:
            self.hurry()


class Page:
    """All views of this process. `open` makes the wire, once; `close` ends it and all views."""

    def __init__(self, kinds: Callable[[str], type[Live]]) -> None:
        self.kinds = kinds
        self.wires: list[Wire] = []
        self.clock = Clock()
        self.places: dict[str, Place] = {}
        self.busy = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Announce us to the pages, if that was not done yet."""
        with self._lock:
            if not self.wires:
                self.wires.append(Wire(self._take))
        self.stand_in()

    def model(self, spec: Mapping[str, Any]) -> str:
        """The id of a model for one widget view of what `spec` says."""
        wire = Wire(self._take, spec)
        self.wires.append(wire)
        return wire.id

    def close(self) -> None:
        """End all views, the clock's thread and the wires; the pages keep the last pictures, greyed."""
        with self._lock:
            ended, self.wires = self.wires, []
            places, self.places = self.places, {}
        for place in places.values():
            self.clock.remove(place)
            place.end()
        for wire in ended:
            wire.close()

    def stand_in(self) -> None:
        for wire in self.wires:
            wire.stand_in()

    def _take(self, wire: Wire, content: dict[str, Any], buffers: list[Any]) -> None:
        """Never blocks, never raises."""
        try:
            self._do(wire, content, buffers)
        except Exception as error:  # noqa: BLE001 - shown in the page
            known: dict[str, Any] = {key: content[key] for key in ("view", "reply") if key in content}
            known.setdefault("view", content.get("open"))
            wire.send({**known, "error" if "reply" in known else "trouble": said(error)}, [])

    def _do(self, wire: Wire, content: dict[str, Any], buffers: list[Any]) -> None:
        if "open" in content:
            self._open_view(
                wire, content["open"], content["kind"], content.get("with") or {}, bool(content.get("visible"))
            )
        elif "see" in content:
            self._see(wire, content["see"])
        elif "close" in content:
            self._forget(content["close"])
        elif "call" in content:
            if place := self._place(wire, content["view"]):
                place.call(content["call"], content.get("with") or {}, content.get("reply"), buffers)
        elif "module" in content:
            wire.send({"reply": content["reply"], **module(content["module"])}, [])

    def _open_view(self, wire: Wire, name: str, kind: str, arguments: dict[str, Any], visible: bool) -> None:
        self._forget(name)
        view = self.kinds(kind)(**arguments)
        place = Place(view, lambda content, buffers: wire.send({"view": name, **content}, buffers), self)
        self.places[name] = place
        place.seen(visible)
        self.clock.add(place)

    def _see(self, wire: Wire, seen: dict[str, bool]) -> None:
        """The page's word on which of its views can be seen, also said again and again to say that it is there."""
        for name, visible in seen.items():
            if place := self._place(wire, name):
                place.seen(bool(visible))
                self.clock.add(place)
        self._forget_unseen()
        wire.send({"alive": True}, [])

    def _place(self, wire: Wire, name: str) -> Place | None:
        place = self.places.get(name)
        if place is None:
            wire.send({"view": name, "lost": True}, [])  # the page opens it again
        return place

    def _forget(self, name: str) -> None:
        if place := self.places.pop(name, None):
            self.clock.remove(place)
            threading.Thread(target=place.end, name="nbcontainers-action", daemon=True).start()

    def _forget_unseen(self) -> None:
        long_ago = time.monotonic() - _FORGET_S
        for name in [name for name, place in list(self.places.items()) if place.last_seen < long_ago]:
            self._forget(name)

    def hold(self, busy: bool) -> None:
        """A cell begins or ends: while it runs the pages may not be heard, so what is seen now does not expire. What was
        seen long ago goes here too: pages that were closed say nothing any more."""
        now = time.monotonic()
        for place in list(self.places.values()):
            if place.seen_until > now or (self.busy and place.seen_until > 0):
                place.seen(True)
            else:
                place.seen_until = 0.0
        self.busy = busy
        self._forget_unseen()
