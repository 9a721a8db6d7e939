"""What `-p` and `--expose` say: Docker's words as values. Every function raises ValueError with what to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

PROTOCOLS = ("tcp", "udp")
HUB = "JUPYTERHUB_SERVICE_PREFIX"
"""Where JupyterHub has put this user's server: `/user/ann/`."""
_MEANT = "write HOST:CONTAINER as 8080:80, an address before it, /udp after it, or ranges 8000-8005:80-85"


class Port(NamedTuple):
    """One port to publish. `host` is "" for every address of the host's.

    The host's port is one of `first` to `last`; 0 to 0 is any free one.
    """

    protocol: str
    host: str
    first: int
    last: int
    target: int

    def document(self) -> dict[str, Any]:
        return self._asdict()


def parse(value: str | int) -> list[Port]:
    """`80`, `8080:80`, `127.0.0.1:8080:80/udp`, `[::1]::80`, `8000-8005:80-85`, `8000-8010:80`."""
    text, protocol = _protocol(str(value))
    address, host, target = _split(text, value)
    inner = _range(target, value)
    if not host:
        return [Port(protocol, address, 0, 0, port) for port in range(inner[0], inner[1] + 1)]
    outer = _range(host, value)
    if inner[0] == inner[1]:
        return [Port(protocol, address, *outer, inner[0])]
    if outer[1] - outer[0] != inner[1] - inner[0]:
        raise ValueError(f"{value!r}: the ranges differ in length; write as many ports of the host as of the container")
    shift = outer[0] - inner[0]
    return [Port(protocol, address, port + shift, port + shift, port) for port in range(inner[0], inner[1] + 1)]


def exposed(value: str | int) -> list[tuple[str, int]]:
    """`80`, `53/udp`, `7000-7005`: (protocol, port) of each."""
    text, protocol = _protocol(str(value))
    first, last = _range(text, value)
    return [(protocol, port) for port in range(first, last + 1)]


def all_exposed(image: Mapping[str, Any], more: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The ports an image's configuration names (image-spec, ExposedPorts) and others; what is no port is left out."""
    found = list(more)
    for text in image.get("ExposedPorts") or {}:
        try:
            found += exposed(text)
        except ValueError:
            continue
    return list(dict.fromkeys(found))


def published(forward: Mapping[str, Any]) -> str:
    """`*:8080→80/tcp`, of a `Forward`."""
    host = f"[{forward['host']}]" if ":" in forward["host"] else forward["host"] or "*"
    return f"{host}:{forward['host_port']}→{forward['target_port']}/{forward['protocol']}"


def browsed(forward: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """What a browser may open of a published port (`Forward`): it itself, and on a hub its way through the hub. Only TCP;
    a port of all addresses is this machine's own as well, which is all that a hub's proxy (jupyter-server-proxy) leads to.
    """
    if forward["protocol"] != "tcp":
        return []
    host, number = str(forward["host"]).strip("[]"), forward["host_port"]
    local = host in ("", "0.0.0.0", "::", "127.0.0.1", "::1")
    if local:
        host = "::1" if ":" in (host or forward["target"]) else "127.0.0.1"
    direct = f"http://{f'[{host}]' if ':' in host else host}:{number}/"
    prefix = environ.get(HUB, "") if local else ""
    return [direct, f"{prefix.rstrip('/')}/proxy/{number}/"] if prefix else [direct]


def _protocol(text: str) -> tuple[str, str]:
    rest, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f"{text!r}: {protocol!r} is no protocol that can be published; write /tcp or /udp")
    return rest, protocol


def _split(text: str, value: str | int) -> tuple[str, str, str]:
    """(address, host's port, container's port); the first two may be empty."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]:")
        parts = rest.split(":")
        if not bracket or len(parts) != 2:
            raise ValueError(f"{value!r} is no port; write [::1]:8080:80")
        return _address(address, value), parts[0], parts[1]
    parts = text.split(":")
    if len(parts) > 3:
        raise ValueError(f"{value!r} is no port; {_MEANT}")
    address, host = ([""] * (3 - len(parts)) + parts)[:2]
    return _address(address, value) if address else "", host, parts[-1]


def _address(text: str, value: str | int) -> str:
    from ipaddress import ip_address

    try:
        found = ip_address(text)
    except ValueError:
        raise ValueError(f"{value!r}: {text!r} is no address of the host; write it as 127.0.0.1:8080:80") from None
    return "" if found.is_unspecified and found.version == 4 else str(found)


def _range(text: str, value: str | int) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not _is_number(low) or (dash and not _is_number(high)):
        raise ValueError(f"{value!r} is no port; {_MEANT}")
    first, last = int(low), int(high) if dash else int(low)
    if not 1 <= first <= last <= 65535:
        raise ValueError(f"{value!r}: ports go from 1 to 65535; write as 8080:80")
    return first, last


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 7
