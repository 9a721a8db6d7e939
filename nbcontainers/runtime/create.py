"""`create` and `start`: the parent's side (runtime.md, Lifecycle).

The order is the secure one: check and compile everything, open every source, make the cgroup, then fork straight into
the new namespaces. Any failure undoes all of it and raises CreateFailed with the stage, the call and an exit code
that means the same as Docker's: 125 (the runtime), 126 (cannot be executed), 127 (not found).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nbcontainers.errors import NameInUse
from nbcontainers.linux import idmap, namespaces, process
from nbcontainers.runtime import hooks, identity, init, sync
from nbcontainers.runtime.middle import clone_inside
from nbcontainers.runtime.plan import Plan
from nbcontainers.runtime.state import FIFO, State, check_id, oci_state, write_json

if TYPE_CHECKING:
    from nbcontainers.runtime.ahead import Ahead


class Created:
    """A container whose init waits to be started. `master` is the terminal's, `limits` what the kernel enforces."""

    def __init__(self, pid: int, pidfd: int, channel: socket.socket) -> None:
        self.pid, self.pidfd, self.channel = pid, pidfd, channel
        self.master: int | None = None
        self.path = ""
        self.warnings: list[str] = []
        self.limits: dict[str, Any] = {}
        self.told = False
        self.middle: list[int] = []
        """The pids of processes that end when the program is executed, for `reap`."""

    def start(self) -> None:
        """Let init execute the program; returns when execve(2) has succeeded. Raises CreateFailed with 126 or 127."""
        if not self.told:
            self.channel.send(b"start")
        message, _ = sync.hear(self.channel)
        self.channel.close()
        if message:
            raise sync.failure(message["error"])
        if self.middle:
            os.waitpid(self.middle.pop(), 0)  # it ends now; while it is there the container's cgroup counts it

    def reap(self) -> None:
        """Wait for those who made it: they end when the program is executed."""
        while self.middle:
            os.waitpid(self.middle.pop(), 0)


def create(
    config: Mapping[str, Any], bundle: Path, id: str, run: Path, stdio: tuple[int, int, int], *,
    cgroup: Any, console: bool = False, fifo: bool = False, die_with_parent: bool = False, preserve: int = 0,
    cache: Path | None = None, at_once: bool = False, ahead: Ahead | None = None,
) -> Created:  # fmt: skip
    """Make the container `id` from a parsed `config.json`; its program does not run yet.

    `run` is the folder of all state, `cgroup` a cgroups.cgroup.Cgroup that does not exist yet. With `fifo`, `start` may
    be called by another process. `die_with_parent` ties the container to the calling process. `at_once` spares a turn
    to and fro where the caller starts the container as soon as it is ready: init finds that word waiting for it.
    `ahead` has begun it, and fits.
    """
    with contextlib.ExitStack() as undo:
        folder = run / check_id(id)
        _claim(folder, undo)
        plan = Plan(ahead.own if ahead else config, bundle, cache or run / ".cache", begun=ahead is not None)
        if ahead is None:
            cgroup.create()
        undo.callback(cgroup.destroy)
        document = _document(plan, bundle, id, cgroup)
        if ahead is None:
            limits = cgroup.apply(plan.linux.get("resources") or {})
            ours, theirs = sync.pair()
            start = init.Start(
                theirs, stdio, cgroup.join_files(), fifo=_make_fifo(folder) if fifo else -1, console=console,
                die_with_parent=die_with_parent, preserve=preserve, state=oci_state({**document, "pid": 0}, "creating"),
            )  # fmt: skip
            created = _fork(plan, start, cgroup.clone_fd(), ours)
            undo.callback(undo_fork, created)
            _close(theirs, start, plan)
        else:
            undo.callback(undo_fork, ahead.created)
            created = ahead.go_on(plan, stdio, console=console)
            limits = cgroup.apply(plan.linux.get("resources") or {})
        created.limits = limits
        document.update(pid=created.pid, start_time=process.start_time(created.pid))
        write_json(str(folder / "state.json"), document)
        if at_once and not plan.asks:
            with contextlib.suppress(BrokenPipeError):  # init has failed, and said so before it went
                created.channel.send(b"start")
            created.told = True
        _prepare(plan, created, document)
        undo.pop_all()
    return created


def start(state: State) -> None:
    """Start a container that another process created: one byte through the FIFO it waits on."""
    fifo = state.folder / FIFO
    descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.write(descriptor, b"s")
    os.close(descriptor)
    fifo.unlink()
    hooks.run_hooks(state.config, "poststart", state.oci())


def _claim(folder: Path, undo: contextlib.ExitStack) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(folder / "state.json", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise NameInUse(
            f"a container with id {folder.name!r} exists", hint="choose another id, or delete it first"
        ) from None
    undo.callback(shutil.rmtree, folder, ignore_errors=True)


def _document(plan: Plan, bundle: Path, id: str, cgroup: Any) -> dict[str, Any]:
    """The state file's content, all but the process."""
    return {
        "ociVersion": plan.config["ociVersion"], "id": id, "pid": 0, "start_time": None, "bundle": str(bundle),
        "annotations": plan.config.get("annotations") or {}, "created": hooks.now(), "rootfs": plan.rootfs,
        "cgroup": cgroup.record,
    }  # fmt: skip


def _make_fifo(folder: Path) -> int:
    path = folder / FIFO
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def _fork(plan: Plan, start: init.Start, cgroup: int | None, ours: socket.socket) -> Created:
    """Clone into the new namespaces. Those of pid and time are entered by children only, so the parent joins them."""
    flags = plan.flags & ~namespaces.CLONE_NEWCGROUP
    if offsets := plan.linux.get("timeOffsets"):
        flags &= ~namespaces.CLONE_NEWTIME
        _offset_clocks(offsets)
    if "pid" in plan.joins:
        namespaces.setns(plan.joins["pid"], namespaces.CLONE_NEWPID)
    if "time" in plan.joins:
        namespaces.setns(plan.joins["time"], namespaces.CLONE_NEWTIME)
    if "user" in plan.joins:
        return _fork_in_user_namespace(plan, start, flags, cgroup, ours)
    pid, pidfd = _clone(flags, cgroup)
    if pid == 0:
        ours.close()
        init.main(plan, start)
    return Created(pid, pidfd, ours)


def _clone(flags: int, cgroup: int | None) -> tuple[int, int]:
    try:
        return namespaces.clone3(flags, cgroup)
    finally:
        if cgroup is not None:
            os.close(cgroup)


def _offset_clocks(offsets: Mapping[str, Mapping[str, int]]) -> None:
    """time_namespaces(7): the offsets must be written before the first process enters."""
    namespaces.unshare(namespaces.CLONE_NEWTIME)
    lines = (f"{clock} {value.get('secs', 0)} {value.get('nanosecs', 0)}\n" for clock, value in offsets.items())
    with open("/proc/self/timens_offsets", "w") as file:
        file.write("".join(lines))


def _fork_in_user_namespace(
    plan: Plan, start: init.Start, flags: int, cgroup: int | None, ours: socket.socket
) -> Created:
    """Only who is in a user namespace can make others that belong to it."""

    def enter() -> int:
        namespaces.setns(plan.joins["user"], namespaces.CLONE_NEWUSER)
        return flags

    def main() -> NoReturn:
        ours.close()
        init.main(plan, start)

    try:
        pid, pidfd = clone_inside(enter, main, ours, start.sync, cgroup)
    finally:
        if cgroup is not None:
            os.close(cgroup)
    return Created(pid, pidfd, ours)


def _close(theirs: socket.socket, start: init.Start, plan: Plan) -> None:
    """Init has its copies of these now."""
    theirs.close()
    descriptors = [*start.join_files, *plan.trees.values(), *plan.nodes.values(), *plan.joins.values()]
    for descriptor in descriptors + ([start.fifo] if start.fifo >= 0 else []):
        os.close(descriptor)


def _prepare(plan: Plan, created: Created, document: Mapping[str, Any]) -> None:
    """Serve init until it is ready, then, from outside a user namespace, set its rlimits."""
    serve(created, lambda kind: _answer(kind, plan, created, document))
    if plan.in_user_namespace:
        identity.set_rlimits(created.pid, plan.process)


def serve(created: Created, answer: Callable[[str], None] | None) -> None:
    """Do what the child asks for until it is ready; its failure is raised as CreateFailed."""
    while True:
        message, descriptors = sync.hear(created.channel)
        if descriptors:
            created.master = descriptors[0]
        if message is None:
            raise sync.failure(sync.vanished())
        if "error" in message:
            raise sync.failure(message["error"])
        if "ready" in message:
            created.path, created.warnings = message["ready"]["path"], message["ready"]["warnings"]
            return
        if "hooks" in message and answer:
            answer(message["hooks"])
            created.channel.send(b"go")


def _answer(kind: str, plan: Plan, created: Created, document: Mapping[str, Any]) -> None:
    if kind == "maps":
        if plan.flags & namespaces.CLONE_NEWUSER:
            uids, gids = (plan.linux.get(key) or () for key in ("uidMappings", "gidMappings"))
            idmap.write_maps(created.pid, uids, gids)
        return
    state = oci_state({**document, "pid": created.pid}, "creating")
    hooks.run_hooks(plan.config, "prestart", state)
    hooks.run_hooks(plan.config, "createRuntime", state)


def undo_fork(created: Created) -> None:
    """Kill and reap a child that was not started."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(created.pidfd, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(created.pid, 0)
        created.reap()
    created.channel.close()
    os.close(created.pidfd)
    if created.master is not None:
        os.close(created.master)
