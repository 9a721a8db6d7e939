"""`exec`: one more process in a running container, with the container's own identity, limits and filter."""

from __future__ import annotations

import errno
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from nbcontainers.container import parse, parts, security, store, users
from nbcontainers.container.container import Container
from nbcontainers.container.failure import not_running
from nbcontainers.container.host import this_host
from nbcontainers.container.options import ExecOptions, RunOptions, check_words, value, values
from nbcontainers.container.session import Session, Streams
from nbcontainers.errors import ContainerFailed, CreateFailed, InvalidArgument, InvalidState, NotFound
from nbcontainers.launcher import client
from nbcontainers.table import AS_IT_IS, BOX, HEAD, MONOSPACE, duration, plain, safe
from nbcontainers.view import Bundle, bundle

SESSION = "nbcontainers.monitor.exec:run"


class Executed(NamedTuple):
    """How an executed command ended. `exit_code` is None for one left in the background."""

    container: str
    command: tuple[str, ...]
    exit_code: int | None
    wall_s: float

    def __repr__(self) -> str:
        return f"<exec in {self.container}: {plain(shlex.join(self.command))}: {self._how()}>"

    def _how(self) -> str:
        return "in the background" if self.exit_code is None else f"exit {self.exit_code} after {duration(self.wall_s)}"

    def text(self) -> str:
        return repr(self)

    def html(self) -> str:
        what = '<span style="opacity: .7;">exec in</span>'
        return (
            f'<div {AS_IT_IS} style="{BOX}"><div style="{HEAD}">{what} <b>{safe(self.container)}</b>'
            f"<span> {self._how()}</span></div>"
            f'<code style="font-family: {MONOSPACE}; font-size: 12px; background: none; color: inherit; '
            f'overflow-wrap: anywhere;">{safe(shlex.join(self.command))}</code></div>'
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        return bundle(self, lambda: self)


def run(
    container: Container, command: tuple[str, ...], options: ExecOptions, streams: Streams, *, raise_error: bool
) -> Executed:
    """Start the command, and unless it is detached follow it to its end."""
    record = container.record
    name = str(record["name"])
    if not command:
        raise InvalidArgument("exec needs a command", hint=f"type container exec {name} sh", option="command")
    check_words(command)
    streams.check()
    process = document(container, record, command, options)
    if process["terminal"]:
        process["consoleSize"] = streams.console_size()
    engine, detach = container.engine, bool(options.get("detach"))
    started = time.monotonic()
    channel = client.spawn(
        SESSION, ready=client.reserve(SESSION), root=str(engine.root), run=str(engine.run), id=container.id, process=process,
        interactive=bool(options.get("interactive")) or streams.stdin is not None, console=process["terminal"],
        attach=not detach,
    )  # fmt: skip
    streams = streams.unheard() if detach else streams
    with Session(channel, streams, lambda session: streams.started(container, session)) as session:
        try:
            if detach:
                session.wait_start()
                session.detach()
            ended = session.wait()
        except CreateFailed as error:
            return _not_started(error, container, command, started, raise_error=raise_error)
        except (InvalidState, NotFound):
            if (status := container.status) == "running":
                late = f"cannot exec in container {name}: it did not run a moment ago"
                raise InvalidState(late, hint="it runs now: try again", status=status) from None
            hint = not_running(name, status).hint
            raise InvalidState(f"cannot exec in container {name}: it is {status}", hint=hint, status=status) from None
    done = Executed(name, command, ended.get("exit_code"), time.monotonic() - started)
    if raise_error and done.exit_code:
        raise _failed(container, command, ended, session.last_words)
    return done


def document(
    container: Container, record: Mapping[str, Any], command: Sequence[str], asked: ExecOptions
) -> dict[str, Any]:
    """The OCI process: the container's own with what was asked changed (config.md, Process)."""
    options = cast(RunOptions, asked)  # of which they are a part
    process: dict[str, Any] = dict(store.read(container.engine, container.id, "config.json")["process"])
    process["args"] = list(command)
    process["terminal"] = bool(options.get("tty"))
    environment = dict(entry.split("=", 1) for entry in process["env"])
    if process["terminal"]:
        environment.setdefault("TERM", "xterm")
    if user := options.get("user"):
        identity = _identity(container, record, user)
        process["user"] = identity.user
        environment["HOME"] = identity.home
    for variables in values(options, "env_file", parse.environment_file):
        environment.update(variables)
    environment.update(variable for variable in values(options, "env", parse.environment) if variable)
    process["env"] = [f"{key}={text}" for key, text in environment.items()]
    if workdir := value(options, "workdir", parse.path):
        process["cwd"] = workdir
    if user or options.get("privileged"):
        process["capabilities"] = _capabilities(container, process, options)
    if options.get("privileged"):
        process["noNewPrivileges"] = False
    return process


def _identity(container: Container, record: Mapping[str, Any], user: str) -> users.Identity:
    """Looked up in the container's own layer first: a user made since it started counts."""
    return users.look_up(user, parts.folders(container, record), (), f"container {container.name}")


def _capabilities(container: Container, process: Mapping[str, Any], options: RunOptions) -> dict[str, list[str]]:
    """Root gets what the container's own root has; others nothing (CVE podman 2018-10856)."""
    if options.get("privileged"):
        granted = security.granted(options, this_host(container.engine.rootless))
    else:
        granted = tuple(process.get("capabilities", {}).get("bounding", ()))
    return security.sets(options, process["user"]["uid"], granted)


def _not_started(
    error: CreateFailed, container: Container, command: tuple[str, ...], started: float, *, raise_error: bool
) -> Executed:
    code = int(error.details.get("exit_code", 125))
    if not raise_error:
        return Executed(container.name, command, code, time.monotonic() - started)
    hint = error.hint or f"type container exec {container.name} ls /bin /usr/bin to see what it has"
    if error.details.get("errno") == errno.EAGAIN and error.details.get("stage") == "namespaces":
        hint = f"it has as many processes as it may: type container update --pids-limit N {container.name}"
    details = {**error.details, "exit_code": code}
    explained = CreateFailed(f"exec in {container.name}: {error.message}", hint=hint, **details)
    explained.container = container
    raise explained from None


def _failed(container: Container, command: Sequence[str], ended: dict[str, Any], last_words: bytes) -> ContainerFailed:
    from nbcontainers.container.failure import container_failed

    record = {"id": container.id, "name": container.name}
    failure = container_failed(record, {"usage": dict(container.usage), **ended}, last_words, kept=False)
    failure.message = f"exec of {command[0]}: {failure.message.replace(f'container {container.name}', 'it', 1)}"
    failure.container = container
    return failure
