"""The step that publishes ports: each is reserved by a socket of the monitor's, then led to the container by nftables."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from nbcontainers.errors import CreateFailed
from nbcontainers.monitor.files import Files
from nbcontainers.network import bridge, firewall, forwarder, ipam, owners, state, userhost
from nbcontainers.network.firewall import Forward
from nbcontainers.network.netlink import Socket
from nbcontainers.network.ports import Port
from nbcontainers.network.rtnetlink import index, reflect

Arguments = dict[str, Any]

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_DYING_S = 3.0
"""A port that nobody has, but that is taken, is a container's that is just ending."""
_ANY = {4: "0.0.0.0", 6: "::"}


class Publish:
    """`root`, `run`, `id`, `ports` (`Port` as dicts). `do` returns the sockets that keep the host's ports ours."""

    @staticmethod
    def do(args: Arguments) -> list[int]:
        files = Files(args["root"], args["run"], args["id"])
        targets = targets_of(state.read(files))
        held: list[socket.socket] = []
        try:
            forwards = reserve(args["ports"], targets, held, files)
            with state.changed(files) as made:
                made["ports"] = [one._asdict() for one in forwards]
            lead(forwards, made["networks"])
            if pairs := [(one, held[at]) for at, one in enumerate(forwards) if _has_loopback6(one, held[at])]:
                forwarder.start(files, pairs)
        except BaseException:
            for one in held:
                one.close()
            forwarder.end(files)
            raise
        return [one.detach() for one in held]

    @staticmethod
    def undo(args: Arguments) -> None:
        files = Files(args["root"], args["run"], args["id"])
        made = state.read(files)
        if not userhost.of_user(files.run):
            forwarder.end(files)
        ours = {address for name, one in made["networks"].items()
                for address in ipam.kept(files.root, name, files.id, one["addresses"])}  # fmt: skip
        if forwards := [one for one in of(made) if one.target in ours]:
            firewall.withdraw(forwards)

    @staticmethod
    def describe(args: Arguments) -> str:
        words = [f"{port['protocol']} {port['first'] or 'any'} to {port['target']}" for port in args["ports"]]
        return f"nft add element inet {firewall.TABLE} ports4 {{ {', '.join(words)} }}"


def _has_loopback6(forward: Forward, listener: socket.socket) -> bool:
    """Whether somebody may come to ::1: only to that are packets not led by nftables."""
    return listener.family == socket.AF_INET6 and forward.host in ("", firewall.LOOPBACK6)


def lead(forwards: Sequence[Forward], networks: dict[str, Any]) -> None:
    """Redirect what comes for the ports; `networks` are those of the container's state.

    Where br_netfilter shows bridged packets to nftables, a container's own port comes back by the way it went.
    """
    try:
        firewall.publish(forwards)
    except OSError as error:
        raise bridge.refused(error) from error
    with Socket() as socket:
        links = [index(one["link"]) for one in networks.values() if one["link"]]
        socket.attempt([reflect(number) for number in links if number])


def of(made: dict[str, Any]) -> list[Forward]:
    """The forwards in a container's state."""
    return [Forward(**one) for one in made["ports"]]


def targets_of(made: dict[str, Any]) -> dict[int, str]:
    """By IP version the address to lead to: the first of a network that is not internal."""
    found: dict[int, str] = {}
    for one in made["networks"].values():
        for address in one["addresses"] if one["gateways"] else ():
            found.setdefault(ip_address(address).version, address)
    return found


def reserve(
    ports: Sequence[dict[str, Any]], targets: dict[int, str], held: list[socket.socket], files: Files
) -> list[Forward]:
    """Bind a socket for each port, by IP version of the targets; they come in the order of what is returned."""
    return [one for port in ports for one in _reserve(Port(**port), targets, held, files)]


def _reserve(port: Port, targets: dict[int, str], held: list[socket.socket], files: Files) -> list[Forward]:
    """Take the first free port of the host that was allowed, on every address family it is wanted for."""
    if port.host == firewall.LOOPBACK6 and targets:  # it is carried, from one family to the other too
        targets = {6: targets.get(6) or targets[4]}
    versions = [ip_address(port.host).version] if port.host else sorted(targets)
    if not set(versions) <= set(targets) or not versions:
        raise CreateFailed(
            f"-p {port.host or ''}:{port.first or ''}:{port.target}: no network of the container has an address for it",
            hint="publish on a network that is not internal and has addresses of that kind: network inspect shows them",
            exit_code=125, stage="publish",
        )  # fmt: skip
    deadline = time.monotonic() + _DYING_S
    while (taken := _first_free(port, versions)) is None:
        owner = owners.of(port, files)
        if owner or time.monotonic() > deadline:
            raise owners.taken(port, owner)
        time.sleep(0.01)
    held += taken
    number = taken[0].getsockname()[1]
    host = "" if ip_address(port.host or _ANY[4]).is_unspecified else port.host
    return [Forward(port.protocol, host, number, targets[version], port.target) for version in versions]


def _first_free(port: Port, versions: Sequence[int]) -> list[socket.socket] | None:
    for number in range(port.first, port.last + 1):
        if (taken := _bind(port, versions, number)) is not None:
            return taken
    return None


def _bind(port: Port, versions: Sequence[int], number: int) -> list[socket.socket] | None:
    """A bound socket for each IP version, all on one port; None where it is taken."""
    made: list[socket.socket] = []
    try:
        for version in versions:
            one = _socket(port.protocol, version)
            made.append(one)
            try:
                one.bind((port.host or _ANY[version], number))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port.protocol != "tcp":
                    raise
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # only old connections may be in the way
                one.bind((port.host or _ANY[version], number))
                one.listen(1)
            number = one.getsockname()[1]
    except OSError as error:
        for one in made:
            one.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise _not_ours(port, error) from error
    return made


def _socket(protocol: str, version: int) -> socket.socket:
    one = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, _KINDS[protocol] | socket.SOCK_CLOEXEC)
    if version == 6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return one


def _not_ours(port: Port, error: OSError) -> CreateFailed:
    hints = {
        errno.EADDRNOTAVAIL: f"{port.host} is no address of this host: ip address shows those it has",
        errno.EACCES: "ports below 1024 are root's: publish a higher one, as -p 8080:80",
    }
    return CreateFailed(
        f"port {port.host or '*'}:{port.first} cannot be published: {error.strerror}",
        hint=hints.get(error.errno or 0, ""), exit_code=125, stage="publish", errno=error.errno,
    )  # fmt: skip


def retarget(files: Files) -> None:
    """Lead the ports of a running container to an address it has now; while it has none they wait for one."""
    with state.changed(files) as made:
        before, targets = of(made), targets_of(made)
        ours = [(ip_address(one.target).version, one) for one in before]
        ours += [(version, Forward(**one)) for version, one in made["waiting"]]
        after = [one._replace(target=targets[version]) for version, one in ours if version in targets]
        made["ports"] = [one._asdict() for one in after]
        made["waiting"] = [(version, one._asdict()) for version, one in ours if version not in targets]
    firewall.withdraw([one for one in before if one not in after])
    lead([one for one in after if one not in before], made["networks"])
