"""A comm of Jupyter's widget protocol (jupyter-widgets message format 2.1), without ipywidgets or anywidget.

The front end makes a model of anywidget's class `AnyModel` of it, whose module is `live.js`. It does so without any
output; with `spec` it can also be the model of a widget view, for front ends that run no widget but in an output.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any
from uuid import uuid4

from nbcontainers.errors import NotFound
from nbcontainers.version import VERSION

KERNEL = uuid4().hex
"""Names this process to the pages: HTML that it wrote belongs to its wires."""
_HALF = re.compile("[\ud800-\udfff]")
_MODULE = re.compile(r"(?:[a-z_0-9-]+/)?[a-z_0-9.-]+\.(?:m?js|css)")
_CLASS = {"model_name": "AnyModel", "model_module": "anywidget", "model_module_version": "*"}
_VIEW = {"view_name": "AnyView", "view_module": "anywidget", "view_module_version": "*"}

Take = Callable[["Wire", dict[str, Any], list[Any]], None]


class Wire:
    """One comm; `take` gets what pages send, in the kernel's main thread or a subshell's."""

    def __init__(self, take: Take, spec: Mapping[str, Any] | None = None) -> None:
        import comm

        self.take = take
        self.spec = spec
        data = {"state": self.state(), "buffer_paths": []}
        opened: Any = comm.create_comm(target_name="jupyter.widget", data=data, metadata={"version": "2.1.0"})
        self.comm: Any = opened
        opened.on_msg(self._on_message)
        # ipykernel 7.4 takes what pages say for answers to what was sent last, and to the shell that sent it: during a
        # cell that is the one that is busy. Ours are no answers; they go to the subshell that the page chose.
        opened._reply_subshell_for = lambda data, chosen: chosen
        self.stand_in()

    @property
    def id(self) -> str:
        return str(self.comm.comm_id)

    def state(self) -> dict[str, Any]:
        """The model as the front end makes it."""
        return {
            **{f"_{key}": value for key, value in (_CLASS | _VIEW).items()},
            "_view_count": None,
            "_dom_classes": [],
            "_anywidget_id": "nbcontainers.live",
            "_css": "",
            "_esm": text_of("live.js"),
            "kernel": KERNEL,
            "version": VERSION,
            "spec": self.spec,
        }

    def _on_message(self, message: dict[str, Any]) -> None:
        """What is none of a page's own messages says nothing of a view that could show an error: it is left alone."""
        data = message["content"].get("data")
        method, content = (data.get("method"), data.get("content")) if isinstance(data, dict) else (None, None)
        if method == "request_state":
            self._publish({"method": "update", "state": self.state(), "buffer_paths": []}, [])
        elif method == "custom" and isinstance(content, dict):
            self.take(self, content, list(message.get("buffers") or []))

    def send(self, content: Mapping[str, Any], buffers: list[bytes]) -> None:
        self._publish({"method": "custom", "content": sendable(content)}, buffers)

    def _publish(self, data: dict[str, Any], buffers: list[bytes]) -> None:
        if self.comm is not None:
            self.comm.send(data=data, buffers=buffers)

    def stand_in(self) -> None:
        """Where ipywidgets is used as well, its answer to a reloaded page is all that the page gets: be in it."""
        if (instances := _instances()) is not None:
            instances.setdefault(self.id, _Model(self))

    def close(self) -> None:
        ended, self.comm = self.comm, None
        if ended is not None:
            if (instances := _instances()) is not None:
                instances.pop(ended.comm_id, None)
            ended.close()


def _instances() -> dict[str, Any] | None:
    """All models that ipywidgets has; None where nobody uses it."""
    return getattr(sys.modules.get("ipywidgets.widgets.widget"), "_instances", None)


class _Model:
    """What ipywidgets asks of a widget when a page reloads (`Widget.get_manager_state`)."""

    _model_name, _model_module, _model_module_version = _CLASS.values()

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def model_id(self) -> str:
        return self._wire.id

    def get_state(self, key: object = None, drop_defaults: bool = False) -> dict[str, Any]:
        return self._wire.state()

    def _get_embed_state(self, drop_defaults: bool = False) -> dict[str, Any]:
        return {**_CLASS, "state": {}}

    def close(self) -> None:
        self._wire.close()


def sendable(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON without halves of a UTF-16 pair, which an image's config or a page may hold: no message can, and the thread
    that sends it would end."""
    text = json.dumps(content, ensure_ascii=False)
    found: dict[str, Any] = json.loads(_HALF.sub("\ufffd", text))
    return found


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
