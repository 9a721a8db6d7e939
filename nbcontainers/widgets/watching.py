"""What the views of what containers use have in common: from the first look until it closes, one watches the gauges."""

from __future__ import annotations

from nbcontainers.container import gauges
from nbcontainers.container.gauges import Gauges
from nbcontainers.engine import Engine
from nbcontainers.widgets.live import Live


class Watching(Live):
    """A live view of the containers of `engine`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._watching = False

    def gauges(self) -> Gauges:
        """For `look`: those of the engine, whose files and points stay as long as somebody watches."""
        found = gauges.of(self.engine)
        if not self._watching:
            self._watching = True
            found.enter()
        return found

    def closed(self) -> None:
        if self._watching:
            self._watching = False
            gauges.of(self.engine).leave()
