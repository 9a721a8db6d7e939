"""What /proc tells of a process only to those who might trace it: proc_pid_ns(5), proc_pid_mountinfo(5) and others."""

from __future__ import annotations

import errno
import os
from typing import Any

from nbcontainers.errors import InvalidState
from nbcontainers.linux import namespaces, process

_LARGEST, _PIECE = 4 << 20, 1 << 16
_FILES = ("mountinfo", "environ", "attr/current", "timens_offsets", "cgroup")


def look(pid: int, start_time: int) -> dict[str, Any]:
    """In a process of the launcher: `namespaces` of the process and `ours` (inode numbers by type), `hostname` and
    `domainname` in its UTS namespace, the texts of some of its files, and in `unread` why others are missing.

    Raises InvalidState where it has ended meanwhile.
    """
    unread: dict[str, str] = {}
    found: dict[str, Any] = {"namespaces": _inodes(pid, unread), "ours": _inodes(os.getpid(), {}), "unread": unread}
    for name in _FILES:
        try:
            found[name] = read(f"/proc/{pid}/{name}")
        except OSError as error:
            if not (name == "attr/current" and error.errno == errno.EINVAL):  # no security module has labels
                unread[name] = error.strerror or str(error)
    try:
        found |= _names(pid)
    except OSError as error:
        unread["hostname"] = error.strerror or str(error)
    if not process.alive(pid, start_time):
        raise InvalidState("the container has ended while it was looked at", hint="container ps -a says how")
    return found


def read(path: str) -> str:
    """A file of the kernel's as text, at most 4 MiB; it does not wait where a pipe was put in its place.

    In pieces, for the kernel gives files below /proc/sys memory for as much as is asked for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        pieces = [os.read(descriptor, _PIECE)]
        while pieces[-1] and len(pieces) * _PIECE < _LARGEST:
            pieces.append(os.read(descriptor, _PIECE))
    finally:
        os.close(descriptor)
    return b"".join(pieces).decode("utf-8", "surrogateescape")


def _inodes(pid: int, unread: dict[str, str]) -> dict[str, int]:
    """By type as /proc/PID/ns names it; a kernel may lack some."""
    found = {}
    for name in namespaces.FILES.values():
        try:
            found[name] = os.stat(f"/proc/{pid}/ns/{name}").st_ino
        except FileNotFoundError:
            continue
        except OSError as error:
            unread["namespaces"] = error.strerror or str(error)
    return found


def _names(pid: int) -> dict[str, str]:
    """uname(2) in its namespace; this process is thrown away afterwards. Our own may be one that we may not enter."""
    if not namespaces.same(pid, "uts"):
        descriptor = os.open(f"/proc/{pid}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
        try:
            namespaces.setns(descriptor, namespaces.CLONE_NEWUTS)
        finally:
            os.close(descriptor)
    return {"hostname": os.uname().nodename, "domainname": read("/proc/sys/kernel/domainname").strip()}
