"""The handle of a network: its name and its engine. Everything else is read from the disk when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from nbcontainers import view
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.network import members, store

ALIASES = {"bridge": store.DEFAULT, "default": store.DEFAULT}


@dataclass(frozen=True)
class Network:
    """One network. As a context manager it is removed on leaving."""

    engine: Engine
    name: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.rm()

    @property
    def record(self) -> Mapping[str, Any]:
        """network.json: what was decided when it was made. Raises NotFound once it is removed."""
        return store.read(str(self.engine.root), self.name)

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def driver(self) -> str:
        return str(self.record["driver"])

    @property
    def subnets(self) -> list[str]:
        """As `10.77.0.0/24`."""
        return [entry["subnet"] for entry in self.record["subnets"]]

    @property
    def gateways(self) -> list[str]:
        """The host's addresses in it."""
        return [entry["gateway"] for entry in self.record["subnets"]]

    @property
    def containers(self) -> dict[str, list[str]]:
        """The addresses of each running container on it, by name."""
        return members.addresses(str(self.engine.root), str(self.engine.run), self.name)

    def connect(self, container: Any, **options: Any) -> None:
        from nbcontainers.network import api

        api.connect(self, container, engine=self.engine, **options)

    def disconnect(self, container: Any) -> None:
        from nbcontainers.network import api

        api.disconnect(self, container, engine=self.engine)

    def rm(self) -> None:
        from nbcontainers.network import api

        api.rm(self, engine=self.engine)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> view.Bundle:
        """What a cell shows: see `card`."""
        from nbcontainers.network import card

        return view.bundle(self, lambda: card.of(self))

    def __repr__(self) -> str:
        return view.in_a_line(
            f"Network {self.name}", lambda: f"Network {self.name} {self.driver} {' '.join(self.subnets)}"
        )


def name_of(network: str | Network) -> str:
    """The name of a handle or of what was typed. Raises InvalidArgument."""
    if isinstance(network, Network):
        return network.name
    if not isinstance(network, str):
        raise InvalidArgument(f"{network!r} is no network", hint="give a handle, or the name as text")
    return ALIASES.get(network, network)
