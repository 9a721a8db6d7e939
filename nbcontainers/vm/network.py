"""The network of a guest: one of ours, as a container's (see vm/attachment.py); or with `--network user`, of QEMU alone, an
address of its own behind QEMU's translation (slirp), and ports of the host that lead to it: then the host reaches the guest
by -p alone, the guest reaches what the host does, and no privileges are needed."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any, cast

from nbcontainers.container import networking
from nbcontainers.container.options import RunOptions, bad, values
from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable
from nbcontainers.launcher import client
from nbcontainers.network import ports, store
from nbcontainers.network.ports import Port
from nbcontainers.vm.options import MachineOptions

MODULES = ("virtio_net",)
USER = "user"
SCRIPT = "network"
"""The guest's file with what its interface is given."""
ADDRESS, _GATEWAY, _RESOLVER, _BITS = "10.0.2.15", "10.0.2.2", "10.0.2.3", 24
"""QEMU's own: qemu(1), -netdev user."""
Forward = dict[str, Any]
"""`protocol`, `host`, `host_port`, `target_port`, as of a container."""


def translated(options: MachineOptions) -> bool:
    """Whether its network is QEMU's own."""
    return options.get("network") == USER


def wanted(options: MachineOptions) -> bool:
    """Whether it has any. Raises InvalidArgument for a port without one."""
    if options.get("publish") and options.get("network") == "none":
        raise bad("publish", "the machine has no network; leave --network none out")
    return bool(options.get("publish")) or options.get("network", "none") != "none"


def attached(
    engine: Engine, options: MachineOptions, image: Mapping[str, Any], id: str, hostname: str, kind: str
) -> dict[str, Any] | None:
    """What `attachment.joined` is given: the steps of a container's, and the guest in its place; None without a network of
    ours. Raises InvalidArgument, NotFound, HostNotCapable as `container run`."""
    if not wanted(options) or translated(options):
        return None
    asked = {name: options[name] for name in ("network", "publish") if options.get(name)}
    plan = networking.plan(engine, cast(RunOptions, asked), image, id)
    if plan.mode != "own":
        raise bad("network", "a virtual machine has a network of its own; name one of network ls, or user, or none")
    if len(plan.record["networks"]) > 1:
        raise bad("network", "a virtual machine has one network; name one")
    _check_wire(engine, plan.record["networks"][0]["network"])
    client.preload("nbcontainers.vm.attachment")
    where = {"root": str(engine.root), "run": str(engine.run), "id": id}
    wire = {"step": "nbcontainers.vm.attachment:Wire", "args": {**where, "path": plan.path, "kind": kind}}
    steps = [one for one in plan.steps if not one["step"].endswith(":Resolve")]
    at = next(number for number, one in enumerate(steps) if one["step"].endswith(":Attach"))
    name = options.get("name") or hostname
    return {
        **where, "steps": [*steps[: at + 1], wire, *steps[at + 1 :]],
        "settings": {**plan.record, "id": id, "name": name, "hostname": hostname},
    }  # fmt: skip


def modules(attached: Mapping[str, Any] | None) -> list[str]:
    """Of the guest's kernel, besides its device's."""
    return ["ipv6"] if attached and any(one["args"].get("ipv6") for one in attached["steps"]) else []


def _check_wire(engine: Engine, name: str) -> None:
    if name in store.names(str(engine.root)) and store.read(str(engine.root), name)["driver"] != "bridge":
        raise HostNotCapable(
            f"network {name} is a macvlan, on whose wire a virtual machine has no place",
            hint="network create NAME makes a bridge",
        )


def forwards(options: MachineOptions) -> list[Forward]:
    """What -p asks of QEMU, with the host's ports chosen. Raises InvalidArgument."""
    if not translated(options):
        return []
    found = [one for several in values(cast(RunOptions, options), "publish", ports.parse) for one in several]
    return [
        {"protocol": one.protocol, "host": one.host, "host_port": _free(one), "target_port": one.target}
        for one in found
    ]


def _free(port: Port) -> int:
    """The first of the host's ports it may be that nobody has. Raises InvalidArgument."""
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    for number in range(port.first, port.last + 1):
        with socket.socket(socket.AF_INET6 if ":" in port.host else socket.AF_INET, kind) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((port.host, number))
            except OSError as error:
                why = error.strerror
                continue
            return int(one.getsockname()[1])
    raise bad("publish", f"port {port.first} of {port.host or 'this host'} cannot be had ({why}); write another one")


def devices(forwarded: Sequence[Forward]) -> list[str]:
    """QEMU's words. No option ROM: it boots from no network."""
    rules = [
        f"hostfwd={one['protocol']}:{one['host']}:{one['host_port']}-{ADDRESS}:{one['target_port']}"
        for one in forwarded
    ]
    return ["-netdev", ",".join(["user,id=net", *rules]), "-device", "virtio-net-pci,netdev=net,romfile="]


def lines(*, own: bool) -> list[str]:
    """What the guest's init does, in sh(1): for a network of ours what the keeper writes when it is known."""
    problem = "PROBLEM='the network could not be set up'"
    if own:
        return [problem, f". /{SCRIPT} || return 1"]
    return [
        problem,
        f"ip addr add {ADDRESS}/{_BITS} dev eth0 && ip link set eth0 up && ip route add default via {_GATEWAY} || return 1",
        "busybox rm -f /root/etc/resolv.conf",  # an image's may be a link
        f"echo nameserver {_RESOLVER} >/root/etc/resolv.conf",
    ]
