"""`run`, `create` and `start`: from options to a folder on disk, a monitor, and a handle."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from nbcontainers.container import (
    defaults,
    mounting,
    mounts,
    names,
    networking,
    parse,
    service,
    spec,
    store,
    users,
)
from nbcontainers.container.container import Container, Kept
from nbcontainers.container.host import this_host
from nbcontainers.container.options import RunOptions, bad, check_names, texts, value
from nbcontainers.container.session import Session, Streams, to_sys
from nbcontainers.engine import Engine
from nbcontainers.errors import CreateFailed, InvalidArgument, InvalidState
from nbcontainers.image import layout, rootfs
from nbcontainers.image import store as images
from nbcontainers.launcher import client
from nbcontainers.monitor.files import rfc3339

MONITOR = "nbcontainers.monitor.program:run"
_SHARED = ("/etc/hosts", "/etc/resolv.conf")
"""Files that go with the network of another container."""


class Made(NamedTuple):
    """A container that is on disk and was not started yet."""

    container: Container
    record: dict[str, Any]


def run(
    engine: Engine, image: str, command: Sequence[str], options: RunOptions, streams: Streams, *, raise_error: bool
) -> Container:
    streams = _streams(options, streams)
    with client.reserved(MONITOR) as ready:
        made = _make(engine, image, command, options, streams, id=ready.name if ready else "")
    try:
        attach = not options.get("detach")
        with (
            _kept(made, attach=attach) as files,
            _open(made, attach=attach, fresh=True, streams=streams, ready=ready) as session,
        ):
            session.on_start = lambda session: _begun(made.container, session)
            ended, kept = _follow(session, files) if attach else _leave(session)
    except BaseException as error:
        if not _has_started(made):
            _forget(made)
        if isinstance(error, CreateFailed):
            return _not_started(error, made, raise_error=raise_error)
        raise
    return _result(made, ended, kept, session.last_words, raise_error=raise_error)


def _streams(options: RunOptions, streams: Streams) -> Streams:
    """What `-a`, --detach-keys and --sig-proxy make of them."""
    names = texts("attach", options.get("attach"))
    if names and options.get("detach"):
        raise bad("attach", "a container that is left alone has no streams of ours; leave -a or -d out")
    streams = streams.only([name.lower() for name in names]) if names else streams
    keys = detach_keys(options.get("detach_keys")) if options.get("tty") else b""
    return streams._replace(keys=keys, proxy=options.get("sig_proxy", True))


def detach_keys(given: str | None) -> bytes:
    """Of --detach-keys, or ctrl-p and ctrl-q. Raises InvalidArgument."""
    try:
        return parse.key_codes(defaults.DETACH_KEYS if given is None else given)
    except ValueError as error:
        raise bad("detach_keys", str(error)) from None


def create(engine: Engine, image: str, command: Sequence[str], options: RunOptions) -> Container:
    return _make(engine, image, command, options, Streams()).container


def start(container: Container, streams: Streams, *, attach: bool, raise_error: bool) -> Container:
    """Start what was created or has ended; one that runs is fine, and may be attached to."""
    streams.check()
    status, name = container.status, container.name
    if status == "running" and attach:
        from nbcontainers.container import attaching

        return attaching.attach(container, streams, raise_error=raise_error)
    if status == "running":
        return container
    if status not in ("created", "exited"):
        raise InvalidState(f"cannot start container {name}: it is {status}", hint=_START[status](name), status=status)
    made = Made(container, dict(container.record))
    with _kept(made, attach=attach) as files, _open(made, attach=attach, fresh=False, streams=streams) as session:
        session.on_start = lambda session: session.streams.started(made.container, session)
        try:
            ended, kept = _follow(session, files) if attach else _leave(session)
        except CreateFailed as error:
            return _not_started(error, made, raise_error=raise_error)
    return _result(made, ended, kept, session.last_words, raise_error=raise_error)


def start_all(
    containers: Sequence[Container], streams: Streams, *, attach: bool, raise_error: bool
) -> Container | list[Container]:
    """One gives its handle, several a list; only one can be attached to."""
    from nbcontainers.container.selection import each

    if attach and len(containers) > 1:
        raise bad("attach", f"{len(containers)} containers cannot be attached to at once; start them without it")
    started = each(containers, lambda one: start(one, streams, attach=attach, raise_error=raise_error))
    return started[0] if len(started) == 1 else started


_START: dict[str, Callable[[str], str]] = {
    "paused": lambda name: f"container unpause {name} lets it go on",
    "restarting": lambda name: f"it starts by itself; container restart {name} does it at once",
    "stopping": lambda name: f"it will have ended in a moment: container wait {name}",
    "dead": lambda name: "type system prune to tidy it up first",
}


def _make(
    engine: Engine, image: str, command: Sequence[str], options: RunOptions, streams: Streams, *, id: str = ""
) -> Made:
    """Everything before the monitor: what can be wrong is found here, and then nothing is left behind.

    Nobody sweeps the image's layers before the container's own record of them is there.
    """
    with layout.adding(engine):
        return _write(engine, image, command, options, streams, id or store.new_id())


def _write(engine: Engine, image: str, command: Sequence[str], options: RunOptions, streams: Streams, id: str) -> Made:
    check_names(options)
    streams.check()
    name = _free_name(engine, options)
    found = images.resolve(engine, image)
    config: Mapping[str, Any] = found.config.get("config") or {}
    host = this_host(engine.rootless)
    volumes, others = f"{engine.root}/volumes", mounting.of_others(engine, options)
    asked = mounts.asked(options, config.get("Volumes") or (), volumes, id, host, others=others)
    asked = mounting.placed(engine, id, asked)
    spec.arguments(options, command, config)
    net = networking.plan(engine, options, config, id)
    options = {**options, "network": [net.namespace]}
    layers = rootfs.layers(engine, found)
    groups = [str(group) for group in texts("group_add", options.get("group_add"))]
    identity = users.resolve(_user(options, config), layers, groups, f"the image {image}")
    folder = store.folder(engine, id)
    files = {place: f"{folder}/{path}" for place, path in store.FILES.items()}
    if net.other:
        files |= {place: f"{store.folder(engine, net.other)}/{store.FILES[place]}" for place in _SHARED}
    basis = spec.Basis(id, config, identity, host, asked, files, netns=net.path)
    document = spec.build(options, command, basis)
    record = _record(options, document, basis, image=str(image), digest=found.digest, name=name, layers=layers)
    record.update(net.record)
    record["interactive"] = streams.stdin is not None or bool(options.get("interactive"))
    if record["tty"]:
        document["process"]["consoleSize"] = streams.console_size()
    if name and options.get("replace"):
        _replace(engine, name)
    with mounting.prepared(engine, asked), _cidfile(options, id):
        own = mounting.steps(engine, id, asked, identity)
        steps = [*rootfs.steps(layers, f"{folder}/rootfs", rootless=engine.rootless, place=folder), *own, *net.steps]
        store.create(engine, record, document, steps, _texts(document, net, record))
    store.happened(engine, record, "create")
    return Made(Container(engine, id), record)


@contextmanager
def _cidfile(options: RunOptions, id: str) -> Iterator[None]:
    """--cidfile: there while the container is being made, and kept if it was."""
    if not (path := options.get("cidfile")):
        yield
        return
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        hint = f"remove it, or name another: rm {path}" if isinstance(error, FileExistsError) else ""
        raise InvalidArgument(f"--cidfile {path}: {error.strerror}", hint=hint, option="cidfile") from None
    try:
        with os.fdopen(file, "w") as content:
            content.write(id)
        yield
    except BaseException:
        os.unlink(path)
        raise


def _free_name(engine: Engine, options: RunOptions) -> str:
    """The name asked for, "" if none was. Raises NameInUse early, before an image is unpacked for nothing."""
    name = value(options, "name", names.check_name) or ""
    if name and not options.get("replace") and (owner := store.owner_of(engine, name)):
        raise store.name_in_use(name, owner)
    if options.get("replace") and not name:
        raise InvalidArgument("--replace needs a name to replace", hint="type --name NAME --replace")
    return name


def _replace(engine: Engine, name: str) -> None:
    from nbcontainers.container import lifecycle

    if owner := store.owner_of(engine, name):
        lifecycle.remove(Container(engine, owner), force=True, volumes=True)


def _user(options: RunOptions, image: Mapping[str, Any]) -> str:
    given = options.get("user")
    return str(given) if given is not None and given != "" else image.get("User") or ""


def _record(
    options: RunOptions,
    document: spec.Config,
    basis: spec.Basis,
    *,
    image: str,
    digest: str,
    name: str,
    layers: list[str],
) -> dict[str, Any]:
    """container.json."""
    timeout = value(options, "stop_timeout", parse.seconds)
    return {
        "id": basis.id,
        "name": name,
        "image": image,
        "image_digest": digest,
        "command": document["process"]["args"][2 if options.get("init") else 0 :],
        "created": rfc3339(time.time_ns()),
        "labels": spec.labels(options, basis.image),
        "remove": bool(options.get("rm")),
        "tty": bool(options.get("tty")),
        "stop_signal": spec.stop_signal(options, basis.image),
        "stop_timeout": defaults.STOP_TIMEOUT if timeout is None else timeout,
        **service.record(options, basis.image),
        "hostname": document.get("hostname", ""),
        "volumes": [m.volume for m in basis.mounts if m.volume and not m.anonymous],
        "anonymous_volumes": [m.volume for m in basis.mounts if m.anonymous],
        "mounts": [m.record for m in basis.mounts],
        "layers": layers,
        "client": os.getpid(),
    }


def _texts(document: spec.Config, net: networking.Plan, record: dict[str, Any]) -> dict[str, str]:
    """/etc/hostname, /etc/hosts and /etc/resolv.conf."""
    name = document.get("hostname") or os.uname().nodename
    return {"/etc/hostname": f"{name}\n", **networking.texts(net, record, name)}


def _open(made: Made, *, attach: bool, fresh: bool, streams: Streams, ready: client.Ready | None = None) -> Session:
    """Have the launcher fork the monitor; the session to it. A `fresh` container goes again if it cannot start."""
    engine, id = made.container.engine, made.container.id
    root, run = str(engine.root), str(engine.run)
    channel = client.spawn(MONITOR, ready=ready, root=root, run=run, id=id, attach=attach and streams.ours, fresh=fresh)
    return Session(channel, streams if attach else streams.unheard())


def _begun(container: Container, session: Session) -> None:
    """Say what had to be changed on the host for the container, as the monitor says."""
    for note in session.started.get("notes") or ():
        (session.streams.stderr or to_sys("stderr"))(f"[nbcontainers] {note}\n".encode())
    session.streams.started(container, session)


def _leave(session: Session) -> tuple[dict[str, Any], list[bytes]]:
    """Once it has started, let it go on without us."""
    session.wait_start()
    session.detach()
    return {}, []


@contextmanager
def _kept(made: Made, *, attach: bool) -> Iterator[list[int]]:
    """Log and samples of a container that removes itself: opened before it starts, read when their names are gone."""
    opened: list[int] = []
    try:
        if attach and made.record["remove"]:
            folder = store.folder(made.container.engine, made.container.id)
            for name in ("log", "metrics"):
                opened.append(os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        yield opened
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _follow(session: Session, kept: Sequence[int]) -> tuple[dict[str, Any], list[bytes]]:
    """To the end: the exit record, and of a container that has removed itself what it wrote and its samples."""
    ended = session.wait()
    return ended, [] if session.left else [_whole(descriptor) for descriptor in kept]


def _whole(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()


def _result(
    made: Made, ended: dict[str, Any], kept: Sequence[bytes], last_words: bytes, *, raise_error: bool
) -> Container:
    container = made.container
    if kept:
        container = Container(container.engine, container.id, Kept(made.record, ended, *kept))
    if raise_error and ended.get("exit_code"):
        from nbcontainers.container.failure import container_failed

        error = container_failed(made.record, ended, last_words, kept=not kept)
        error.container = container
        raise error
    return container


def _not_started(error: CreateFailed, made: Made, *, raise_error: bool) -> Container:
    """The explained error; without `raise_error` a handle that tells the same."""
    from nbcontainers.container.failure import not_started

    explained = not_started(error, made.record)
    ended = {"exit_code": explained.exit_code, "reason": "error", "error": explained.message, "signal": None}
    container = Container(made.container.engine, made.container.id, Kept(made.record, ended))
    if raise_error:
        explained.container = container
        raise explained from None
    return container


def _has_started(made: Made) -> bool:
    """Whether it left a trace of having run: then it is kept, whatever went wrong since."""
    engine, id = made.container.engine, made.container.id
    return os.path.exists(f"{store.folder(engine, id)}/exit.json") or bool(store.state(engine, id))


def _forget(made: Made) -> None:
    """Take a container that never started away again."""
    store.remove(made.container.engine, made.container.id, anonymous_volumes=True)
