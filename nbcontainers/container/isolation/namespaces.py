"""Namespaces of a container beside the host's: namespaces(7)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from nbcontainers.linux.namespaces import FILES
from nbcontainers.table import Row

ISOLATES = {
    "pid": "process numbers: its first is 1",
    "mnt": "the tree of files, its mounts",
    "net": "interfaces, addresses, ports, firewall",
    "uts": "host name and domain name",
    "ipc": "shared memory, semaphores, queues",
    "cgroup": "where its cgroup seems to begin",
    "time": "the clocks that count from boot",
    "user": "users, and what capabilities reach",
}
"""What each type keeps apart, in words."""


def of_host() -> dict[str, int]:
    """Those of this very process (inode numbers by type): the notebook, or the command line."""
    found = {}
    for name in FILES.values():
        if os.path.exists(f"/proc/self/ns/{name}"):
            found[name] = os.stat(f"/proc/self/ns/{name}").st_ino
    return found


def rows(host: Mapping[str, int], container: Mapping[str, int], launcher: Mapping[str, int]) -> list[Row]:
    """Rows: type, host and container (inode numbers, None where not to be read), own, isolates, note."""
    return [
        {
            "type": name, "host": host.get(name), "container": container.get(name),
            "own": None if name not in container else container[name] != host.get(name), "isolates": words,
            "note": _note(name, host, container, launcher),
        }
        for name, words in ISOLATES.items() if name in host
    ]  # fmt: skip


def _note(name: str, host: Mapping[str, int], container: Mapping[str, int], launcher: Mapping[str, int]) -> str:
    if name == "user" and name in container and container[name] == launcher.get(name) != host.get(name):
        return "one for all containers of this user"
    return ""


def asked(kinds: Sequence[str]) -> list[Row]:
    """The same of one that does not run: `kinds` are the runtime-spec's words for what its configuration asks for."""
    wanted = {FILES.get(kind, kind) for kind in kinds}
    return [
        {"type": name, "host": None, "container": None, "own": name in wanted, "isolates": words, "note": ""}
        for name, words in ISOLATES.items()
    ]


def identities(uid_map: str, gid_map: str) -> list[Row]:
    """Rows of proc_pid_uid_map(5), as seen from here: kind (uid, gid), inside, outside, count."""
    found = []
    for kind, text in (("uid", uid_map), ("gid", gid_map)):
        for line in text.splitlines():
            inside, outside, count = map(int, line.split())
            found.append({"kind": kind, "inside": inside, "outside": outside, "count": count})
    return found
