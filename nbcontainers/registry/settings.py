"""How registries are reached: one settings file, frozen once read.

It is TOML, the first that exists of $NBCONTAINERS_REGISTRIES, `registries.toml` in the engine's root folder
(/var/lib/nbcontainers, or ~/.local/share/nbcontainers) and /etc/nbcontainers/registries.toml. Every key may be left out:

    search = ["docker.io", "quay.io"]      # where a name without registry is looked for, in this order
    connect_timeout = 10                   # seconds until a connection stands
    stall_timeout = 30                     # seconds without a byte until a connection counts as dead
    tries = 4                              # how often a request is made at most
    backoff = 1                            # seconds before the second try, twice as many before each next

    [aliases]                              # short names that mean one repository
    lab = "registry.lab:5000/science/lab"

    [registry."registry.lab:5000"]         # a host, host:port, *.domain, or host/path for a part of a registry
    ca = "/etc/ssl/lab-ca.pem"             # trusted beside the system's; also HOST/*.crt in the certs.d folders
    insecure = true                        # http, or https whose certificate nobody checks; loopback is so by itself
    blocked = true                         # never ask it
    location = "10.1.2.3:5000/mirror"      # where it really is
    mirrors = ["mirror.lab/hub", { location = "10.0.0.5:5000", insecure = true }]  # asked first, for pulls only

Without such a file /etc/containers/registries.conf (podman's, version 2) is read, after the user's own in
~/.config/containers: unqualified-search-registries, aliases, and per registry prefix, location, insecure, blocked, mirror.
Certificates lie in certs.d/HOST as Docker has them: *.crt are CAs, NAME.cert and NAME.key authenticate us. Proxies come
from http_proxy, https_proxy and no_proxy.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from nbcontainers.errors import RegistryError
from nbcontainers.oci.reference import HUB

if TYPE_CHECKING:
    from nbcontainers.engine import Engine

HUB_API = "registry-1.docker.io"
SYSTEM = Path("/etc/nbcontainers/registries.toml")
NAME = "registries.toml"


@dataclass(frozen=True)
class Mirror:
    """`location` is host[:port][/path]; `pull` is what may be asked of it: all, digest-only or tag-only."""

    location: str
    insecure: bool | None = None
    pull: str = "all"


@dataclass(frozen=True)
class Registry:
    """What the file says of one registry, or of the part of it that `prefix` names."""

    prefix: str
    location: str = ""
    insecure: bool | None = None
    blocked: bool = False
    ca: str = ""
    mirrors: tuple[Mirror, ...] = ()

    @property
    def rank(self) -> tuple[bool, int]:
        """How closely it names a place: any wildcard less than a name, then by length."""
        return not self.prefix.startswith("*."), len(self.prefix)

    def matches(self, repository: str) -> bool:
        """Whether host/path lies under the prefix; `*.lab` stands for every host below lab."""
        if self.prefix.startswith("*."):
            return repository.partition("/")[0].endswith(self.prefix[1:])
        return repository == self.prefix or repository.startswith(f"{self.prefix}/")

    def is_at(self, host: str) -> bool:
        """Whether any of it is at this host, by its name or its location."""
        names = {place.partition("/")[0] for place in (self.prefix, self.location)}
        return (
            host in names or (host == HUB_API and HUB in names) or (self.prefix.startswith("*.") and self.matches(host))
        )


class Source(NamedTuple):
    """Where a repository can be had: host[:port], path there, and the name its credentials are kept under.

    `pull` is what a mirror may be asked for, as in Mirror.
    """

    host: str
    path: str
    insecure: bool
    key: str
    mirror: bool = False
    pull: str = "all"


@dataclass(frozen=True)
class Settings:
    """`path` is the file to write to, `certs` the folders certs.d, `proxies` the environment's (http, https, no)."""

    registries: tuple[Registry, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    search: tuple[str, ...] = (HUB,)
    connect_timeout: float = 10.0
    stall_timeout: float = 30.0
    tries: int = 4
    backoff: float = 1.0
    certs: tuple[str, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)  # they may hold a password
    path: str = NAME

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        registries = tuple(
            Registry(**{**one, "mirrors": tuple(Mirror(**mirror) for mirror in one["mirrors"])})
            for one in document["registries"]
        )
        lists = {name: tuple(document[name]) for name in ("search", "certs")}
        return cls(**{**document, **lists, "registries": registries})

    def registry(self, repository: str) -> Registry:
        """What is said of host or host/path: the longest prefix counts."""
        found = [one for one in self.registries if one.matches(repository)]
        return max(found, key=lambda one: one.rank, default=Registry(repository.partition("/")[0]))

    def insecure(self, host: str, said: bool | None = None) -> bool:
        """Whether http and unchecked certificates will do. Loopback will, as in Docker, unless a CA is known for it."""
        if said is None:
            said = self.registry(host).insecure
        return said if said is not None else is_loopback(host) and not self.trusted(host)

    def trusted(self, host: str) -> list[Path]:
        """The CA files and folders given for `host`, the system's own left out."""
        authorities = dict.fromkeys(Path(one.ca) for one in self.registries if one.ca and one.is_at(host))
        folders = [Path(folder, host) for folder in self.certs]
        return [*authorities, *(folder for folder in folders if os.path.isdir(folder))]  # False if we may not look

    def sources(self, repository: str, *, insecure: bool | None = None) -> list[Source]:
        """The mirrors of host/path in their order, its own registry last.

        Raises RegistryError for one that is blocked, and for a port that cannot be.
        """
        one = self.registry(repository)
        if one.blocked:
            raise RegistryError(
                f"{one.prefix} is blocked by {self.path}", hint=f'remove blocked = true from [registry."{one.prefix}"]'
            )
        rest = f"/{repository.partition('/')[2]}" if one.prefix.startswith("*.") else repository[len(one.prefix) :]
        mirrors = [_source(self, f"{two.location}{rest}", two.insecure, mirror=two) for two in one.mirrors]
        said = one.insecure if insecure is None else insecure
        return [*mirrors, _source(self, one.location + rest if one.location else repository, said)]


def _source(settings: Settings, place: str, said: bool | None, *, mirror: Mirror | None = None) -> Source:
    host, _, path = place.partition("/")
    if split_port(host)[1] > 65535:
        raise RegistryError(f"{host} has a port beyond 65535", hint=f"check host and port, also in {settings.path}")
    at = HUB_API if host == HUB else host
    return Source(at, path, settings.insecure(host, said), host, mirror is not None, mirror.pull if mirror else "all")


def is_loopback(host: str) -> bool:
    """Whether host[:port] is this machine by its address or by the name localhost."""
    name = split_port(host)[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def split_port(host: str, default: int = 0) -> tuple[str, int]:
    """(name, port) of host[:port]; an IPv6 address loses its brackets."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        return name, int(port[1:] or default)
    name, _, port = host.partition(":")
    return name, int(port or default)


def load(engine: Engine) -> Settings:
    """The settings of this user on this machine. Raises InvalidArgument for a file that says what nobody understands."""
    from nbcontainers.registry import conf, toml

    own = engine.root / NAME
    if asked := os.environ.get("NBCONTAINERS_REGISTRIES"):
        said = toml.read(Path(asked), must_exist=True)
    else:
        found = next((path for path in (own, SYSTEM) if path.exists()), None)
        said = toml.read(found) if found else conf.read()
    said.setdefault("path", str(own))
    return Settings(**said, certs=_certs(), proxies=_proxies())


def _certs() -> tuple[str, ...]:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return str(Path(home, "containers/certs.d")), "/etc/containers/certs.d", "/etc/docker/certs.d"


def _proxies() -> dict[str, str]:
    """Lower case counts more; HTTP_PROXY in upper case could be a header of somebody's CGI request (httpoxy)."""
    names = {"http": ("http_proxy",), "https": ("https_proxy", "HTTPS_PROXY"), "no": ("no_proxy", "NO_PROXY")}
    found = {kind: next(filter(None, map(os.environ.get, words)), "") for kind, words in names.items()}
    return {kind: value for kind, value in found.items() if value}
