"""The one channel between this process and the pages that show its views: a comm of Jupyter's widget protocol.

It opens a model of class anywidget's `AnyModel` whose module is `live.js`; the front end's anywidget runs that without
any output. Neither ipywidgets nor anywidget is imported for it here: the message is the protocol's (jupyter-widgets
message format 2.1). One comm serves all views, pages and tabs of a kernel, and messages say which view they mean:

    page to kernel    {open, kind, with, visible}  {see: {view: visible}}  {close: view}  {view, call, with, reply}  {module, reply}
    kernel to page    {view, facts}  {view, trouble}  {view, static}  {view, reply, value | error}  {view, send}  {view, lost}  {reply, source, style}
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any
from uuid import uuid4

from nbcontainers.errors import Error, NotFound
from nbcontainers.version import VERSION
from nbcontainers.widgets.live import FASTEST_S, LEASE_S, Binary, Clock, Gone, Live, action_of, encoded, said

KERNEL = uuid4().hex
"""Names this process to the pages: HTML that it wrote belongs to its channel."""
_FORGET_S = 600.0
_MODULE = re.compile(r"(?:[a-z_0-9-]+/)?[a-z_0-9.-]+\.(?:m?js|css)")

Send = Callable[[Mapping[str, Any], list[bytes]], None]


class Place:
    """One place of a page: its view, whether it is seen, what it last showed."""

    def __init__(self, view: Live, send: Send, page: Page) -> None:
        self.view = view
        self.send = send
        self.page = page
        self.seen_until = 0.0
        self.last_seen = time.monotonic()
        self._next = 0.0
        self._shown = ""
        self._over = False
        self._calls: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
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
        begun = time.monotonic()
        try:
            self._show("facts", self.view.look())
        except Gone as gone:
            self._over = True
            self._show("trouble", said(gone) | {"over": True})
        except Exception as error:  # noqa: BLE001 - shown in the page
            self._show("trouble", said(error))
        took = time.monotonic() - begun
        self._next = begun + max(self.view.interval, FASTEST_S, 4 * took)

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
        work = lambda: self._answer(method, given, reply)  # noqa: E731
        if method.live_action == "beside":  # type: ignore[attr-defined]
            return threading.Thread(target=work, name="nbcontainers-action", daemon=True).start()
        with self._lock:
            self._calls.append(work)
            if len(self._calls) > 1:
                return None
        return threading.Thread(target=self._work, name="nbcontainers-action", daemon=True).start()

    def _work(self) -> None:
        """The calls in their order; a thread that lives while there are any."""
        while True:
            self._calls[0]()
            with self._lock:
                self._calls.popleft()
                if not self._calls:
                    return

    def _answer(self, method: Callable[..., Any], arguments: dict[str, Any], reply: Any) -> None:
        try:
            result = method(**arguments)
            value, buffers = (result.value, result.buffers) if isinstance(result, Binary) else (result, [])
            answer: dict[str, Any] = {"reply": reply, "value": json.loads(json.dumps(value, default=str))}
        except Exception as error:  # noqa: BLE001 - shown in the page
            answer, buffers = {"reply": reply, "error": said(error)}, []
        self.send(answer, buffers)
        self._next = 0.0  # what the action did is seen at once


class Page:
    """The channel. `open` makes it once; `close` ends it and all views."""

    def __init__(self, kinds: Callable[[str], type[Live]]) -> None:
        self.kinds = kinds
        self.comm: Any = None
        self.clock = Clock()
        self.places: dict[str, Place] = {}
        self.busy = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Announce the channel to the pages, if that was not done yet."""
        with self._lock:
            if self.comm is None:
                import comm

                self.comm = comm.create_comm(
                    target_name="jupyter.widget",
                    data={"state": self.state(), "buffer_paths": []},
                    metadata={"version": "2.1.0"},
                )
                self.comm.on_msg(self._on_message)
        self.stand_in()

    def close(self) -> None:
        """End all views, the clock's thread and the channel; the pages keep the last pictures, greyed."""
        with self._lock:
            ended, self.comm = self.comm, None
        for view in list(self.places):
            self._forget(view)
        if ended is not None:
            if (widget := sys.modules.get("ipywidgets.widgets.widget")) is not None:
                getattr(widget, "_instances", {}).pop(ended.comm_id, None)
            ended.close()

    def state(self) -> dict[str, Any]:
        """The model as the front end makes it."""
        return {
            "_model_name": "AnyModel",
            "_model_module": "anywidget",
            "_model_module_version": "*",
            "_view_name": "AnyView",
            "_view_module": "anywidget",
            "_view_module_version": "*",
            "_view_count": None,
            "_dom_classes": [],
            "_anywidget_id": "nbcontainers.live",
            "_css": "",
            "_esm": text_of("live.js"),
            "kernel": KERNEL,
            "version": VERSION,
        }

    def stand_in(self) -> None:
        """Where ipywidgets is used as well, its answer to a reloaded page is all the page gets: be in it."""
        widget = sys.modules.get("ipywidgets.widgets.widget")
        instances = getattr(widget, "_instances", None)
        if instances is not None and self.comm is not None:
            instances.setdefault(self.comm.comm_id, _Model(self))

    def _on_message(self, message: dict[str, Any]) -> None:
        """From the kernel's main thread or a subshell's: never blocks, never raises."""
        data = message["content"]["data"]
        if data.get("method") == "request_state":
            self._publish({"method": "update", "state": self.state(), "buffer_paths": []}, [])
        elif data.get("method") == "custom":
            content = data.get("content") or {}
            try:
                self._take(content, list(message.get("buffers") or []))
            except Exception as error:  # noqa: BLE001 - shown in the page
                known = {key: content[key] for key in ("view", "reply") if key in content}
                known.setdefault("view", content.get("open"))
                self.send({**known, "error" if "reply" in known else "trouble": said(error)}, [])

    def _take(self, content: dict[str, Any], buffers: list[Any]) -> None:
        if "open" in content:
            self._open_view(content["open"], content["kind"], content.get("with") or {}, bool(content.get("visible")))
        elif "see" in content:
            self._see(content["see"])
        elif "close" in content:
            self._forget(content["close"])
        elif "call" in content:
            if place := self._place(content["view"]):
                place.call(content["call"], content.get("with") or {}, content.get("reply"), buffers)
        elif "module" in content:
            self.send({"reply": content["reply"], **module(content["module"])}, [])

    def _open_view(self, name: str, kind: str, arguments: dict[str, Any], visible: bool) -> None:
        self._forget(name)
        view = self.kinds(kind)(**arguments)
        place = Place(view, lambda content, buffers: self.send({"view": name, **content}, buffers), self)
        self.places[name] = place
        place.seen(visible)
        self.clock.add(place)

    def _see(self, seen: dict[str, bool]) -> None:
        """The page's word on which of its views can be seen, also said again and again to say that it is there."""
        for name, visible in seen.items():
            if place := self._place(name):
                place.seen(bool(visible))
                self.clock.add(place)
        now = time.monotonic()
        for name in [name for name, place in list(self.places.items()) if now - place.last_seen > _FORGET_S]:
            self._forget(name)
        self.send({"alive": True}, [])

    def _place(self, name: str) -> Place | None:
        place = self.places.get(name)
        if place is None:
            self.send({"view": name, "lost": True}, [])  # the page opens it again
        return place

    def _forget(self, name: str) -> None:
        if place := self.places.pop(name, None):
            self.clock.remove(place)
            place.view._send = None
            place.view.closed()

    def hold(self, busy: bool) -> None:
        """A cell begins or ends: while it runs the pages may not be heard, so what is seen now does not expire."""
        now = time.monotonic()
        for place in list(self.places.values()):
            seen = place.seen_until > now or (self.busy and place.seen_until > 0)
            place.seen_until = now + LEASE_S if seen else 0.0
        self.busy = busy

    def send(self, content: Mapping[str, Any], buffers: list[bytes]) -> None:
        self._publish({"method": "custom", "content": dict(content)}, buffers)

    def _publish(self, data: dict[str, Any], buffers: list[bytes]) -> None:
        channel = self.comm
        if channel is not None:
            channel.send(data=data, buffers=buffers)


class _Model:
    """What ipywidgets asks of a widget when a page reloads (`Widget.get_manager_state`)."""

    _model_name = "AnyModel"
    _model_module = "anywidget"
    _model_module_version = "*"

    def __init__(self, page: Page) -> None:
        self._page = page

    @property
    def model_id(self) -> str:
        return str(self._page.comm.comm_id)

    def get_state(self, key: object = None, drop_defaults: bool = False) -> dict[str, Any]:
        return self._page.state()

    def _get_embed_state(self, drop_defaults: bool = False) -> dict[str, Any]:
        return {"model_name": "AnyModel", "model_module": "anywidget", "model_module_version": "*", "state": {}}

    def close(self) -> None:
        self._page.close()


def text_of(name: str) -> str:
    """A file beside this one. Raises NotFound."""
    found = files("nbcontainers.widgets").joinpath(name)
    if not _MODULE.fullmatch(name) or not found.is_file():
        raise NotFound(f"nbcontainers has no module {name!r}")
    return found.read_text(encoding="utf-8")


def module(name: str) -> dict[str, str]:
    """The source of NAME.js, and NAME.css if there is one."""
    style = f"{name.rpartition('.')[0]}.css"
    found = files("nbcontainers.widgets").joinpath(style)
    return {"source": text_of(name), "style": text_of(style) if found.is_file() else ""}
