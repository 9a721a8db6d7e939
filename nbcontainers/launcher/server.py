"""The launcher's own process: it imports what its client names, then forks one child a request.

It runs by `python -I -S -c …`, single-threaded, and ends with its client: the end of the control socket is the
end of the launcher, however the client died. A request is one packet on that socket: the names of modules to
have ready, and as SCM_RIGHTS the request's own socket and the caller's descriptors (unix(7)).
"""

from __future__ import annotations

import array
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

from nbcontainers.errors import Error, HostNotCapable
from nbcontainers.monitor import protocol

SEALED = "NBCONTAINERS_SEALED"
_MAX_FDS = 253  # SCM_MAX_FD, unix(7)
_INT = array.array("i").itemsize


def main(control_fd: int, run: str, rootless: bool, modules: str) -> NoReturn:
    """Serve until the client goes. `run` is the engine's run folder, `modules` a comma-separated list."""
    try:
        refusal = None
        enter(run, rootless)
    except Error as error:
        refusal = error
    except OSError as error:
        refusal = HostNotCapable.from_oserror(error, "the launcher could not start")
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    preload(modules.split(","))
    while True:
        serve_one(control, refusal)


def enter(run: str, rootless: bool) -> None:
    """Join the namespaces of the pause process where there are any, then run from a sealed interpreter."""
    from nbcontainers.linux import process

    if rootless and SEALED not in os.environ:
        from nbcontainers.launcher.pause import join

        join(run)
    process.seal_interpreter(SEALED)


def preload(modules: list[str]) -> None:
    """Import before forking, once for all. What cannot be imported is reported by the child that needs it."""
    missing = [name for name in modules if name and name not in sys.modules]
    for name in missing:
        try:
            import_module(name)
        except ImportError:
            continue
    if missing:
        gc.collect()
        gc.freeze()


def serve_one(control: socket.socket, refusal: Error | None) -> None:
    """Take one request and fork its child; leave the process when the client has gone."""
    fds: list[int] = []
    try:
        packet, ancillary, _, _ = control.recvmsg(1 << 16, socket.CMSG_SPACE(_MAX_FDS * _INT), socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        os._exit(0)
    for _, _, data in ancillary:
        fds += array.array("i", data[: len(data) - len(data) % _INT])
    if not packet:
        os._exit(0)
    if not fds:  # only modules to have ready
        preload(packet.decode().split("\n"))
        return
    preload(packet.decode().split("\n"))
    if os.fork() == 0:
        control.close()
        child(fds[0], fds[1:], refusal)
    for descriptor in fds:
        os.close(descriptor)


def child(request: int, fds: list[int], refusal: Error | None) -> NoReturn:
    """The child's whole life. It never returns into the launcher's loop."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        answer(request, fds, refusal)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the last frame of this process: tell the client, then leave
        report(request, error)
    finally:
        os._exit(code)


def answer(request: int, fds: list[int], refusal: Error | None) -> None:
    """Read the request, call its target, send the result."""
    message = read_request(request)
    if message["kind"] == "call":
        write(request, protocol.PID, {"pid": os.getpid()})
    if refusal:
        raise refusal
    module, _, name = message["target"].partition(":")
    target: Callable[..., Any] = getattr(import_module(module), name)
    arguments = message["arguments"]
    if fds:
        arguments["fds"] = fds
    if message["kind"] == "spawn":
        target(request, **arguments)
        return
    if message["events"]:
        arguments["on_event"] = lambda event: write(request, protocol.EVENT, event)
    write(request, protocol.RESULT, target(**arguments))


def read_request(request: int) -> dict[str, Any]:
    frames = protocol.Frames()
    while True:
        data = os.read(request, 1 << 16)
        if not data:
            os._exit(0)  # the client died between its two sends
        for _, payload in frames.feed(data):
            message: dict[str, Any] = json.loads(payload)
            return message


def write(request: int, kind: bytes, document: Any) -> None:
    data = memoryview(protocol.frame(kind, json.dumps(document).encode()))
    while data:
        data = data[os.write(request, data) :]


def report(request: int, error: BaseException) -> None:
    """Send an exception as an F frame; nobody may be listening any more."""
    try:
        write(request, protocol.FAILED, as_error(error).to_json())
    except OSError:
        return


def as_error(error: BaseException) -> Error:
    """The exception as one of ours; an unexpected one keeps its traceback in the details."""
    if isinstance(error, Error):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Error("interrupted", interrupted=True)
    from traceback import format_exception

    text = "".join(format_exception(error))
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Error(f"the helper process failed: {message}", traceback=text)
