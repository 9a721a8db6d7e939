"""What a cell shows now, with what takes its place later: `view.follow`.

One display area, updated by its id from a thread, also after the cell has ended; see IPython.display.DisplayHandle.
"""

from __future__ import annotations

import contextvars
import threading
import uuid
from collections.abc import Iterator

from IPython.core.display_functions import publish_display_data

from nbcontainers import widgets
from nbcontainers.view import Bundle


class Following:
    """Set by `%load_ext`."""

    def wanted(self) -> bool:
        """Not where a notebook runs without anybody who looks: its outputs are final when a cell ends."""
        return widgets.kernel() is not None and widgets.front_end()

    def __call__(self, now: Bundle, later: Iterator[Bundle]) -> None:
        area = {"display_id": uuid.uuid4().hex}

        def follow() -> None:
            for bundle in later:
                publish_display_data(bundle, transient=area, update=True)  # type: ignore[no-untyped-call]

        publish_display_data(now, transient=area)  # type: ignore[no-untyped-call]
        context = contextvars.copy_context()  # what follows belongs to the cell
        threading.Thread(target=context.run, args=(follow,), name="nbcontainers-follow", daemon=True).start()
