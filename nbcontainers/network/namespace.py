"""The step that makes a container's network namespace, or finds another container's: network_namespaces(7).

It is held by a mount on run/ID/netns, which only the container's monitor sees. So it lives exactly as long as the
monitor or a process in it, and with it die its interfaces, addresses and routes: nothing is left of a killed one.
"""

from __future__ import annotations

import errno
import io
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from nbcontainers.errors import CreateFailed, Error
from nbcontainers.linux import mounts, namespaces, process
from nbcontainers.monitor.files import Files
from nbcontainers.monitor.steps import unmount
from nbcontainers.network import netlink, rtnetlink

_LOOPBACK = 1
"""The interface `lo` is the first of every namespace."""
_MOST_SOCKETS = 8

Arguments = dict[str, Any]
Opened = socket.socket | io.FileIO
"""A socket, or a device as tap(4)."""
Made = TypeVar("Made", socket.socket, Opened)


class Namespace:
    """`path`: a file to mount a new network namespace on; its loopback is up. With `ipv6` off, nothing there has it."""

    @staticmethod
    def do(args: Arguments) -> None:
        if namespaces.in_user_namespace():
            in_child(lambda: _make(args))  # there is no way back into the host's, which is not ours
            return
        before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _make(args)
        finally:
            namespaces.setns(before, namespaces.CLONE_NEWNET)
            os.close(before)

    @staticmethod
    def undo(args: Arguments) -> None:
        unmount(args["path"])

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"unshare --net={args['path']} ip link set lo up"


class Shared:
    """`path`, `root`, `run`, `of` (an id): the network namespace of another container, which must run."""

    @staticmethod
    def do(args: Arguments) -> None:
        state = Files(args["root"], args["run"], args["of"]).read_state("state.json")
        if not process.alive(state.get("pid", 0), state.get("start_time")):
            name = args.get("name") or args["of"][:12]
            raise CreateFailed(
                f"--network container:{name}: that container does not run", exit_code=125, stage="network",
                hint=f"type container start {name} first",
            )  # fmt: skip
        _hold(f"/proc/{state['pid']}/ns/net", args["path"])

    @staticmethod
    def undo(args: Arguments) -> None:
        unmount(args["path"])

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"mount --bind /proc/$(pid of {args['of'][:12]})/ns/net {args['path']}"


def _make(args: Arguments) -> None:
    """Enter a new network namespace and hold it."""
    namespaces.unshare(namespaces.CLONE_NEWNET)
    with netlink.Socket() as socket:
        socket.request([rtnetlink.set_up(_LOOPBACK)])
    if not args.get("ipv6"):
        switch_ipv6("default", on=False)
    _hold("/proc/self/ns/net", args["path"])


def in_child(work: Callable[[], Any]) -> Any:
    """Do it in a process of its own, which shares our mounts and may stay where it goes.

    `work` returns what JSON can say, or sockets and devices, which become ours. Raises the OSError or the Error that it met.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            _answer(theirs, work)
        theirs.close()
        answer, descriptors, _, _ = socket.recv_fds(ours, 1 << 17, _MOST_SOCKETS)
        os.waitpid(pid, 0)
    if not answer:
        raise OSError(errno.EIO, "a process for the network died")
    said = json.loads(answer)
    if "error" in said:
        raise Error.from_json(said)
    if "errno" in said:
        raise OSError(said["errno"], said["words"], said["path"])
    return [_opened(one) for one in descriptors] or said["result"]


def _opened(descriptor: int) -> Opened:
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        if error.errno != errno.ENOTSOCK:
            raise
        return io.FileIO(descriptor, "r+")


def _answer(connection: socket.socket, work: Callable[[], Any]) -> NoReturn:
    """In the child: do it, say how it went, and end."""
    try:
        sockets: list[Opened] = []
        try:
            result = work()
            if isinstance(result, list) and all(isinstance(one, Opened) for one in result):
                sockets, result = result, []
            said: dict[str, Any] = {"result": result}
        except Error as error:
            said = error.to_json()
        except OSError as error:
            said = {"errno": error.errno or errno.EIO, "words": error.strerror or str(error), "path": error.filename}
        socket.send_fds(connection, [json.dumps(said).encode()], [one.fileno() for one in sockets])
    finally:
        os._exit(0)


def _hold(source: str, path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    mounts.mount(source, path, flags=mounts.MS_BIND)


def switch_ipv6(interface: str, *, on: bool) -> None:
    """Whether an interface of our namespace speaks IPv6; `default` is those to come: ip-sysctl.rst, disable_ipv6."""
    try:
        file = os.open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EROFS):  # no IPv6 in the kernel; inside another engine's container
            return
        raise
    os.write(file, b"0" if on else b"1")
    os.close(file)


def sockets_in(path: str, make: Callable[[], list[Made]]) -> list[Made]:
    """Sockets made in the network namespace mounted on `path`; they work from anywhere."""
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if namespaces.in_user_namespace():
            return list(in_child(lambda: _made_in(namespace, make)))
        with inside(namespace):
            return make()
    finally:
        os.close(namespace)


def _made_in(namespace: int, make: Callable[[], list[Made]]) -> list[Made]:
    namespaces.setns(namespace, namespaces.CLONE_NEWNET)
    return make()


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Be in the network namespace behind a descriptor meanwhile. Only for a process of one thread."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.setns(namespace, namespaces.CLONE_NEWNET)
        try:
            yield
        finally:
            namespaces.setns(before, namespaces.CLONE_NEWNET)
    finally:
        os.close(before)
