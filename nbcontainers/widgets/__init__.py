"""Live views: what a notebook page draws over the static HTML of an object while its kernel runs.

`bundle` is the hook of `view.bundle`: it wraps the HTML in an element that holds the object's address (see `live`), so
a saved notebook holds HTML and text only. Where nobody looks (nbclient, papermill, nbconvert, a terminal) it does nothing;
the sign is that the cell may not ask for input (`allow_stdin`), which all of these say and no front end does.
"""

from __future__ import annotations

import json
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nbcontainers.view import WIDGET

if TYPE_CHECKING:
    from nbcontainers.view import Bundle
    from nbcontainers.widgets.live import Live
    from nbcontainers.widgets.page import Page

KINDS = {
    "card": "nbcontainers.widgets.card:Card",
    "dashboard": "nbcontainers.widgets.dashboard:Dashboard",
    "layers": "nbcontainers.widgets.layers:Layers",
    "logs": "nbcontainers.widgets.logs:Logs",
    "metrics": "nbcontainers.widgets.metrics:Metrics",
    "terminal": "nbcontainers.widgets.terminal:Terminal",
    "topology": "nbcontainers.widgets.topology:Topology",
}
"""What a page may open: the kind is also the name of its module in JavaScript."""

MODES = ("auto", "on", "off")
mode = "auto"
"""`%config NBContainers.widgets`. `on` is for front ends that run no widget but in an output of its own (VS Code,
Colab), or let no cell ask (Voilà): then the bundle also has a widget view, with what `live` says of those."""

_page: Page | None = None


def bundle(shown: object, found: Bundle) -> Bundle | None:
    """The HTML of `shown` with its address around it; None where it has none, or nobody would look."""
    offer = getattr(shown, "_live_", None)
    if offer is None or "text/html" not in found or not wanted() or (address := offer()) is None:
        return None
    from nbcontainers.widgets.wire import KERNEL

    page = channel()
    page.open()
    spec = {"kind": address[0], "with": address[1], "id": uuid4().hex, "kernel": KERNEL}
    html = f'<div class="nbcontainers-live" data-nbcontainers="{escape(json.dumps(spec))}">{found["text/html"]}</div>'
    if mode != "on":
        return {"text/html": html}
    return {"text/html": html, WIDGET: {"model_id": page.model(spec), "version_major": 2, "version_minor": 0}}


def wanted() -> bool:
    """Whether a page may be looking."""
    return mode != "off" and kernel() is not None and (mode == "on" or front_end())


def kernel() -> Any:
    """The Jupyter kernel this runs in, or None."""
    import sys

    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive else None
    return getattr(shell, "kernel", None)


def front_end() -> bool:
    """Whether the request being carried out came from somebody who could answer a question."""
    found = kernel()
    request = found.get_parent().get("content", {}) if hasattr(found, "get_parent") else {}
    return bool(request.get("allow_stdin", getattr(found, "_allow_stdin", False)))


def channel() -> Page:
    """The channel of this process, made when first asked for."""
    global _page
    if _page is None:
        from nbcontainers.widgets.page import Page

        _page = Page(kind)
    return _page


def kind(name: str) -> type[Live]:
    """The class of a kind. Raises NotFound."""
    from nbcontainers.errors import NotFound

    if name not in KINDS:
        raise NotFound(f"nbcontainers has no live view {name!r}")
    module, _, wanted = KINDS[name].partition(":")
    found: type[Live] = getattr(import_module(module), wanted)
    found.kind = name
    return found


def hold(busy: bool) -> None:
    """A cell begins or ends: for `Page.hold`. An extension that the configuration loaded has had no front end before."""
    if busy and wanted():
        channel().open()
    if _page is not None:
        _page.hold(busy)
        if not busy:
            _page.stand_in()


def close() -> None:
    """End every live view, the clock and the channel."""
    global _page
    if _page is not None:
        _page.close()
    _page = None
