"""What a root file system is put together from, by the steps that mount it: one overlay, or several for what lies on
the host (image/host.py).

Folders are read from outside, layer by layer, so nothing is mounted and volumes are never seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, TypedDict

from nbcontainers.layer import lower
from nbcontainers.layer.changes import Change, changes, merged
from nbcontainers.monitor.steps import Step


class Part(TypedDict):
    """One overlay. `name`: where in the root, "" for all of it; `lowers` top first."""

    name: str
    upper: str
    lowers: list[str]


class Parts(TypedDict):
    """The overlay of the root first. `mounts`: paths where something else is mounted, links on the way not followed."""

    overlays: list[Part]
    mounts: list[str]
    userxattr: bool


def of(steps: Sequence[Step], target: str, mounts: Sequence[str], *, userxattr: bool) -> Parts:
    """The parts that `steps` mount at `target`."""
    overlays, places = [], list(mounts)
    for step in steps:
        args = step["args"]
        if step["step"].endswith(":Overlay"):
            name = args["target"].removeprefix(target).strip("/")
            overlays.append(Part(name=name, upper=args["upper"], lowers=args["lower"]))
        elif step["step"].endswith(":Bind"):
            places.append(args["target"].removeprefix(target))
    return {"overlays": overlays, "mounts": places, "userxattr": userxattr}


def lowers(parts: Parts) -> list[str]:
    """The folders of whole trees below the changes, top first."""
    root, *others = parts["overlays"]
    return [*root["lowers"], *(["/"] if others else [])]


class Opened(NamedTuple):
    """A part with its folders open; `upper` has none before the first start of what lies on the host."""

    name: bytes
    upper: Sequence[int]
    lowers: Sequence[int]


@contextmanager
def opened(parts: Parts) -> Iterator[list[Opened]]:
    """The overlays, open. Where their files may be read: in the launcher's child."""
    with ExitStack() as stack:
        yield [
            Opened(os.fsencode(part["name"]), lower.opened(stack, upper), lower.opened(stack, part["lowers"]))
            for part, upper in zip(parts["overlays"], _uppers(parts), strict=True)
        ]


def _uppers(parts: Parts) -> list[list[str]]:
    uppers = [part["upper"] for part in parts["overlays"]]
    if len(uppers) == 1:
        return [uppers]
    os.stat(os.path.dirname(uppers[0]))  # FileNotFoundError where the container is gone
    return [[upper] if os.path.isdir(upper) else [] for upper in uppers]


def all_changes(parts: Parts) -> Iterator[Change]:
    """What was changed, part by part; a change may be used until the next is asked for."""
    with opened(parts) as found, ExitStack() as stack:
        layers = [*found[0].upper, *lower.opened(stack, lowers(parts))]
        mounts = [_place(layers, path) for path in parts["mounts"]]
        for part in found:
            skip = [path.removeprefix(part.name).lstrip(b"/") for path in mounts if _inside(path, part.name)]
            for upper in part.upper:
                for change in changes(upper, part.lowers, userxattr=parts["userxattr"], skip=skip):
                    yield _moved(change, part.name)


def _place(layers: Sequence[int], path: str) -> bytes:
    """Where a mount point is in the layers: a link on the way was followed when it was made."""
    found = lower.follow(layers, path)
    return found.path if found else os.fsencode(path.strip("/"))


def whole(parts: Parts, unreadable: Callable[[bytes], None]) -> Iterator[Change]:
    """Everything in the root, as additions; `unreadable` is told the folders nobody here may read."""
    with opened(parts) as found:
        for part in found:
            for change in merged([*part.upper, *part.lowers], unreadable=unreadable):
                if part.name or not _in_a_part(change.path, found):
                    yield _moved(change, part.name)


def _in_a_part(path: bytes, found: Sequence[Opened]) -> bool:
    return any(part.name and _inside(path, part.name) for part in found)


def _inside(path: bytes, folder: bytes) -> bool:
    return not folder or path == folder or path.startswith(folder + b"/")


def _moved(change: Change, name: bytes) -> Change:
    if not name:
        return change
    return change._replace(path=name + b"/" + change.path if change.path else name)
