"""Init: the container's first process, from clone3(2) to execve(2).

It runs Python in the container's namespaces, so it must load nothing once the root has changed: every module is
imported by the parent, `sys.path` and the finders are emptied, names are looked up by our own code and never by NSS
(CVE-2019-14271), and the process is not dumpable (CVE-2016-9962). It ends by execve(2) or os._exit(2), nothing else.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import inroot, libc, loopback, mounts, namespaces, process, pty
from nbcontainers.runtime import hooks, identity, rootfs, sync
from nbcontainers.runtime.plan import Plan


class Start:
    """How init is connected to the outside: the sync socket, stdio, the cgroup's files and the exec FIFO (or -1)."""

    def __init__(
        self, sync: socket.socket, stdio: tuple[int, int, int], join_files: list[int], *,
        fifo: int = -1, console: bool = False, die_with_parent: bool = False, preserve: int = 0, state: dict[str, object],
    ) -> None:  # fmt: skip
        self.sync, self.stdio, self.join_files = sync, stdio, join_files
        self.fifo, self.console, self.die_with_parent = fifo, console, die_with_parent
        self.preserve, self.state = preserve, state
        self.stage = "namespaces"
        self.warnings: list[str] = []


def main(plan: Plan, start: Start) -> NoReturn:
    """Never returns. A failure goes to the parent as one packet."""
    try:
        enter_namespaces(plan, start)
        become(plan, start, lambda: rootfs.build(plan))
    except BaseException as error:  # noqa: BLE001 - the border of the process: all is told, all ends here
        report(start, error)
    os._exit(1)


def become(plan: Plan, start: Start, build: Callable[[], int]) -> NoReturn:
    """All that comes after the namespaces. `build` mounts the file systems and returns the root's descriptor."""
    slave = _build(plan, start, build)
    _wait(plan, start, slave)
    _execute(plan, start)


def report(start: Start, error: BaseException) -> None:
    """The last packet of a child that failed."""
    try:
        sync.tell(start.sync, {"error": sync.describe(error, start.stage)})
    except OSError:  # the parent is gone, and with it everybody who could be told
        os._exit(1)


def enter_namespaces(plan: Plan, start: Start) -> None:
    if warning := identity.set_oom_score(plan.process):
        start.warnings.append(warning)
    process.set_dumpable(plan.in_user_namespace)  # the parent needs /proc/PID/uid_map
    if start.die_with_parent:
        process.set_pdeathsig()
    join_cgroup(start.join_files)
    for kind, descriptor in plan.joins.items():
        if kind not in ("user", "pid"):  # those were joined before the fork
            namespaces.setns(descriptor, namespaces.FLAGS[kind])
    if plan.in_user_namespace:
        sync.tell(start.sync, {"hooks": "maps"})
        await_word(start, b"go")
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        process.set_dumpable(False)
    if plan.flags & namespaces.CLONE_NEWCGROUP:
        namespaces.unshare(namespaces.CLONE_NEWCGROUP)  # now, so that the new root is our own cgroup
    identity.new_keyring()
    set_names(plan)
    if plan.flags & namespaces.CLONE_NEWNET:
        loopback.up()
    for path, value in plan.sysctls:
        _write_sysctl(path, value)


def join_cgroup(join_files: list[int]) -> None:
    """Move ourselves. A thread that writes "0" for itself is spared the lock that every fork on the host waits for."""
    for descriptor in join_files:
        os.write(descriptor, b"0")
        os.close(descriptor)


def await_word(start: Start, word: bytes) -> None:
    """Block until the parent says `word`."""
    if start.sync.recv(16) != word:
        raise CreateFailed("the runtime went away", stage=start.stage, exit_code=125)


def set_names(plan: Plan) -> None:
    uts = plan.flags & namespaces.CLONE_NEWUTS or "uts" in plan.joins
    for key, call in (("hostname", _sethostname), ("domainname", _setdomainname)):
        if name := plan.config.get(key):
            if not uts:
                raise CreateFailed(f"{key} needs a uts namespace of the container's own", stage="uts", exit_code=125)
            call(name)


def _sethostname(name: str) -> None:
    socket.sethostname(name)


def _setdomainname(name: str) -> None:
    encoded = os.fsencode(name)
    libc.check(libc.setdomainname(encoded, len(encoded)), "setdomainname")


def _write_sysctl(path: str, value: str) -> None:
    """/proc/sys shows the namespaces of whoever opens it; this is still the host's procfs."""
    descriptor = os.open(f"/proc/sys/{path}", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(descriptor, value.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"/proc/sys/{path}") from None
    finally:
        os.close(descriptor)


def _build(plan: Plan, start: Start, build: Callable[[], int]) -> int:
    """The file system, up to and including pivot_root(2). Returns the terminal's slave, or -1."""
    start.stage = "hooks"
    if any((plan.config.get("hooks") or {}).get(kind) for kind in ("prestart", "createRuntime")):
        sync.tell(start.sync, {"hooks": "createRuntime"})
        await_word(start, b"go")
    start.stage = "mounts"
    os.umask(0o022)
    root = build()
    master, slave = _open_console(root, plan) if start.console else (-1, -1)
    start.stage = "hooks"
    hooks.run_hooks(plan.config, "createContainer", start.state)
    start.stage = "working directory"
    _make_cwd(root, plan)
    start.stage = "masked paths"
    rootfs.hide(root, plan.linux)
    if master >= 0:
        sync.tell(start.sync, {"console": True}, [master])
        os.close(master)
    start.stage = "pivot_root"
    forget_imports()
    readonly = (plan.config["root"]).get("readonly", False)
    rootfs.enter(root, read_only=readonly, propagation=plan.linux.get("rootfsPropagation") or "")
    os.close(root)
    return slave


def forget_imports() -> None:
    """From here on nothing is loaded any more: it would come from the container (CVE-2019-14271)."""
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()


def _make_cwd(root: int, plan: Plan) -> None:
    """As Docker does: a working directory that the image lacks is made."""
    try:
        os.close(inroot.make_directory(root, plan.process["cwd"]))
    except OSError as error:
        if error.errno != errno.EROFS:  # chdir(2) will tell
            raise identity.no_directory(plan.process["cwd"], error) from None


def _open_console(root: int, plan: Plan) -> tuple[int, int]:
    """A terminal in the container's own devpts, also bound on /dev/console."""
    ptmx = inroot.open_path(root, "/dev/pts/ptmx")
    master, slave = pty.open_pty(ptmx)
    os.close(ptmx)
    size = plan.process.get("consoleSize") or {}
    if size.get("height"):
        pty.set_size(master, size["height"], size["width"])
    user = plan.process.get("user") or {}
    os.fchown(slave, user.get("uid", 0), -1)
    console = inroot.make_file(root, "/dev/console")
    mounts.mount(rootfs.through(slave), rootfs.through(console), flags=mounts.MS_BIND)
    os.close(console)
    return master, slave


def _wait(plan: Plan, start: Start, slave: int) -> None:
    """Say that the container is created, and wait to be started."""
    start.stage = "exec"
    document = plan.process
    path = identity.find_program(document["args"][0], document.get("env") or [])
    connect_stdio(start.stdio, slave)
    if not plan.in_user_namespace:  # where raising a limit is no longer possible
        start.stage = "rlimits"
        identity.set_rlimits(0, document)
        start.stage = "exec"
    sync.tell(start.sync, {"ready": {"path": path, "warnings": start.warnings}})
    if start.fifo < 0:
        await_word(start, b"start")
    elif os.read(start.fifo, 1) != b"s":
        raise CreateFailed("the exec FIFO was closed", stage=start.stage, exit_code=125)
    start.stage = "startContainer hooks"
    hooks.run_hooks(plan.config, "startContainer", start.state)


def connect_stdio(stdio: tuple[int, int, int], slave: int) -> None:
    """Descriptors 0 to 2, and a session of our own, so that TIOCSTI and job control end here (CVE-2017-5226)."""
    if slave >= 0:
        pty.make_controlling(slave)
    else:
        os.setsid()
    # First out of the way: a source may itself be one of 0 to 2.
    sources = [os.dup(descriptor) for descriptor in ((slave,) * 3 if slave >= 0 else stdio)]
    for target, source in enumerate(sources):
        os.dup2(source, target)
        os.close(source)


def _execute(plan: Plan, start: Start) -> NoReturn:
    start.stage = "identity"
    document = plan.process
    if persona := plan.linux.get("personality"):
        domains = {"LINUX": 0, "LINUX32": 8}
        libc.check(libc.personality(domains[persona["domain"]]), "personality")
    identity.become(document, plan.security)
    if start.die_with_parent:
        process.set_pdeathsig(signal.SIGKILL)  # the change of credentials cleared it
    start.stage = "exec"
    path = identity.find_program(document["args"][0], document.get("env") or [])
    identity.execute(path, list(document["args"]), list(document.get("env") or []), start.preserve)
    os._exit(127)
