"""`exec`: one more process in a running container.

The hardening is init's. The new process joins the cgroup first, is not dumpable before anybody inside can see it, and
opens nothing by path once it is in (CVE-2016-9962, CVE-2019-5736, CVE-2024-21626).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from nbcontainers.errors import CreateFailed, InvalidState
from nbcontainers.linux import capabilities, memory, namespaces, process, pty
from nbcontainers.runtime import identity, init, sync
from nbcontainers.runtime.create import Created, serve, undo_fork
from nbcontainers.runtime.middle import close_others
from nbcontainers.runtime.plan import Security, check_process
from nbcontainers.runtime.state import State, check_id, load, require

#: Stack that one process leaves to another one below it.
_ROOM = 1 << 19
_AFTERWARDS_S = 0.02
_ENDING_S = 0.1


class Entrance:
    """A running container, with everything looked up and opened that one more process in it needs, and a process of ours
    that waits outside to go in and make that one. To be used once while it is `fresh`, or closed.

    That process gives its memory to the one it makes. `target` is a pidfd of init.
    """

    def __init__(self, id: str, run: Path, cache: Path | None, *, preserve: int = 0, ahead: bool = False) -> None:
        """`ahead`: there is time to take the page faults. Raises NotFound, InvalidState where it is not running or is paused."""
        self.path = str(run / check_id(id) / "state.json")
        self.stamp = _stamp(self.path)
        self.state = state = load(run, id)
        require(state, "running", verb="exec in")
        config = state.config
        self.cgroup, self.preserve = state.cgroup, preserve
        self.capabilities = config["process"].get("capabilities")
        profile = (config.get("linux") or {}).get("seccomp")
        with _running(state), contextlib.ExitStack() as undo, contextlib.ExitStack() as opened:
            self.target = _held(state)
            undo.callback(os.close, self.target)
            inside = not namespaces.same(state.pid, "user")
            self.security = Security({}, profile, cache or run / ".cache", inside=inside)
            self.flags = _foreign(state.pid)
            self.channel, theirs = sync.pair()
            undo.callback(self.channel.close)
            opened.callback(theirs.close)
            self.pid = self._fork(theirs, self._open(opened), ahead=ahead)
            undo.pop_all()

    def _open(self, opened: contextlib.ExitStack) -> list[int]:
        """What only the process that waits needs: the cgroup's files."""
        joins: list[int] = self.cgroup.join_files()
        for descriptor in joins:
            opened.callback(os.close, descriptor)
        self.folder = self.cgroup.clone_fd()
        if self.folder is not None:
            opened.callback(os.close, self.folder)
        return joins

    def _fork(self, theirs: socket.socket, joins: list[int], *, ahead: bool) -> int:
        pid, pidfd = namespaces.clone3()
        if pid == 0:
            _wait(self, init.Start(theirs, (0, 1, 2), joins, preserve=self.preserve, state={}), populate=ahead)
        os.close(pidfd)
        return pid

    def fresh(self, id: str, run: Path) -> bool:
        """Whether it is that container's, which runs on, and is not paused; and whether somebody still waits."""
        if self.path != f"{run}/{id}/state.json" or self.stamp != _stamp(self.path) or self.cgroup.frozen:
            return False
        return not select.select([self.target, self.channel.fileno()], [], [], 0)[0]

    def make(self, order: Order, stdio: tuple[int, int, int]) -> Created | None:
        """Have the process go in and make one as `order` says; None where it was killed before it had done so."""
        with contextlib.suppress(BrokenPipeError):
            sync.give(self.channel, order, list(stdio))
        os.close(self.target)
        message, _ = sync.hear(self.channel)
        middle = [self.pid, *([message["middle"]] if message and "middle" in message else [])]
        if not message or "error" in message:
            self.channel.close()
            for pid in middle:
                os.waitpid(pid, 0)
            if not message:
                return None
            raise sync.failure(message["error"])
        created = Created(message["made"], process.pidfd_open(message["made"]), self.channel)
        created.middle, created.told = middle, order.told
        return created

    def close(self) -> None:
        """It is not needed."""
        self.channel.close()
        os.close(self.target)
        os.waitpid(self.pid, 0)


class Order(NamedTuple):
    """What is to be made. `told`: without asking back, once it is ready."""

    document: Mapping[str, Any]
    sets: capabilities.Sets
    console: bool
    die_with_parent: bool
    reaper: bool
    told: bool


def _stamp(path: str) -> tuple[int, int]:
    """What changes with the file; a container that is started anew has another one."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def exec_process(
    id: str, run: Path, document: Mapping[str, Any], stdio: tuple[int, int, int], *,
    console: bool = False, die_with_parent: bool = False, preserve: int = 0, cache: Path | None = None,
    at_once: bool = False, reaper: bool = False, ahead: Entrance | None = None,
) -> Created:  # fmt: skip
    """Make a process in the running container `id` from an OCI process object; `Created.start` executes it.

    Without `capabilities` in `document` it gets init's. `at_once` is that of `create`. A `reaper` keeps all that it
    starts below itself, so that it can be ended as a whole. `ahead`, if it is fresh, is used. Raises InvalidState where
    the container is not running or is paused, CreateFailed with 125, 126 or 127 otherwise.
    """
    check_process(document)
    if ahead is not None and not ahead.fresh(id, run):
        ahead.close()
        ahead = None
    entrance = ahead or Entrance(id, run, cache, preserve=preserve)
    document = {"capabilities": entrance.capabilities, **document}
    inside = entrance.security.inside
    sets = entrance.security.sets_of(document)
    told = at_once and not inside and not console
    order = Order(document, sets, console, die_with_parent, reaper, told)
    with _running(entrance.state), contextlib.ExitStack() as undo:
        created = entrance.make(order, stdio)
        if created is None and ahead:
            created = Entrance(id, run, cache, preserve=preserve).make(order, stdio)
        if created is None:
            raise sync.failure(sync.vanished())
        undo.callback(undo_fork, created)
        if not told:
            serve(created, None)
        if inside:  # there it could not raise one itself
            identity.set_rlimits(created.pid, document)
        undo.pop_all()
    return created


@contextlib.contextmanager
def _running(state: State) -> Iterator[None]:
    """Whatever fails in here because the container ends meanwhile says that. Raises InvalidState."""
    try:
        yield
    except (OSError, CreateFailed) as error:
        at_the_door = isinstance(error, OSError) or error.details.get("stage") in ("init", "namespaces")
        if at_the_door and _ends(state):
            raise InvalidState(f"cannot exec in container {state.id!r}: it has just stopped") from None
        raise


def _ends(state: State) -> bool:
    """Whether init leaves its namespaces, or has; after a kill that takes a moment."""
    deadline = time.monotonic() + _ENDING_S
    while process.alive(state.pid, state.start_time):
        try:
            os.stat(f"/proc/{state.pid}/ns/mnt")
        except (FileNotFoundError, ProcessLookupError):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _held(state: State) -> int:
    """A pidfd of init, and of no later process with its number. Raises ProcessLookupError where it has just ended."""
    target = process.pidfd_open(state.pid)
    if not process.alive(state.pid, state.start_time):
        os.close(target)
        raise ProcessLookupError(errno.ESRCH, "the container has ended", state.id)
    return target


def _foreign(pid: int) -> int:
    """The flags of the namespaces of `pid` that are not ours."""
    return sum(flag for kind, flag in namespaces.FLAGS.items() if not namespaces.same(pid, kind))


def _wait(entrance: Entrance, start: init.Start, *, populate: bool) -> NoReturn:
    """The life of the process that waits."""
    try:
        process.set_pdeathsig()
        folder = () if entrance.folder is None else (entrance.folder,)
        kept = {entrance.target, start.sync.fileno(), *start.join_files, *folder, *range(3, 3 + start.preserve)}
        close_others(kept)
        if populate:
            memory.populate()
        bottom = namespaces.stack_bottom()
        order, start.stdio = _order(start)
        start.console, start.die_with_parent = order.console, order.die_with_parent
        if first := _alone(entrance.flags):
            namespaces.setns(entrance.target, first)

        def enter(pid: int) -> NoReturn:
            _enter(entrance, order, start, pid, bottom - _ROOM)

        _born(entrance, enter, bottom)
        if populate:
            time.sleep(_AFTERWARDS_S)  # taking the memory down can wait until a short program is through
    except BaseException as error:  # noqa: BLE001 - the border of the process
        init.report(start, error)
    os._exit(0)


def _order(start: init.Start) -> tuple[Order, tuple[int, int, int]]:
    order, descriptors = sync.take(start.sync)
    if order is None:
        os._exit(0)  # nobody wanted us
    return order, (descriptors[0], descriptors[1], descriptors[2])


def _born(entrance: Entrance, enter: Callable[[int], NoReturn], bottom: int) -> None:
    """The next one starts in the container's cgroup; where that has cgroups of its own, in init's."""
    flags = namespaces.CLONE_PARENT | namespaces.CLONE_FILES
    try:
        namespaces.clone_below(flags, enter, bottom, entrance.folder)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        assert entrance.folder is not None
        os.close(entrance.folder)
        entrance.folder = entrance.cgroup.clone_fd(entrance.state.pid)
        namespaces.clone_below(flags, enter, bottom, entrance.folder)


def _alone(flags: int) -> int:
    """What only a process that shares its memory with nobody can join: the clocks, and for the right to do so the users."""
    return flags & (namespaces.CLONE_NEWTIME | namespaces.CLONE_NEWUSER) if flags & namespaces.CLONE_NEWTIME else 0


def _enter(entrance: Entrance, order: Order, start: init.Start, pid: int, bottom: int) -> NoReturn:
    """The middle process goes into the cgroup and the namespaces; that of pids takes only its child."""
    try:
        document = order.document
        if warning := identity.set_oom_score(document):
            start.warnings.append(warning)
        process.set_dumpable(False)
        init.join_cgroup(start.join_files)
        init.forget_imports()
        if flags := entrance.flags & ~_alone(entrance.flags):
            namespaces.setns(entrance.target, flags)
        for descriptor in (entrance.target, entrance.folder):
            if descriptor is not None:
                os.close(descriptor)
        if entrance.flags & namespaces.CLONE_NEWUSER:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        identity.new_keyring()
        namespaces.clone_below(namespaces.CLONE_PARENT, lambda child: _main(entrance, order, start, child, pid), bottom)
        os.closerange(3, 1 << 20)  # first of all: the end of the child's socket tells that its program runs
    except BaseException as error:  # noqa: BLE001 - the border of the process
        sync.tell(start.sync, {"error": sync.describe(error, "namespaces"), "middle": pid})
    os._exit(0)


def _main(entrance: Entrance, order: Order, start: init.Start, pid: int, middle: int) -> NoReturn:
    """The child: ready, and on the parent's word the program. Never returns."""
    try:
        sync.tell(start.sync, {"made": pid, "middle": middle})
        document, security = order.document, entrance.security
        security.sets = order.sets
        if order.reaper:
            process.set_subreaper()
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
        if not order.told:
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
