"""How far a transfer is: what `pull`, `push` and `load` say while they work, added up for whoever shows it.

Events are JSON objects, in the order they happen:

    {"event": "image", "verb": "pull", "reference": …, "layers": [{"digest": …, "size": bytes}, …]}
    {"event": "layer", "digest": …, "state": one of STATES, "bytes": so far, "note": why}
    {"event": "moved", "reference": …, "from": digest, "to": digest}
    {"event": "done", "digest": …}

An event that is not known is nobody's fault (a newer child, an older face) and changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]
Listener = Callable[[Event], None]
"""What a verb takes as `progress`."""

STATES = {
    "waiting": "waiting", "downloading": "downloading", "uploading": "uploading", "verifying": "verifying",
    "extracting": "extracting", "reading": "reading", "retrying": "trying again", "done": "done", "exists": "already there",
    "mounted": "already in the registry",
}  # fmt: skip
"""The states of a layer, and how a person reads them."""
MOVING = ("downloading", "uploading")
FREE = ("exists", "mounted")
SETTLED = ("done", *FREE)
_WINDOW = 3.0
"""Seconds that the speed is the mean of."""
_PATIENCE = 1.0
"""Seconds before a speed is worth a forecast."""
_NOW = {"save": "saving", "commit": "committing"}
_PAST = {"read": "read", "save": "saved", "commit": "committed", "verify": "verified"}
_HERE, _STOPPED = "unpacked", "not finished"
_TRAVELLED = {"pull": "downloaded", "push": "uploaded", "load": "read"}


@dataclass
class Layer:
    """One blob on its way: `size` bytes in all, `bytes` of its present state, `travelled` from there to here.

    `sent` is whether it travels at all: one that is here already may still have to be unpacked.
    """

    digest: str
    size: int
    state: str = "waiting"
    bytes: int = 0
    note: str = ""
    travelled: int = 0
    sent: bool = False

    @property
    def label(self) -> str:
        return STATES[self.state]

    @property
    def settled(self) -> bool:
        return self.state in SETTLED

    @property
    def part(self) -> float:
        """Of 1, in its present state."""
        if self.settled:
            return 1.0
        return min(self.bytes / self.size, 1.0) if self.size else 0.0

    @property
    def way(self) -> float:
        """Of 1: how much of it is here (or there), whatever is still done with it."""
        if self.settled or not self.travelled:
            return self.part
        return self.travelled / self.size if self.size else 1.0

    def update(self, state: str, bytes: int, note: str) -> None:
        self.state, self.bytes, self.note = state, bytes, note
        self.sent = (self.sent or state in MOVING) and state not in FREE
        if state in MOVING:
            self.travelled = max(self.travelled, min(bytes, self.size))
        elif state in ("verifying", "done") and self.sent:
            self.travelled = self.size


class Progress:
    """What is known of one transfer. Call `feed` with each event, and `end` once; everything else is read only."""

    def __init__(self, verb: str, subject: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.verb = verb
        self.subject = subject
        self.images: list[tuple[str, str]] = []
        self.layers: dict[str, Layer] = {}
        self.moved: dict[str, str] = {}
        self.outcome = ""
        self.clock = clock
        self.begun = clock()
        self.ended = 0.0
        self._recent: deque[tuple[float, int]] = deque([(self.begun, 0)])

    def feed(self, event: Event) -> None:
        """Take in one event."""
        handler = {"image": self._image, "layer": self._layer, "moved": self._moved, "done": self._done}
        if known := handler.get(event.get("event", "")):
            known(event)
            self._remember()

    def end(self, outcome: str) -> None:
        """`outcome` is done, failed or interrupted; the first one stays."""
        if not self.outcome:
            self.outcome, self.ended = outcome, self.clock()

    @property
    def rows(self) -> list[Layer]:
        """The layers in the order of their images, each once."""
        return list(self.layers.values())

    @property
    def name(self) -> str:
        """What travels: the images by name, or what was asked for while nothing else is known."""
        return ", ".join(reference for reference, _ in self.images if reference) or self.subject

    @property
    def doing(self) -> str:
        """The verb as it stands: pulling, pulled, pull failed."""
        if not self.outcome:
            return _NOW.get(self.verb, f"{self.verb}ing")
        return _PAST.get(self.verb, f"{self.verb}ed") if self.outcome == "done" else f"{self.verb} {self.outcome}"

    @property
    def elapsed(self) -> float:
        return (self.ended or self.clock()) - self.begun

    @property
    def travelled(self) -> int:
        """Bytes that went over the wire so far."""
        return sum(layer.travelled for layer in self.layers.values() if layer.sent)

    @property
    def to_travel(self) -> int:
        """Bytes of all layers that are not there already, as far as that is known."""
        if self.verb == "read":
            return 0
        return sum(layer.size for layer in self.layers.values() if layer.sent or layer.state == "waiting")

    @property
    def part(self) -> float:
        """Of 1: the way of all layers that are not there already."""
        left = [layer for layer in self.layers.values() if layer.state not in FREE]
        wanted = sum(layer.size for layer in left)
        if not wanted:
            return 1.0 if self.layers or self.outcome == "done" else 0.0
        return sum(layer.way * layer.size for layer in left) / wanted

    @property
    def speed(self) -> float:
        """Bytes a second: of the last seconds while it works, of the whole when it has ended."""
        if self.outcome:
            return self.travelled / self.elapsed if self.elapsed > 0 else 0.0
        then, before = self._recent[0]
        since = self.clock() - then
        return (self.travelled - before) / since if since > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that are left at this speed; None where that cannot be said."""
        speed, wanted = self.speed, self.to_travel - self.travelled
        if self.outcome or speed <= 0 or wanted <= 0 or self.elapsed < _PATIENCE:
            return None
        return wanted / speed

    def counts(self) -> Iterator[tuple[int, str]]:
        """How many layers ended how: (4, "downloaded"), (2, "already there"), (1, "not finished")."""
        labels = Counter(self._ended(layer) for layer in self.layers.values())
        order = dict.fromkeys((_TRAVELLED.get(self.verb, ""), _HERE, "read", *STATES.values(), _STOPPED))
        yield from ((labels[label], label) for label in order if labels[label])

    def _ended(self, layer: Layer) -> str:
        if layer.state != "done":
            return layer.label if layer.settled else _STOPPED
        if self.verb == "read":
            return "read"
        return _TRAVELLED.get(self.verb, layer.label) if layer.sent else _HERE

    def _image(self, event: Event) -> None:
        self.verb = event.get("verb") or self.verb
        self.images.append((event.get("reference") or "", ""))
        for one in event.get("layers") or ():
            sent = self.verb not in ("pull", "read")  # a pull says when it fetches, and files are read where they are
            self.layers.setdefault(one["digest"], Layer(one["digest"], one.get("size") or 0, sent=sent))

    def _layer(self, event: Event) -> None:
        """Of the image's layers; its config travels, too, and is not worth a row."""
        layer, state = self.layers.get(event.get("digest", "")), event.get("state", "")
        if layer and state in STATES:
            layer.update(state, event.get("bytes") or 0, event.get("note") or "")

    def _moved(self, event: Event) -> None:
        self.moved[event.get("reference") or ""] = event.get("from") or ""

    def _done(self, event: Event) -> None:
        """The last image named is the one that is done."""
        if self.images:
            self.images[-1] = (self.images[-1][0], event.get("digest") or "")

    def _remember(self) -> None:
        now = self.clock()
        self._recent.append((now, self.travelled))
        while len(self._recent) > 2 and now - self._recent[1][0] > _WINDOW:
            self._recent.popleft()
