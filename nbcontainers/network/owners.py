"""Who has a port of the host: one of our containers, or a process that listens there."""

from __future__ import annotations

import os

from nbcontainers.errors import CreateFailed, NotFound
from nbcontainers.monitor.files import Files
from nbcontainers.network import state
from nbcontainers.network.ports import Port

_LISTEN = "0A"
"""Of tcp: proc_net_tcp.rst."""


def of(port: Port, files: Files) -> str:
    """`container NAME` or `PROGRAM (pid N)`: who has the first port of a range; "" where nobody can be seen."""
    name = _container(port, files)
    return f"container {name}" if name else _process(port)


def taken(port: Port, owner: str) -> CreateFailed:
    """The error for a port, or a whole range, of which nothing is free."""
    who = owner or "another process"
    hint = f"publish another port, as -p {_other(port)}:{port.target}, or end that process"
    if owner.startswith("container "):
        hint = f"publish another port, or type container rm -f {owner.removeprefix('container ')}"
    where = f"{port.host + ':' if port.host else ''}{port.first}"
    words = f"port {where}/{port.protocol}" if port.first == port.last else f"every port of {where}-{port.last}"
    return CreateFailed(
        f"{words} of the host is taken by {who}", hint=hint, exit_code=125, stage="publish", port=port.first
    )


def _other(port: Port) -> int:
    return port.first + 1 if port.first < 65535 else port.first - 1


def _container(port: Port, files: Files) -> str:
    for id, made in state.running(files.root, files.run):
        held = [*made["ports"], *(one for _, one in made["waiting"])]
        if any(one["protocol"] == port.protocol and one["host_port"] == port.first for one in held):
            try:
                return str(Files(files.root, files.run, id).read("container.json")["name"])
            except NotFound:
                return id[:12]
    return ""


def _process(port: Port) -> str:
    """`nginx (pid 123)`, as far as /proc lets us see it; "" where it does not."""
    inodes = {inode for family in ("", "6") for inode in _sockets(f"/proc/net/{port.protocol}{family}", port)}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if inodes and _holds(pid, inodes):
            return f"{_name(pid)} (pid {pid})"
    return ""


def _sockets(path: str, port: Port) -> list[str]:
    """The inodes of the sockets on that port."""
    try:
        with open(path) as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        return []
    return [row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port.first and _counts(row, port)]


def _counts(row: list[str], port: Port) -> bool:
    return port.protocol == "udp" or row[3] == _LISTEN


def _holds(pid: str, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            return any(_link(entry) in wanted for entry in entries)
    except OSError:  # it has gone, or is somebody else's
        return False


def _link(entry: os.DirEntry[str]) -> str:
    try:
        return os.readlink(entry.path)
    except OSError:
        return ""


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "a process"
