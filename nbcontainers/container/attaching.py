"""`attach`: follow a container that runs already, whoever started it, and leave it again without ending it."""

from __future__ import annotations

import time
from typing import Any

from nbcontainers.container.container import Container
from nbcontainers.container.failure import not_running
from nbcontainers.container.session import Session, Streams
from nbcontainers.errors import InvalidState
from nbcontainers.launcher import client
from nbcontainers.launcher.channel import Channel

_PATIENCE_S = 1.0
"""A monitor listens a moment after its container's start."""


def attach(container: Container, streams: Streams, *, raise_error: bool) -> Container:
    """Its output from now on, to its end or until we leave it.

    The end of our input is not the program's: whoever attaches next goes on. Raises InvalidState unless it runs,
    ContainerFailed for a status other than 0.
    """
    streams.check()
    record = dict(container.record)
    if (status := container.status) != "running":
        raise not_running(record["name"], status)
    with Session(_channel(container), streams, lambda session: streams.started(container, session)) as session:
        session.input.ends = False
        try:
            ended = session.accompany()
        except KeyboardInterrupt:
            _left(session, record)
            raise
        if session.left:
            _left(session, record)
    if raise_error and ended.get("exit_code"):
        from nbcontainers.container.failure import container_failed

        error = container_failed(record, ended, session.last_words, kept=not container.removed)
        error.container = container
        raise error
    return container


def _left(session: Session, record: dict[str, Any]) -> None:
    session.notice(f"left container {record['name']} running: container attach {record['name']} comes back to it")


def _channel(container: Container) -> Channel:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return client.attach(container.engine.run, container.id)
        except InvalidState:
            if time.monotonic() > deadline or container.status != "running":
                raise
        time.sleep(0.01)
