"""The verbs of `vm`: each a function here, a word on the command line and in the magics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Unpack

from nbcontainers.engine import Engine, default_engine
from nbcontainers.option import Argument, Option
from nbcontainers.vm.options import MachineOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbcontainers.container.session import Sink, Source
    from nbcontainers.table import Table
    from nbcontainers.vm.machine import Machine

__all__ = ["fetch_kernel", "run"]

Image = Annotated[str, Argument("IMAGE", "an image of `image ls`: host, mini, …", complete="image")]
Word = Annotated[str, Argument("COMMAND", "the program and its arguments; the image's own without it")]


def run(
    image: Image,
    *command: Word,
    stdin: Source | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tick: Callable[[], object] | None = None,
    on_pull: Callable[[dict[str, Any]], None] | None = None,
    raise_error: bool = True,
    engine: Engine | None = None,
    **options: Unpack[MachineOptions],
) -> Machine:
    """Boot an image in a virtual machine with a kernel of its own, run a command, and power off.

    The very image that `container run` starts, with another kernel below it: `uname -r` tells. KVM is taken where a
    kernel was seen to boot in it, else user-mode-linux, else QEMU's emulation, which is slow. What the command writes is
    gone with the machine; folders given by -v stay. The handle says which kind it was and how long each part of the boot
    took.

    Raises ContainerFailed for an exit status other than 0, unless `raise_error` is False; HostNotCapable with what to
    install; TimedOut; NotFound, InvalidArgument before anything was started. KeyboardInterrupt is passed on to the
    command as SIGINT, then SIGTERM, then SIGKILL.
    """
    from nbcontainers.container.session import Streams
    from nbcontainers.vm import running

    streams = Streams(stdin, stdout, stderr, tick)
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
