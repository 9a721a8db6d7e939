"""The network of a guest of QEMU: an address of its own behind QEMU's translation (slirp), and ports of the host that lead
to it. No privileges are needed; the host reaches the guest by -p alone, the guest reaches what the host does."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, cast

from nbcontainers.container.options import RunOptions, bad, values
from nbcontainers.network import ports
from nbcontainers.network.ports import Port
from nbcontainers.vm.options import MachineOptions

MODULES = ("virtio_net",)
ADDRESS, _GATEWAY, _RESOLVER, _BITS = "10.0.2.15", "10.0.2.2", "10.0.2.3", 24
"""QEMU's own: qemu(1), -netdev user."""
Forward = dict[str, Any]
"""`protocol`, `host`, `host_port`, `target_port`, as of a container."""


def wanted(options: MachineOptions) -> bool:
    """Whether it has a network: `--network user`, or a port. Raises InvalidArgument for the one without the other."""
    if options.get("publish") and options.get("network") == "none":
        raise bad("publish", "the machine has no network; leave --network none out")
    return bool(options.get("publish")) or options.get("network") == "user"


def forwards(options: MachineOptions) -> list[Forward]:
    """What -p asks for, with the host's ports chosen. Raises InvalidArgument."""
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


def lines() -> list[str]:
    """What the guest's init does, in sh(1)."""
    return [
        "PROBLEM='the network could not be set up'",
        f"ip addr add {ADDRESS}/{_BITS} dev eth0 && ip link set eth0 up && ip route add default via {_GATEWAY} || return 1",
        f"echo nameserver {_RESOLVER} >/root/etc/resolv.conf",
    ]
