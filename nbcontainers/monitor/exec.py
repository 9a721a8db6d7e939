"""The session of one `exec`: a further process in a running container, followed like the first one, but not logged."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nbcontainers.errors import NotFound
from nbcontainers.linux import process as processes
from nbcontainers.monitor import ending, events, protocol
from nbcontainers.monitor.files import Files, rfc3339
from nbcontainers.monitor.peers import Peer
from nbcontainers.monitor.stdio import Stdio
from nbcontainers.monitor.stop import Stop
from nbcontainers.monitor.watch import Watch
from nbcontainers.runtime.create import Created
from nbcontainers.runtime.process import Entrance, exec_process

#: What need not be done while a short program runs.
_LATER_S = 0.03


def run(
    channel: int,
    root: str,
    run: str,
    id: str,
    process: dict[str, Any],
    interactive: bool = False,
    console: bool = False,
    attach: bool = True,
    fds: Sequence[int] = (),
    prepared: Prepared | None = None,
    wish: Callable[..., None] = lambda **_: None,
) -> None:
    """Start `process` (an OCI process object) in the container `id`; a target of `launcher.client.spawn`.

    Frames are the monitor's: S, O, E, X to the client; I, C, W, K, D from it. With three `fds` those are stdin,
    stdout and stderr, and no output is framed. With `attach` the client's death ends the process. `prepared` is what
    `prepare` returned; `wish` has it called for the next process.
    """
    os.setsid()
    os.dup2(0, 2)
    streams = Stdio(interactive=interactive, console=console or bool(process.get("terminal")), given=tuple(fds))
    started_ns, started = time.time_ns(), time.monotonic()
    created = begin(root, run, id, process, streams, prepared.entrance if prepared else None)
    watch = Watch(created.pidfd, streams)
    hangs_up = {"stop_signal": signal.SIGHUP} if streams.console else {}  # its terminal goes with its client
    stop = Stop(watch, hangs_up, lambda: None, None)
    watch.on_lost = stop.begin
    peer = Peer(channel, owner=attach)
    peer.send(protocol.frame(protocol.STARTED, json.dumps({"pid": created.pid}).encode()))
    watch.attach(peer)

    def later() -> None:
        wish(**({} if prepared and prepared.arguments == (root, run, id) else {"root": root, "run": run, "id": id}))
        created.reap()

    watch.timers["later"] = (time.monotonic() + _LATER_S, later)
    note = _notes(Files(root, run, id), process["args"], created.pid)
    note("exec_start")
    watch.until_end()
    _, status = os.waitpid(created.pid, 0)
    watch.drain()
    record = ending.verdict(status, {})
    record |= {"started_at": rfc3339(started_ns), "wall_s": time.monotonic() - started}
    note("exec_die", exit_code=record["exit_code"])
    unsaid = "later" in watch.timers
    watch.deliver(protocol.frame(protocol.EXIT, json.dumps(record).encode()))
    if unsaid:
        later()


class Prepared:
    """What knows the way into a container before anybody asks: as long as that runs, `ends` says."""

    name = ""

    def __init__(self, root: str, run: str, id: str) -> None:
        self.arguments = root, run, id
        self.entrance = Entrance(id, Path(run), Path(root, "cache"), ahead=True)
        self.ends = self.entrance.target

    def discard(self) -> None:
        self.entrance.close()


def prepare(root: str, run: str, id: str) -> Prepared:
    """Called in a process that the launcher keeps for the next request: what `run` wished for."""
    return Prepared(root, run, id)


def _notes(files: Files, command: Sequence[str], pid: int) -> Callable[..., None]:
    """How to write down what happens to the process; its pid on the host tells it from others."""
    try:
        name = files.read("container.json").get("name")
    except NotFound:  # the container is being removed
        name = None

    def note(action: str, **more: object) -> None:
        events.record(
            files.root, "container", action, files.id, name=name, command=" ".join(command), exec_pid=pid, **more
        )

    return note


def begin(
    root: str, run: str, id: str, process: dict[str, Any], streams: Stdio, ahead: Entrance | None = None
) -> Created:
    """Make the process and let it execute its program. Raises InvalidState, CreateFailed."""
    processes.set_subreaper()
    created = exec_process(
        id,
        Path(run),
        process,
        streams.inner,
        console=streams.console,
        die_with_parent=True,
        cache=Path(root, "cache"),
        at_once=True,
        ahead=ahead,
    )
    try:
        created.start()
    except BaseException:
        os.waitpid(created.pid, 0)
        created.reap()
        raise
    streams.started(created.master)
    return created
