"""The verbs of `container`: each a function here, a word on the command line and in the magics.

A parameter that takes a container takes its name, its id, the beginning of its id, or its handle. `engine` is where
its folder lives; by default this user's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Unpack

from nbcontainers.container import parse
from nbcontainers.container.container import RUNNING, Container, find
from nbcontainers.container.defaults import DETACH_KEYS
from nbcontainers.container.options import (
    Condition,
    DetachKeys,
    ExecOptions,
    Found,
    Listing,
    LogOptions,
    RunOptions,
    Signal,
    SigProxy,
    Time,
    UpdateOptions,
    Which,
)
from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.option import Argument, Option, Unasked

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbcontainers.container.execution import Executed
    from nbcontainers.container.isolation.xray import XRay
    from nbcontainers.container.log import Log
    from nbcontainers.container.overview import Dashboard
    from nbcontainers.container.session import Sink, Source
    from nbcontainers.container.stacking import Overlay
    from nbcontainers.image.image import Image as ImageHandle
    from nbcontainers.table import Table

__all__ = [
    "attach", "commit", "cp", "create", "dashboard", "diff", "exec_", "export", "healthcheck", "inspect", "kill",
    "logs", "ls", "overlay", "pause", "port", "prune", "ps", "rename", "restart", "rm", "run", "start", "stats",
    "stop", "top", "unpause", "update", "wait", "xray",
]  # fmt: skip

Image = Annotated[str, Argument("IMAGE", "an image of `image ls`: host, mini, …", complete="image")]
Word = Annotated[str, Argument("COMMAND", "the program and its arguments; the image's own without it")]
One = Annotated[str | Container, Argument("CONTAINER", "name, id or its beginning", complete="container")]
Many = Annotated[str | Container, Argument("CONTAINER", "names, ids or their beginnings", complete="container")]


def run(
    image: Image,
    *command: Word,
    stdin: Source | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    window: Callable[[], tuple[int, int] | None] | None = None,
    on_pull: Callable[[dict[str, Any]], None] | None = None,
    raise_error: bool = True,
    engine: Engine | None = None,
    **options: Unpack[RunOptions],
) -> Container:
    """Run a command in a new container and wait for its end; with -d it goes on in the background.

    Its output goes to sys.stdout and sys.stderr as it comes, or to `stdout` and `stderr`, called with bytes. `stdin`
    is bytes, text or a file. The handle says how it ended and what it used. An image that is not here is pulled.

    Raises ContainerFailed for an exit status other than 0 and CreateFailed (125, 126, 127) when it could not start,
    unless `raise_error` is False; NotFound, NameInUse, InvalidArgument, HostNotCapable before anything was made.
    KeyboardInterrupt is passed on to the program as SIGINT, then SIGTERM, then SIGKILL.
    """
    from nbcontainers.container import running
    from nbcontainers.container.session import Streams
    from nbcontainers.image import latest, wanted

    store = engine or default_engine()
    image = wanted.ensure(store, image, options.get("pull", "missing"), options.get("platform", ""), on_pull)
    latest.warn(store, image)
    streams = Streams(stdin, stdout, stderr, tick, window)
    return running.run(store, image, command, options, streams, raise_error=raise_error)


def create(image: Image, *command: Word, engine: Engine | None = None, **options: Unpack[RunOptions]) -> Container:
    """Make a container without starting it; `container start` does that."""
    from nbcontainers.container import running
    from nbcontainers.image import latest, wanted

    store = engine or default_engine()
    image = wanted.ensure(store, image, options.get("pull", "missing"), options.get("platform", ""))
    latest.warn(store, image)
    return running.create(store, image, command, options)


def start(
    *containers: Many,
    attach: Annotated[bool, Option("-a", help="show its output and wait for its end")] = False,
    interactive: Annotated[bool, Option("-i", help="give it our input")] = False,
    sig_proxy: SigProxy = True,
    detach_keys: DetachKeys = DETACH_KEYS,
    stdin: Source | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    window: Callable[[], tuple[int, int] | None] | None = None,
    raise_error: bool = True,
    engine: Engine | None = None,
    **which: Unpack[Found],
) -> Container | list[Container]:
    """Start containers that were created or have ended; those that run are fine. Several give a list."""
    from nbcontainers.container import running, selection
    from nbcontainers.container.session import Streams

    handles = selection.chosen(engine or default_engine(), containers, which, ("created", "exited"))
    keys = running.detach_keys(detach_keys)
    streams = Streams(stdin, stdout, stderr, tick, window, keys, sig_proxy)
    return running.start_all(handles, streams, attach=attach or interactive, raise_error=raise_error)


def attach(
    container: One,
    *,
    no_stdin: Annotated[bool, Option(help="only its output")] = False,
    sig_proxy: SigProxy = True,
    detach_keys: DetachKeys = DETACH_KEYS,
    stdin: Source | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    window: Callable[[], tuple[int, int] | None] | None = None,
    raise_error: bool = True,
    engine: Engine | None = None,
) -> Container:
    """Follow a running container: its output from now on, our input, its end. Leaving it does not end it.

    ctrl-p ctrl-q leaves it in a terminal, the stop button in a notebook. What it wrote before is in its log.
    """
    from nbcontainers.container import attaching, running
    from nbcontainers.container.session import Streams

    keys = running.detach_keys(detach_keys)
    streams = Streams(None if no_stdin else stdin, stdout, stderr, tick, window, keys, sig_proxy)
    return attaching.attach(find(engine or default_engine(), container), streams, raise_error=raise_error)


def ps(*, engine: Engine | None = None, **options: Unpack[Listing]) -> Table:
    """List containers: those that run, or all."""
    from nbcontainers.container import listing

    return listing.ps(engine or default_engine(), options)


def ls(*, engine: Engine | None = None, **options: Unpack[Listing]) -> Table:
    """List containers, as `ps` does."""
    return ps(engine=engine, **options)


def dashboard(*, engine: Engine | None = None) -> Dashboard:
    """All containers, how they are and what they use; in a notebook page it goes on, with buttons."""
    from nbcontainers.container.overview import Dashboard

    return Dashboard.now(engine or default_engine())


def inspect(
    *containers: Many,
    latest: Annotated[bool, Option("-l", help="the container that was made last")] = False,
    size: Annotated[bool, Option("-s", help="what each has written, too")] = False,
    engine: Engine | None = None,
) -> list[dict[str, Any]]:
    """Everything known of containers, in Docker's words: how they were made, how they are, and what they used."""
    from nbcontainers.container import inspection

    return inspection.inspect_all(engine or default_engine(), containers, latest=latest, size=size)


def rm(
    *containers: Many,
    force: Annotated[bool, Option("-f", help="kill it first if it runs; one that is not there is no error")] = False,
    volumes: Annotated[bool, Option("-v", help="its anonymous volumes too")] = False,
    engine: Engine | None = None,
    **which: Unpack[Which],
) -> list[str]:
    """Remove containers; returns their names."""
    from nbcontainers.container import lifecycle, selection

    handles = selection.chosen(engine or default_engine(), containers, which, passing=force)
    return selection.each(handles, lambda one: lifecycle.remove(one, force=force, volumes=volumes))


def prune(
    *,
    filter: Annotated[
        list[str] | None, Option(help="only those: until=24h, label=KEY=VALUE, …", metavar="KEY=VALUE")
    ] = None,
    force: Unasked = False,
    engine: Engine | None = None,
) -> Table:
    """Remove every container that does not run; rows say which, and the room that comes back."""
    from nbcontainers.container import pruning

    return pruning.prune(engine or default_engine(), filter)


def wait(
    *containers: Many,
    condition: Condition = "stopped",
    latest: Annotated[bool, Option("-l", help="for the container that was made last")] = False,
    engine: Engine | None = None,
) -> list[int]:
    """Wait until containers have ended; returns their exit statuses. With --condition until they are so (-1)."""
    from nbcontainers.container import selection, waiting

    handles = selection.chosen(engine or default_engine(), containers, {"latest": latest})
    return [waiting.wait(handle, condition) for handle in handles]


def kill(
    *containers: Many,
    signal: Annotated[
        str | int, Option("-s", help="what to send (KILL)", metavar="SIGNAL", complete="signal", parse=parse.signal)
    ] = "KILL",
    engine: Engine | None = None,
    **which: Unpack[Which],
) -> list[str]:
    """Send a signal to the first process of containers; returns their names."""
    from nbcontainers.container import lifecycle, selection

    handles = selection.chosen(engine or default_engine(), containers, which, RUNNING)
    return selection.each(handles, lambda one: lifecycle.kill(one, signal))


def stop(
    *containers: Many,
    time: Time = None,
    signal: Signal = None,
    engine: Engine | None = None,
    **which: Unpack[Which],
) -> list[str]:
    """End containers, all at once: their stop signal, and after a time SIGKILL; returns their names."""
    from nbcontainers.container import lifecycle, selection

    return lifecycle.stop(selection.chosen(engine or default_engine(), containers, which, RUNNING), time, signal)


def restart(
    *containers: Many,
    time: Time = None,
    signal: Signal = None,
    running: Annotated[bool, Option(help="every container that runs")] = False,
    engine: Engine | None = None,
    **which: Unpack[Which],
) -> list[str]:
    """Stop containers and start them again; those that don't run are started. Returns their names."""
    from nbcontainers.container import lifecycle, selection

    asked: Which = {**which, "all": True} if running else which
    handles = selection.chosen(engine or default_engine(), containers, asked, RUNNING if running else ())
    return lifecycle.restart_all(handles, time, signal)


def pause(*containers: Many, engine: Engine | None = None, **which: Unpack[Which]) -> list[str]:
    """Hold every process of containers still until `unpause`; returns their names."""
    from nbcontainers.container import pausing, selection

    return selection.each(selection.chosen(engine or default_engine(), containers, which, ("running",)), pausing.pause)


def unpause(*containers: Many, engine: Engine | None = None, **which: Unpack[Which]) -> list[str]:
    """Let paused containers go on; returns their names."""
    from nbcontainers.container import pausing, selection

    return selection.each(selection.chosen(engine or default_engine(), containers, which, ("paused",)), pausing.unpause)


def rename(
    container: One,
    name: Annotated[str, Argument("NAME", "what it is called from now on")],
    *,
    engine: Engine | None = None,
) -> Container:
    """Give a container another name, also while it runs. Raises NameInUse."""
    from nbcontainers.container import renaming

    handle = find(engine or default_engine(), container)
    renaming.rename(handle, name)
    return handle


def update(*containers: Many, engine: Engine | None = None, **options: Unpack[UpdateOptions]) -> list[str]:
    """Change the limits of containers, at once where they run, and for later starts; returns their names.

    Each limit is read back from the kernel. One below what is in use is an error, and then nothing was changed.
    """
    from nbcontainers.container import selection, updating

    handles = selection.chosen(engine or default_engine(), containers, {})
    return selection.each(handles, lambda one: updating.update(one, options))


def logs(
    *containers: Many,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    engine: Engine | None = None,
    **options: Unpack[LogOptions],
) -> Log | None:
    """What containers have written; with -f also what they go on to write, as it comes.

    Of several containers each line says whose it is. `.to_pandas()` makes a table of it.
    """
    from nbcontainers.container import log, selection

    handles = selection.chosen(engine or default_engine(), containers, {"latest": options.get("latest", False)})
    streamed = bool(options.get("follow")) or stdout is not None
    return log.logs(handles, options, log.Sinks(stdout, stderr, tick) if streamed else None)


def exec_(
    container: One,
    *command: Annotated[str, Argument("COMMAND", "the program and its arguments")],
    stdin: Source | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    window: Callable[[], tuple[int, int] | None] | None = None,
    raise_error: bool = True,
    engine: Engine | None = None,
    **options: Unpack[ExecOptions],
) -> Executed:
    """Run one more command in a running container; returns its exit status.

    Raises InvalidState where the container does not run, ContainerFailed for a status other than 0, CreateFailed (126,
    127) for a command that cannot be executed.
    """
    from nbcontainers.container import execution, running
    from nbcontainers.container.session import Streams

    keys = running.detach_keys(options.get("detach_keys")) if options.get("tty") else b""
    streams = Streams(stdin, stdout, stderr, tick, window, keys)
    handle = find(engine or default_engine(), container)
    return execution.run(handle, command, options, streams, raise_error=raise_error)


def healthcheck(
    run: Annotated[str, Argument("run", "the word run, as podman has it")],
    container: One,
    *,
    engine: Engine | None = None,
) -> str:
    """Make a container's health check now; returns what it is: healthy or starting.

    A check that fails is an error, of exit status 1.
    """
    from nbcontainers.container import health

    if run != "run":
        raise InvalidArgument(f"healthcheck {run!r} is not there", hint="type container healthcheck run NAME")
    return health.check(find(engine or default_engine(), container))


def port(
    container: One,
    private: Annotated[str, Argument("PORT", "only this port of the container: 80, 53/udp")] = "",
    *,
    engine: Engine | None = None,
) -> Table:
    """The published ports of a running container, and where the host listens for them."""
    from nbcontainers.container import endpoints

    return endpoints.port(find(engine or default_engine(), container), private)


def top(
    container: One,
    *columns: Annotated[str, Argument("COLUMN", "what to show: user pid ppid hpid state time rss args …")],
    engine: Engine | None = None,
) -> Table:
    """The processes of a container, with their pids inside and on the host."""
    from nbcontainers.container import processes

    return processes.top(find(engine or default_engine(), container), columns)


def xray(container: One, *, engine: Engine | None = None) -> XRay:
    """What separates a container from the host, and what a program in it is told of the machine.

    Namespaces, processes and users on both sides, mounts, capabilities, filter, every limit with its file. Read from the
    kernel now; of one that does not run what was recorded. Each part is a table: `.namespaces.to_pandas()`.
    """
    from nbcontainers.container.isolation import xray

    return xray.xray(find(engine or default_engine(), container))


def stats(
    *containers: Many,
    all: Annotated[bool, Option("-a", help="those that have ended, too")] = False,
    latest: Annotated[bool, Option("-l", help="of the container that was made last")] = False,
    no_stream: Annotated[bool, Option(help="one look; a terminal shows more until ^C")] = False,
    engine: Engine | None = None,
) -> Table:
    """What containers use now: processors, memory against its limit, network, disk, processes, pressure.

    Memory is without the files that the kernel could drop, as in `docker stats`. `.metrics()` of a handle has all samples.
    """
    from nbcontainers.container import selection, statistics

    here = engine or default_engine()
    which: Which = {"latest": latest} if containers or latest else {"all": True}
    found = selection.chosen(here, containers, which, () if all or latest else RUNNING)
    return statistics.stats(found, following=bool(containers))


def diff(container: One, *, engine: Engine | None = None) -> Table:
    """What a container changed in the files of its image: A new, C changed, D gone, with sizes.

    Rows: kind, path, size (bytes the file has, or had). Volumes, and what the runtime itself makes, are left out.
    """
    from nbcontainers.container import difference

    return difference.diff(find(engine or default_engine(), container))


def overlay(container: One, *, engine: Engine | None = None) -> Overlay:
    """The folders below a container, its own on top, and what it added, changed and removed in that."""
    from nbcontainers.container import stacking

    return stacking.of(find(engine or default_engine(), container))


def commit(
    container: One,
    reference: Annotated[str, Argument("REFERENCE", "what to call the image: NAME[:TAG]")] = "",
    *,
    author: Annotated[str, Option("-a", help="who made it", metavar="NAME")] = "",
    message: Annotated[str, Option("-m", help="a comment for its history", metavar="TEXT")] = "",
    change: Annotated[
        list[str] | None, Option("-c", help="a Dockerfile instruction for its config, as 'CMD python3'", metavar="LINE")
    ] = None,
    no_pause: Annotated[bool, Option(help="let it run on meanwhile")] = False,
    engine: Engine | None = None,
) -> ImageHandle:
    """Make an image of a container: its image, and one more layer with what it changed.

    Volumes are not in it; how it starts is as in its image, but for `change`. The same changes make the same digest
    where SOURCE_DATE_EPOCH is set. Raises InvalidState for a container made of `host`, which has no layers.
    """
    from nbcontainers.container import committing

    handle = find(engine or default_engine(), container)
    changes = [change] if isinstance(change, str) else change or []
    return committing.commit(handle, reference, author=author, message=message, changes=changes, pause=not no_pause)


def cp(
    source: Annotated[
        Any, Argument("SOURCE", "CONTAINER:PATH, a path of this machine, or - for a tar", complete="copy")
    ],
    destination: Annotated[Any, Argument("DESTINATION", "the same", complete="copy")],
    *,
    archive: Annotated[bool, Option("-a", help="keep owners, set-user-ID bits and file capabilities")] = False,
    follow_link: Annotated[bool, Option("-L", help="copy what a link at SOURCE leads to")] = False,
    engine: Engine | None = None,
) -> None:
    """Copy files between a container and this machine, or between two containers; it may run or not.

    A folder goes into a destination that is a folder, `folder/.` only what is in it; a destination that is not there
    becomes the copy. What comes here is ours, what goes in is root's, unless -a. `-` is a tar on the standard input or
    output, with owners. Links of the container lead nowhere but inside it. In Python a side may also be a path object or
    a pair (container, path).

    Raises NotFound, InvalidArgument where source and destination do not go together.
    """
    from nbcontainers.container import copying

    copying.cp(engine or default_engine(), source, destination, archive=archive, follow_link=follow_link)


def export(
    container: One,
    *,
    output: Annotated[
        str, Option("-o", help="the file to write; - is the output", metavar="FILE", complete="path")
    ] = "",
    engine: Engine | None = None,
) -> None:
    """Write a container's files, its image's and its own together, as one tar; `image import` reads it.

    Volumes are not in it, and no config. The file is there as a whole or not at all.
    """
    from nbcontainers.container import exporting

    exporting.export(find(engine or default_engine(), container), output)
