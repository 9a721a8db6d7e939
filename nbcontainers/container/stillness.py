"""Holding a running container still while its files are read: the freezer of its cgroup (cgroups(7)).

A process of the launcher freezes it and thaws it when our end of the channel closes, however we come to our end.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.errors import Error


@contextmanager
def frozen(container: Container) -> Iterator[bool]:
    """Within the block no process of the container runs; False where it does not run, or has no cgroup to freeze.

    One that is paused already stays so. Raises InvalidState for processes that cannot be stopped, Error where whoever
    holds them died.
    """
    record = store.state(container.engine, container.id).get("cgroup")
    if container.status != "running" or not record or record["kind"] == "null":
        yield False
        return
    from nbcontainers.launcher.client import spawn
    from nbcontainers.monitor import protocol

    channel = spawn("nbcontainers.container.stillness:hold", record=record)
    with channel:
        answer = channel.receive()
        if answer and answer[0] == protocol.FAILED:
            raise Error.from_json(json.loads(answer[1]))
        if answer is None:
            message = f"container {container.name} could not be held still: the process that was to do it died"
            raise Error(message, hint="try again, or with --no-pause")
        yield True
        channel.socket.shutdown(socket.SHUT_WR)
        channel.receive()  # it has been thawed


def hold(channel: int, record: dict[str, Any]) -> None:
    """In the launcher's child: freeze, say so, wait for the end of the channel, thaw."""
    from nbcontainers.cgroups.detect import open_record
    from nbcontainers.launcher.server import write
    from nbcontainers.monitor import protocol

    cgroup = open_record(record)
    cgroup.freeze()
    try:
        write(channel, protocol.STARTED, {})
        while os.read(channel, 64):
            pass
    finally:
        cgroup.thaw()
