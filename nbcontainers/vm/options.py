"""The options of `vm run`: `container run`'s where the meaning is the same, and which machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from nbcontainers.container import parse
from nbcontainers.errors import InvalidArgument
from nbcontainers.option import Option, duration

KINDS = ("auto", "kvm", "uml", "tcg")
ROOTS = ("image", "squashfs", "erofs", "shared")
Pairs = list[str] | Mapping[str, str]


class MachineOptions(TypedDict, total=False):
    """What a virtual machine is given."""

    kind: Annotated[
        str,
        Option(help="kvm, uml (user-mode-linux), tcg (QEMU's emulation), or auto: the first that works", choices=KINDS),
    ]
    memory: Annotated[int | str, Option("-m", help="its memory (512m)", metavar="SIZE", parse=parse.memory)]
    cpus: Annotated[float | str, Option(help="its processors (1)", metavar="NUMBER", parse=parse.cpus)]
    cpuset_cpus: Annotated[
        str, Option(help="processors of the host that its own run on: 1, 0-1", metavar="LIST", parse=parse.cpu_list)
    ]
    kernel: Annotated[
        str, Option(help="a kernel (bzImage, or linux.uml) in place of the one found", metavar="FILE", complete="path")
    ]
    root: Annotated[
        str,
        Option(
            help="a disk of the image's files: image (ext4, the usual), squashfs or erofs; or shared: the host shows them",
            choices=ROOTS,
        ),
    ]
    timeout: Annotated[
        float | str, Option(help="end it after this time, booting included", metavar="TIME", parse=duration)
    ]
    env: Annotated[Pairs, Option("-e", help="set a variable; NAME alone takes our own value", metavar="NAME=VALUE")]
    env_file: Annotated[list[str], Option(help="read variables from a file", metavar="FILE", complete="path")]
    workdir: Annotated[str, Option("-w", help="the working directory in the machine", metavar="DIR", parse=parse.path)]
    user: Annotated[str, Option("-u", help="user of the image: name or uid, and group", metavar="USER[:GROUP]")]
    hostname: Annotated[str, Option("-h", help="the machine's host name", metavar="NAME", parse=parse.hostname)]
    entrypoint: Annotated[str | list[str], Option(help='run this instead of the image\'s; "" runs none', metavar="CMD")]
    volume: Annotated[
        Pairs, Option("-v", help="show a folder of the host in it", metavar="SOURCE:TARGET[:ro]", complete="path")
    ]
    network: Annotated[
        str,
        Option(
            help="a network, as NAME[:ip=…,alias=…,mac=…]; none (the usual); or user: behind QEMU's own translation",
            metavar="NETWORK",
            complete="network",
            parse=parse.network_name,
        ),
    ]
    publish: Annotated[
        list[str] | str, Option("-p", help="lead a port of the host to one of it", metavar="[IP:][HOST:]PORT[/udp]")
    ]
    interactive: Annotated[bool, Option("-i", help="give the command our input")]
    tty: Annotated[bool, Option("-t", help="give the command a terminal")]
    detach: Annotated[bool, Option("-d", help="leave the machine running in the background")]
    name: Annotated[str, Option(help="what to call it (two random words)", metavar="NAME")]
    rm: Annotated[bool, Option(help="forget it once it has ended, as one without -d always is")]
    pull: Annotated[
        str,
        Option(
            help="pull the image before: missing, always, newer or never",
            choices=("missing", "always", "newer", "never"),
        ),
    ]


class CommandOptions(TypedDict, total=False):
    """How one more command is run in a machine."""

    interactive: Annotated[bool, Option("-i", help="give it our input")]
    tty: Annotated[bool, Option("-t", help="give it a terminal")]
    env: Annotated[Pairs, Option("-e", help="set a variable", metavar="NAME=VALUE")]
    env_file: Annotated[list[str], Option(help="read variables from a file", metavar="FILE", complete="path")]
    workdir: Annotated[str, Option("-w", help="the working directory", metavar="DIR", parse=parse.path)]
    user: Annotated[str, Option("-u", help="user of the image: name or uid, and group", metavar="USER[:GROUP]")]


_KNOWN = frozenset(MachineOptions.__annotations__)


def check(options: Mapping[str, Any]) -> None:
    """Refuse an option that a machine does not have, or a word it does not know. Raises InvalidArgument."""
    if unknown := options.keys() - _KNOWN:
        from difflib import get_close_matches

        name = min(unknown)
        close = get_close_matches(name, _KNOWN, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else "vm run --help lists them"
        raise InvalidArgument(f"vm run has no option {name!r}", hint=hint, option=name)
    for name, known in (("kind", KINDS), ("root", ROOTS)):
        if options.get(name, known[0]) not in known:
            raise InvalidArgument(
                f"--{name} knows no {options[name]!r}", hint=f"write one of {', '.join(known)}", option=name
            )
