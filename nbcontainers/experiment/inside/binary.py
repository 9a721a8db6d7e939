"""Names and their objects in binary form: pickle protocol 5, large buffers out of band (PEP 574).

Objects are pickled in turn by one pickler, so what they share stays shared. Functions and classes of a notebook
(`__main__`) do not exist on the other side: cloudpickle carries them by value where it is installed; else they are
refused, because a reference to them could only fail or, worse, meet another object of the same name.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

ALIGNMENT = 64
SMALLEST_BUFFER = 4096
"""Smaller buffers travel inside the pickle: a descriptor each would cost more than the copy."""

_HOME = b"__main__"


class NotPickled(Exception):
    """One object cannot leave: `name` and `reason`, and whether cloudpickle would help."""

    def __init__(self, name: str, reason: str, *, by_value: bool = False) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason, self.by_value = name, reason, by_value


class NotLoaded(Exception):
    """One object cannot be made here: `name` and `reason`; `module` that is missing, if it is that."""

    def __init__(self, name: str, error: BaseException) -> None:
        self.name, self.reason = name, f"{type(error).__name__}: {error}"
        self.module = error.name if isinstance(error, ImportError) else None
        super().__init__(f"{name}: {self.reason}")


class Sink(Protocol):
    """Where pickles go; `restart` makes what was written so far void."""

    def restart(self) -> None: ...
    def write(self, data: Any, /) -> object: ...
    def finish(self, buffers: list[pickle.PickleBuffer]) -> None: ...


def dump(objects: Mapping[str, object], sink: Sink) -> None:
    """Pickle every object into `sink`. Raises NotPickled naming the first that cannot be."""
    try:
        _attempt(objects, sink, pickle.Pickler)
    except NotPickled as error:
        if find_spec("cloudpickle") is None or isinstance(error.__cause__, RecursionError):
            raise
        sink.restart()
        _attempt(objects, sink, _by_value())


def load(names: Iterable[str], file: Any, buffers: Iterable[Any]) -> dict[str, object]:
    """The objects by name. `buffers` are in the order of `Sink.finish`. Raises NotLoaded."""
    unpickler = pickle.Unpickler(file, buffers=buffers)
    found: dict[str, object] = {}
    for name in names:
        try:
            found[name] = unpickler.load()
        except Exception as error:
            raise NotLoaded(name, error) from error
    return found


def _attempt(objects: Mapping[str, object], sink: Sink, kind: Callable[..., pickle.Pickler]) -> None:
    watch = _Watch(sink)
    buffers: list[pickle.PickleBuffer] = []
    pickler = kind(watch, 5, buffer_callback=lambda buffer: _in_band(buffer, buffers))
    for name, value in objects.items():
        try:
            pickler.dump(value)
        except Exception as error:
            raise NotPickled(name, _reason(error), by_value=_local(error)) from error
    if watch.saw and kind is pickle.Pickler:
        _refuse_home(objects)
    sink.finish(buffers)


def _in_band(buffer: pickle.PickleBuffer, buffers: list[pickle.PickleBuffer]) -> bool:
    try:
        large = buffer.raw().nbytes >= SMALLEST_BUFFER
    except BufferError:  # not contiguous: pickle copies it
        return True
    if large:
        buffers.append(buffer)
    return not large


def _by_value() -> Callable[..., pickle.Pickler]:
    from cloudpickle import Pickler  # type: ignore[import-untyped, import-not-found, unused-ignore]

    return Pickler  # type: ignore[no-any-return, unused-ignore]


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply for pickle"
    return str(error) or type(error).__name__


def _local(error: BaseException) -> bool:
    """Lambdas and functions within functions: cloudpickle knows what to do with them."""
    return any(word in str(error) for word in ("lambda", "local object", "attribute lookup"))


class _Watch:
    """A file that notes whether `__main__` was written: a cheap sign that objects of the notebook may be in it.

    The pickler writes whole opcodes, so a name is never split between two writes.
    """

    def __init__(self, sink: Sink) -> None:
        self._write, self.saw = sink.write, False

    def write(self, data: Any) -> int:
        if not self.saw and isinstance(data, (bytes, bytearray)):
            self.saw = _HOME in data
        self._write(data)
        return len(data)


class _Home(pickle.Pickler):
    """Finds the first function or class of `__main__` that a plain pickle would refer to by name."""

    def reducer_override(self, value: Any) -> Any:
        if getattr(value, "__module__", None) == "__main__" and hasattr(value, "__qualname__"):
            raise _Found(value)
        return NotImplemented


class _Found(Exception):
    pass


class _Nowhere:
    def write(self, data: Any) -> int:
        return len(data)


def _refuse_home(objects: Mapping[str, object]) -> None:
    finder = _Home(_Nowhere(), 5, buffer_callback=lambda _: False)
    for name, value in objects.items():
        try:
            finder.dump(value)
        except _Found as found:
            thing = found.args[0]
            kind = "class" if isinstance(thing, type) else "function"
            what = "it is the" if thing is value else "it needs the"
            raise NotPickled(name, f"{what} {kind} {thing.__qualname__!r} of __main__", by_value=True) from None
