"""The monitor: one process beside each container, from its start to the last trace of it.

It is forked by the launcher, leads a session of its own, and outlives launcher and client. In order: claim the run
folder, perform the recipe, create and start the container, follow it (`running`), record how it ended, undo all.
The container dies with its monitor (PR_SET_PDEATHSIG), so nothing ever runs unwatched.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from nbcontainers.cgroups.cgroup import PARENT, Cgroup
from nbcontainers.cgroups.detect import from_path
from nbcontainers.cgroups.layout import layout
from nbcontainers.errors import InvalidState, NotFound
from nbcontainers.linux import flock, mounts, namespaces, process, tree
from nbcontainers.monitor import between, checks, ending, leftovers, recipe, restart
from nbcontainers.monitor.files import Document, Files, replace
from nbcontainers.monitor.log import open_log
from nbcontainers.monitor.peers import Peer
from nbcontainers.monitor.running import Running, Start
from nbcontainers.monitor.stdio import Stdio
from nbcontainers.monitor.steps import Step
from nbcontainers.runtime.ahead import Ahead, split
from nbcontainers.runtime.create import Created, create

#: When the process that held the memory of an init begun ahead has ended.
_REAP_S = 0.03
_LEAVING_S = 5.0


def run(
    channel: int, root: str, run: str, id: str, attach: bool = True, fresh: bool = False,
    prepared: Prepared | None = None, wish: Callable[..., None] = lambda **_: None,
) -> None:  # fmt: skip
    """The whole life of a monitor: a target of `launcher.client.spawn`.

    `attach`: the client follows the output, and its death ends the container; otherwise it hears S or F, no more.
    `fresh`: the container was made for this very start, so it goes again if it cannot be started. `prepared` is what
    `prepare` returned, `wish` has it called for the next container; it is to be called once.
    """
    become_monitor()
    if prepared is None:
        enter_mounts()
    files = Files(root, run, id)
    settings, config, steps = (
        files.read("container.json"),
        files.read("config.json"),
        files.read("recipe.json")["steps"],
    )
    ahead = prepared.ahead_of(files, config) if prepared else None
    cgroup = ahead.cgroup if ahead else cgroup_of(config, id)
    with (
        flock.folder_held(files.folder, shared=True),  # nobody has its files mounted to copy into them
        ahead.kept_if_used() if ahead else nullcontext(),
    ):
        claim(files, prepared.claim if ahead and prepared else announce(files, cgroup))
        try:
            running = begin(files, settings, config, steps, cgroup, ahead)
        except BaseException as error:
            ending.give_up(files, settings, steps, error, remove=fresh or bool(settings.get("remove")))
            raise
    running.greet(Peer(channel, owner=attach))
    parts = None if ahead else split(config)
    wish(**({"common": parts[0], "cache": f"{root}/cache", "run": run} if parts else {}))
    running.follow()


class Prepared:
    """A monitor that waits beside a container that was begun ahead. `name` is that container's id; when its init ends,
    it is of no use: `ends`."""

    def __init__(self, common: Document, cache: str, run: str) -> None:
        self.name, self.run = os.urandom(32).hex(), run
        cgroup = cgroup_of({}, self.name)
        self.claim = announce(Files("", run, self.name), cgroup)
        try:
            self.ahead = Ahead(common, cgroup, Path(cache))
            self.ends = self.ahead.created.pidfd
        except BaseException:
            tree.remove(self.claim)
            raise

    def ahead_of(self, files: Files, config: Document) -> Ahead | None:
        """The beginning of this very container; one that does not fit goes."""
        path = (config.get("linux") or {}).get("cgroupsPath")
        ours = (files.run, files.id, path) == (self.run, self.name, f"/{PARENT}/{self.name}")
        if ours and self.ahead.fits(config):
            return self.ahead
        self.discard()
        return None

    def discard(self) -> None:
        self.ahead.discard()
        tree.remove(self.claim)


def prepare(common: Document, cache: str, run: str) -> Prepared:
    """Called in a process that the launcher keeps for the next request: what `run` wished for."""
    os.umask(0o022)
    os.dup2(0, 2)
    enter_mounts()
    return Prepared(common, cache, run)


def cgroup_of(config: Document, id: str) -> Cgroup:
    """Where `config` wants the container `id`; not made yet."""
    return from_path((config.get("linux") or {}).get("cgroupsPath"), id, rootless=namespaces.in_user_namespace())


def ready() -> None:
    """Called in the launcher: what every monitor would otherwise find out for itself."""
    layout()


def become_monitor() -> None:
    """A session of our own, and the reaper of what the container leaves."""
    os.setsid()
    os.umask(0o022)
    os.dup2(0, 2)  # the launcher's stderr belongs to its client
    process.set_subreaper()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def enter_mounts() -> None:
    """Mounts that never show on the host."""
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.make_slave()


def announce(files: Files, cgroup: Cgroup) -> str:
    """Our record, in a folder that becomes the run folder; `system prune` finds there what is to be tidied after us."""
    pid = os.getpid()
    made = f"{files.run}/.{files.id}.{pid}.claim"
    os.mkdir(made, 0o700)
    try:
        replace(f"{made}/monitor.json", {"pid": pid, "start_time": process.start_time(pid), "cgroup": cgroup.record})
    except OSError:  # a full disk
        tree.remove(made)
        raise
    return made


def claim(files: Files, made: str) -> None:
    """Take the run folder by renaming `made`; what a killed monitor left there is tidied first.

    Raises InvalidState if the container runs.
    """
    for _ in range(3):
        try:
            os.rename(made, files.state)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                break
        if not files.monitor_alive():
            leftovers.tidy(files, keep=True, recorded=False)
        elif not leaves(files):
            break
    tree.remove(made)
    raise InvalidState(f"container {files.id[:12]} is already running", hint="container ps shows it")


def leaves(files: Files) -> bool:
    """Whether the monitor has said how its container ended; then it has only to tidy, which is waited for."""
    deadline = time.monotonic() + _LEAVING_S
    while files.monitor_alive() and time.monotonic() < deadline:
        try:
            if files.read("exit.json").get("restarting"):
                return False
        except (NotFound, ValueError):
            return False
        time.sleep(0.002)
    return not files.monitor_alive()


def begin(
    files: Files, settings: Document, config: Document, steps: list[Step], cgroup: Cgroup, ahead: Ahead | None
) -> Running:
    """Recipe, streams, cgroup, create, start. On failure everything but the recipe and the run folder is undone."""
    return begin_run(files, settings, config, steps, cgroup, recipe.perform(steps), ahead=ahead)


def begin_run(
    files: Files, settings: Document, config: Document, steps: list[Step], cgroup: Cgroup, kept: recipe.Kept,
    history: restart.History | None = None, ahead: Ahead | None = None,
) -> Running:  # fmt: skip
    """`begin` where the recipe is done already: the first run, or one more."""
    streams = Stdio(interactive=bool(settings.get("interactive")), console=bool(config["process"].get("terminal")))
    started_ns = time.time_ns()
    try:
        created = make(files, config, streams, cgroup, ahead)
        streams.started(created.master)
        log = open_log(files.folder, settings.get("log") or {})
        facts = Start(created.pid, created.pidfd, started_ns, time.monotonic(), created.limits, created.warnings)
        sampler = ahead.sampler if ahead else None
        running = Running(files, config, settings, steps, cgroup, streams, log, facts, kept, history, sampler)
        running.sample()
        _drop_last_end(files)
        checks.reset(files, settings)
        start(created)
        if ahead:
            running.watch.timers["reap"] = (time.monotonic() + _REAP_S, ahead.reap)
    except BaseException:
        streams.close()
        ending.remove_cgroup(cgroup)
        raise
    return running


def make(files: Files, config: Document, streams: Stdio, cgroup: Cgroup, ahead: Ahead | None) -> Created:
    """Create the container, told to execute its program as soon as it is ready. Raises CreateFailed."""
    return create(
        config,
        Path(files.folder),
        files.id,
        Path(files.run),
        streams.inner,
        cgroup=cgroup,
        console=streams.console,
        die_with_parent=True,
        cache=Path(files.root, "cache"),
        at_once=True,
        ahead=ahead,
    )


def start(created: Created) -> None:
    """Wait until the program runs. Raises CreateFailed."""
    try:
        created.start()
    except BaseException:
        os.waitpid(created.pid, 0)
        raise


def _drop_last_end(files: Files) -> None:
    """A container that is started again has not ended any more."""
    for folder in (files.folder, files.state):
        with suppress(FileNotFoundError):
            os.unlink(f"{folder}/exit.json")


def resume(state: dict[str, Any]) -> None:
    """Go on with a container after the monitor slept: `settle` says how. Called in a fresh interpreter."""
    if "next" in state:
        between.wake(state)
    else:
        Running.wake(state).follow()
