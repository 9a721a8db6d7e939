"""COPY, ADD and WORKDIR, in a process of the launcher: the files go into a new upper folder, and that becomes a layer.

The stage's layers are mounted with the upper folder over them, in a mount namespace of this process alone, so what a
destination means (a folder that is there, a link on the way) is what the kernel says.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, TypedDict

from nbcontainers.builder import archive, putting
from nbcontainers.builder.putting import Putter, Rights
from nbcontainers.builder.selection import Match, Root, missing, select
from nbcontainers.image import making, parts, rootfs, snapshot, work
from nbcontainers.image.making import Added, Below
from nbcontainers.image.parts import Part, Parts
from nbcontainers.layer.unpack import squashes
from nbcontainers.linux import mounts, namespaces
from nbcontainers.monitor import recipe
from nbcontainers.monitor.steps import Step

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Source(TypedDict):
    """Where files come from: `root`, a folder, or `lowers`, layers (top first) that are mounted for it. What: `matches`
    (selection.Match as lists), or `paths` to be looked for."""

    root: str
    lowers: list[str]
    matches: list[list[Any]]
    paths: list[str]


class Order(TypedDict):
    """One COPY or ADD. `texts`: [name, content] of files written in the Dockerfile; `unpack`: archives are unpacked;
    `made`: folders to be made, as WORKDIR does; `destination` ends with / where it is a folder."""

    sources: list[Source]
    texts: list[list[str]]
    destination: str
    owner: list[int] | None
    mode: str
    parents: bool
    exclude: list[str]
    unpack: bool
    made: list[str]


def copy(
    place: dict[str, Any], order: Order, lowers: list[str], below: Below, scratch: str, epoch: int | None
) -> Added:
    """Carry out an order over `lowers` (top first), which are the layers `below`; the new layer.

    `scratch` has the folders upper, work, root, from and unpacked, and is empty at the end.
    """
    engine = work.at(place)
    os.umask(0)
    with ExitStack() as stack:
        stack.callback(snapshot.discard, [f"{scratch}/{name}" for name in ("upper", "work")])
        if lowers or any(source["lowers"] for source in order["sources"]):
            namespaces.unshare(namespaces.CLONE_NEWNS)
            mounts.make_slave()
        if not lowers:
            _put_all(order, f"{scratch}/upper", scratch, rootless=engine.rootless)
            root: Part = {"name": "", "upper": f"{scratch}/upper", "lowers": []}
            return making.add(place, {"overlays": [root], "mounts": [], "userxattr": engine.rootless}, below, epoch)
        target = f"{scratch}/root"
        steps = rootfs.steps(lowers, target, rootless=engine.rootless, place=scratch)
        _mount(stack, steps)
        _put_all(order, target, scratch, rootless=engine.rootless)
        return making.add(place, parts.of(steps, target, [], userxattr=engine.rootless), below, epoch)


def _mount(stack: ExitStack, steps: list[Step]) -> None:
    """Until the stack ends."""
    recipe.perform(steps)
    stack.callback(recipe.undo, steps)


def _put_all(order: Order, path: str, scratch: str, *, rootless: bool) -> None:
    root = os.open(path, _FOLDER)
    owner = (order["owner"][0], order["owner"][1]) if order["owner"] else None
    squash = squashes()
    try:
        rights = Rights(owner or (0, 0), order["mode"], squash)
        for source in order["sources"]:  # of a stage or an image files keep their owners, as far as they are known here
            keeps = source["lowers"] and not (rootless and source["lowers"][-1] == "/")
            own = rights._replace(owner=owner) if keeps else rights
            _put(order, source, Putter(root, path, own), scratch, rootless=rootless)
        last = Putter(root, path, rights)
        for name, content in order["texts"]:
            last.text(content.encode("utf-8", "surrogateescape"), order["destination"], name)
        for folder in order["made"]:
            last.folder(folder)
        last.close()
    finally:
        os.close(root)


def _put(order: Order, source: Source, putter: Putter, scratch: str, *, rootless: bool) -> None:
    with ExitStack() as stack:
        stack.callback(putter.close)
        root = Root(_mounted(stack, source, scratch, rootless=rootless))
        stack.callback(root.close)
        try:
            for match in _matches(order, source, root):
                if not (order["unpack"] and _unpacked(order, root, match, putter, rootless=rootless)):
                    putter.put(root, match, order["destination"], parents=order["parents"])
        except OSError as error:
            from nbcontainers.builder.context import GONE, gone

            if isinstance(error, GONE) and str(error.filename).startswith(f"{root.path}/"):
                raise gone(error, root.path) from None
            raise


def _unpacked(order: Order, root: Root, match: Match, putter: Putter, *, rootless: bool) -> bool:
    """Whether it was an archive; then its members are there now. It is the same file from the first look to the last."""
    if not stat.S_ISREG(os.lstat(root.full(match.path)).st_mode):
        return False
    file = root.open(match.path)
    try:
        path = f"/proc/self/fd/{file}"
        if not stat.S_ISREG(os.fstat(file).st_mode) or not putting.is_archive(path):
            return False
        folder = putter.folder(order["destination"])
        archive.unpack(path, match.path, folder, userxattr=rootless, squash=putter.rights.squash)
    finally:
        os.close(file)
    return True


def _mounted(stack: ExitStack, source: Source, scratch: str, *, rootless: bool) -> str:
    """A folder that shows the source's files."""
    if source["root"]:
        return source["root"]
    if len(source["lowers"]) == 1:
        return source["lowers"][0]
    if not source["lowers"]:  # a stage without a layer
        return f"{scratch}/from"
    _mount(stack, rootfs.steps(source["lowers"], f"{scratch}/from", rootless=rootless))
    return f"{scratch}/from"


def _matches(order: Order, source: Source, root: Root) -> Sequence[Match]:
    known = [Match(path, name, is_folder, tuple(below), tuple((one, two) for one, two in above))
             for path, name, is_folder, below, above in source["matches"]]  # fmt: skip
    found = [
        match for path in source["paths"]
        for match in select(root, path, exclude=order["exclude"], parents=order["parents"])
    ]  # fmt: skip
    for match in known:
        if root.lstat(match.path) is None:  # it went since it was looked for
            raise missing(root, match.path, match.path)
    return known + found


def finish(
    place: dict[str, Any], parts: Parts, below: Below, scratch: str, epoch: int | None
) -> Added:  # fmt: skip
    """The layer of what a container left in `scratch`/upper; the folder goes in the same breath."""
    try:
        return making.add(place, parts, below, epoch)
    finally:
        snapshot.discard([f"{scratch}/{name}" for name in ("upper", "work", "root", "mounts")])


def gather(place: dict[str, Any], order: Order, scratch: str) -> None:
    """What an order says, copied to `scratch`/upper for a mount to show."""
    os.umask(0)
    _put_all(order, f"{scratch}/upper", scratch, rootless=work.at(place).rootless)


def extract(place: dict[str, Any], lowers: list[str], folder: str, scratch: str) -> None:
    """The files of `lowers` into a folder of the host; all of them belong to us."""
    os.umask(0)
    rootless = work.at(place).rootless
    with ExitStack() as stack:
        if not lowers:
            return
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.make_slave()
        source = _source_of(lowers)
        root = Root(_mounted(stack, source, scratch, rootless=rootless))
        stack.callback(root.close)
        target = os.open(folder, _FOLDER)
        stack.callback(os.close, target)
        putter = Putter(target, folder, Rights(None, "", squash=True))
        stack.callback(putter.close)
        putter.contents(root, putting.members(root), "/")


def _source_of(lowers: list[str]) -> Source:
    return {"root": "", "lowers": lowers, "matches": [], "paths": []}
