"""What to type after a failure of a cell: sentences for its ends and hints for its exceptions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from nbcontainers.container.container import Container
from nbcontainers.container.failure import mebibytes

_NETWORK = {"gaierror", "URLError", "NewConnectionError", "ConnectError", "NameResolutionError", "ClientConnectorError"}
_MOST_NAMES = 12


def for_pickling(by_value: bool) -> str:
    """An object that cannot leave its side."""
    if by_value and find_spec("cloudpickle") is None:
        return "pip install cloudpickle carries functions and classes of a notebook; or put it in a module"
    return "pass the data it is made of: arrays, frames, numbers, text"


def for_end(end: Mapping[str, Any], outputs: Iterable[str]) -> tuple[str, str]:
    """(what happened, what to do) for an end that is neither good nor an exception; ("", "") if there is no word."""
    status = end.get("status")
    name, reason = str(end.get("name", "")), str(end.get("reason", ""))
    if status == "exit":
        where = f" in line {end['line']}" if end.get("line") else ""
        return (
            f"the code ended itself: sys.exit({end.get('code')}){where} (exit status {end.get('code')})",
            "leave sys.exit() out of a cell; raise an error instead",
        )
    if status == "missing":
        missing = ", ".join(map(str, end.get("missing") or ()))
        return f"{missing} was never assigned, so nothing came back", _defined(list(end.get("defined") or ()))
    if status == "output":
        return f"{name} cannot be brought back: {reason}", for_pickling(bool(end.get("by_value")))
    if status == "input":
        return f"{name} cannot be made in the container: {reason}", _module(end.get("module"))
    return "", ""


def _defined(names: list[str]) -> str:
    if not names:
        return "the code defined no name"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"the code defined {', '.join(names[:_MOST_NAMES])}{more}"


def for_error(description: Mapping[str, Any], container: Container) -> str:
    """The hint for an exception; "" where its own message says enough."""
    if container.oom_killed:
        used, limit = container.memory_peak, container.memory_limit
        evidence = f" (peak {mebibytes(used)} of {mebibytes(limit)})" if used and limit else ""
        more = f", as -m {max(1, round(2 * limit / 2**20))}m" if limit else ""
        return f"a process in the container was killed for lack of memory{evidence}; give it more{more}"
    for link in description.get("chain") or ():
        if hint := _of_link(link, container):
            return hint
    return ""


def _of_link(link: Mapping[str, Any], container: Container) -> str:
    if module := link.get("missing"):
        return _module(str(module))
    if path := link.get("path"):
        return _path(str(path))
    if link.get("type") in _NETWORK and container.record.get("network") == "none":
        return "the container has no network; --network host gives it this machine's"
    return ""


def _module(name: object) -> str:
    """Where a module is that the container did not find."""
    if not name:
        return ""
    try:
        spec = find_spec(str(name).partition(".")[0])
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.origin or not os.path.isabs(spec.origin):
        return ""
    depth = 2 if spec.submodule_search_locations else 1
    folder = spec.origin
    for _ in range(depth):
        folder = os.path.dirname(folder)
    return _mount(f"{name} is in {folder}", folder)


def _path(path: str) -> str:
    """A file that is here, but not there."""
    here = os.path.abspath(path)
    if not os.path.exists(here):
        return ""
    return _mount(f"{here} is here", os.path.dirname(here) if not os.path.isdir(here) else here)


def _mount(fact: str, folder: str) -> str:
    return f"{fact}, where the container may not look; show it the folder with -v {folder}:{folder}:ro"
