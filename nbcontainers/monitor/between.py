"""Between two runs of one container: the recipe stays done, so it keeps its files, addresses and ports.

The monitor sleeps as the small process (`settle`) until it is time, and is a fresh interpreter for the next run.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nbcontainers.cgroups.detect import from_path
from nbcontainers.linux import namespaces
from nbcontainers.monitor import ending, protocol, recipe, restart, settle
from nbcontainers.monitor.files import Document, Files, replace

if TYPE_CHECKING:
    from nbcontainers.monitor.running import Running

#: Seconds for those who follow the container to hear of its end.
_PATIENCE_S = 1.0


def sleep(running: Running, record: Document, following: restart.History) -> None:
    """Put an ended run away and sleep until the next. Returns where there is no program to wake up as; then it ends."""
    code = settle.prepare()
    if code is None:
        return
    files = running.files
    now = {"restarting": True, "restart_count": following.restarts}
    ending.remove_cgroup(running.cgroup)  # what stays is told by the next run, which needs it gone
    ending.write_record(files, record | now)
    running.poststop()
    with suppress(FileNotFoundError):
        os.rename(f"{files.state}/state.json", f"{files.state}/{restart.WAITING}")
    if restart.held(files.state):  # it came too late for `following`, and too early to be told by a signal
        os.kill(os.getpid(), signal.SIGTERM)
    running.watch.deliver(protocol.frame(protocol.EXIT, json.dumps(record | now).encode()), _PATIENCE_S)
    listener = running.listener.fileno() if running.listener else None
    if listener is not None:
        os.set_inheritable(listener, True)
    recipe.keep_for_us(running.kept, inheritable=True)
    state = {
        "root": files.root, "run": files.run, "id": files.id, "kept": running.kept, "listener": listener,
        "next": following,
    }  # fmt: skip
    settle.become_idle(code, state, (), ("", "1"), (time.monotonic() + following.delay_s, 0.0, ()))


def wake(state: dict[str, Any]) -> None:
    """The next run, in the interpreter that `sleep` led to; or none, if somebody stopped the container meanwhile."""
    from nbcontainers.monitor import program

    files, kept = Files(state["root"], state["run"], state["id"]), state["kept"]
    settings, config = files.read("container.json"), files.read("config.json")
    steps = files.read("recipe.json")["steps"]
    recipe.keep_for_us(kept)
    if signal.sigpending() & set(settle.SIGNALS) or restart.held(files.state):
        stay(files, settings, steps, kept)
        return
    try:
        cgroup = from_path(config["linux"].get("cgroupsPath"), files.id, rootless=namespaces.in_user_namespace())
        os.unlink(f"{files.state}/{restart.WAITING}")
        history = restart.History(*state["next"])
        replace(f"{files.state}/{restart.COUNT}", {"restarts": history.restarts})
        running = program.begin_run(files, settings, config, steps, cgroup, kept, history)
    except BaseException as error:
        recipe.release(kept)
        ending.give_up(files, settings, steps, error, remove=bool(settings.get("remove")))
        raise
    running.listen_on(state["listener"])
    running.follow()


def stay(files: Files, settings: Document, steps: list[Any], kept: recipe.Kept) -> None:
    """Stopped before it was time: the record of the last run becomes that of the end."""
    record = (files.read_state("exit.json") or files.read("exit.json")) | {"stopped": True}
    record.pop("restarting", None)
    ending.write_record(files, record)
    recipe.release(kept)
    ending.tidy(files, settings, steps, remove=bool(settings.get("remove")))
