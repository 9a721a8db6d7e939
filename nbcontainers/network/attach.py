"""The step that plugs a container's namespace into its networks, and `connect` and `disconnect` while it runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from nbcontainers.errors import HostNotCapable, InvalidState, NotFound
from nbcontainers.monitor import events
from nbcontainers.monitor.files import Files
from nbcontainers.network import bridge, creation, hosts, ipam, rtnetlink, state, store, userhost
from nbcontainers.network.namespace import inside, switch_ipv6
from nbcontainers.network.netlink import Message, Socket

Arguments = dict[str, Any]
Record = dict[str, Any]


class Attach:
    """`root`, `run`, `id`, `path` (the namespace): every network that container.json names, in order."""

    @staticmethod
    def do(args: Arguments) -> None:
        files = Files(args["root"], args["run"], args["id"])
        settings = files.read("container.json")
        for wish in settings["networks"]:  # where the host's routes are seen, which a new one avoids
            creation.find(files.root, wish["network"])
        try:
            userhost.there(files.run, lambda: _join_all(files, settings, args["path"]))
            hosts.write(files, settings)
        except BaseException:
            Attach.undo(args)
            raise

    @staticmethod
    def undo(args: Arguments) -> None:
        """The cables go with the namespace; the addresses are given back."""
        files = Files(args["root"], args["run"], args["id"])
        for name, made in state.read(files)["networks"].items():
            if ipam.give_back(files.root, name, files.id, made["addresses"]):
                _left(files, name)

    @staticmethod
    def notes(args: Arguments) -> list[str]:
        return list(state.read(Files(args["root"], args["run"], args["id"]))["notes"])

    @staticmethod
    def describe(args: Arguments) -> str:
        settings = Files(args["root"], args["run"], args["id"]).read("container.json")
        names = [wish["network"] for wish in settings["networks"]]
        return f"ip link add veth in {args['path']}, its other end in the bridge of {', '.join(names)}"


def _join_all(files: Files, settings: Record, path: str) -> None:
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for wish in settings["networks"]:
            join(files, settings, wish, namespace)
    finally:
        os.close(namespace)


def join(files: Files, settings: Record, wish: Record, namespace: int) -> Record:
    """One more network for a container; returns what was made, which is in its state before it is.

    `wish` is an entry of container.json: see the module of that name.
    """
    network = creation.find(files.root, wish["network"])
    lease = {"container": files.id, "names": names(settings, wish)}
    wanted = [text for text in (wish.get("ip"), wish.get("ip6")) if text]
    notes: list[str] = []
    if network["driver"] == "bridge":
        master, notes = bridge.ensure(files.root, network)
    addresses = ipam.take(files.root, files.run, network, lease, wanted)
    try:
        with state.changed(files) as made:
            entry = _plan(network, wish, addresses, made["networks"])
            made["networks"][network["name"]] = entry
            made["notes"] += [] if userhost.of_user(files.run) else notes
        first = _leads_outside(network, made["networks"])
        try:
            if network["driver"] == "bridge":
                _plug_in(network, entry, master, namespace)
            else:
                _put_on_wire(network, entry, namespace)
            _configure(network, entry, namespace, default=first)
        except OSError as error:
            raise bridge.refused(error) from error
    except BaseException:
        _unmake(files, network["name"], addresses)
        raise
    events.record(files.root, "network", "connect", network["id"], name=network["name"], container=files.id)
    return entry


def names(settings: Record, wish: Record) -> list[str]:
    """What other containers may call this one."""
    found = [settings["name"], settings["id"][:12], settings.get("hostname") or "", *(wish.get("aliases") or ())]
    return list(dict.fromkeys(name.lower() for name in found if name))


def _plan(network: Record, wish: Record, addresses: Sequence[str], others: Record) -> Record:
    used = {one["interface"] for one in others.values()}
    if wish.get("interface") in used:
        raise InvalidState(
            f"the container has an interface {wish['interface']} already", hint="write another interface_name"
        )
    interface = wish.get("interface") or next(
        name for number in range(len(used) + 1) if (name := f"eth{number}") not in used
    )
    return {
        "interface": interface,
        "link": f"nbcv{os.urandom(5).hex()}" if network["driver"] == "bridge" else "",
        "addresses": list(addresses),
        "gateways": [] if network["internal"] else [one["gateway"] for one in network["subnets"]],
        "mac": wish.get("mac") or bridge.mac(addresses[0]).hex(":"),
        "link_local": wish.get("link_local") or [],
    }


def _leads_outside(network: Record, joined: Record) -> bool:
    """The first network that is not internal has the default route."""
    outward = [name for name, one in joined.items() if one["gateways"]]
    return outward[:1] == [network["name"]]


def _plug_in(network: Record, entry: Record, master: int, namespace: int) -> None:
    size = rtnetlink.mtu(network["bridge"])
    mac = bytes.fromhex(entry["mac"].replace(":", ""))
    veth = rtnetlink.Veth(entry["link"], entry["interface"], mac, size, master, namespace)
    with Socket() as socket:
        socket.request([rtnetlink.new_veth(veth)])
        number = rtnetlink.index(entry["link"])
        socket.request([rtnetlink.quiet(number), rtnetlink.set_up(number)])


def _put_on_wire(network: Record, entry: Record, namespace: int) -> None:
    parent = rtnetlink.index(network["parent"])
    if not parent:
        raise HostNotCapable(
            f"network {network['name']} needs the interface {network['parent']}, which this host does not have",
            hint="ip link shows those it has; network create -d macvlan -o parent=NAME …",
        )
    mac = bytes.fromhex(entry["mac"].replace(":", ""))
    with Socket() as socket:
        socket.request([rtnetlink.new_macvlan(entry["interface"], parent, mac, network["mode"], namespace)])


def _configure(network: Record, entry: Record, namespace: int, *, default: bool) -> None:
    """Inside: addresses, up, and the way outside."""
    with inside(namespace):
        with Socket() as socket:
            index = rtnetlink.index(entry["interface"])
            messages: list[Message] = []
            if any(":" in address for address in (*entry["addresses"], *entry["link_local"])):
                switch_ipv6(entry["interface"], on=True)
            for address, one in zip(entry["addresses"], network["subnets"], strict=True):
                size = ip_network(one["subnet"]).prefixlen
                messages.append(rtnetlink.new_address(index, ip_interface(f"{address}/{size}")))
            for address in entry["link_local"]:
                size = 16 if ip_address(address).version == 4 else 64
                messages.append(rtnetlink.new_address(index, ip_interface(f"{address}/{size}")))
            messages.append(rtnetlink.set_up(index))
            if default:
                messages += [rtnetlink.new_default_route(index, gateway) for gateway in entry["gateways"]]
            socket.request(messages)


def _unmake(files: Files, name: str, addresses: Sequence[str]) -> None:
    try:
        with state.changed(files) as made:
            entry = made["networks"].pop(name, None)
    except InvalidState:
        entry = None
    if entry and entry["link"]:
        with Socket() as socket:
            rtnetlink.delete_links(socket, [entry["link"]])
    ipam.give_back(files.root, name, files.id, addresses)


def leave(files: Files, name: str) -> None:
    """Unplug a running container from a network, and move its default route to the next."""
    made = state.read(files)["networks"]
    if name not in made:
        return
    namespace = open_namespace(files)
    try:
        entry = made[name]
        with inside(namespace):
            with Socket() as socket:
                rtnetlink.delete_links(socket, [entry["interface"]])
        _unmake(files, name, entry["addresses"])
        _left(files, name)
        _reroute(files, namespace)
    finally:
        os.close(namespace)


def _left(files: Files, name: str) -> None:
    try:
        network = store.read(files.root, name)
    except NotFound:  # its folder was deleted
        return
    events.record(files.root, "network", "disconnect", network["id"], name=name, container=files.id)


def _reroute(files: Files, namespace: int) -> None:
    """The default route again, by the first network that leads outside; one that is there already stays."""
    left = state.read(files)["networks"]
    entry = next((one for one in left.values() if one["gateways"]), None)
    if entry is None:
        return
    with inside(namespace):
        with Socket() as socket:
            index = rtnetlink.index(entry["interface"])
            socket.attempt([rtnetlink.new_default_route(index, gateway) for gateway in entry["gateways"]])


def open_namespace(files: Files) -> int:
    """The network namespace of a running container. Raises InvalidState."""
    pid = files.read_state("state.json").get("pid", 0)
    try:
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InvalidState(f"container {files.id[:12]} does not run", hint="container ps shows those that do") from None
