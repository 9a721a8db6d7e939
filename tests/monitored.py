"""Containers for tests of launcher and monitor: a busybox layer, a configuration, and the monitor's own frames."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from nbcontainers.container import spec, store
from nbcontainers.container.host import Host
from nbcontainers.container.users import Identity
from nbcontainers.engine import Engine
from nbcontainers.errors import Error
from nbcontainers.launcher import client
from nbcontainers.launcher.channel import Channel
from nbcontainers.monitor import restart
from nbcontainers.monitor.files import rfc3339
from tests import peers

PROGRAM = "nbcontainers.monitor.program:run"


def layer(engine: Engine) -> Path:
    """The busybox tree all these containers share."""
    folder = engine.root / "busybox"
    if not folder.exists():
        peers.busybox_rootfs(folder)
    return folder


def make(engine: Engine, *command: str, record: dict[str, Any] | None = None, **options: Any) -> str:
    """A container on disk, not started; returns its id."""
    id = store.new_id()
    folder = engine.containers / id
    host = Host(rootless=engine.rootless)
    identity = Identity(0, 0, (), "/root")
    config = spec.build(options, command, spec.Basis(id, {}, identity, host))  # type: ignore[arg-type]
    overlay = {
        "lower": [str(layer(engine))], "target": str(folder / "rootfs"), "upper": str(folder / "upper"),
        "work": str(folder / "work"), "userxattr": engine.rootless,
    }  # fmt: skip
    step = {"step": "nbcontainers.monitor.steps:Overlay", "args": overlay}
    document = {
        "id": id, "name": "", "image": "busybox", "command": list(command), "created": rfc3339(time.time_ns()), "labels": {},
        "remove": False, "stop_signal": 15, "stop_timeout": 2, "client": os.getpid(), **(record or {}),
    }  # fmt: skip
    store.create(engine, document, config, [step], {})
    return id


def start(engine: Engine, id: str, *, attach: bool = True, fresh: bool = False) -> Channel:
    """Have the launcher fork its monitor."""
    return client.spawn(PROGRAM, root=str(engine.root), run=str(engine.run), id=id, attach=attach, fresh=fresh)


class Outcome:
    """Everything a channel said to its end, by kind."""

    def __init__(self, channel: Channel) -> None:
        self.kinds = ""
        self.stdout, self.stderr = b"", b""
        self.started: dict[str, Any] = {}
        self.exit: dict[str, Any] = {}
        for kind, payload in channel.frames():
            self.take(kind.decode(), payload)

    def take(self, kind: str, payload: bytes) -> None:
        if not self.kinds.endswith(kind):
            self.kinds += kind
        if kind == "O":
            self.stdout += payload
        elif kind == "E":
            self.stderr += payload
        elif kind == "S":
            self.started = json.loads(payload)
        elif kind == "X":
            self.exit = json.loads(payload)
        elif kind == "F":
            raise Error.from_json(json.loads(payload))


def run(engine: Engine, *command: str, record: dict[str, Any] | None = None, **options: Any) -> Outcome:
    """A container from making to end, attached."""
    with start(engine, make(engine, *command, record=record, **options), fresh=True) as channel:
        return Outcome(channel)


def background(engine: Engine, *command: str, record: dict[str, Any] | None = None, **options: Any) -> tuple[str, int]:
    """A detached container: (id, its monitor's pid)."""
    id = make(engine, *command, record=record, **options)
    with start(engine, id, attach=False) as channel:
        kind, payload = channel.receive() or (b"", b"")
        if kind == b"F":
            raise Error.from_json(json.loads(payload))
        assert kind == b"S", kind
    return id, store.state(engine, id, "monitor.json")["pid"]


def end(engine: Engine, id: str, number: int = 9) -> dict[str, Any]:
    """Kill a container for good and wait until its monitor has finished; returns exit.json."""
    restart.hold(f"{engine.run}/{id}")
    state, monitor = store.state(engine, id), store.state(engine, id, "monitor.json")
    if store.alive(state):
        os.kill(state["pid"], number)
    wait_for(lambda: not store.alive(monitor))
    return store.read(engine, id, "exit.json")


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


def remove_new(engine: Engine, before: set[str]) -> None:
    """Take away every container that was not there before, running or not."""
    for id in set(store.ids(engine)) - before:
        end(engine, id)
        store.remove(engine, id, anonymous_volumes=True)
