"""`--squash`: the layers of a build as one, on those of its base (docker build --squash). What no layer shows is gone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbcontainers.builder.files import Files, Result
from nbcontainers.dockerfile import key as keys
from nbcontainers.image import kept, work
from nbcontainers.image.kept import Kept
from nbcontainers.image.making import Added
from nbcontainers.oci import digest

if TYPE_CHECKING:
    from nbcontainers.builder.building import Build


def squashed(build: Build, end: Result) -> Result:
    """The same files in one layer more than the base has; kept for the next time, as a step's are."""
    files, below = end.files, end.below
    if len(files.diff_ids) - below < 2:
        return end
    base = Files(files.diff_ids[:below], files.blobs[:below], files.base)
    parts = {"squash": files.below, "below": below, "epoch": build.request.epoch, "version": keys.VERSION}
    key = digest.of(keys.encode(parts))
    found = kept.find(build.engine, key) or _joined(build, files, base, key)
    return replace(
        end, files=base.plus(found), history=_history(end, len(files.diff_ids) - below), created=found["created"]
    )


def _joined(build: Build, files: Files, base: Files, key: str) -> Kept:
    beneath = build.lowers(base)
    below = {os.path.realpath(folder) for folder in beneath}
    layers = [folder for folder in build.lowers(files) if os.path.realpath(folder) not in below]
    added: Added = work.call(
        "making:join", place=work.place(build.engine), layers=layers, lowers=beneath,
        below=base.below, epoch=build.request.epoch,
    )  # fmt: skip
    found: Kept = {
        "created": build.moment(), "descriptor": added["descriptor"], "diff_id": added["diff_id"],
        "chain": kept.chain_of([*base.diff_ids, added["diff_id"]], base.base), "entries": added["entries"], "files": added["files"],
        "size": added["size"], "what": f"--squash of {len(files.diff_ids) - len(base.diff_ids)} layers",
    }  # fmt: skip
    if not added["entries"]:
        found |= {"descriptor": {}, "diff_id": "", "chain": kept.chain_of(list(base.diff_ids), base.base)}
    kept.keep(build.engine, key, found)
    return found


def _history(end: Result, count: int) -> tuple[Mapping[str, Any], ...]:
    """The base's as it is, then steps without layers, then the one that has them all."""
    lines, layers = [], 0
    for line in end.history:
        layers += not line.get("empty_layer")
        lines.append(line if layers <= end.below else {**line, "empty_layer": True})
    return (*lines, {"created": end.created, "created_by": "", "comment": f"squashed {count} layers"})
