"""`container overlay`: the folders that a container's root is put together from, and what it changed in its own.

One overlay, or several for what lies on the host (image/host.py). Everything is read from the folders themselves, from
outside, in a process of the launcher; nothing is mounted. Whiteouts are shown as what they are in the upper folder: a
character device 0:0 for a path that is gone, an attribute for a folder that hides the one below.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbcontainers.container import parts as roots
from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.errors import Error
from nbcontainers.image import growing, layerview, portrait, reading
from nbcontainers.image.growing import Branch
from nbcontainers.image.image import Image
from nbcontainers.image.merging import ADDED, ATTRIBUTES, CHANGED, CHANGES, REMOVED, Entry
from nbcontainers.image.parts import Parts, all_changes
from nbcontainers.layer import lower
from nbcontainers.layer.changes import Change, contents_differ, total
from nbcontainers.view import View

if TYPE_CHECKING:
    import pandas

WHITEOUT, OPAQUE, HIDDEN = "whiteout", "opaque", "hidden"
"""How an upper folder says that something is gone: a device 0:0 in its place, an attribute of the folder that takes the
place of one below, nothing at all in such a folder."""
_OF_FILES = "path change kind size before files mode uid gid link form layer".split()


@dataclass(frozen=True)
class Lower:
    """One folder below, `number` 1 the lowest. `digest` and `instruction` are those of the image's layer it is; "" for
    the host's own folders and for a layer whose image is gone. `size`: bytes of its files, None where that is unknown."""

    number: int
    path: str
    what: str
    digest: str = ""
    instruction: str = ""
    size: int | None = None


@dataclass(frozen=True)
class Part:
    """One overlay. `name`: where in the container's root, "" for all of it; `lowers` top first."""

    name: str
    merged: str
    upper: str
    work: str
    lowers: Sequence[Lower]


@dataclass(frozen=True)
class Changed:
    """A path that the container added, changed or removed. `before`: bytes it had below; `files`: how many that is, more
    than one for a folder that is gone; `form`: how the upper folder says so; `layer`: the lower it was in, 0 for none."""

    entry: Entry
    before: int
    files: int
    form: str

    @property
    def row(self) -> tuple[Any, ...]:
        one = self.entry
        link = layerview.printed_link(one)
        return (
            layerview.printed(one.path), one.change, layerview.KINDS[one.kind], one.size, self.before, self.files, one.mode,
            one.uid, one.gid, link, self.form, one.first,
        )  # fmt: skip

    @property
    def note(self) -> str:
        """What its line in a tree says besides."""
        words = [f"→ {self.entry.link}"] if self.entry.link else []
        words += [f"{self.files:,} files"] if self.entry.change == REMOVED and self.entry.kind == "d" else []
        words += [f"was {portrait.known(self.before)}"] if self.entry.change == CHANGED else []
        words += [f"{self.entry.mode:04o} {self.entry.uid}:{self.entry.gid}"] if self.entry.change == ATTRIBUTES else []
        words += [f"of layer {self.entry.first}"] if self.entry.change != ADDED and self.entry.first else []
        return ", ".join([*words, *([_FORMS[self.form]] if self.form else [])])


class Overlay(View):
    """The layers of a container's root, what is mounted over it, and what it changed, at one moment."""

    def __init__(
        self, name: str, id: str, image: str, status: str, pid: int | None, parts: Sequence[Part],
        mounts: Sequence[Mapping[str, Any]], changed: Sequence[Changed],
    ) -> None:  # fmt: skip
        self.name = name
        self.id = id
        self.image = image
        self.status = status
        self.pid = pid
        self.parts = list(parts)
        self.mounts = list(mounts)
        self.changed = list(changed)
        self.at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())

    @property
    def counts(self) -> dict[str, int]:
        """Files by change."""
        found = dict.fromkeys(CHANGES, 0)
        for one in self.changed:
            if one.entry.kind != "d" or one.entry.change == REMOVED:
                found[one.entry.change] += one.files
        return found

    @property
    def size(self) -> int:
        """Bytes of the files in the upper folders."""
        return sum(one.entry.size for one in self.changed if one.entry.change != REMOVED)

    @property
    def removed(self) -> int:
        """Bytes of files below that are hidden because they were removed."""
        return sum(one.before for one in self.changed if one.entry.change == REMOVED)

    def tree(self) -> Branch:
        """What changed, as a tree."""
        return growing.grow(self.changed, lambda one: one.entry, lambda one: one.note)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a path that changed: path, change (added, changed, attributes, removed), kind, size (bytes it has; of what
        is removed: had), before (bytes below), files, mode, uid, gid, link, form ("whiteout", "opaque", "hidden" or ""),
        layer (the lower folder the path was in, 1 the lowest; 0: none)."""
        import pandas

        frame = pandas.DataFrame([one.row for one in self.changed], columns=_OF_FILES)
        frame["change"] = pandas.Categorical(frame["change"], categories=list(CHANGES))
        return frame

    def layers(self) -> pandas.DataFrame:
        """A row a folder of the stack, top first: part (where in the root), role (merged, upper, lower, work), number,
        path, what, digest, instruction, size (bytes, Int64)."""
        import pandas

        frame = pandas.DataFrame(
            list(self._folders()), columns="part role number path what digest instruction size".split()
        )
        return frame.astype({"size": "Int64", "number": "Int64"})

    def _folders(self) -> Iterator[tuple[Any, ...]]:
        for part in self.parts:
            yield f"/{part.name}", "merged", None, part.merged, "what the container sees", "", "", None
            yield f"/{part.name}", "upper", None, part.upper, "what it changed", "", "", None
            for one in part.lowers:
                yield f"/{part.name}", "lower", one.number, one.path, one.what, one.digest, one.instruction, one.size
            yield f"/{part.name}", "work", None, part.work, "overlayfs' own", "", "", None

    def document(self) -> dict[str, Any]:
        """For `--format json`."""
        changed = [dict(zip(_OF_FILES, one.row, strict=True)) for one in self.changed]
        keys = "part role number path what digest instruction size".split()
        folders = [dict(zip(keys, one, strict=True)) for one in self._folders()]
        return {"id": self.id, "name": self.name, "folders": folders, "mounts": self.mounts, "changes": changed}

    def text(self) -> str:
        from nbcontainers.container import bands

        return bands.text(self)

    def html(self) -> str:
        from nbcontainers.container import bands

        return bands.html(self)


_FORMS = {WHITEOUT: "a whiteout: character device 0:0", OPAQUE: "opaque: hides the folder below",
          HIDDEN: "not in the opaque folder"}  # fmt: skip


def of(container: Container) -> Overlay:
    """Raises NotFound for a container that is gone, or goes meanwhile."""
    from nbcontainers.launcher.client import call

    record = container.record
    with roots.present(container):
        parts = _parts(container, record)
        found = call("nbcontainers.container.stacking:look", parts=roots.of(container))
    changed = [Changed(Entry._make(entry), *rest) for entry, *rest in found]
    mounts = record.get("mounts") or []
    return Overlay(
        container.name, container.id, container.image, container.status, container.pid, parts, mounts, changed
    )  # fmt: skip


def _parts(container: Container, record: Mapping[str, Any]) -> list[Part]:
    known = _layers(container, record)
    merged = f"{store.folder(container.engine, container.id)}/rootfs"
    found = []
    for step in store.read(container.engine, container.id, "recipe.json")["steps"]:
        if step["step"].endswith(":Overlay") and step["args"].get("upper"):
            args, folders = step["args"], step["args"]["lower"]
            lowers = [
                _lower(path, number, known) for number, path in zip(range(len(folders), 0, -1), folders, strict=True)
            ]
            name = args["target"].removeprefix(merged).strip("/")
            found.append(Part(name, args["target"], args["upper"], args["work"], lowers))
    return found


def _layers(container: Container, record: Mapping[str, Any]) -> dict[str, Lower]:
    """The layers of its image by hex ChainID; nothing where that is gone."""
    image = Image(container.engine, record["image_digest"], record["image"])
    try:
        steps = [] if image.is_host else layerview.steps(image)
        chains = [chain.rpartition(":")[2] for chain in image.chain_ids]
    except (Error, OSError):
        return {}
    return {
        chain: Lower(0, "", "layer", step["digest"], portrait.said(step), step.get("size"))
        for chain, step in zip(chains, steps, strict=True)
    }


def _lower(path: str, number: int, known: Mapping[str, Lower]) -> Lower:
    place = os.path.realpath(path)
    folder = os.path.basename(os.path.dirname(place))
    if layer := known.get(folder):
        return Lower(number, path, layer.what, layer.digest, layer.instruction, layer.size)
    if f"{os.sep}snapshots{os.sep}" in place:
        return Lower(number, path, "layer of an image that is gone" if place.endswith("/fs") else "part of a layer")
    own = {"host-": "skeleton: empty folders for what the host shows", "cache": "mask: hides the host's secrets"}
    return Lower(number, path, own.get(folder[:5], "the host's own"))


# The launcher's side.


def look(parts: Parts) -> list[tuple[Any, ...]]:
    """Entry, before, files, form of each path that changed."""
    numbers = {os.path.realpath(path): len(part["lowers"]) - at for part in parts["overlays"]
               for at, path in enumerate(part["lowers"])}  # fmt: skip
    uppers = {part["name"]: part["upper"] for part in parts["overlays"]}
    found = (_changed(one, numbers, uppers) for one in all_changes(parts) if one.path)
    return [one for one in found if one[0].change]


def _changed(change: Change, numbers: Mapping[str, int], uppers: Mapping[str, str]) -> tuple[Any, ...]:
    below = change.below[0] if change.below else None
    number = numbers.get(os.path.realpath(f"/proc/self/fd/{below.layer}"), 0) if below else 0
    path = os.fsdecode(change.path)
    entry = reading.entry_of(path, change.status, ADDED, number)
    if change.kind == "D":
        is_folder = entry.kind == "d"
        files, size = total(change.below) if is_folder else (1, entry.size)
        return entry._replace(change=REMOVED, size=size), size, files, _gone_by(path, uppers)
    before = reading.size_of(below.status) if below else 0
    if entry.kind == "l":
        with suppress(OSError):  # a running program was quicker
            entry = entry._replace(link=os.readlink(os.fsdecode(change.name), dir_fd=change.folder))
    form = OPAQUE if entry.kind == "d" and below and lower.is_opaque(change.folder, b"") else ""
    kind = _kind(change, entry) or (CHANGED if form else "")
    return entry._replace(change=kind), before, 1, form


def _kind(change: Change, entry: Entry) -> str:
    """`changed` for another content, or a folder that hides the one below; "" for one in which only something changed."""
    if change.kind == "A":
        return ADDED
    old = change.below[0].status
    same_owner = (old.st_mode, old.st_uid, old.st_gid) == (
        change.status.st_mode,
        change.status.st_uid,
        change.status.st_gid,
    )
    if entry.kind == "d" and stat.S_ISDIR(old.st_mode):
        return "" if same_owner else ATTRIBUTES
    if stat.S_IFMT(old.st_mode) == stat.S_IFMT(change.status.st_mode) and not contents_differ(change.below[0], change):
        return ATTRIBUTES
    return CHANGED


def _gone_by(path: str, uppers: Mapping[str, str]) -> str:
    """How the upper folder says that a path is gone."""
    name = max((name for name in uppers if not name or path.startswith(f"{name}/")), key=len)
    inside = path.removeprefix(name).lstrip("/")
    try:
        return WHITEOUT if lower.is_whiteout(os.lstat(f"{uppers[name]}/{inside}")) else HIDDEN
    except OSError:
        return HIDDEN
