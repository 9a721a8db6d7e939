"""Children born inside namespaces that their parent does not enter: a middle process goes in and makes them there.

Nobody inside ever sees a process of ours that still has the host's root directory or the host's descriptors open, not
even with CAP_SYS_PTRACE: what shows up in the container's pid namespace is already in all of the others.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import NoReturn

from nbcontainers.linux import namespaces, process
from nbcontainers.runtime import sync


def clone_inside(
    enter: Callable[[], int], main: Callable[[], NoReturn], ours: socket.socket, theirs: socket.socket,
    cgroup: int | None, keep: set[int] | None = None,
) -> tuple[int, int]:  # fmt: skip
    """Fork a middle process that calls `enter` and then forks a child, ours, that calls `main`.

    `enter` returns the clone(2) flags of that child. `ours` and `theirs` are the ends of its sync socket, `cgroup` a
    cgroup v2 to be born in; with `keep`, all other descriptors but stdio and `theirs` are closed first. Returns (pid, pidfd). Raises CreateFailed with what went wrong on the way.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    middle, pidfd = namespaces.clone3(0, cgroup)
    if middle == 0:
        if keep is not None:
            close_others(keep | {writer, theirs.fileno()})
        _go(enter, main, theirs, writer)
    os.close(pidfd)
    os.close(writer)
    pid = int(os.read(reader, 16) or 0)
    os.close(reader)
    os.waitpid(middle, 0)
    if not pid:
        message, _ = sync.hear(ours)
        raise sync.failure((message or {}).get("error") or sync.vanished())
    return pid, process.pidfd_open(pid)


def _go(enter: Callable[[], int], main: Callable[[], NoReturn], theirs: socket.socket, writer: int) -> NoReturn:
    try:
        pid, _ = namespaces.clone3(enter() | namespaces.CLONE_PARENT)
        if pid == 0:
            os.close(writer)
            main()
        os.write(writer, str(pid).encode())
    except BaseException as error:  # noqa: BLE001 - the border of the process
        sync.tell(theirs, {"error": sync.describe(error, "namespaces")})
    os._exit(0)


def close_others(keep: set[int]) -> None:
    """Close every descriptor from 3 on that is not in `keep`."""
    for number in os.listdir("/proc/self/fd"):
        if int(number) > 2 and int(number) not in keep:
            try:
                os.close(int(number))
            except OSError:  # the one that listed the folder
                continue
