"""`exec`: one more process in a running container, with the container's own identity, limits and filter."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nbcontainers.container import defaults, parse, security, store, users
from nbcontainers.container.container import Container
from nbcontainers.container.host import this_host
from nbcontainers.container.options import RunOptions, check_words, value, values
from nbcontainers.container.pausing import not_running
from nbcontainers.container.session import Session, Streams
from nbcontainers.errors import ContainerFailed, CreateFailed, InvalidArgument, InvalidState
from nbcontainers.launcher import client

SESSION = "nbcontainers.monitor.exec:run"


@dataclass(frozen=True)
class Request:
    """What was asked of `exec`."""

    command: tuple[str, ...]
    interactive: bool = False
    tty: bool = False
    detach: bool = False
    env: Sequence[str] | Mapping[str, str] | None = None
    env_file: Sequence[str] = ()
    workdir: str = ""
    user: str = ""
    privileged: bool = False


class Executed(NamedTuple):
    """How an executed command ended. `exit_code` is None for one left in the background."""

    container: str
    command: tuple[str, ...]
    exit_code: int | None
    wall_s: float

    def __repr__(self) -> str:
        how = "in the background" if self.exit_code is None else f"exit {self.exit_code}"
        return f"<exec in {self.container}: {' '.join(self.command)}: {how}>"


def run(container: Container, request: Request, streams: Streams, *, raise_error: bool) -> Executed:
    """Start the command, and unless it is detached follow it to its end."""
    record, name = container.record, container.name
    if not request.command:
        raise InvalidArgument("exec needs a command", hint=f"type container exec {name} sh", option="command")
    check_words(request.command)
    streams.check()
    if (status := container.status) != "running":
        hint = not_running(name, status).hint
        raise InvalidState(f"cannot exec in container {name}: it is {status}", hint=hint, status=status)
    process = document(container, record, request)
    if request.tty:
        process["consoleSize"] = streams.console_size()
    engine = container.engine
    interactive = request.interactive or streams.stdin is not None
    started = time.monotonic()
    channel = client.spawn(
        SESSION, root=str(engine.root), run=str(engine.run), id=container.id, process=process,
        interactive=interactive, console=request.tty, attach=not request.detach,
    )  # fmt: skip
    with Session(channel, streams.unheard() if request.detach else streams) as session:
        try:
            if request.detach:
                session.wait_start()
                session.detach()
                return Executed(name, request.command, None, time.monotonic() - started)
            ended = session.wait()
            if session.left:
                return Executed(name, request.command, None, time.monotonic() - started)
        except CreateFailed as error:
            return _not_started(error, container, request, started, raise_error=raise_error)
    done = Executed(name, request.command, ended["exit_code"], time.monotonic() - started)
    if raise_error and done.exit_code:
        raise _failed(container, request, ended, session.last_words)
    return done


def document(container: Container, record: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """The OCI process: the container's own with what was asked changed (config.md, Process)."""
    process: dict[str, Any] = dict(store.read(container.engine, container.id, "config.json")["process"])
    process["args"] = list(request.command)
    process["terminal"] = request.tty
    environment = dict(entry.split("=", 1) for entry in process["env"])
    if request.tty:
        environment.setdefault("TERM", "xterm")
    if request.user:
        identity = _identity(container, record, request.user)
        process["user"] = {"uid": identity.uid, "gid": identity.gid, "umask": defaults.UMASK}
        process["user"] |= {"additionalGids": list(identity.groups)} if identity.groups else {}
        environment["HOME"] = identity.home
    options: RunOptions = {"env": request.env or (), "privileged": request.privileged}  # type: ignore[typeddict-item]
    options["env_file"] = list(request.env_file)
    for variables in values(options, "env_file", parse.environment_file):
        environment.update(variables)
    environment.update(variable for variable in values(options, "env", parse.environment) if variable)
    process["env"] = [f"{key}={text}" for key, text in environment.items()]
    if request.workdir:
        process["cwd"] = value({"workdir": request.workdir}, "workdir", parse.path)
    if request.user or request.privileged:
        process["capabilities"] = _capabilities(container, process, options)
    if request.privileged:
        process["noNewPrivileges"] = False
    return process


def _identity(container: Container, record: Mapping[str, Any], user: str) -> users.Identity:
    """Looked up in the container's own layer first: a user made since it started counts."""
    layers = [f"{store.folder(container.engine, container.id)}/upper", *record.get("layers", ())]
    return users.look_up(user, layers, (), f"container {container.name}")


def _capabilities(container: Container, process: Mapping[str, Any], options: RunOptions) -> dict[str, list[str]]:
    """Root gets what the container's own root has; others nothing (CVE podman 2018-10856)."""
    if options.get("privileged"):
        granted = security.granted(options, this_host(container.engine.rootless))
    else:
        granted = tuple(process.get("capabilities", {}).get("bounding", ()))
    return security.sets(options, process["user"]["uid"], granted)


def _not_started(
    error: CreateFailed, container: Container, request: Request, started: float, *, raise_error: bool
) -> Executed:
    code = int(error.details.get("exit_code", 125))
    if not raise_error:
        return Executed(container.name, request.command, code, time.monotonic() - started)
    hint = error.hint or f"type container exec {container.name} ls /bin /usr/bin to see what it has"
    details = {**error.details, "exit_code": code}
    raise CreateFailed(f"exec in {container.name}: {error.message}", hint=hint, **details) from None


def _failed(container: Container, request: Request, ended: dict[str, Any], last_words: bytes) -> ContainerFailed:
    from nbcontainers.container.failure import container_failed

    record = {"id": container.id, "name": container.name}
    failure = container_failed(record, {"usage": dict(container.usage), **ended}, last_words, kept=False)
    failure.message = f"exec of {request.command[0]}: {failure.message}"
    return failure
