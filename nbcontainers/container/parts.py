"""What a container's root file system is put together from, by its recipe: overlays, and what the runtime made.

Usually one overlay. Of `host` there is one for each visible folder, in a skeleton of folders and small copies.
Folders are read from outside the container, layer by layer, so nothing is mounted and volumes are never seen.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypedDict

from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.errors import Error
from nbcontainers.layer import lower
from nbcontainers.layer.changes import Change, changes, merged


class Part(TypedDict):
    """One overlay. `name`: where in the root, "" for all of it; `lowers` top first."""

    name: str
    upper: str
    lowers: list[str]


class Parts(TypedDict):
    """`base`: the folder that holds the others, and the step that filled it, for `host` only. `mounts`: paths."""

    overlays: list[Part]
    base: str
    skeleton: dict[str, Any]
    mounts: list[str]
    userxattr: bool


def of(container: Container) -> Parts:
    """From recipe.json and config.json. Raises NotFound for a container that is gone."""
    recipe = store.read(container.engine, container.id, "recipe.json")
    config = store.read(container.engine, container.id, "config.json")
    folder = store.folder(container.engine, container.id)
    skeleton, overlays = {}, []
    for step in recipe["steps"]:
        args = step["args"]
        if step["step"].endswith(":Overlay"):
            name = args["target"].removeprefix(f"{folder}/rootfs").strip("/")
            overlays.append(Part(name=name, upper=args["upper"], lowers=args["lower"]))
        elif step["step"].endswith(":Skeleton"):
            skeleton = args
    mounts = [mount["destination"] for mount in config.get("mounts", [])]
    mounts += [step["args"]["target"].removeprefix(f"{folder}/rootfs") for step in recipe["steps"] if _binds(step)]
    return {
        "overlays": overlays, "base": skeleton.get("root", ""), "skeleton": skeleton, "mounts": mounts,
        "userxattr": container.engine.rootless,
    }  # fmt: skip


@contextmanager
def present(container: Container) -> Generator[None]:
    """Around what reads the folders. Raises NotFound if the container was removed meanwhile: then what was read of it
    may lack files, and nobody was told."""
    try:
        yield
    except (Error, OSError):
        store.read(container.engine, container.id, "recipe.json")
        raise
    store.read(container.engine, container.id, "recipe.json")


def _binds(step: dict[str, Any]) -> bool:
    return bool(step["step"].endswith(":Bind"))


class Opened(NamedTuple):
    """A part with its folders open."""

    name: bytes
    upper: int
    lowers: Sequence[int]


@contextmanager
def opened(parts: Parts) -> Iterator[list[Opened]]:
    """The overlays, open. Where their files may be read: in the launcher's child."""
    with ExitStack() as stack:
        found = [(part["name"], part["upper"], part["lowers"]) for part in parts["overlays"]]
        if parts["base"]:
            found.insert(0, ("", parts["base"], []))
        folders = [lower.opened(stack, [upper, *lowers]) for _, upper, lowers in found]
        yield [Opened(os.fsencode(one[0]), top, below) for one, (top, *below) in zip(found, folders, strict=True)]


def all_changes(parts: Parts) -> Iterator[Change]:
    """What the container changed, part by part; a change may be used until the next is asked for."""
    mounts = [os.fsencode(path.strip("/")) for path in parts["mounts"]]
    with opened(parts) as found:
        for part in found:
            skip = [path.removeprefix(part.name).lstrip(b"/") for path in mounts if _inside(path, part.name)]
            own = _own(parts["skeleton"]) if parts["base"] and not part.name else None
            for change in changes(part.upper, part.lowers, userxattr=parts["userxattr"], skip=skip, own=own):
                if not (own and _in_a_part(change.path, found)):
                    yield _moved(change, part.name)


def whole(parts: Parts, unreadable: Callable[[bytes], None]) -> Iterator[Change]:
    """Everything in the container's root, as additions; `unreadable` is told the folders nobody here may read."""
    with opened(parts) as found:
        for part in found:
            for change in merged([part.upper, *part.lowers], unreadable=unreadable):
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


def _own(skeleton: dict[str, Any]) -> Callable[[bytes, os.stat_result], bool]:
    """Whether something is as the skeleton was made: folders of that mode, links, copies that nobody touched."""
    root = os.fsencode(skeleton["root"])

    def own(path: bytes, status: os.stat_result) -> bool:
        name, here = os.fsdecode(path), os.path.join(root, path)
        if stat.S_ISDIR(status.st_mode):
            return name in skeleton["overlays"] or skeleton["folders"].get(name) == stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            return bool(skeleton["links"].get(name) == os.fsdecode(os.readlink(here)))
        if name in skeleton["files"]:
            return status.st_size == 0
        return name in skeleton["copies"] and stat.S_ISREG(status.st_mode) and _same(here, b"/" + path)

    return own


def _same(one: bytes, other: bytes) -> bool:
    """Whether two small files have the same content; the second may be gone."""
    try:
        with open(one, "rb") as first, open(other, "rb") as second:
            return first.read() == second.read()
    except OSError:
        return False
