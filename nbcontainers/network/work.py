"""What the verbs of `network` do to the kernel, in a process of the launcher."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from nbcontainers.errors import InvalidArgument, InvalidState
from nbcontainers.linux import tree
from nbcontainers.monitor import events
from nbcontainers.monitor.files import Files
from nbcontainers.network import (
    attach,
    bridge,
    creation,
    filtering,
    firewall,
    hosts,
    ipam,
    members,
    publish,
    state,
    store,
    userhost,
)  # fmt: skip
from nbcontainers.network import wish as wishes
from nbcontainers.network.rtnetlink import index

Record = dict[str, Any]


def remove(root: str, run: str, network: str) -> None:
    """Raises NotFound, InvalidState while a container is on it."""
    if network in store.BUILT_IN:
        raise InvalidArgument(f"network {network} is always there", hint="network ls shows those that can be removed")
    with store.locked(root):
        record = store.read(root, network)
        if users := members.users(root, run).get(network):
            raise InvalidState(
                f"network {network} is in use by {', '.join(users[:3])}{' and others' if len(users) > 3 else ''}",
                hint=f"type container rm -f {users[0]}, or network disconnect {network} {users[0]}",
            )
        _take_down(run, record)
        store.remove(root, network)
    events.record(root, "network", "destroy", record["id"], name=network)


def _take_down(run: str, network: Record) -> bool:
    return network["driver"] == "bridge" and userhost.enter(run) and bridge.remove(network)


def prune(root: str, run: str, filters: Sequence[str] = ()) -> list[str]:
    """Remove every network no container was made for; of the default one only what the kernel has. Returns names."""
    found = []
    used = members.users(root, run)
    wanted = filtering.tests(filters)
    for name in store.names(root):
        if name in used or not filtering.passes({**store.read(root, name), "containers": []}, wanted):
            continue
        if name != store.DEFAULT:
            remove(root, run, name)
            found.append(name)
        elif rest(root, run, name):
            found.append(name)
    return found


def rest(root: str, run: str, name: str) -> bool:
    """Take the bridge of a network away on which nothing runs; the next container makes it again."""
    with store.locked(root):
        network = store.read(root, name)
        if name in members.joined(root, run) or ipam.leases(root, name) or not userhost.enter(run):
            return False
        return bool(index(network["bridge"])) and _take_down(run, network)


def tidy(root: str, run: str) -> list[tuple[str, str]]:
    """What killed monitors and makers of networks left: (what, name) of each thing that went."""
    found = [("network namespace", f"of {id[:12]}") for id in userhost.sweep(root, run)]
    if userhost.enter(run):
        found += [("bridge", f"{name} of an engine that is gone") for name in bridge.sweep()]
    for name in store.names(root):
        found += [("address", f"{address} of {name}") for address in ipam.sweep(root, run, name)]
        if rest(root, run, name):
            found.append(("bridge", f"of network {name}"))
    for entry in os.listdir(f"{root}/networks") if os.path.isdir(f"{root}/networks") else ():
        pid = entry.split(".")[-2] if entry.endswith(".new") else ""
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            tree.remove(f"{root}/networks/{entry}")
            found.append(("half-made network", entry.split(".")[1]))
    return found


def connect(root: str, run: str, network: str, id: str, wish: Record) -> list[str]:
    """Put a container on one more network, at once if it runs; returns its addresses there."""
    files = Files(root, run, id)
    found = creation.find(root, network)
    wish = wishes.check(wish, found)
    settings = files.read("container.json")
    if "networks" not in settings or settings["network"] in store.BUILT_IN or _shares(settings):
        raise InvalidState(
            f"container {settings['name']} has no networks of its own: it was made with --network {settings['network']}",
            hint=f"make it anew with --network {network}",
        )
    if any(one["network"] == network for one in settings["networks"]):
        raise InvalidState(f"container {settings['name']} is on network {network} already", hint="network inspect")
    addresses: list[str] = []
    if files.monitor_alive() and userhost.enter(run):
        namespace = attach.open_namespace(files)
        try:
            addresses = attach.join(files, settings, wish, namespace)["addresses"]
            publish.retarget(files)
        finally:
            os.close(namespace)
        hosts.write(files, settings)
    _record(files, network, [wish])
    return addresses


def _shares(settings: Record) -> bool:
    return str(settings.get("network", "")).startswith("container:")


def disconnect(root: str, run: str, network: str, id: str) -> None:
    """Take a container off a network, at once if it runs. Raises InvalidState where it is not on it."""
    files = Files(root, run, id)
    settings = files.read("container.json")
    if not any(one["network"] == network for one in settings.get("networks") or ()):
        raise InvalidState(
            f"container {settings['name']} is not on network {network}", hint="container inspect shows its networks"
        )
    if files.monitor_alive() and userhost.enter(run):
        attach.leave(files, network)
        publish.retarget(files)
        hosts.write(files, settings)
    _record(files, network, [])


def _record(files: Files, network: str, wishes: list[Record]) -> None:
    """For the next start: what the container wants of this network now."""
    with files.changed("container.json") as settings:
        settings["networks"] = [one for one in settings["networks"] if one["network"] != network] + wishes
        settings["network"] = ",".join(one["network"] for one in settings["networks"])


def reload(root: str, run: str) -> list[str]:
    """Put back what somebody flushed: our table, its rules, and the entries of every running container."""
    if not userhost.enter(run):
        return []
    with store.locked(root):
        records = {name: store.read(root, name) for name in store.names(root)}
        up = [one for one in records.values() if one["driver"] == "bridge" and index(one["bridge"])]
        forwards = [one for _, made in state.running(root, run) for one in publish.of(made)]
        if up or forwards:
            firewall.restore([(one["bridge"], one["internal"]) for one in up], forwards)
        for one in up:
            bridge.forward(one)
    return [one["name"] for one in up]
