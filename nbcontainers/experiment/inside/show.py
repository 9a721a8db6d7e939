"""What the cell shows: plain text at once; anything richer through IPython's own display machinery.

IPython (70 ms) is imported only for a value that needs it. `display` and `get_ipython` are there without an import,
as in a notebook; a figure made by matplotlib is shown by its inline backend when the cell ends.
"""

from __future__ import annotations

import builtins
import os
import sys
from types import ModuleType

from . import wire

TYPE_CHECKING = False  # typing's own import takes 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .channel import Channel
    from .stdio import Counted

    Bundle = dict[str, Any]

_PLAIN = (int, float, complex, bool, str, bytes)
_WIDTH = 79


def plain(value: object) -> str | None:
    """The text IPython would show for a value of simple built-in types that fits a line; None for all others."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind in (list, tuple, dict) and _all_plain(value):
        text = repr(value)
        return text if len(text) <= _WIDTH else None
    return None


def _all_plain(value: Any) -> bool:
    if len(value) > _WIDTH // 3:
        return False
    items = [*value, *value.values()] if type(value) is dict else value
    return all(type(item) in _PLAIN for item in items)


class Show:
    """Sends displays, and stands where IPython's shell is expected until the real one is needed."""

    def __init__(
        self, channel: Channel, counters: tuple[Counted, Counted], module: ModuleType, header: dict[str, Any]
    ) -> None:
        self._channel, self._counters, self._module, self._header = channel, counters, module, header
        self._shell: Any = None
        self._stand_in = _StandIn(self.shell, module.__dict__, header["execution_count"])
        builtins.display = self.display  # type: ignore[attr-defined]
        builtins.get_ipython = self._get_ipython  # type: ignore[attr-defined]
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        if not os.access(os.path.expanduser("~"), os.W_OK):
            os.environ.setdefault("MPLCONFIGDIR", "/tmp/matplotlib")
        sys.meta_path.insert(0, _AfterImport({"IPython": self.shell, "matplotlib": self._matplotlib}))

    def _get_ipython(self) -> Any:
        return self._shell or self._stand_in

    def shell(self) -> Any:
        """IPython's shell, with this display channel and the cell's names. Raises ImportError without IPython."""
        if self._shell is None:
            import IPython  # noqa: F401 (its import calls us, if it is the first)
        if self._shell is None:
            from . import shell

            self._shell = shell.make(self, self._module, self._header)
        return self._shell

    def publish(self, data: Bundle, metadata: Bundle | None, transient: Bundle | None, update: bool = False) -> None:
        """One display. What is larger than a frame may be is replaced by a sentence that says so."""
        document = {"data": data, "metadata": metadata or {}, "transient": transient or {}, "update": update}
        size = sum(len(part) for part in data.values() if isinstance(part, (str, bytes)))
        if size > wire.LARGEST_JSON // 8:
            document["data"] = _that_fit(data)
        self._send(wire.SHOW, document)

    def clear(self, wait: bool) -> None:
        self._send(wire.CLEAR, {"wait": wait})

    def _send(self, kind: bytes, document: dict[str, Any]) -> None:
        if not self._channel.ours:
            sys.stdout.write(f"{document.get('data', {}).get('text/plain', '')}\n")
            return
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = (counter.count for counter in self._counters)
        self._channel.send(kind, {**document, "stdout": out, "stderr": err})

    def value(self, value: object) -> None:
        """The value of the cell's last expression."""
        if value is None:
            return
        builtins._ = self._module.__dict__["_"] = value  # type: ignore[attr-defined]
        text = plain(value) if self._shell is None else None
        if text is not None:
            self.publish({"text/plain": text}, None, None)
        else:
            self.display(value)

    def display(self, *objects: object, **options: Any) -> Any:
        """IPython.display.display; it needs no IPython for simple values."""
        texts = [plain(value) for value in objects] if not options and self._shell is None else [None]
        if objects and None not in texts:
            for text in texts:
                self.publish({"text/plain": text}, None, None)
            return None
        try:
            self.shell()
            from IPython.display import display
        except (ImportError, OSError):  # no IPython, or nowhere it may keep its files
            for value in objects:
                self.publish({"text/plain": repr(value)}, None, None)
            return None
        return display(*objects, **options)  # type: ignore[no-untyped-call]

    def figures(self) -> None:
        """Show the figures that are open; IPython's hook after every cell."""
        if self._shell is not None:
            self._shell.events.trigger("post_execute")

    def _matplotlib(self) -> None:
        """The notebook's own rcParams, so that figures look as they do there, and its list of fonts."""
        import matplotlib

        _copy_new(self._header["fonts"], matplotlib.get_cachedir())
        given = self._header["matplotlib"]
        if given:
            if colors := given.pop("axes.prop_cycle", None):
                from cycler import cycler

                given["axes.prop_cycle"] = cycler(**colors)
            matplotlib.rcParams.update({key: value for key, value in given.items() if key in matplotlib.rcParams})


def _that_fit(data: Bundle) -> Bundle:
    limit = wire.LARGEST_JSON // 8
    kept = {kind: part for kind, part in data.items() if not isinstance(part, (str, bytes)) or len(part) <= limit}
    left = ", ".join(f"{kind} of {len(data[kind]) >> 20} MiB" for kind in data if kind not in kept)
    kept.setdefault("text/plain", f"[left out, because a display may have {limit >> 20} MiB: {left}]")
    return kept


def _copy_new(source: str, target: str) -> None:
    """The files of one folder that the other does not have; without them things are slower, not different."""
    from shutil import copyfile

    try:
        for name in set(os.listdir(source)) - set(os.listdir(target)):
            copyfile(f"{source}/{name}", f"{target}/{name}")
    except OSError:
        return


class _StandIn:
    """What libraries ask of `get_ipython()` when they are imported (pandas: is this a notebook?)."""

    kernel = None

    def __init__(self, shell: Callable[[], Any], names: dict[str, Any], execution_count: int) -> None:
        self._real, self.user_ns, self.execution_count = shell, names, execution_count
        self.config: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)


class _AfterImport:
    """A finder that calls a function once the module of that name has been imported."""

    def __init__(self, calls: dict[str, Callable[[], Any]]) -> None:
        self._calls = calls

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self._calls:
            return None
        call = self._calls.pop(name)
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is not self and find and (spec := find(name, path, target)):
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, call)
                return spec
        return None


class _Loader:
    """The module's own loader; `then` follows its execution."""

    def __init__(self, loader: Any, then: Callable[[], Any]) -> None:
        self._loader, self._then = loader, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._then()
