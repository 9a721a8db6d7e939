"""`exec`: one more process in a running container.

The hardening is init's. The new process joins the cgroup first, is not dumpable before anybody inside can see it, and
opens nothing by path once it is in (CVE-2016-9962, CVE-2019-5736, CVE-2024-21626).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from nbcontainers.errors import InvalidState
from nbcontainers.linux import namespaces, process, pty
from nbcontainers.runtime import identity, init, sync
from nbcontainers.runtime.create import Created, serve, undo_fork
from nbcontainers.runtime.middle import clone_inside
from nbcontainers.runtime.plan import Security, check_process
from nbcontainers.runtime.state import State, load, require


def exec_process(
    id: str, run: Path, document: Mapping[str, Any], stdio: tuple[int, int, int], *,
    console: bool = False, die_with_parent: bool = False, preserve: int = 0, cache: Path | None = None,
    at_once: bool = False, reaper: bool = False,
) -> Created:  # fmt: skip
    """Make a process in the running container `id` from an OCI process object; `Created.start` executes it.

    Without `capabilities` in `document` it gets init's. `at_once` is that of `create`. A `reaper` keeps all that it
    starts below itself, so that it can be ended as a whole. Raises InvalidState where the container is not running or
    is paused, CreateFailed with 125, 126 or 127 otherwise.
    """
    state = load(run, id)
    require(state, "running", verb="exec in")
    check_process(document)
    config = state.config
    document = {"capabilities": config["process"].get("capabilities"), **document}
    security = Security(
        document,
        (config.get("linux") or {}).get("seccomp"),
        cache or run / ".cache",
        inside=not namespaces.same(state.pid, "user"),
    )
    ours, theirs = sync.pair()
    start = init.Start(
        theirs,
        stdio,
        state.cgroup.join_files(),
        console=console,
        die_with_parent=die_with_parent,
        preserve=preserve,
        state={},
    )
    told = at_once and not security.inside
    if told:
        ours.send(b"start")
    with contextlib.ExitStack() as opened:
        opened.callback(theirs.close)
        for descriptor in start.join_files:
            opened.callback(os.close, descriptor)
        pid, pidfd = _fork(state, document, security, start, ours, opened, reaper=reaper)
    created = Created(pid, pidfd, ours)
    created.told = told
    with contextlib.ExitStack() as undo:
        undo.callback(undo_fork, created)
        serve(created, None)
        if security.inside:  # there it could not raise one itself
            identity.set_rlimits(pid, document)
        undo.pop_all()
    return created


def _fork(
    state: State, document: Mapping[str, Any], security: Security, start: init.Start, ours: socket.socket,
    opened: contextlib.ExitStack, *, reaper: bool,
) -> tuple[int, int]:  # fmt: skip
    """Clone a child that is born inside."""
    target = process.pidfd_open(state.pid)
    opened.callback(os.close, target)
    flags = _foreign(state.pid)
    cgroup = state.cgroup.clone_fd()
    if cgroup is not None:
        opened.callback(os.close, cgroup)
    if not process.alive(state.pid, state.start_time):  # from here on the pidfd holds the right process
        raise InvalidState(f"cannot exec in container {state.id!r}: it has just stopped")
    keep = {target, *start.stdio, *start.join_files, *range(3, 3 + start.preserve)}

    def main() -> NoReturn:
        if reaper:
            process.set_subreaper()
        _main(document, security, start)

    def born(cgroup: int | None) -> tuple[int, int]:
        return clone_inside(lambda: _enter(target, flags, document, start), main, ours, start.sync, cgroup, keep)

    try:
        return born(cgroup)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
    beside = state.cgroup.clone_fd(state.pid)
    assert beside is not None
    opened.callback(os.close, beside)
    return born(beside)


def _foreign(pid: int) -> int:
    """The flags of the namespaces of `pid` that are not ours."""
    return sum(flag for kind, flag in namespaces.FLAGS.items() if not namespaces.same(pid, kind))


def _enter(target: int, flags: int, document: Mapping[str, Any], start: init.Start) -> int:
    """The middle process goes into the cgroup and the namespaces; that of pids takes only its child."""
    if warning := identity.set_oom_score(document):
        start.warnings.append(warning)
    process.set_dumpable(False)
    init.join_cgroup(start.join_files)
    init.forget_imports()
    if flags:
        namespaces.setns(target, flags)
    os.close(target)
    if flags & namespaces.CLONE_NEWUSER:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    identity.new_keyring()
    return 0


def _main(document: Mapping[str, Any], security: Security, start: init.Start) -> NoReturn:
    """The child: ready, and on the parent's word the program. Never returns."""
    try:
        if start.die_with_parent:
            process.set_pdeathsig()
        slave = _terminal(document, start) if start.console else -1
        start.stage = "exec"
        path = identity.find_program(document["args"][0], document.get("env") or [])
        init.connect_stdio(start.stdio, slave)
        if not security.inside:
            start.stage = "rlimits"
            identity.set_rlimits(0, document)
            start.stage = "exec"
        sync.tell(start.sync, {"ready": {"path": path, "warnings": start.warnings}})
        init.await_word(start, b"start")
        start.stage = "identity"
        identity.become(document, security)
        if start.die_with_parent:
            process.set_pdeathsig(signal.SIGKILL)
        start.stage = "exec"
        path = identity.find_program(document["args"][0], document.get("env") or [])
        identity.execute(path, list(document["args"]), list(document.get("env") or []), start.preserve)
    except BaseException as error:  # noqa: BLE001 - the border of the process
        init.report(start, error)
    os._exit(1)


def _terminal(document: Mapping[str, Any], start: init.Start) -> int:
    """A terminal in the container's devpts; its master goes to the parent."""
    start.stage = "terminal"
    ptmx = os.open("/dev/pts/ptmx", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    master, slave = pty.open_pty(ptmx)
    os.close(ptmx)
    size = document.get("consoleSize") or {}
    if size.get("height"):
        pty.set_size(master, size["height"], size["width"])
    os.fchown(slave, (document.get("user") or {}).get("uid", 0), -1)
    sync.tell(start.sync, {"console": True}, [master])
    os.close(master)
    return slave
