"""Where a running container is reached: its addresses on its networks and its published ports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.container.options import bad
from nbcontainers.errors import NotFound
from nbcontainers.network import ports
from nbcontainers.table import Column, Table

_ANY = {4: "0.0.0.0", 6: "[::]"}


def state(container: Container) -> dict[str, Any]:
    """run/ID/network.json: `networks`, `ports`, `notes`; empty where it does not run or has no network of its own."""
    return store.state(container.engine, container.id, "network.json")


def addresses(container: Container) -> dict[str, list[str]]:
    """By network."""
    return {name: list(one["addresses"]) for name, one in (state(container).get("networks") or {}).items()}


def listen(forward: Mapping[str, Any]) -> str:
    """Where the host listens for a published port: `0.0.0.0:8080`."""
    host = forward["host"] or _ANY[6 if ":" in forward["target"] else 4]
    return f"{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{forward['host_port']}"


def private(forward: Mapping[str, Any]) -> str:
    """`80/tcp`."""
    return f"{forward['target_port']}/{forward['protocol']}"


def published(container: Container) -> list[tuple[str, str]]:
    """(port of the container, where the host listens for it), sorted."""
    found = state(container).get("ports") or ()
    ordered = sorted(found, key=lambda one: (one["target_port"], one["protocol"], one["host"], one["host_port"]))
    return [(private(one), listen(one)) for one in ordered]


def words(container: Container) -> str:
    """As `ps` shows them: `0.0.0.0:8080->80/tcp, …`."""
    return ", ".join(f"{where}->{inner}" for inner, where in published(container))


def reached(container: Container) -> list[str]:
    """Addresses and published ports, in the words of the card."""
    found = [f"{address} ({name})" for name, several in addresses(container).items() for address in several]
    return found + [f"{where} → {inner}" for inner, where in published(container)]


def links(container: Container) -> dict[str, list[str]]:
    """By the words of `reached` what a browser may open: the port itself, and on a hub its way through the hub."""
    found = state(container).get("ports") or ()
    return {
        f"{listen(one)} → {private(one)}": addressed for one in found if (addressed := ports.browsed(one, os.environ))
    }


def port(container: Container, wanted: str) -> Table:
    """Rows: port, host. Raises NotFound where the wanted one is not published."""
    rows = published(container)
    if wanted:
        try:
            (protocol, number), *_ = ports.exposed(wanted)
        except ValueError as error:
            raise bad("port", str(error)) from None
        rows = [row for row in rows if row[0] == f"{number}/{protocol}"]
        if not rows:
            raise NotFound(
                f"container {container.name} publishes no port {number}/{protocol}",
                hint=f"container port {container.name} shows those it does",
            )
    columns = [Column("port"), Column("host")]
    return Table([{"port": inner, "host": where} for inner, where in rows], columns)
