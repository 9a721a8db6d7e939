"""The host of an ordinary user's networks: a network namespace of his own, in which bridges and rules may be made.

It belongs to the pause process's user namespace and is there while a container of the engine is on a network: the
first makes it, the last takes it down. A sleeping process holds it, and a program (pasta(1) or slirp4netns(1)) leads
outside from it through the user's own sockets. Nothing of it shows on the real host.

    run/.host/host.json   {"processes": [{"pid", "start_time"} …, the holder first], "outside": the program's path}
    run/.host/users/ID    of each container that needs it
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import mounts, namespaces, process, tree
from nbcontainers.monitor.files import Files, replace
from nbcontainers.network import netlink, rtnetlink, store
from nbcontainers.network.namespace import in_child

Arguments = dict[str, Any]

_FOREVER = "2147483647"
_TUN = "/dev/net/tun"
_PATIENCE_S = 10.0
_FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")
_LOOPBACK = 1


class Host:
    """`root`, `run`, `id`: the namespace is there while this container needs it."""

    @staticmethod
    def do(args: Arguments) -> None:
        run = args["run"]
        with store.locked(args["root"]):
            if not find(run):
                _make(run)
            os.close(os.open(f"{run}/.host/users/{args['id']}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    @staticmethod
    def undo(args: Arguments) -> None:
        with store.locked(args["root"]):
            _leave(args["run"], args["id"])

    @staticmethod
    def notes(args: Arguments) -> list[str]:
        others = set(os.listdir(f"{args['run']}/.host/users")) - {args["id"]}
        if others or _record(args["run"]).get("outside"):  # the first one has said it
            return []
        return [
            "the container cannot reach the outside; slirp4netns (apt install slirp4netns) or pasta (apt install passt), "
            f"access to {_TUN} and a way outside of the host's own make one"
        ]

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"unshare --net={args['run']}/.host {' or '.join(programs()) or ': no way outside'}"


def of_user(run: str) -> bool:
    """Whether the engine is an ordinary user's: those have a pause process."""
    return os.path.exists(f"{run}/pause.json")


def find(run: str) -> int:
    """The pid of the process that holds the namespace; 0 where there is none."""
    for one in _record(run).get("processes", [])[:1]:
        if process.alive(one["pid"], one["start_time"]):
            return int(one["pid"])
    return 0


def described(run: str) -> dict[str, Any]:
    """`pid` of the holder, `program` that leads outside and its `program_pid`; "" and 0 where none does."""
    record = _record(run)
    pids = [one["pid"] for one in record.get("processes", []) if process.alive(one["pid"], one["start_time"])]
    program = os.path.basename(record.get("outside", "")) if len(pids) > 1 else ""
    return {"pid": next(iter(pids), 0), "program": program, "program_pid": pids[-1] if program else 0}


def enter(run: str) -> bool:
    """Go to where this engine's bridges are, for good; False where they are nowhere now."""
    if not of_user(run):
        return True
    if not (pid := find(run)):
        return False
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    namespaces.setns(namespace, namespaces.CLONE_NEWNET)
    os.close(namespace)
    return True


def there(run: str, work: Callable[[], Any]) -> Any:
    """Do it where this engine's bridges are; what it returns. Nothing is done, and None returned, if that is nowhere."""
    if not of_user(run):
        return work()
    return in_child(lambda: work() if enter(run) else None)


def sweep(root: str, run: str) -> list[str]:
    """Forget containers whose monitor was killed; take the namespace down if nobody is left. Returns their ids."""
    if not os.path.isdir(f"{run}/.host"):
        return []
    with store.locked(root):
        users = os.listdir(f"{run}/.host/users") if os.path.isdir(f"{run}/.host/users") else []
        gone = [id for id in users if not Files(root, run, id).monitor_alive()]
        for id in gone or [""]:
            _leave(run, id)
    return gone


def programs() -> list[str]:
    """Those that could lead outside; none where nobody may make an interface for them."""
    import shutil  # only an ordinary user's first container needs it

    if not os.access(_TUN, os.R_OK | os.W_OK):
        return []
    return [path for name in _LEADERS if (path := shutil.which(name))]


def _record(run: str) -> dict[str, Any]:
    try:
        with open(f"{run}/.host/host.json", "rb") as file:
            return dict(json.load(file))
    except (FileNotFoundError, ValueError):
        return {}


def _leave(run: str, id: str) -> None:
    users = f"{run}/.host/users"
    try:
        if id:
            os.unlink(f"{users}/{id}")
    except FileNotFoundError:
        pass
    if not os.path.isdir(users) or not os.listdir(users):
        _take_down(run)


def _take_down(run: str) -> None:
    for one in reversed(_record(run).get("processes", [])):
        _kill(one)
    tree.remove(f"{run}/.host")


def _make(run: str) -> None:
    """By a child that is gone at once, so that its processes belong to no monitor."""
    _take_down(run)  # what a killed one left
    os.makedirs(f"{run}/.host/users", 0o700)
    process.prctl(process.PR_SET_CHILD_SUBREAPER, 0)
    try:
        in_child(lambda: _build(run))
    except BaseException:
        _take_down(run)
        raise
    finally:
        process.set_subreaper()


def _build(run: str) -> None:
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.make_slave()
    made: dict[str, Any] = {"processes": [], "outside": ""}
    holder = _start(run, made, ["sleep", _FOREVER], _furnish)
    path = f"{run}/.host/ns"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    mounts.mount(f"/proc/{holder}/ns/net", path, flags=mounts.MS_BIND)  # pasta gives up what /proc asks for
    for program in programs():
        lead = _LEADERS[os.path.basename(program)]
        if lead(run, made, program, path):
            made["outside"] = program
            break
        _kill(made["processes"].pop())
    replace(f"{run}/.host/host.json", made)


def _kill(one: dict[str, Any]) -> None:
    if process.alive(one["pid"], one["start_time"]):
        os.kill(one["pid"], signal.SIGKILL)


def _furnish() -> None:
    """In the holder: a namespace that passes packets on."""
    namespaces.unshare(namespaces.CLONE_NEWNET)
    with netlink.Socket() as socket:
        socket.request([rtnetlink.set_up(_LOOPBACK)])
    for path in _FORWARDING:
        try:
            with open(path, "w") as file:
                file.write("1")
        except OSError:  # read-only in a container; `bridge.forward` says so where it is off and needed
            continue


def _lead_by_slirp(run: str, made: dict[str, Any], program: str, path: str) -> bool:
    """Whether it does."""
    ready, theirs = os.pipe2(os.O_CLOEXEC)
    words = [program, "--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={theirs}",
             "--netns-type=path", path, "tap0"]  # fmt: skip
    _start(run, made, words, lambda: os.set_inheritable(theirs, True))
    os.close(theirs)
    said = os.read(ready, 1) if select.select([ready], [], [], _PATIENCE_S)[0] else b""
    os.close(ready)
    return said == b"1"


def _lead_by_pasta(run: str, made: dict[str, Any], program: str, path: str) -> bool:
    """Whether it does: it is ready when it has written its pid. Without a way outside on the host it ends."""
    ready = f"{run}/.host/pasta.pid"
    words = [program, "--foreground", "--quiet", "--config-net", "--no-map-gw", "--pid", ready, "--netns", path]
    words += [word for option in "tuTU" for word in (f"-{option}", "none")]
    pid = _start(run, made, words, lambda: None)
    deadline = time.monotonic() + _PATIENCE_S
    while not (os.path.exists(ready) and os.path.getsize(ready)):
        if process.start_time(pid) is None or time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


_LEADERS = {"pasta": _lead_by_pasta, "slirp4netns": _lead_by_slirp}


def _start(run: str, made: dict[str, Any], words: list[str], first: Callable[[], None]) -> int:
    """Execute a program once its pid is on disk; returns the pid. `first` is done in it before."""
    heard, told = os.pipe2(os.O_CLOEXEC)
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(told)
            os.setsid()
            first()
            os.write(theirs, b"r")
            if os.read(heard, 1):
                _execute(words)
        finally:
            os._exit(1)
    os.close(heard)
    os.close(theirs)
    if not os.read(ours, 1):
        raise CreateFailed(
            "no network namespace could be made", exit_code=125, stage="network", hint="type --network none"
        )
    made["processes"].append({"pid": pid, "start_time": process.start_time(pid)})
    replace(f"{run}/.host/host.json", made)
    os.write(told, b"g")
    os.close(told)
    os.close(ours)
    return pid


def _execute(words: list[str]) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    process.reset_signals()
    os.execvpe(words[0], words, {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{os.defpath}"})
