"""The drawing of the networks, live: redrawn when they change, with what runs over each cable a second.

The picture is the same SVG as the static one. It is sent when asked for, compressed, and only after a change; between
changes only the rates that are not zero.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from nbcontainers.engine import default_engine
from nbcontainers.network import drawing
from nbcontainers.network.drawing import Topology as Drawn
from nbcontainers.network.facts import Facts, counters, still
from nbcontainers.widgets.live import Binary, Live, action

Rates = dict[str, list[int]]

_FASTEST_S, _SLOWEST_S, _PART = 0.5, 4.0, 12
"""Seconds between looks: so many times what one takes, for hundreds of containers are not read for nothing."""


class Topology(Live):
    """The networks of these names, or all, and the way to a published port if one is named."""

    interval = _FASTEST_S

    def __init__(self, networks: Sequence[str] = (), port: str = "") -> None:
        self.networks = list(networks)
        self.port = port
        self.seen: tuple[str, Drawn] | None = None
        """The last picture and its version, exchanged together: `picture` is asked for in another thread."""
        self._before: tuple[float, Mapping[str, tuple[int, int]]] | None = None

    def look(self) -> dict[str, Any]:
        """`version` of the picture, and by its keys `rates`: [received, sent] in bytes a second."""
        begun = time.perf_counter()
        facts = drawing.facts(default_engine(), self.networks)
        rates = self._rates(facts)
        quiet = still(facts)
        version = blake2b(repr(quiet).encode(), digest_size=8).hexdigest()
        if self.seen is None or version != self.seen[0]:
            self.seen = version, Drawn(quiet, self.networks, self.port)
        self.interval = min(_SLOWEST_S, max(_FASTEST_S, _PART * (time.perf_counter() - begun)))
        return {"version": version, "rates": rates}

    def _rates(self, facts: Facts) -> Rates:
        now, found = time.monotonic(), counters(facts)
        before, self._before = self._before, (now, found)
        if before is None:
            return {}
        seconds = max(now - before[0], 0.001)
        known = {key: (values, before[1][key]) for key, values in found.items() if key in before[1]}
        rates = {
            key: [max(0, round((one - other) / seconds)) for one, other in zip(*pair, strict=True)]
            for key, pair in known.items()
        }  # fmt: skip
        return {key: rate for key, rate in rates.items() if any(rate)}

    @action(beside=True)
    def picture(self) -> Binary:
        """The SVG, by gzip, of the last look, with its heading and the steps of the way."""
        if self.seen is None:
            return Binary({"version": ""}, [])
        version, drawn = self.seen
        way = [hop.words for hop in drawn.path.hops] if drawn.path else []
        words = {"version": version, "heading": drawn.heading, "host": drawn.facts.name, "left": drawn.left,
                 "title": drawn.path.title if drawn.path else "", "way": way}  # fmt: skip
        return Binary(words, [gzip.compress(drawn.picture.encode(), 5)])
