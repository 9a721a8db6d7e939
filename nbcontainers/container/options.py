"""Every option of `run`, declared once: both faces, their help and their completion are derived from this class.

Values are Docker's texts (`memory="512m"`) or what they mean (`memory=512 * 2**20`). Options that can be given many
times take a list; those made of pairs take a mapping too. `value` and `values` are how the rest of the package reads
them: bad text becomes an InvalidArgument that names the option.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypedDict, TypeVar

from nbcontainers.container import parse
from nbcontainers.errors import InvalidArgument
from nbcontainers.option import Option

T = TypeVar("T")
Texts = list[str]
Pairs = list[str] | Mapping[str, str]


class RunOptions(TypedDict, total=False):
    """How a container is made and started. The default of each is Docker's unless its help says so."""

    detach: Annotated[bool, Option("-d", help="go on in the background; the handle comes back at once")]
    name: Annotated[str, Option(help="the container's name; a readable one is made up without it", metavar="NAME")]
    replace: Annotated[bool, Option(help="remove the container that has this name first")]
    pull: Annotated[
        str,
        Option(
            help="when to ask the registry: missing (the default), always, newer, never", metavar="POLICY",
            choices=("missing", "always", "newer", "never"),
        ),
    ]  # fmt: skip
    platform: Annotated[str, Option(help="the image for another machine, as linux/arm64", metavar="OS/ARCHITECTURE")]
    rm: Annotated[bool, Option(help="remove the container and its anonymous volumes when it ends")]
    interactive: Annotated[bool, Option("-i", help="keep standard input open")]
    tty: Annotated[bool, Option("-t", help="give the program a terminal")]
    env: Annotated[Pairs, Option("-e", help="set a variable; NAME alone takes our own value", metavar="NAME=VALUE")]
    env_file: Annotated[Texts, Option(help="read variables from a file", metavar="FILE", complete="path")]
    workdir: Annotated[
        str, Option("-w", help="the working directory in the container", metavar="DIR", parse=parse.path)
    ]
    user: Annotated[str, Option("-u", help="user of the image: name or uid, and group", metavar="USER[:GROUP]")]
    group_add: Annotated[Texts, Option(help="one more group, by name or gid", metavar="GROUP")]
    hostname: Annotated[str, Option("-h", help="the host name inside", metavar="NAME", parse=parse.hostname)]
    entrypoint: Annotated[str | list[str], Option(help='run this instead of the image\'s; "" runs none', metavar="CMD")]
    label: Annotated[Pairs, Option("-l", help="attach a label", metavar="KEY=VALUE")]
    init: Annotated[bool, Option(help="a small init as pid 1: passes signals on and reaps zombies")]
    stop_signal: Annotated[
        str | int, Option(help="what `stop` sends first (TERM)", metavar="SIGNAL", complete="signal")
    ]
    stop_timeout: Annotated[int, Option(help="seconds until `stop` kills (10)", metavar="SECONDS", parse=parse.seconds)]

    volume: Annotated[
        Texts,
        Option("-v", help="mount a host folder or a named volume", metavar="SOURCE:TARGET[:ro]", complete="path"),
    ]
    mount: Annotated[
        Texts, Option(help="mount, with every key", metavar="type=bind|volume|tmpfs,source=…,target=…", complete="path")
    ]
    tmpfs: Annotated[Pairs, Option(help="mount an empty file system in memory", metavar="TARGET[:size=64m,…]")]
    read_only: Annotated[bool, Option(help="make the root file system read-only")]
    shm_size: Annotated[int | str, Option(help="size of /dev/shm (64m)", metavar="SIZE", parse=parse.positive_size)]
    device: Annotated[
        Texts, Option(help="give access to a device of the host", metavar="/dev/NAME[:PATH][:rwm]", complete="path")
    ]

    memory: Annotated[int | str, Option("-m", help="memory limit: 512m, 2g", metavar="SIZE", parse=parse.memory)]
    memory_swap: Annotated[
        int | str, Option(help="memory and swap together; -1: no limit", metavar="SIZE", parse=parse.swap)
    ]
    memory_reservation: Annotated[int | str, Option(help="soft memory limit", metavar="SIZE", parse=parse.memory)]
    cpus: Annotated[float | str, Option(help="processors' worth of time: 0.5, 2", metavar="NUMBER", parse=parse.cpus)]
    cpu_shares: Annotated[int, Option("-c", help="relative weight (1024)", metavar="NUMBER", parse=parse.shares)]
    cpuset_cpus: Annotated[str, Option(help="processors it may run on: 0-1,3", metavar="LIST", parse=parse.cpu_list)]
    cpuset_mems: Annotated[str, Option(help="memory nodes it may use", metavar="LIST", parse=parse.cpu_list)]
    pids_limit: Annotated[
        int, Option(help="most processes and threads (2048); -1: no limit", metavar="NUMBER", parse=parse.pids)
    ]
    device_read_bps: Annotated[Texts, Option(help="most bytes read a second", metavar="/dev/NAME:RATE")]
    device_write_bps: Annotated[Texts, Option(help="most bytes written a second", metavar="/dev/NAME:RATE")]
    device_read_iops: Annotated[Texts, Option(help="most reads a second", metavar="/dev/NAME:NUMBER")]
    device_write_iops: Annotated[Texts, Option(help="most writes a second", metavar="/dev/NAME:NUMBER")]
    ulimit: Annotated[Texts, Option(help="resource limit of each process", metavar="NAME=SOFT[:HARD]")]

    cap_add: Annotated[Texts, Option(help="add a capability, or ALL", metavar="NAME", complete="capability")]
    cap_drop: Annotated[Texts, Option(help="drop a capability, or ALL", metavar="NAME", complete="capability")]
    security_opt: Annotated[
        Texts,
        Option(
            help="no-new-privileges[=false], seccomp=unconfined|FILE, unmask=ALL (no_new_privs is on by default)",
            metavar="OPTION",
            complete="security-opt",
        ),
    ]
    privileged: Annotated[bool, Option(help="every capability and device we have ourselves; no filter, no masks")]
    sysctl: Annotated[Pairs, Option(help="kernel parameter of the container's own namespaces", metavar="NAME=VALUE")]
    network: Annotated[
        Texts,
        Option(
            "--net", help="a network, none, host or container:NAME (nbcontainers; none for an ordinary user)",
            metavar="NETWORK", complete="network",
        ),
    ]  # fmt: skip
    publish: Annotated[
        Texts, Option("-p", help="lead a port of the host to one of the container", metavar="[IP:][HOST:]PORT[/udp]")
    ]
    publish_all: Annotated[bool, Option("-P", help="lead free ports of the host to every exposed port")]
    expose: Annotated[Texts, Option(help="one more port for -P", metavar="PORT[/udp]")]
    ip: Annotated[str, Option(help="the container's address in its network", metavar="ADDRESS", parse=parse.address)]
    ip6: Annotated[str, Option(help="the same of IPv6", metavar="ADDRESS", parse=parse.address)]
    network_alias: Annotated[Texts, Option(help="one more name for others on its networks", metavar="NAME")]
    dns: Annotated[Texts, Option(help="a name server to ask in place of the host's", metavar="ADDRESS")]
    dns_search: Annotated[Texts, Option(help="a domain to look short names up in; . for none", metavar="DOMAIN")]
    dns_option: Annotated[Texts, Option(help="an option of resolv.conf, as ndots:2", metavar="OPTION")]
    add_host: Annotated[Texts, Option(help="a line of /etc/hosts; host-gateway is the host", metavar="NAME:ADDRESS")]
    pid: Annotated[str, Option(help="host: see the host's processes", metavar="host", parse=parse.namespace)]
    ipc: Annotated[str, Option(help="host: share the host's shared memory", metavar="host", parse=parse.namespace)]
    uts: Annotated[str, Option(help="host: share the host's name", metavar="host", parse=parse.namespace)]


def flag(name: str) -> str:
    """The option as it is typed: `memory_swap` is `--memory-swap`."""
    return "--" + name.replace("_", "-")


def value(options: RunOptions, name: str, parser: Callable[[Any], T]) -> T | None:
    """One option read by `parser`; None if it was not given. Raises InvalidArgument naming the option."""
    given = options.get(name)
    return None if given is None else _parsed(name, given, parser)


def values(options: RunOptions, name: str, parser: Callable[[Any], T]) -> list[T]:
    """Every value of an option that can be given many times; a single text and a mapping are understood too."""
    given = options.get(name)
    return [_parsed(name, text, parser) for text in texts(name, given)] if given else []


def texts(name: str, given: Any) -> list[Any]:
    """The values that were given to option `name`: texts or paths. Raises InvalidArgument for anything else."""
    if given is None:
        return []
    if isinstance(given, Mapping):
        return [f"{key}={text}" for key, text in given.items()]
    single = isinstance(given, (str, int, os.PathLike)) or not isinstance(given, Iterable)
    found = [given] if single or isinstance(given, bytes) else given
    return [_text(name, one) for one in found]


def _text(name: str, one: Any) -> Any:
    if isinstance(one, (str, os.PathLike)):
        return one
    if isinstance(one, int):  # a group or a port may be a number
        return str(one)
    raise bad(name, f"{one!r} is {type(one).__name__}; give it text or a list of texts")


def check_words(words: Iterable[Any]) -> None:
    """Refuse a command that no program can be given. Raises InvalidArgument."""
    for word in words:
        if not isinstance(word, str):
            hint = "give every word by itself, as in run('mini', 'echo', 'hello')"
            raise InvalidArgument(f"the command holds {word!r}, which is {type(word).__name__}, not text", hint=hint)
        if "\0" in word:
            raise InvalidArgument(f"{word!r} holds a NUL character, which no program can be given")


def _parsed(name: str, given: Any, parser: Callable[[Any], T]) -> T:
    try:
        return parser(given)
    except ValueError as error:
        raise bad(name, str(error)) from None
    except (TypeError, AttributeError):  # what Python says of a wrong type does not help
        raise bad(name, f"{given!r} is {type(given).__name__}; give it text, as on the command line") from None


def bad(name: str, sentence: str) -> InvalidArgument:
    """`sentence` is the problem and, after the last `; `, what to write."""
    problem, semicolon, advice = sentence.rpartition("; ")
    return InvalidArgument(
        f"{flag(name)}: {problem if semicolon else advice}", hint=advice if semicolon else "", option=name
    )


_KNOWN = frozenset(RunOptions.__annotations__)


def check_names(options: Mapping[str, Any]) -> None:
    """Refuse an option `run` does not have. Raises InvalidArgument with close matches."""
    if unknown := options.keys() - _KNOWN:
        import difflib

        name = min(unknown)
        close = difflib.get_close_matches(name, _KNOWN, 3)
        hint = (
            f"did you mean {' or '.join(close)}?"
            if close
            else "help(nbcontainers.container.options.RunOptions) lists them"
        )
        raise InvalidArgument(f"run has no option {name!r}", hint=hint, option=name)
