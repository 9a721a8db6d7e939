"""What `network topology` draws, read in one process of the launcher: the host, where the networks are, each container.

The document (JSON): `time`, `name` (of the host); `host` and `user` (None but for an ordinary user: `pid` of the
namespace's holder, `program` and `program_pid` that lead outside), each with `interfaces` (`interfaces.Interface`);
`networks` (records of the disk, with `interface` or None, and `admitted`: whether our table knows the bridge);
`containers` (see `_container`). Nothing is remembered from before; what is gone is left out.
"""

from __future__ import annotations

import os
import socket as sockets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nbcontainers.errors import NotFound
from nbcontainers.linux import namespaces, process
from nbcontainers.monitor.files import Files, records, rfc3339
from nbcontainers.network import firewall, interfaces, netlink, nftables, state, store, userhost
from nbcontainers.network.firewall import Forward
from nbcontainers.network.interfaces import Interface
from nbcontainers.runtime.state import State

Document = dict[str, Any]


def survey(root: str, run: str, names: Sequence[str] = ()) -> Document:
    """Of these networks and whoever is on them, or of all. The process stays in the last namespace it looked into.

    Raises NotFound for a network that is not there.
    """
    wanted = frozenset(names)
    for name in wanted - {store.DEFAULT, *store.BUILT_IN}:
        store.read(root, name)
    found: Document = {"time": rfc3339(time.time_ns()), "name": sockets.gethostname(), "user": None, "networks": []}
    here = _interfaces()
    found["host"] = {"interfaces": [one._asdict() for one in here]}
    there = userhost.enter(run)
    if userhost.of_user(run):
        here = _interfaces() if there else []
        found["user"] = {**userhost.described(run), "interfaces": [one._asdict() for one in here]} if there else None
    links = {one.name: one for one in here}
    rules = Rules(any(name.startswith("nbc") for name in links))
    for name in store.names(root):
        if not wanted or name in wanted:
            found["networks"].append(_network(store.read(root, name), links, rules))
    found["containers"] = [_container(files, record, links, rules) for files, record in _on(root, run, wanted)]
    return found


def _interfaces() -> list[Interface]:
    with netlink.Socket() as socket:
        return interfaces.read(socket)


def _on(root: str, run: str, wanted: frozenset[str]) -> Iterator[tuple[Files, Document]]:
    """The containers that have something to do with these networks; who shares the network of one comes with it."""
    found = {str(one["id"]): one for one in records(root)}
    chosen = {id for id, one in found.items() if not wanted or not wanted.isdisjoint(_networks(one))}
    for id, record in found.items():
        if id in chosen or _owner(record) in chosen:
            yield Files(root, run, id), record


def _networks(record: Document) -> list[str]:
    return [one["network"] for one in record.get("networks") or ()] or [str(record.get("network") or "none")]


def _owner(record: Document) -> str:
    """The id behind --network container:ID; "" for any other."""
    kind, _, id = str(record.get("network") or "").partition(":")
    return id if kind == "container" else ""


class Rules:
    """Our nftables table as it is now, read at once: later the process is in another namespace."""

    def __init__(self, there: bool) -> None:
        self.known: dict[str, set[nftables.Element]] = {}
        self.rules = b""
        if there:
            with netlink.Socket(netlink.NETFILTER) as socket:
                self.known = {name: set(nftables.elements(socket, firewall.TABLE, name)) for name in firewall.NAMES}
                self.rules = nftables.rules(socket, nftables.INET, firewall.TABLE)

    def lead(self, forward: Forward) -> bool:
        """Whether its entry is there, and a rule that looks it up."""
        return forward.element in self.known.get(forward.map, ()) and forward.map.encode() + b"\0" in self.rules

    def admit(self, network: Document) -> bool:
        name = "internal" if network["internal"] else "bridges"
        there = firewall.interface(network["bridge"]) in self.known.get(name, ())
        return there and name.encode() + b"\0" in self.rules


def _network(record: Document, links: dict[str, Interface], rules: Rules) -> Document:
    link = links.get(record["bridge"]) if record["driver"] == "bridge" else None
    parts = ("id", "name", "driver", "internal", "subnets", "bridge", "parent", "mode", "mtu")
    shown = {part: record.get(part) for part in parts}
    return {**shown, "interface": link._asdict() if link else None, "admitted": bool(link) and rules.admit(record)}


def _container(files: Files, record: Document, links: dict[str, Interface], rules: Rules) -> Document:
    """`id`, `name`, `image`, `state` (Docker's word), `network` (host, none, container:ID or names), `endpoints`,
    `ports` (see `_port`)."""
    status = _status(files)
    made = state.read(files) if status in ("running", "paused") else {"networks": {}, "ports": [], "waiting": []}
    wishes = {one["network"]: one for one in record.get("networks") or ()}
    inside = _inside(files) if made["networks"] else {}
    endpoints = [
        _endpoint(name, made["networks"].get(name), wish, links, inside) for name, wish in wishes.items()
    ]  # fmt: skip
    carriers = [one["pid"] for one in made.get("processes", ()) if process.alive(one["pid"], one["start_time"])]
    return {
        "id": record["id"], "name": record["name"], "image": str(record.get("image") or ""), "state": status,
        "network": str(record.get("network") or "none"), "endpoints": endpoints,
        "ports": [
            *(_port(Forward(**one), rules, carriers, user=userhost.of_user(files.run)) for one in made["ports"]),
            *({**one, "waiting": True, "map": "", "led": False, "pid": 0} for _, one in made["waiting"]),
        ],
    }  # fmt: skip


def _status(files: Files) -> str:
    """Docker's word, as far as a network is concerned."""
    document = files.read_state("state.json")
    if document and process.alive(document.get("pid", 0), document.get("start_time")):
        return State(document, Path(files.state)).status
    try:
        ended = files.read_state("exit.json") or files.read("exit.json")
        return "restarting" if ended.get("restarting") and files.monitor_alive() else "exited"
    except NotFound:
        return "created"


def _inside(files: Files) -> dict[str, Interface]:
    """The interfaces in the namespace of a running container, by name; none where it has just ended."""
    document = files.read_state("state.json")
    try:
        namespace = os.open(f"/proc/{document['pid']}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, KeyError):
        return {}
    try:
        if not process.alive(document["pid"], document.get("start_time")):
            return {}  # and the number may be another process's by now
        namespaces.setns(namespace, namespaces.CLONE_NEWNET)
    finally:
        os.close(namespace)
    return {one.name: one for one in _interfaces()}


def _endpoint(
    name: str, made: Document | None, wish: Document, links: dict[str, Interface], inside: dict[str, Interface]
) -> Document:
    """A container on a network: what its namespace and the host say now. `interface` is None while it is not there."""
    found: Document = {"network": name, "aliases": list(wish.get("aliases") or ()), "interface": None, "link": None}
    if made and (own := inside.get(made["interface"])):
        link = links.get(made["link"])
        found |= {"interface": own._asdict(), "link": link._asdict() if link else None}
    return found


def _port(forward: Forward, rules: Rules, carriers: Sequence[int], *, user: bool) -> Document:
    """A published port and what carries it: `led` by nftables; `pid` of our forwarder, which carries all of an ordinary
    user's, and of root's what comes to ::1."""
    only6 = forward.host == firewall.LOOPBACK6
    carried = user or only6 or (":" in forward.target and not forward.host)
    map = "" if only6 else forward.map
    pid = next(iter(carriers), 0) if carried else 0
    return {**forward._asdict(), "waiting": False, "map": map, "led": bool(map) and rules.lead(forward), "pid": pid}
