"""The container's /etc/hosts and /etc/resolv.conf: hosts(5), resolv.conf(5)."""

from __future__ import annotations

import os
from typing import Any

from nbcontainers.monitor.files import Files
from nbcontainers.monitor.files import write as write_all
from nbcontainers.network import state

Record = dict[str, Any]

LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
#: Where a container asks for names; nothing outside of it can.
RESOLVER = "127.0.0.11"
#: --add-host NAME:host-gateway
GATEWAY = "host-gateway"
RESOLV_CONF = "/etc/resolv.conf"
_HOST_NAMES = "host.containers.internal host.docker.internal"


def text(settings: Record, joined: Record) -> str:
    """/etc/hosts of a container that has joined networks; `add_host` is a list of (name, address)."""
    gateways = [address for one in joined.values() for address in one["gateways"]]
    lines = [LOCALHOST]
    for name, address in settings.get("add_host") or ():
        for found in gateways[:1] if address == GATEWAY else [address]:
            lines.append(f"{found}\t{name}\n")
    if gateways:
        lines.append(f"{gateways[0]}\t{_HOST_NAMES}\n")
    own = " ".join(dict.fromkeys(name for name in (settings.get("hostname"), settings["name"]) if name))
    for one in joined.values():
        lines += [f"{address}\t{own}\n" for address in one["addresses"]]
    return "".join(lines)


def write(files: Files, settings: Record) -> None:
    """Anew, in the very file that the container has mounted."""
    content = text(settings, state.read(files)["networks"])
    try:
        file = os.open(f"{files.folder}/etc/hosts", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        write_all(file, content.encode("utf-8", "surrogateescape"))
    finally:
        os.close(file)


def resolv_conf(settings: Record, *, own_resolver: bool) -> str:
    """Our resolver, or where a container answers on port 53 itself, the servers it would ask."""
    servers = [RESOLVER] if own_resolver else upstream(settings)
    search = settings.get("dns_search") or []
    options = settings.get("dns_option") or (["ndots:0"] if own_resolver else [])
    lines = [f"nameserver {address}" for address in servers[:3]]
    lines += [f"search {' '.join(search)}"] if search and search != ["."] else []
    lines += [f"options {' '.join(options)}"] if options else []
    return "".join(f"{line}\n" for line in lines)


def upstream(settings: Record) -> list[str]:
    """--dns, or the name servers of the host."""
    return list(settings.get("dns") or resolvers())


def resolvers() -> list[str]:
    """The name servers of the host: resolv.conf(5)."""
    found = []
    try:
        with open(RESOLV_CONF, encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.split()
                if words[:1] == ["nameserver"] and len(words) > 1 and _is_address(words[1]):
                    found.append(words[1])
    except OSError:
        return []
    return found


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def host_search() -> list[str]:
    """The host's own search list."""
    found: list[str] = []
    try:
        with open(RESOLV_CONF, encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.split()
                if words[:1] in (["search"], ["domain"]):
                    found = words[1:]
    except OSError:
        return []
    return [name for name in found if name.isascii() and name.isprintable()][:6]
