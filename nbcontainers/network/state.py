"""What was made for a running container: run/ID/network.json, written before each thing is made.

{"networks": {NAME: {"interface", "link", "addresses", "gateways", "mac"}}, "ports": [Forward …], "notes": [text],
     "processes": [{"pid", "start_time"}] that work for it,
     "waiting": [(IP version, Forward)]: ports of a container that has no address for them now}
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbcontainers.errors import InvalidState
from nbcontainers.monitor.files import Files, replace

State = dict[str, Any]
FILE = "network.json"


def read(files: Files) -> State:
    """Empty while nothing was made."""
    found = files.read_state(FILE)
    return {"networks": {}, "ports": [], "waiting": [], "notes": [], "processes": [], **found}


@contextmanager
def changed(files: Files) -> Iterator[State]:
    """The state to read and change; it is written when the block ends. One process at a time.

    Raises InvalidState where the container does not run.
    """
    try:
        lock = os.open(files.state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InvalidState(f"container {files.id[:12]} does not run", hint="container ps shows those that do") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = read(files)
        yield state
        replace(f"{files.state}/{FILE}", state)
    finally:
        os.close(lock)


def running(root: str, run: str) -> Iterator[tuple[str, State]]:
    """(id, state) of every container of this engine that has a network and whose monitor lives."""
    for id in os.listdir(run):
        files = Files(root, run, id)
        if os.path.exists(f"{files.state}/{FILE}") and files.monitor_alive():
            yield id, read(files)
