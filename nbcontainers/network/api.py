"""The verbs of `network`: each a function here, a word on the command line and in the magics.

A network is given by its name or its handle. `nbcontainers` is the one that `run` takes; the first container makes
it; NBCONTAINERS_NETWORK in the environment names another. `host` and `none` are always there. `engine` is where
networks are kept; by default this user's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated, Any

from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.network.network import Network, name_of
from nbcontainers.option import Argument, Option, Unasked

if TYPE_CHECKING:
    from nbcontainers.network.drawing import Topology
    from nbcontainers.table import Table

__all__ = ["connect", "create", "disconnect", "inspect", "ls", "prune", "reload", "rm", "topology"]

One = Annotated[str | Network, Argument("NETWORK", "name of a network", complete="network")]
Container = Annotated[Any, Argument("CONTAINER", "name, id or its beginning", complete="container")]
Pairs = list[str] | Mapping[str, str]
Filter = Annotated[
    Sequence[str] | None,
    Option("-f", help="only those: name=, id=, label=, driver=, type=, dangling=, until=", metavar="KEY=VALUE"),
]


def create(
    name: Annotated[str, Argument("NAME", "what to call it")],
    *,
    driver: Annotated[
        str,
        Option(
            "-d",
            help="bridge (default), or macvlan: addresses of the wire; host and none are always there",
            choices=("bridge", "macvlan", "host", "none"),
        ),
    ] = "bridge",
    subnet: Annotated[Sequence[str], Option(help="its addresses; chosen without it", metavar="ADDRESS/BITS")] = (),
    gateway: Annotated[Sequence[str], Option(help="the host's address in it (the first)", metavar="ADDRESS")] = (),
    ip_range: Annotated[
        Sequence[str], Option(help="give out addresses of this part of it only", metavar="ADDRESS/BITS")
    ] = (),
    ipv6: Annotated[bool, Option(help="IPv6 too, with a subnet of our choice")] = False,
    internal: Annotated[bool, Option(help="its containers reach each other and nothing else")] = False,
    opt: Annotated[
        Pairs | None, Option("-o", help="mtu=1400; for macvlan parent=eth0, mode=bridge", metavar="KEY=VALUE")
    ] = None,
    label: Annotated[Pairs | None, Option("-l", help="attach a label", metavar="KEY=VALUE")] = None,
    engine: Engine | None = None,
) -> Network:
    """Make a network; containers join it by --network NAME or `network connect`.

    Without --subnet it gets one that collides with no address and no route of this host. Raises InvalidArgument,
    NameInUse, HostNotCapable, and then nothing was made.
    """
    from nbcontainers.network import request

    here = engine or default_engine()
    request.create(
        here, name, driver=driver, subnets=subnet, gateways=gateway, ranges=ip_range, ipv6=ipv6, internal=internal,
        options=opt, labels=label,
    )  # fmt: skip
    return Network(here, name)


def ls(*, filter: Filter = None, engine: Engine | None = None) -> Table:
    """List the networks, with their subnets and how many containers were made for each."""
    from nbcontainers.network import listing

    return listing.ls(engine or default_engine(), filter)


def inspect(*networks: One, engine: Engine | None = None) -> list[dict[str, Any]]:
    """Everything known of networks, in Docker's words, with the containers that run on them and their cables."""
    from nbcontainers.network import listing

    return [listing.inspect(engine or default_engine(), network) for network in _needed(networks)]


def rm(
    *networks: One,
    force: Annotated[bool, Option("-f", help="one that is not there is no error")] = False,
    engine: Engine | None = None,
) -> list[str]:
    """Remove networks no container was made for; returns their names."""
    here, gone = engine or default_engine(), []
    for name in map(name_of, _needed(networks)):
        with suppress(NotFound) if force else nullcontext():
            _call("remove", here, network=name)
            gone.append(name)
    return gone


def prune(
    *,
    filter: Annotated[
        Sequence[str] | None, Option(help="only those: label=KEY=VALUE, until=24h, …", metavar="KEY=VALUE")
    ] = None,
    force: Unasked = False,
    engine: Engine | None = None,
) -> list[str]:
    """Remove every network that no container was made for; returns their names.

    Of the default network only the bridge goes, which the next container makes again.
    """
    from nbcontainers.network import filtering

    filtering.tests(filter)
    given = [filter] if isinstance(filter, str) else list(filter or ())
    return list(_call("prune", engine or default_engine(), filters=given))


def connect(
    network: One,
    container: Container,
    *,
    ip: Annotated[str, Option(help="its address there", metavar="ADDRESS")] = "",
    ip6: Annotated[str, Option(help="the same of IPv6", metavar="ADDRESS")] = "",
    alias: Annotated[Sequence[str], Option(help="one more name for it there", metavar="NAME")] = (),
    mac_address: Annotated[str, Option(help="the hardware address there", metavar="ADDRESS")] = "",
    link_local_ip: Annotated[Sequence[str], Option(help="one more, link-local address", metavar="ADDRESS")] = (),
    engine: Engine | None = None,
) -> list[str]:
    """Put a container on one more network, running or not; returns its addresses there if it runs."""
    from nbcontainers.network import request

    here = engine or default_engine()
    wish = request.wish(name_of(network), ip, ip6, alias, mac_address, link_local_ip)
    return list(_call("connect", here, network=name_of(network), id=request.container(here, container), wish=wish))


def disconnect(network: One, container: Container, *, engine: Engine | None = None) -> None:
    """Take a container off a network, running or not."""
    from nbcontainers.network import request

    here = engine or default_engine()
    _call("disconnect", here, network=name_of(network), id=request.container(here, container))


def reload(*, engine: Engine | None = None) -> list[str]:
    """Put our nftables rules and the published ports back, if somebody flushed them; returns the networks.

    Other tables are never touched.
    """
    return list(_call("reload", engine or default_engine()))


def topology(
    *networks: One,
    port: Annotated[
        str, Option("-p", help="follow a connection to this published port, hop by hop", metavar="PORT[/udp]")
    ] = "",
    engine: Engine | None = None,
) -> Topology:
    """Draw the host, its networks and who is on them: interfaces, bridges, cables, addresses, and what carries each port.

    Without a name all networks. It is also a tree of words, and DataFrames: .to_pandas(), .links, .ports, .interfaces.
    """
    from nbcontainers.network import drawing

    return drawing.read(engine or default_engine(), [name_of(network) for network in networks], port)


def _call(name: str, engine: Engine, **arguments: Any) -> Any:
    from nbcontainers.launcher import client

    return client.call(f"nbcontainers.network.work:{name}", root=str(engine.root), run=str(engine.run), **arguments)


def _needed(networks: tuple[str | Network, ...]) -> tuple[str | Network, ...]:
    if not networks:
        raise InvalidArgument("no network was named", hint="type its name; network ls shows them")
    return networks
