"""`image tree`: layers as a tree, each with the instruction that made it and what it does to the files below.

Images that begin with the same layers share them: where they part, the tree branches.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from nbcontainers.errors import Error
from nbcontainers.image import host, lease, listing, snapshot, work
from nbcontainers.image.image import Image
from nbcontainers.image.store import short
from nbcontainers.layer.changes import changes, total
from nbcontainers.layer.lower import opened
from nbcontainers.oci.image import ON_HOST
from nbcontainers.table import Column, Row, Table, few, stored


@dataclass
class _Node:
    """One layer on its parents."""

    chain: str
    step: Row
    digest: str
    below: list[str]
    base: str
    images: list[str] = field(default_factory=list)
    children: list[_Node] = field(default_factory=list)


def tree(images: Sequence[Image], *, unpack: bool) -> Table:
    """Rows from the bottom up: layer (drawn), created_by, size, added, changed, removed (files), images (that end
    here), chain_id, digest, content_size. Layers that are not unpacked have no counts, unless `unpack`."""
    roots = _nodes(images)
    with lease.adding(images[0].engine) if images else ExitStack():
        if unpack:
            for image in images:
                work.ensure_unpacked(image)
        rows = [_row(node, drawn, images[0]) for root in roots for node, drawn in _drawn(root, "", "")]
        _count(rows, images)
    return Table(rows, [
        Column("layer"), Column("created_by", "CREATED BY", listing.cut), Column("size", format=stored),
        Column("added", "+"), Column("changed", "~"), Column("removed", "-"), Column("images", format=few),
    ])  # fmt: skip


def _nodes(images: Sequence[Image]) -> list[_Node]:
    known: dict[str, _Node] = {}
    roots: list[_Node] = []
    for image in images:
        if image.is_host:
            continue
        try:
            steps, chain = _steps(image), image.chain_ids
        except Error:
            continue  # damaged, which `image ls` says
        siblings = roots
        for number, one in enumerate(chain):
            if one not in known:
                known[one] = _Node(one, steps[number], image.layers[number]["digest"], chain[:number][::-1], image.base)
                siblings.append(known[one])
            siblings = known[one].children
        if chain and (name := short(image.reference) or image.id[7:19]) not in known[chain[-1]].images:
            known[chain[-1]].images.append(name)
    return roots


def _steps(image: Image) -> list[Row]:
    """The step of the history that made each layer; history may be shorter than it should."""
    made = [step for step in image.config.get("history") or [] if not step.get("empty_layer")]
    return [made[number] if number < len(made) else {} for number in range(len(image.layers))]


def _drawn(root: _Node, first: str, rest: str) -> Iterator[tuple[_Node, str]]:
    """Nodes with the lines before them; an only child stands right below its parent."""
    todo = [(root, first, rest)]
    while todo:
        node, first, rest = todo.pop()
        yield node, first
        if len(node.children) == 1:
            todo.append((node.children[0], rest, rest))
            continue
        for child in reversed(node.children):
            last = child is node.children[-1]
            todo.append((child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")))


def _row(node: _Node, drawn: str, image: Image) -> Row:
    facts: dict[str, Any] = {}
    if lease.claim(image.engine, [snapshot.path(image.engine.snapshots, node.chain).parent]):
        facts = snapshot.facts(image.engine.snapshots, node.chain)
    return {
        "layer": drawn + node.digest[7:19], "created_by": node.step.get("created_by"), "size": facts.get("size"),
        "added": None, "changed": None, "removed": None, "images": node.images, "chain_id": node.chain,
        "digest": node.digest, "below": node.below, "base": node.base,
    }  # fmt: skip


def _count(rows: list[Row], images: Sequence[Image]) -> None:
    """Fill in the counts of what is unpacked."""
    there = [row for row in rows if row["size"] is not None]
    if there:
        place = images[0].engine.snapshots
        lowest = {"": [], ON_HOST: host.lowers(images[0].engine) if any(row["base"] for row in there) else []}
        jobs = [
            [*(str(snapshot.path(place, chain)) for chain in (row["chain_id"], *row["below"])), *lowest[row["base"]]]
            for row in there
        ]
        for row, counts in zip(
            there, work.call("stack:count", jobs=jobs, userxattr=images[0].engine.rootless), strict=True
        ):
            row["added"], row["changed"], row["removed"] = counts
    for row in rows:
        del row["below"], row["base"]


def count(jobs: list[list[str]], userxattr: bool) -> list[list[int]]:
    """In the launcher's child: of each layer (its folder, then those below, top first) the files A, C and D."""
    return [_count_one(folders, userxattr) for folders in jobs]


def _count_one(folders: list[str], userxattr: bool) -> list[int]:
    found = {"A": 0, "C": 0, "D": 0}
    with ExitStack() as stack:
        upper, *lowers = opened(stack, folders)
        for change in changes(upper, lowers, userxattr=userxattr):
            if not stat.S_ISDIR(change.status.st_mode):
                found[change.kind] += 1
            elif change.kind == "D":
                found["D"] += total(change.below)[0]
    return list(found.values())
