"""Which containers are on which network, as their folders say: those that run, and those that would."""

from __future__ import annotations

import os
from collections.abc import Iterator

from nbcontainers.errors import NotFound
from nbcontainers.monitor.files import Document, Files, records
from nbcontainers.network import state


def users(root: str, run: str = "") -> dict[str, list[str]]:
    """By network the names of the containers that were made for it or connected to it, running or not; and with `run` of the
    virtual machines that are on it now."""
    found: dict[str, list[str]] = {}
    for record in (*records(root), *_machines(root, run)):
        for wish in record.get("networks") or ():
            found.setdefault(wish["network"], []).append(record["name"])
    return found


def _machines(root: str, run: str) -> Iterator[Document]:
    """They have no folder that outlives them."""
    for id, _ in state.running(root, run) if run else ():
        files = Files(root, run, id)
        if not os.path.exists(files.folder) and (record := files.read_state("container.json")):
            yield record


def addresses(root: str, run: str, network: str) -> dict[str, list[str]]:
    """By name the addresses of the running containers on a network."""
    found = {}
    for id, made in state.running(root, run):
        if network in made["networks"]:
            try:
                name = str(Files(root, run, id).read("container.json")["name"])
            except NotFound:
                continue
            found[name] = list(made["networks"][network]["addresses"])
    return dict(sorted(found.items()))


def joined(root: str, run: str) -> set[str]:
    """The networks on which a container runs."""
    return {name for _, made in state.running(root, run) for name in made["networks"]}
