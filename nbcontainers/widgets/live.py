"""What every live view of a notebook page stands on: the class `Live`, its actions, and the clock that looks.

A live view is named by an *address*, a kind and JSON arguments, and takes the place of static HTML:

    <div class="nbcontainers-live" data-nbcontainers='{"kind": "metrics", "with": {"container": "web"}, …}'>HTML</div>

That HTML is all a notebook saves. So what is reopened, exported, untrusted, or shown by a front end without widgets is
the static picture, never "model not found" (what JupyterLab shows for a saved widget view whose kernel is gone) and
never a blank (nbconvert prefers a widget view to HTML where widget state was saved). Where the page has a live kernel,
`live.js` in it finds the address, asks `page.Page` for a view, and draws over the HTML; after a reload of the page, a
restart of the kernel or reopening the notebook it finds the same address again, once `%load_ext nbcontainers` ran. The
browser keeps no state that counts and Python keeps none for what nobody sees.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar, overload

from nbcontainers.errors import Error, InvalidState
from nbcontainers.view import Seen

LARGEST = 100_000
"""Bytes of JSON that one update may have."""
LEASE_S = 35.0
"""How long a view counts as seen after the page last said so; the page says it every ten seconds."""
FASTEST_S = 0.25

_Action = TypeVar("_Action", bound=Callable[..., Any])


class Live:
    """A live view: a subclass a kind, an object for each place of a page that shows it.

        class Metrics(Live):                          # widgets/metrics.py, listed in widgets.KINDS as "metrics"
            interval = 0.5                            # seconds between looks (default 1, least 0.25)

            def __init__(self, container: str) -> None:      # the address's arguments; JSON only
                self.container = container            # opening is cheap: no reading, no threads here

            def look(self) -> dict[str, Any]:         # JSON, <= 100 kB; called in the clock's thread,
                return {"cpu": read(self.container)}  # never twice at once, only while somebody sees the view

            @action                                   # only these can be called from the page
            def stop(self, timeout_s: float = 10) -> str:    # keyword arguments are JSON, and so is the result
                return handle(self.container).stop(timeout_s)

        // widgets/metrics.js (and metrics.css if there is one); `live` is described in live.js
        export function mount(live) {
          const text = live.h("pre", {});             // h(tag, attributes, ...children): text is text, never HTML
          live.el.append(text, live.h("button", {onclick: () => live.call("stop", {timeout_s: 1})}, "stop"));
          live.facts((facts) => (text.textContent = `${facts.cpu} %`));  // at once with the last, then on each change
        }

    What is shown offers its address to the hook of `view.bundle` by a method

        def _live_(self) -> tuple[str, dict[str, Any]] | None: return "metrics", {"container": self.name}

    (None: not this one) and its own `html()` is the static picture: it must stay true when it grows old (it says its time,
    or is final).

    `look` returns the facts of the moment; they are sent only when they changed. What it raises is shown over the last
    picture, greyed, until the next good look; `Gone` ends looking for good. Actions run in a thread of ours, never in
    the kernel's: those of one view one after the other in the order of the clicks, those marked `@action(beside=True)`
    on their own, a few at once. What an action raises is shown in the view (an `Error` with its hint); the kernel's log
    stays silent. One that returns nothing did something, or failed to: the next look comes as soon as it may.
    A look that finds an end (the container exited) calls `settle(shown, moment)`: what `shown` says then takes the place
    of the static picture in the notebook, so that what is saved is how it ended; once for each `moment`.
    Return `Binary(json, buffers)` for bytes. `send` pushes a message from any thread (big or growing data: rows, ranges
    of lines, a terminal's output) to `live.on` in the page. `closed` is called once nobody can see the view any more
    (output cleared, page closed; ten minutes out of sight): end what the view began.
    """

    kind: ClassVar[str] = ""
    """The name in `KINDS`, set by it."""
    interval: float = 1.0

    _send: Callable[[Mapping[str, Any], list[bytes]], None] | None = None
    _settled = ""

    def look(self) -> Any:
        """The facts of the moment; None for a view that only gets messages."""
        return None

    def closed(self) -> None:
        """Nobody sees it any more, nor will: the page opens a new one."""

    def settle(self, shown: Seen, moment: str) -> None:
        """From `look`: it came to an end at that `moment`, and `shown` is what the notebook should keep of it."""
        if self._settled != moment:
            self._settled = moment
            self._tell({"static": {"moment": moment, "text/html": shown.html(), "text/plain": shown.text()}}, [])

    def send(self, content: Any, buffers: list[bytes] | None = None) -> None:
        """Push JSON and bytes to this view's `live.on`; nothing where it is closed."""
        self._tell({"send": content}, buffers or [])

    def _tell(self, content: Mapping[str, Any], buffers: list[bytes]) -> None:
        if send := self._send:  # read once: it may be closed meanwhile, by another thread
            send(content, buffers)


class Gone(Error):
    """What a view shows is no more; the last picture stays, greyed, under this message."""


class Binary:
    """An action's JSON with bytes beside it: `live.call` gives `{value, buffers}`, each a DataView."""

    def __init__(self, value: Any, buffers: list[bytes]) -> None:
        self.value = value
        self.buffers = buffers


@overload
def action(method: _Action) -> _Action: ...
@overload
def action(*, beside: bool) -> Callable[[_Action], _Action]: ...
def action(method: _Action | None = None, *, beside: bool = False) -> _Action | Callable[[_Action], _Action]:
    """Mark what a page may call. `beside`: in another thread, so that the view's other actions need not wait."""

    def mark(method: _Action) -> _Action:
        method.live_action = "beside" if beside else "ordered"  # type: ignore[attr-defined]
        return method

    return mark(method) if method else mark


def action_of(view: Live, name: str) -> Callable[..., Any]:
    """The method of that name, which must be marked. Raises InvalidState."""
    method = getattr(view, name, None) if name.isidentifier() else None
    if not getattr(method, "live_action", None):
        raise InvalidState(f"a view of {view.kind!r} has no action {name!r}")
    return method  # type: ignore[return-value]


class Looked(Protocol):
    """What the clock drives."""

    def due(self, now: float) -> float | None:
        """When to look next (monotonic seconds); None while nobody sees it."""

    def look(self) -> None: ...


class Clock:
    """One thread for all views of the process, there only while one of them is seen."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._places: set[Looked] = set()
        self._thread: threading.Thread | None = None

    def add(self, place: Looked) -> None:
        """Look at it when it is due; also called when it may be due again."""
        with self._lock:
            self._places.add(place)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbcontainers-live", daemon=True)
                self._thread.start()
            self._lock.notify()

    def remove(self, place: Looked) -> None:
        with self._lock:
            self._places.discard(place)
            self._lock.notify()

    def hurry(self) -> None:
        """One of them is due sooner than it was."""
        with self._lock:
            self._lock.notify()

    @property
    def running(self) -> bool:
        return self._thread is not None

    def _run(self) -> None:
        while place := self._next():
            place.look()

    def _next(self) -> Looked | None:
        """Wait for the first that is due; None once none will be, and then there is no thread."""
        with self._lock:
            while True:
                now = time.monotonic()
                waiting = [(due, id(place), place) for place in self._places if (due := place.due(now)) is not None]
                if not waiting:
                    self._thread = None
                    return None
                due, _, place = min(waiting)
                if due <= now:
                    return place
                self._lock.wait(due - now)


def encoded(facts: Any) -> str:
    """The facts as JSON. Raises InvalidState where they are too large for an update."""
    text = json.dumps(facts, separators=(",", ":"), default=str)
    if len(text) > LARGEST:
        raise InvalidState(f"an update of {len(text)} bytes: views send at most {LARGEST}, the rest on demand")
    return text


def said(error: BaseException) -> dict[str, str]:
    """An error as a page shows it."""
    text = error.message if isinstance(error, Error) else f"{type(error).__name__}: {error}"
    return {"message": text or type(error).__name__, "hint": str(getattr(error, "hint", "") or "")}
