"""Id maps of user namespaces: user_namespaces(7), newuidmap(1)."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TypedDict


class IDMapping(TypedDict):
    """One line of a map, as config-linux.md writes it."""

    containerID: int
    hostID: int
    size: int


def write_maps(pid: int, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> None:
    """Give the user namespace of `pid` its maps, by ourselves where we may, else by newuidmap and newgidmap."""
    if _may_write(uids, os.geteuid()) and _may_write(gids, os.getegid()):
        if not _privileged():
            _write(pid, "setgroups", "deny")
        _write(pid, "gid_map", _lines(gids))
        _write(pid, "uid_map", _lines(uids))
        return
    _run("newgidmap", pid, gids)
    _run("newuidmap", pid, uids)


def _privileged() -> bool:
    """Whether we have CAP_SETGID over our own user namespace, so that setgroups(2) may stay allowed."""
    from nbcontainers.linux import capabilities

    return bool(capabilities.permitted() & capabilities.mask(["CAP_SETGID"]))


def _may_write(mappings: Sequence[IDMapping], own: int) -> bool:
    single = len(mappings) == 1 and mappings[0]["size"] == 1 and mappings[0]["hostID"] == own
    return single or _privileged()


def _lines(mappings: Sequence[IDMapping]) -> str:
    return "".join(f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in mappings)


def _write(pid: int, name: str, text: str) -> None:
    """The kernel takes a map in one write."""
    path = f"/proc/{pid}/{name}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"write {text.strip()!r}: {error.strerror}", path) from None
    finally:
        os.close(descriptor)


def _run(program: str, pid: int, mappings: Sequence[IDMapping]) -> None:
    numbers = [str(m[key]) for m in mappings for key in ("containerID", "hostID", "size")]
    child = os.posix_spawnp(program, [program, str(pid), *numbers], os.environ)
    _, status = os.waitpid(child, 0)
    if status:
        raise OSError(errno.EPERM, f"{program} {pid} {' '.join(numbers)}: refused", f"/proc/{pid}")
