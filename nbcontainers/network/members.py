"""Which containers are on which network, as their folders say: those that run, and those that would."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from nbcontainers.errors import NotFound
from nbcontainers.monitor.files import Files
from nbcontainers.network import state

Record = dict[str, Any]


def records(root: str) -> Iterator[Record]:
    """container.json of every container."""
    try:
        ids = sorted(os.listdir(f"{root}/containers"))
    except FileNotFoundError:
        return
    for id in ids:
        try:
            if not id.startswith("."):
                yield Files(root, "", id).read("container.json")
        except (NotFound, ValueError):  # being made or removed
            continue


def users(root: str) -> dict[str, list[str]]:
    """By network the names of the containers that were made for it or connected to it, running or not."""
    found: dict[str, list[str]] = {}
    for record in records(root):
        for wish in record.get("networks") or ():
            found.setdefault(wish["network"], []).append(record["name"])
    return found


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
