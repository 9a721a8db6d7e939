"""The client's side of the launcher: the one door to everything that forks, mounts, unshares or needs privileges.

    call("nbcontainers.image.layer:unpack", digest="…")     run a function in a process of its own, get its result
    spawn("nbcontainers.monitor.program:run", …)            a process that lives on, and a Channel to it

A target is `module:function`. Its keyword arguments and its result are JSON; paths must be absolute. It also gets
`fds=[…]` when the caller passed any, and `on_event=` (call it with a dict) when the caller listens. There is one
launcher a client process, started when first needed or by `warm`, shared by all threads, and gone with its client.
"""

from __future__ import annotations

import array
import atexit
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, NamedTuple

from nbcontainers.engine import default_engine
from nbcontainers.errors import Error, InvalidState, LauncherDied
from nbcontainers.launcher import scope
from nbcontainers.launcher.channel import Channel
from nbcontainers.monitor import protocol

#: What every launcher has ready. `preload` adds to it.
MODULES = ["nbcontainers.monitor.program", "nbcontainers.monitor.exec"]

_BOOT = "import sys; sys.path.append(sys.argv[1]); from nbcontainers.launcher import server as s; s.main({})"
_BOOT = _BOOT.format("int(sys.argv[2]), sys.argv[3], sys.argv[4] == 'True', sys.argv[5]")
_PACKAGE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PATIENCE = 2.0
_ONE = socket.CMSG_LEN(array.array("i").itemsize)
_AT_ONCE = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_KEPT = frozenset(
    "PATH HOME USER LOGNAME LANG TZ TMPDIR LD_LIBRARY_PATH DBUS_SESSION_BUS_ADDRESS DOCKER_CONFIG REGISTRY_AUTH_FILE "
    "SOURCE_DATE_EPOCH SSL_CERT_FILE SSL_CERT_DIR".split()
)
_KEPT_FAMILIES = ("LC_", "XDG_", "NBCONTAINERS_", "CONTAINERS_")
_STDERR_KEPT = 1 << 16


def call(
    target: str,
    /,
    *,
    fds: Sequence[int] = (),
    on_event: Callable[[dict[str, Any]], None] | None = None,
    **arguments: Any,
) -> Any:
    """Run `target` in a process forked by the launcher and return its result.

    Raises what the target raised as `errors.Error`; LauncherDied when its process ended without an answer. On
    KeyboardInterrupt the process gets SIGINT, its clean-up is awaited (a second interrupt kills it), and the
    KeyboardInterrupt goes on.
    """
    document = {"kind": "call", "target": target, "arguments": arguments, "events": on_event is not None}
    for attempt in (1, 2):
        launcher, channel = _request(document, fds)
        with closing(channel):
            begun = channel.receive()
            if begun:
                launcher.answered = True
                return _answer(channel, json.loads(begun[1])["pid"], on_event, launcher, target)
        if attempt == 2:
            raise launcher.died(f"{target} was not begun")
        _forget(launcher)
    raise AssertionError("not reached")


def spawn(target: str, /, *, fds: Sequence[int] = (), ready: Ready | None = None, **arguments: Any) -> Channel:
    """Start `target(channel_fd, …)` in a process forked by the launcher that may outlive launcher and client.

    In `ready`, that `reserve` gave, where it still is.
    """
    document = {"kind": "spawn", "target": target, "arguments": arguments, "events": False}
    if ready and ready.alive():
        channel = Channel(ready.connection)
        with suppress(BrokenPipeError):  # the launcher has let go of it this moment
            channel.send(protocol.REQUEST, document)
            return channel
        ready.wait_end()
    if not _current().answered:
        call("os:getpid")  # proves that the scope works, or does without
    return _request(document, fds)[1]


class Ready(NamedTuple):
    """A process that has prepared itself for one request to a module, and the name it chose for what it will make."""

    module: str
    name: str
    connection: socket.socket

    def alive(self) -> bool:
        """It says nothing before it is asked, but its end can be heard."""
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False

    def wait_end(self) -> None:
        """Until it has let go of all that has its name."""
        with suppress(ConnectionResetError), self.connection as connection:
            while connection.recv(1):
                pass


def reserve(target: str) -> Ready | None:
    """The process that the launcher keeps ready for the target's module, if there is one, for the caller alone: give it
    to `spawn`, or back."""
    with _lock:
        launcher = _launchers.get(_key())
        return launcher.take_ready(target.partition(":")[0]) if launcher else None


@contextmanager
def reserved(target: str) -> Generator[Ready | None]:
    """What `reserve` gives, while everything is put together that is to be spawned in it; where that fails it goes back."""
    ready = reserve(target)
    try:
        yield ready
    except BaseException:
        if ready:
            give_back(ready)
        raise


def give_back(ready: Ready) -> None:
    """What `reserve` gave was not needed."""
    with _lock:
        launcher = _launchers.get(_key())
        if launcher and ready.module not in launcher.ready:
            launcher.ready[ready.module] = ready
        else:
            ready.connection.close()


def attach(run: str | os.PathLike[str], id: str) -> Channel:
    """A channel to the monitor of a running container, whoever started it: S first, then its frames.

    Raises InvalidState if there is no monitor that listens.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = -1
    try:
        folder = os.open(os.path.join(run, id), os.O_PATH | os.O_CLOEXEC)
        connection.connect(f"/proc/self/fd/{folder}/monitor.sock")  # a path of any length
    except OSError as error:
        connection.close()
        raise InvalidState(
            f"container {id[:12]} cannot be attached to: {error.strerror}", hint="container ps"
        ) from None
    finally:
        if folder >= 0:
            os.close(folder)
    return Channel(connection)


def warm() -> None:
    """Start the launcher if there is none; it gets ready in the background."""
    _current()


def preload(*modules: str) -> None:
    """Have the launcher import these before its next request: a verb names here what its children will need, and first
    the folders (absolute paths) of what is not ours."""
    new = [name for name in modules if name not in MODULES]
    MODULES.extend(new)
    with _lock:
        running = list(_launchers.values()) if new else []
    for launcher in running:
        launcher.send(new)


def running() -> bool:
    """Whether this process has a launcher."""
    return bool(_launchers)


def close() -> None:
    """End the launchers of this process. The containers they started live on."""
    with _lock:
        launchers = list(_launchers.values())
        _launchers.clear()
    for launcher in launchers:
        launcher.close()


class Launcher:
    """One launcher process: its control socket and what it said on stderr."""

    def __init__(self, run: str, rootless: bool) -> None:
        self.scope = scope.prefix() if rootless else []
        self.answered = not self.scope
        self.ready: dict[str, Ready] = {}
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, stderr = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)  # a full pipe drops what comes: bounded
        self.stderr = open(ours, "rb", buffering=0)  # noqa: SIM115 - lives as long as we
        arguments = [_PACKAGE_ROOT, str(theirs.fileno()), run, str(rootless), ",".join(MODULES)]
        try:
            self.process = subprocess.Popen(
                [*self.scope, interpreter(), "-I", "-S", "-c", _BOOT, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd="/",
                env=environment(),
            )
        finally:
            theirs.close()
            os.close(stderr)

    def send(self, modules: Sequence[str], fds: Sequence[int] = ()) -> bool:
        """One packet to the launcher: modules to have ready, and a request's descriptors. False: it is gone."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.control.sendmsg(["\n".join(modules).encode()], ancillary)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return False
        return True

    def hear(self) -> None:
        """What the launcher says by itself: that another process is ready."""
        while True:
            try:
                packet, ancillary, _, _ = self.control.recvmsg(1 << 12, _ONE, _AT_ONCE)  # recv_fds drops its flags
            except (BlockingIOError, ConnectionResetError):
                return
            if not packet:
                return
            (descriptor,) = array.array("i", ancillary[0][2])
            ready = Ready(**json.loads(packet), connection=socket.socket(fileno=descriptor))
            self.forget_ready(ready.module)
            self.ready[ready.module] = ready

    def take_ready(self, module: str) -> Ready | None:
        """The newest process that was prepared for it and still lives."""
        self.hear()
        ready = self.ready.pop(module, None)
        if ready and not ready.alive():
            ready.connection.close()
            return None
        return ready

    def forget_ready(self, *modules: str) -> None:
        for module in modules or list(self.ready):
            if ready := self.ready.pop(module, None):
                ready.connection.close()

    def died(self, doing: str) -> LauncherDied:
        """The error for a process that ended without an answer, with the end of what it wrote on stderr."""
        try:
            text = (self.stderr.read(_STDERR_KEPT) or b"").decode(errors="replace").strip()
        except ValueError:  # closed by another thread
            text = ""
        last = text.rpartition("\n")[2]
        return LauncherDied(
            f"the launcher's process died: {doing}" + (f" ({last})" if last else ""),
            hint="try again; the next call starts a new launcher",
            stderr=text,
        )

    def close(self) -> None:
        """Hang up, which ends the process, and reap it."""
        self.control.close()
        self.forget_ready()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.stderr.close()

    def abandon(self) -> None:
        """In a forked copy of the client: the launcher is the parent's, and must see the end of the parent alone."""
        self.control.close()
        self.forget_ready()
        self.stderr.close()
        self.process.returncode = 0  # not our child: nothing to reap, nothing to warn of


def environment() -> dict[str, str]:
    """What the launcher and its children read of ours, and no more: a container with CAP_SYS_PTRACE can see the
    memory of a process that `exec` brings in, up to execve(2), and a notebook's variables hold tokens, those of its
    proxies passwords: whoever needs a proxy is given it (registry/settings.py)."""
    return {name: text for name, text in os.environ.items() if name in _KEPT or name.startswith(_KEPT_FAMILIES)}


def interpreter() -> str:
    """A Python to run the launcher with: sys.executable may be empty, or an application that embeds Python.

    Raises LauncherDied when there is none.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = [f"{prefix}/bin/{version}" for prefix in (sys.exec_prefix, sys.base_exec_prefix, "/usr")]
    for path in (sys.executable, getattr(sys, "_base_executable", ""), *places):
        if path and "python" in os.path.basename(path) and os.access(path, os.X_OK):
            return path
    raise LauncherDied(
        f"no Python interpreter found to start the launcher with (sys.executable is {sys.executable!r})",
        hint=f"install {version}, or set sys.executable to its path",
    )


def _key() -> str:
    engine = default_engine()
    return str(engine.run) if engine.rootless else ""


def _current() -> Launcher:
    """The launcher for the default engine; an ordinary user has one for each run folder's pause process."""
    engine = default_engine()
    key = _key()
    with _lock:
        if key not in _launchers:
            _launchers[key] = Launcher(str(engine.run), engine.rootless)
        _launchers[key].hear()
        return _launchers[key]


def _forget(launcher: Launcher) -> None:
    """Have a new one started for the next request, unless another thread already did."""
    if not launcher.answered:
        scope.works = False
    with _lock:
        for key in [key for key, known in _launchers.items() if known is launcher]:
            del _launchers[key]
    launcher.close()


def _request(document: dict[str, Any], fds: Sequence[int]) -> tuple[Launcher, Channel]:
    """Send one request, to a new launcher if the old one is gone; the channel is where its process answers."""
    ours, theirs = socket.socketpair()
    with theirs:
        modules = [document["target"].partition(":")[0]]
        launcher = _current()
        if not launcher.send(modules, [theirs.fileno(), *fds]):
            _forget(launcher)
            launcher = _current()
            if not launcher.send(modules, [theirs.fileno(), *fds]):
                ours.close()
                raise launcher.died("a second one died too")
    channel = Channel(ours)
    try:
        channel.send(protocol.REQUEST, document)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it died just now; the reader sees the end of the channel
    return launcher, channel


def _answer(
    channel: Channel, pid: int, on_event: Callable[[dict[str, Any]], None] | None, launcher: Launcher, target: str
) -> Any:
    """Wait for the answer of the process `pid`, passing its events on."""
    try:
        answer = _wait(channel, on_event)
    except BaseException:  # an interrupt, or the listener's own error
        _interrupt(channel, pid)
        raise
    if answer is None:
        raise launcher.died(f"{target} ended without an answer")
    kind, document = answer
    if kind == protocol.FAILED:
        raise Error.from_json(document)
    return document


def _wait(channel: Channel, on_event: Callable[[dict[str, Any]], None] | None) -> tuple[bytes, Any] | None:
    for kind, payload in channel.frames():
        if kind != protocol.EVENT:
            return kind, json.loads(payload)
        if on_event:
            on_event(json.loads(payload))
    return None


def _interrupt(channel: Channel, pid: int) -> None:
    """SIGINT to the process, then wait for its clean-up; a second interrupt kills it."""
    number = signal.SIGINT
    while True:
        try:
            _send_signal(channel, pid, number)
            _wait(channel, None)
            return
        except KeyboardInterrupt:
            number = signal.SIGKILL


def _send_signal(channel: Channel, pid: int, number: int) -> None:
    """As long as the channel is silent the process lives, so the descriptor is its own and no later one's."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([channel], [], [], 0)[0]:
            signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for launcher in _launchers.values():
        launcher.abandon()
    _launchers.clear()


_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EBADF)
_lock = threading.Lock()
_launchers: dict[str, Launcher] = {}
os.register_at_fork(after_in_child=_after_fork)
atexit.register(close)
