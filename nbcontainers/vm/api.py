"""The verbs of `vm`: each a function here, a word on the command line and in the magics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Unpack

from nbcontainers.container import parse
from nbcontainers.engine import Engine, default_engine
from nbcontainers.option import Argument, Option
from nbcontainers.vm.machine import Machine
from nbcontainers.vm.options import CommandOptions, MachineOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbcontainers.container.session import Sink, Source
    from nbcontainers.table import Table
    from nbcontainers.vm.executing import Executed
    from nbcontainers.vm.words import Console

__all__ = ["console", "cp", "exec_", "fetch_kernel", "inspect", "kill", "logs", "ls", "ps", "rm", "run", "stop", "wait"]

Image = Annotated[str, Argument("IMAGE", "an image of `image ls`: host, mini, …", complete="image")]
Word = Annotated[str, Argument("COMMAND", "the program and its arguments; the image's own without it")]

One = Annotated[str | Machine, Argument("MACHINE", "name, id or its beginning", complete="machine")]
Many = Annotated[str | Machine, Argument("MACHINE", "names, ids or their beginnings", complete="machine")]
Everyone = Annotated[bool, Option("-a", help="all there are")]


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
    **options: Unpack[MachineOptions],
) -> Machine:
    """Boot an image in a virtual machine with a kernel of its own, run a command, and power off; with -d it goes on.

    The very image that `container run` starts, with another kernel below it: `uname -r` tells. KVM is taken where a
    kernel was seen to boot in it, else user-mode-linux, else QEMU's emulation, which is slow. What the command writes is
    gone with the machine; folders given by -v stay. The handle says which kind it was and how long each part of the boot
    took. With -d and no command the machine waits for `vm exec`, until `vm stop`.

    Raises ContainerFailed for an exit status other than 0, unless `raise_error` is False; HostNotCapable with what to
    install; TimedOut; NotFound, NameInUse, InvalidArgument before anything was started. KeyboardInterrupt is passed on to the
    command as SIGINT, then SIGTERM, then SIGKILL.
    """
    from nbcontainers.container.session import Streams
    from nbcontainers.vm import running

    streams = Streams(stdin, stdout, stderr, tick, window)
    return running.run(engine or default_engine(), image, command, options, streams, on_pull, raise_error=raise_error)


def fetch_kernel(
    package: Annotated[str, Argument("PACKAGE", "Debian's package of a kernel (linux-image-cloud-amd64)")] = "",
    *,
    file: Annotated[str, Option(help="take the kernel of this .deb", metavar="FILE.deb", complete="path")] = "",
    engine: Engine | None = None,
) -> Table:
    """Download a Debian kernel for virtual machines, with its modules; this host keeps its own.

    By apt-get download from the host's own package sources; nothing is installed. Rows say what is there now.

    Raises HostNotCapable where apt or dpkg is missing or nothing could be downloaded.
    """
    from nbcontainers.vm import fetching

    return fetching.fetch(engine or default_engine(), package, file)


def exec_(
    machine: One,
    *command: Annotated[str, Argument("COMMAND", "the program and its arguments")],
    stdin: Source | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    window: Callable[[], tuple[int, int] | None] | None = None,
    raise_error: bool = True,
    engine: Engine | None = None,
    **options: Unpack[CommandOptions],
) -> Executed:
    """Run one more command in a virtual machine that runs; returns its exit status. Two may run at a time.

    Raises InvalidState where the machine does not run, ContainerFailed for a status other than 0.
    """
    from nbcontainers.container.session import Streams
    from nbcontainers.vm import executing, finding

    streams = Streams(stdin, stdout, stderr, tick, window)
    found = finding.find(engine or default_engine(), machine)
    return executing.run(found, command, options, streams, raise_error=raise_error)


def cp(
    source: Annotated[Any, Argument("SOURCE", "MACHINE:PATH, a path of this host, or - for a tar", complete="path")],
    destination: Annotated[Any, Argument("DESTINATION", "the same", complete="path")],
    *,
    archive: Annotated[bool, Option("-a", help="keep owners")] = False,
    engine: Engine | None = None,
) -> None:
    """Copy files between a virtual machine that runs and this host, by Docker's rules as `container cp` has them.

    They go as a tar over the machine's own ports; the image needs no program for it. In Python a side may also be a path
    object or a pair (machine, path).

    Raises NotFound, InvalidState, InvalidArgument where source and destination do not go together.
    """
    from nbcontainers.vm import copying

    copying.cp(engine or default_engine(), source, destination, archive=archive)


def ps(
    *,
    all: Annotated[bool, Option("-a", help="those that have ended, too")] = False,
    engine: Engine | None = None,
) -> Table:
    """List virtual machines: those that run, or all."""
    from nbcontainers.vm import listing

    return listing.ls(engine or default_engine(), everything=all)


def ls(
    *,
    all: Annotated[bool, Option("-a", help="those that have ended, too")] = False,
    engine: Engine | None = None,
) -> Table:
    """List virtual machines, as `ps` does."""
    return ps(all=all, engine=engine)


def inspect(*machines: Many, engine: Engine | None = None) -> list[dict[str, Any]]:
    """Everything known of virtual machines: how they were made, how they are, how they booted and ended."""
    from nbcontainers.vm import finding, listing

    return [listing.inspect(one) for one in finding.chosen(engine or default_engine(), machines)]


def logs(
    machine: One,
    *,
    follow: Annotated[bool, Option("-f", help="go on until it ends")] = False,
    tail: Annotated[int | str, Option("-n", help="the last lines only", metavar="N|all")] = "all",
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    engine: Engine | None = None,
) -> None:
    """What the own command of a virtual machine has written."""
    from nbcontainers.vm import finding, words

    found = finding.find(engine or default_engine(), machine)
    words.logs(found, tail, stdout, stderr, tick, follow=follow)


def console(machine: One, *, engine: Engine | None = None) -> Console:
    """What the kernel of a virtual machine has said since its boot, as dmesg has it."""
    from nbcontainers.vm import finding, words

    return words.console(finding.find(engine or default_engine(), machine))


def stop(
    *machines: Many,
    time: Annotated[
        float | None,
        Option(
            "-t",
            help="seconds until the guest powers off without its command's end (10)",
            metavar="SECONDS",
            parse=parse.seconds,
        ),
    ] = None,
    signal: Annotated[
        str | int | None,
        Option("-s", help="what to send its command (TERM)", metavar="SIGNAL", complete="signal", parse=parse.signal),
    ] = None,
    all: Everyone = False,
    engine: Engine | None = None,
) -> list[str]:
    """End virtual machines in order, all at once: a signal to the command, then sync and power off; returns their names.

    After a time the guest powers off whatever its command does; one that does not even do that is killed.
    """  # fmt: skip
    from nbcontainers.vm import ending, finding

    return ending.stop(finding.chosen(engine or default_engine(), machines, all=all), time, signal)


def kill(
    *machines: Many,
    signal: Annotated[
        str | int,
        Option(
            "-s",
            help="what to send its command; KILL ends the machine itself (KILL)",
            metavar="SIGNAL",
            complete="signal",
            parse=parse.signal,
        ),
    ] = "KILL",
    engine: Engine | None = None,
) -> list[str]:
    """End virtual machines as if their plug was pulled, or send a signal to their commands; returns their names."""  # fmt: skip
    from nbcontainers.container.selection import each
    from nbcontainers.vm import ending, finding

    return each(finding.chosen(engine or default_engine(), machines), lambda one: ending.kill(one, signal))


def wait(*machines: Many, engine: Engine | None = None) -> list[int]:
    """Wait until virtual machines have ended; returns the exit statuses of their commands."""
    from nbcontainers.container.selection import each
    from nbcontainers.vm import ending, finding

    return each(finding.chosen(engine or default_engine(), machines), ending.wait)


def rm(
    *machines: Many,
    force: Annotated[bool, Option("-f", help="kill it first if it runs; one that is not there is no error")] = False,
    all: Everyone = False,
    engine: Engine | None = None,
) -> list[str]:
    """Forget virtual machines that have ended, their logs too; returns their names."""
    from nbcontainers.vm import ending, finding

    found = finding.chosen(engine or default_engine(), machines, all=all, passing=force)
    return ending.remove(found, force=force)
