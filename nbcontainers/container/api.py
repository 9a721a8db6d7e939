"""The verbs of `container`: each a function here, a word on the command line and in the magics.

A parameter that takes a container takes its name, its id, the beginning of its id, or its handle. `engine` is where
its folder lives; by default this user's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Unpack

from nbcontainers.container import parse
from nbcontainers.container.container import Container, find, find_all
from nbcontainers.container.options import RunOptions
from nbcontainers.engine import Engine, default_engine
from nbcontainers.option import Argument, Option

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbcontainers.container.execution import Executed
    from nbcontainers.container.log import Log
    from nbcontainers.container.session import Sink, Source
    from nbcontainers.image.image import Image as ImageHandle
    from nbcontainers.table import Table

__all__ = [
    "commit",
    "cp",
    "create",
    "diff",
    "exec_",
    "export",
    "inspect",
    "kill",
    "logs",
    "ls",
    "port",
    "ps",
    "rm",
    "run",
    "start",
    "stats",
    "stop",
    "top",
    "wait",
]

Image = Annotated[str, Argument("IMAGE", "an image of `image ls`: host, mini, …", complete="image")]
Word = Annotated[str, Argument("COMMAND", "the program and its arguments; the image's own without it")]
One = Annotated[str | Container, Argument("CONTAINER", "name, id or its beginning", complete="container")]
Many = Annotated[str | Container, Argument("CONTAINER", "names, ids or their beginnings", complete="container")]

All = Annotated[bool, Option("-a", help="those that don't run, too")]
Filter = Annotated[list[str] | None, Option("-f", help="name=, id=, label=, status=, image=", metavar="KEY=VALUE")]
Last = Annotated[int, Option("-n", help="the newest of all", metavar="N")]
NoTrunc = Annotated[bool, Option(help="whole ids and commands")]
Size = Annotated[bool, Option("-s", help="what each has written")]


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
    container: One,
    *,
    attach: Annotated[bool, Option("-a", help="show its output and wait for its end")] = False,
    interactive: Annotated[bool, Option("-i", help="give it our input")] = False,
    stdin: Source | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    window: Callable[[], tuple[int, int] | None] | None = None,
    raise_error: bool = True,
    engine: Engine | None = None,
) -> Container:
    """Start a container that was created or has ended."""
    from nbcontainers.container import running
    from nbcontainers.container.session import Streams

    handle = find(engine or default_engine(), container)
    streams = Streams(stdin, stdout, stderr, tick, window)
    return running.start(handle, streams, attach=attach or interactive, raise_error=raise_error)


def ps(
    *,
    all: All = False,
    filter: Filter = None,
    last: Last = 0,
    no_trunc: NoTrunc = False,
    size: Size = False,
    engine: Engine | None = None,
) -> Table:
    """List containers: those that run, or all."""
    from nbcontainers.container import listing

    return listing.ps(engine or default_engine(), everything=all, filters=filter, last=last, whole=no_trunc, size=size)


def ls(
    *,
    all: All = False,
    filter: Filter = None,
    last: Last = 0,
    no_trunc: NoTrunc = False,
    size: Size = False,
    engine: Engine | None = None,
) -> Table:
    """List containers, as `ps` does."""
    return ps(all=all, filter=filter, last=last, no_trunc=no_trunc, size=size, engine=engine)


def inspect(*containers: Many, engine: Engine | None = None) -> list[dict[str, Any]]:
    """Everything known of containers: how they were made, how they are, the limits in force, what they used."""
    from nbcontainers.container import listing

    return listing.inspect_all(engine or default_engine(), needed(containers))


def rm(
    *containers: Many,
    force: Annotated[bool, Option("-f", help="kill it first if it runs")] = False,
    volumes: Annotated[bool, Option("-v", help="its anonymous volumes too")] = False,
    engine: Engine | None = None,
) -> list[str]:
    """Remove containers; returns their names."""
    from nbcontainers.container import lifecycle

    handles = find_all(engine or default_engine(), needed(containers))
    return [lifecycle.remove(handle, force=force, volumes=volumes) for handle in handles]


def wait(*containers: Many, engine: Engine | None = None) -> list[int]:
    """Wait until containers have ended; returns their exit statuses."""
    from nbcontainers.container import lifecycle

    return [lifecycle.wait(handle) for handle in find_all(engine or default_engine(), needed(containers))]


def kill(
    *containers: Many,
    signal: Annotated[
        str | int, Option("-s", help="what to send (KILL)", metavar="SIGNAL", complete="signal", parse=parse.signal)
    ] = "KILL",
    engine: Engine | None = None,
) -> list[str]:
    """Send a signal to the first process of containers; returns their names."""
    from nbcontainers.container import lifecycle

    handles = find_all(engine or default_engine(), needed(containers))
    return [lifecycle.kill(handle, signal) for handle in handles]


def stop(
    *containers: Many,
    time: Annotated[
        int | None,
        Option("-t", "--timeout", help="seconds until it is killed (10)", metavar="SECONDS", parse=parse.seconds),
    ] = None,
    engine: Engine | None = None,
) -> list[str]:
    """End containers: their stop signal, and after a time SIGKILL; returns their names."""
    from nbcontainers.container import lifecycle

    handles = find_all(engine or default_engine(), needed(containers))
    return [lifecycle.stop(handle, time) for handle in handles]


def logs(
    container: One,
    *,
    follow: Annotated[bool, Option("-f", help="go on until it ends")] = False,
    tail: Annotated[int | str, Option("-n", help="the last lines only", metavar="N|all")] = "all",
    since: Annotated[str, Option(help="from a time or 10m ago on", metavar="TIME")] = "",
    until: Annotated[str, Option(help="up to a time or 10m ago", metavar="TIME")] = "",
    timestamps: Annotated[bool, Option("-t", help="when each line came")] = False,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    engine: Engine | None = None,
) -> Log | None:
    """What a container has written; with -f also what it goes on to write, as it comes."""
    from nbcontainers.container import log

    handle = find(engine or default_engine(), container)
    chosen = log.Choice.parse(tail=tail, since=since, until=until, timestamps=timestamps)
    if not follow and stdout is None:
        return log.read(handle, chosen)
    log.stream(handle, chosen, stdout, stderr, tick, follow=follow)
    return None


def exec_(
    container: One,
    *command: Annotated[str, Argument("COMMAND", "the program and its arguments")],
    interactive: Annotated[bool, Option("-i", help="give it our input")] = False,
    tty: Annotated[bool, Option("-t", help="give it a terminal")] = False,
    detach: Annotated[bool, Option("-d", help="leave it running in the background")] = False,
    env: Annotated[list[str] | dict[str, str] | None, Option("-e", help="set a variable", metavar="NAME=VALUE")] = None,
    workdir: Annotated[str, Option("-w", help="the working directory", metavar="DIR", parse=parse.path)] = "",
    user: Annotated[str, Option("-u", help="user of the image: name or uid, and group", metavar="USER[:GROUP]")] = "",
    privileged: Annotated[bool, Option(help="every capability the container's runtime can give")] = False,
    stdin: Source | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    window: Callable[[], tuple[int, int] | None] | None = None,
    raise_error: bool = True,
    engine: Engine | None = None,
) -> Executed:
    """Run one more command in a running container; returns its exit status.

    Raises InvalidState where the container does not run, ContainerFailed for a status other than 0, CreateFailed (126,
    127) for a command that cannot be executed.
    """
    from nbcontainers.container import execution
    from nbcontainers.container.session import Streams

    request = execution.Request(
        tuple(command), interactive=interactive, tty=tty, detach=detach, env=env, workdir=workdir, user=user,
        privileged=privileged,
    )  # fmt: skip
    streams = Streams(stdin, stdout, stderr, tick, window)
    return execution.run(find(engine or default_engine(), container), request, streams, raise_error=raise_error)


def port(
    container: One,
    private: Annotated[str, Argument("PORT", "only this port of the container: 80, 53/udp")] = "",
    *,
    engine: Engine | None = None,
) -> Table:
    """The published ports of a running container, and where the host listens for them."""
    from nbcontainers.container import endpoints

    return endpoints.port(find(engine or default_engine(), container), private)


def top(container: One, *, engine: Engine | None = None) -> Table:
    """The processes of a container, with their pids inside and on the host."""
    from nbcontainers.container import processes

    return processes.top(find(engine or default_engine(), container))


def stats(
    *containers: Many,
    all: Annotated[bool, Option("-a", help="those that have ended, too")] = False,
    no_stream: Annotated[bool, Option(help="one look and no more, which is all there is yet")] = False,
    engine: Engine | None = None,
) -> Table:
    """What containers use now: processors (100 % is one), memory against its limit, disk, processes."""
    from nbcontainers.container import listing

    here = engine or default_engine()
    handles = find_all(here, containers) if containers else listing.handles(here, everything=all)
    return listing.stats(handles)


def diff(container: One, *, engine: Engine | None = None) -> Table:
    """What a container changed in the files of its image: A new, C changed, D gone, with sizes.

    Rows: kind, path, size (bytes the file has, or had). Volumes, and what the runtime itself makes, are left out.
    """
    from nbcontainers.container import difference

    return difference.diff(find(engine or default_engine(), container))


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
    source: Annotated[Any, Argument("SOURCE", "CONTAINER:PATH, a path of this machine, or - for a tar", complete="copy")],
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


def needed(containers: tuple[str | Container, ...]) -> tuple[str | Container, ...]:
    if not containers:
        from nbcontainers.errors import InvalidArgument

        raise InvalidArgument("no container was named", hint="type its name or id; container ps -a shows them")
    return containers
