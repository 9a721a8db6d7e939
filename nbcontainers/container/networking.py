"""From the options of `run` to a container's networks: what container.json records and which steps do it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nbcontainers.container import parse, store
from nbcontainers.container.options import RunOptions, bad, values
from nbcontainers.engine import Engine
from nbcontainers.launcher import client
from nbcontainers.network import hosts, ports
from nbcontainers.network import store as networks
from nbcontainers.network import wish as wanted

Record = dict[str, Any]
Step = dict[str, Any]

#: Which network `run` takes when none is named: one of `network ls`, host or none.
VARIABLE = "NBCONTAINERS_NETWORK"
_ALIASES = {"bridge": networks.DEFAULT, "default": networks.DEFAULT, "private": networks.DEFAULT, "": networks.DEFAULT}
_NETWORK = "nbcontainers.network"
_DNS = {("tcp", 53), ("udp", 53)}
_ONE_NETWORKS = {"ip": "ip", "ip6": "ip6", "mac_address": "mac", "link_local_ip": "link_local"}
"""Options that mean one network, and what they are in a wish."""
_PUBLISHER = {False: ("publish", "Publish"), True: ("rootless", "Forwards")}


class Plan(NamedTuple):
    """`mode` is `none`, `host`, `own` (networks of ours) or `container`; `other` is that container's id."""

    mode: str
    record: Record
    steps: list[Step]
    path: str = ""
    """Where the container's network namespace is mounted; "" where the runtime makes it, or it is the host's."""
    other: str = ""

    @property
    def namespace(self) -> str:
        """The word for `spec`: whether the namespace is the host's."""
        return "host" if self.mode == "host" else "none"


def plan(engine: Engine, options: RunOptions, image: Mapping[str, Any], id: str) -> Plan:
    """Raises InvalidArgument, NotFound, HostNotCapable for what can never work; nothing is made."""
    published = _ports(options, image)
    asked = _asked(engine, options, published)
    named = list(asked)
    mode = _mode(named)
    record: Record = {
        "network": ",".join(named), "networks": [], "ports": [one._asdict() for one in published],
        "add_host": values(options, "add_host", parse.host),
        "dns": values(options, "dns", parse.address), "dns_option": values(options, "dns_option", parse.resolver_option),
        "dns_search": values(options, "dns_search", parse.search) or hosts.host_search(),
    }  # fmt: skip
    _check_mode(options, mode, published)
    if mode == "container":
        return _shared(engine, named[0], record, id)
    if mode != "own":
        return Plan(mode, record, [])
    wishes = [_wish(options, name, asked[name], alone=len(named) == 1) for name in named]
    found = [_network(engine, one) for one in wishes]
    _check_ports(published, found)
    record["networks"] = [
        wanted.check(one, network) if network["subnets"] else one for one, network in zip(wishes, found, strict=True)
    ]
    client.preload(*(f"{_NETWORK}.{name}" for name in ("attach", "resolver", _PUBLISHER[engine.rootless][0])))
    path = f"{engine.run}/{id}/netns"
    return Plan("own", record, _steps(engine, id, path, record, found, image), path)


def default(engine: Engine) -> str:
    """The network of a container for which none was named."""
    return os.environ.get(VARIABLE) or ("none" if engine.rootless else networks.DEFAULT)


def _asked(engine: Engine, options: RunOptions, published: Sequence[ports.Port]) -> dict[str, Record]:
    """By name of a network what was written after it: `--network lab:ip=10.77.0.5,alias=db`."""
    texts = values(options, "network", parse.network_name) or [default(engine)]
    if engine.rootless and published and not options.get("network") and VARIABLE not in os.environ:
        texts = [networks.DEFAULT]  # a port needs a network of the container's own
    found: dict[str, Record] = {}
    for name, rest in (wanted.parse(text) for text in texts):
        name = _ALIASES.get(name, name)
        if name in found:
            raise bad("network", f"{name} is given twice; write it once, as {name}:alias=NAME,ip=ADDRESS")
        found[name] = rest
    return found


def _mode(named: Sequence[str]) -> str:
    special = [name for name in named if name in networks.BUILT_IN or name.startswith("container:")]
    if special and len(named) > 1:
        raise bad("network", f"{special[0]} cannot be combined with others; leave one of them out")
    if not special:
        return "own"
    return "container" if special[0].startswith("container:") else special[0]


def _check_mode(options: RunOptions, mode: str, published: Sequence[ports.Port]) -> None:
    if mode == "own":
        return
    words = {"none": "the container has no network", "host": "the container has the host's network and all its ports",
             "container": "ports belong to the container whose network it shares"}[mode]  # fmt: skip
    if published:
        raise bad("publish", f"{words}; leave -p out, or name a network, as --network {networks.DEFAULT}")
    for name in (*_ONE_NETWORKS, "network_alias"):
        if options.get(name):
            raise bad(name, f"{words}; name a network, as --network {networks.DEFAULT}")


def _ports(options: RunOptions, image: Mapping[str, Any]) -> list[ports.Port]:
    found = [one for several in values(options, "publish", ports.parse) for one in several]
    more = [one for several in values(options, "expose", ports.exposed) for one in several]
    if options.get("publish_all"):
        known = {(one.protocol, one.target) for one in found}
        exposed = [one for one in ports.all_exposed(image, more) if one not in known]
        found += [ports.Port(protocol, "", 0, 0, port) for protocol, port in exposed]
    return list(dict.fromkeys(found))


def _shared(engine: Engine, named: str, record: Record, id: str) -> Plan:
    name = named.partition(":")[2]
    other = store.find(engine, name)
    if store.read(engine, other, "container.json").get("network") == "host":
        return Plan("host", record | {"network": "host"}, [])
    path = f"{engine.run}/{id}/netns"
    args = {"root": str(engine.root), "run": str(engine.run), "of": other, "name": name, "path": path}
    record["network"] = f"container:{other}"
    return Plan("container", record, [{"step": f"{_NETWORK}.namespace:Shared", "args": args}], path, other)


def _network(engine: Engine, wish: Record) -> Record:
    """The network's record. The default one may not be there yet: the first container makes it."""
    name = wish["network"]
    if name == networks.DEFAULT and name not in networks.names(str(engine.root)):
        if not any(wish[key] for key in ("ip", "ip6", "mac", "link_local", "interface")):
            return {"name": name, "driver": "bridge", "internal": False, "subnets": []}
        return dict(client.call("nbcontainers.network.creation:find", root=str(engine.root), name=name))
    return networks.read(str(engine.root), name)


def _check_ports(published: Sequence[ports.Port], found: Sequence[Record]) -> None:
    if published and not any(one["driver"] == "bridge" and not one["internal"] for one in found):
        raise bad(
            "publish",
            f"nothing outside can reach network {found[0]['name']} through the host; leave -p out, or add a network "
            f"that leads outside, as --network {networks.DEFAULT}",
        )


def _wish(options: RunOptions, name: str, rest: Record, *, alone: bool) -> Record:
    """The entry of container.json for one network, unchecked: --ip and the like, and what --network says itself."""
    wish = {**wanted.empty(name), **rest}
    aliases = [*values(options, "network_alias", parse.hostname), *wish["aliases"]]
    wish["aliases"] = list(dict.fromkeys(_hostname(alias) for alias in aliases))
    for option, key in _ONE_NETWORKS.items():
        if not options.get(option):
            continue
        if not alone:
            raise bad(option, f"it can belong to one network only; write it there, as --network {name}:{key}=…")
        given = options[option]  # type: ignore[literal-required]
        wish[key] = [given] if key == "link_local" and isinstance(given, str) else given
    return wish


def _hostname(text: str) -> str:
    try:
        return parse.hostname(text)
    except ValueError as error:
        raise bad("network", str(error)) from None


def _steps(
    engine: Engine, id: str, path: str, record: Record, found: Sequence[Record], image: Mapping[str, Any]
) -> list[Step]:
    where = {"root": str(engine.root), "run": str(engine.run), "id": id}
    ipv6 = any(":" in one["subnet"] for network in found for one in network["subnets"])
    steps = [
        *([{"step": f"{_NETWORK}.userhost:Host", "args": where}] if engine.rootless else []),
        {"step": f"{_NETWORK}.namespace:Namespace", "args": {"path": path, "ipv6": ipv6}},
        {"step": f"{_NETWORK}.attach:Attach", "args": {**where, "path": path}},
    ]
    if resolves(record, image):
        steps.append({"step": f"{_NETWORK}.resolver:Resolve", "args": {**where, "path": path}})
    if record["ports"]:
        publisher = ":".join(_PUBLISHER[engine.rootless])
        steps.append({"step": f"{_NETWORK}.{publisher}", "args": {**where, "ports": record["ports"]}})
    return steps


def resolves(record: Record, image: Mapping[str, Any]) -> bool:
    """Whether the container gets our resolver: not where it is a name server itself and needs port 53."""
    own = {(port["protocol"], port["target"]) for port in record["ports"]} | set(ports.all_exposed(image, ()))
    return own.isdisjoint(_DNS)


def texts(chosen: Plan, record: Record, name: str) -> dict[str, str]:
    """/etc/hosts and /etc/resolv.conf."""
    if chosen.mode == "host":
        listed = "".join(f"{address}\t{other}\n" for other, address in record["add_host"] if address != hosts.GATEWAY)
        resolver = hosts.resolv_conf(record, own_resolver=False) if record["dns"] else _host_file("/etc/resolv.conf")
        return {"/etc/hosts": (_host_file("/etc/hosts") or hosts.LOCALHOST) + listed, "/etc/resolv.conf": resolver}
    if chosen.mode == "own":
        kinds = {step["step"].rpartition(":")[2] for step in chosen.steps}
        resolver = hosts.resolv_conf(record, own_resolver="Resolve" in kinds)
        return {"/etc/hosts": hosts.text(record, {}), "/etc/resolv.conf": resolver}
    resolver = hosts.resolv_conf(record, own_resolver=False) if record["dns"] else ""
    return {"/etc/hosts": f"{hosts.text(record, {})}127.0.1.1\t{name}\n", "/etc/resolv.conf": resolver}


def _host_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 20)
    except OSError:
        return ""
