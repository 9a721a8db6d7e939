"""What the parent and init say to each other while a container is made: one JSON object a packet.

| from | packet | meaning |
|---|---|---|
| init | `{"hooks": "maps"}` | write the id maps of my user namespace, then send `go` |
| init | `{"hooks": "createRuntime"}` | run these hooks in the runtime's namespaces, then send `go` |
| init | `{"console": true}` | the terminal's master rides along |
| init | `{"ready": {...}}` | everything is set up; waiting for `start` |
| init | `{"error": {...}}` | stage, syscall, errno, path and message; init is gone |
| parent | `go`, `start` | carry on |

After `start`, end of file means that execve(2) worked: the socket is close-on-exec.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
from typing import Any

from nbcontainers.errors import CreateFailed

_LIMIT = 1 << 16
_MOST = 253
"""SCM_MAX_FD: unix(7)."""


def pair() -> tuple[socket.socket, socket.socket]:
    """(parent's end, init's end)."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)


def tell(sync: socket.socket, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
    payload = json.dumps(message).encode()
    if descriptors:
        socket.send_fds(sync, [payload], descriptors)
    else:
        sync.send(payload)


def hear(sync: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next packet and its descriptors (close-on-exec); None at end of file."""
    try:
        payload, descriptors, _, _ = socket.recv_fds(sync, _LIMIT, 4, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # it went before it read our `start`; said once, and then comes what it told us
        payload, descriptors, _, _ = socket.recv_fds(sync, _LIMIT, 4, socket.MSG_CMSG_CLOEXEC)
    return (json.loads(payload) if payload else None), descriptors


def give(sync: socket.socket, order: Any, descriptors: list[int]) -> None:
    """Hand over an object of any size, and descriptors."""
    memory = os.memfd_create("order", os.MFD_CLOEXEC)
    try:
        os.pwrite(memory, pickle.dumps(order), 0)
        socket.send_fds(sync, [b"order"], [memory, *descriptors])
    finally:
        os.close(memory)


def take(sync: socket.socket) -> tuple[Any, list[int]]:
    """What was given: the object and the descriptors (close-on-exec); (None, []) at end of file."""
    word, descriptors, _, _ = socket.recv_fds(sync, 16, _MOST, socket.MSG_CMSG_CLOEXEC)
    if not word:
        return None, []
    with open(descriptors[0], "rb") as file:
        return pickle.load(file), descriptors[1:]


def describe(error: BaseException, stage: str) -> dict[str, Any]:
    """The facts of a failure, in a form that crosses a process border."""
    if isinstance(error, CreateFailed):
        return {**error.details, "message": error.message, "hint": error.hint}
    facts: dict[str, Any] = {"stage": stage, "message": f"{stage}: {error or type(error).__name__}", "exit_code": 125}
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        facts.update(
            errno=error.errno,
            path=error.filename and str(error.filename),
            syscall=getattr(error, "syscall", None),
            message=f"{stage}: {error.strerror}{where}",
        )
    return facts


def failure(facts: dict[str, Any]) -> CreateFailed:
    """The exception of `describe`'s facts."""
    rest = {key: value for key, value in facts.items() if key not in ("message", "hint")}
    return CreateFailed(facts["message"], hint=facts.get("hint", ""), **rest)


def vanished() -> dict[str, Any]:
    """The facts of a child that ended without a word."""
    return {
        "message": "init ended before the container was ready",
        "stage": "init", "exit_code": 125,
        "hint": "a memory or pids limit may be too low for a container to start: try -m 16m or more",
    }  # fmt: skip
