"""Addresses given out: a file each, `leases/ADDRESS`, that names the container which has it.

A lease is good as long as that container's monitor lives; then anybody may take it. So an address is never given
twice, and comes back whatever was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any

from nbcontainers.errors import InvalidState, NotFound
from nbcontainers.monitor.files import Files, replace, write
from nbcontainers.network import store, subnet
from nbcontainers.network.store import Record

Lease = dict[str, Any]
"""`container` (id) and `names` by which others on the network find it."""


@contextmanager
def _locked(root: str, name: str) -> Iterator[str]:
    """The folder of leases, for one process at a time. Raises NotFound if the network has gone."""
    path = f"{store.folder(root, name)}/leases"
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        store.read(root, name)
        raise
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(lock)


def take(root: str, run: str, network: Record, lease: Lease, wanted: Sequence[str] = ()) -> list[str]:
    """One address of each subnet of the network, those in `wanted` where they are given.

    Raises InvalidState where one is another container's, or where none is left; then none was taken.
    """
    found: list[str] = []
    with _locked(root, network["name"]) as folder:
        try:
            for entry in network["subnets"]:
                version = ip_network(entry["subnet"]).version
                asked = next((text for text in wanted if text and ip_address(text).version == version), "")
                found.append(_take(folder, root, run, entry, lease, asked, network["name"]))
        except BaseException:
            for address in found:
                os.unlink(f"{folder}/{address}")
            raise
    return found


def _take(folder: str, root: str, run: str, entry: Record, lease: Lease, asked: str, network: str) -> str:
    held = set(os.listdir(folder)) | {entry["gateway"]}
    if asked:
        address = str(ip_address(asked))
        if address in held and not _give_back_dead(folder, root, run, address, lease["container"]):
            raise _in_use(folder, address, entry, network)
        return _write(folder, address, lease)
    inside = ip_network(entry["subnet"])
    for candidate in subnet.hosts(inside, entry.get("range", "")):
        if str(candidate) not in held:
            return _write(folder, str(candidate), lease)
    for address in sorted(held - {entry["gateway"]}):
        if ip_address(address) in inside and _give_back_dead(folder, root, run, address, ""):
            return _write(folder, address, lease)
    hint = "remove containers of it, or make a larger one: network create --subnet 10.77.0.0/16 NAME"
    raise InvalidState(f"network {network} has no free address left in {inside}", hint=hint)


def _write(folder: str, address: str, lease: Lease) -> str:
    """O_EXCL once more guards what the lock does."""
    file = os.open(f"{folder}/{address}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write(file, json.dumps(lease).encode())
    except OSError:
        os.unlink(f"{folder}/{address}")
        raise
    finally:
        os.close(file)
    return address


def _in_use(folder: str, address: str, entry: Record, network: str) -> InvalidState:
    if address == entry["gateway"]:
        return InvalidState(f"{address} is the gateway of network {network}", hint="choose another address for --ip")
    lease = _read(f"{folder}/{address}")
    owner = next(iter(lease.get("names") or ()), "") or str(lease.get("container"))[:12]
    hint = f"choose another address for --ip, or type container rm -f {owner}"
    return InvalidState(f"{address} of network {network} belongs to container {owner}", hint=hint)


def _give_back_dead(folder: str, root: str, run: str, address: str, self: str) -> bool:
    """Take away the lease of a container that is gone, or that is our own; whether the address is free now."""
    path = f"{folder}/{address}"
    if not os.path.exists(path):
        return False  # the gateway's
    owner = str(_read(path).get("container", ""))
    if owner and owner != self and Files(root, run, owner).monitor_alive():
        return False
    os.unlink(path)
    return True


def _read(path: str) -> Lease:
    """{} for a lease that was being written when its writer was killed, or that has just gone."""
    try:
        with open(path, "rb") as file:
            found = json.load(file)
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def kept(root: str, network: str, container: str, addresses: Sequence[str]) -> list[str]:
    """Those that are still this container's."""
    folder = f"{store.folder(root, network)}/leases"
    return [address for address in addresses if _read(f"{folder}/{address}").get("container") == container]


def rename(root: str, network: str, container: str, addresses: Sequence[str], before: str, name: str) -> None:
    """Have the leases that are this container's say `name` in place of the name it had."""
    with _locked(root, network) as folder:
        for address in kept(root, network, container, addresses):
            lease = _read(f"{folder}/{address}")
            names = [name if one == before else one for one in lease.get("names", ())]
            replace(f"{folder}/{address}", {**lease, "names": names})


def give_back(root: str, network: str, container: str, addresses: Sequence[str]) -> list[str]:
    """Those that are still this container's; returns them."""
    ours = kept(root, network, container, addresses)
    for address in ours:
        try:
            os.unlink(f"{store.folder(root, network)}/leases/{address}")
        except FileNotFoundError:
            continue
    return ours


def leases(root: str, network: str) -> dict[str, Lease]:
    """By address; also those of the dead."""
    folder = f"{store.folder(root, network)}/leases"
    try:
        return {address: _read(f"{folder}/{address}") for address in os.listdir(folder)}
    except FileNotFoundError:
        return {}


def sweep(root: str, run: str, network: str) -> list[str]:
    """Give back what belongs to containers that are gone; returns the addresses."""
    try:
        with _locked(root, network) as folder:
            return [address for address in sorted(os.listdir(folder))
                    if _give_back_dead(folder, root, run, address, "")]  # fmt: skip
    except NotFound:
        return []
