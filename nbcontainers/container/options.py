"""Every option of `run`, declared once: both faces, their help and their completion are derived from this class.

Values are Docker's texts (`memory="512m"`) or what they mean (`memory=512 * 2**20`). Options that can be given many
times take a list; those made of pairs take a mapping too. `value` and `values` are how the rest of the package reads
them: bad text becomes an InvalidArgument that names the option.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypedDict, TypeVar

from nbcontainers.container import parse, policies
from nbcontainers.errors import InvalidArgument
from nbcontainers.option import Option

T = TypeVar("T")
Texts = list[str]
Pairs = list[str] | Mapping[str, str]


Memory = Annotated[int | str, Option("-m", help="memory limit: 512m, 2g", metavar="SIZE", parse=parse.memory)]
MemorySwap = Annotated[
    int | str, Option(help="memory and swap together; -1: no limit", metavar="SIZE", parse=parse.swap)
]
MemoryReservation = Annotated[int | str, Option(help="soft memory limit", metavar="SIZE", parse=parse.memory)]
Cpus = Annotated[float | str, Option(help="processors' worth of time: 0.5, 2", metavar="NUMBER", parse=parse.cpus)]
CpuShares = Annotated[int, Option("-c", help="relative weight (1024)", metavar="NUMBER", parse=parse.shares)]
CpuPeriod = Annotated[
    int, Option(help="with --cpu-quota: how long a turn is, in µs (100000)", metavar="N", parse=parse.cpu_period)
]
CpuQuota = Annotated[
    int, Option(help="µs of processor time in each period; -1: no limit", metavar="N", parse=parse.cpu_quota)
]
CpusetCpus = Annotated[str, Option(help="processors it may run on: 0-1,3", metavar="LIST", parse=parse.cpu_list)]
CpusetMems = Annotated[str, Option(help="memory nodes it may use", metavar="LIST", parse=parse.cpu_list)]
PidsLimit = Annotated[
    int, Option(help="most processes and threads (2048); -1: no limit", metavar="NUMBER", parse=parse.pids)
]
BlkioWeight = Annotated[
    int, Option(help="relative weight of disk time (where a disk has BFQ)", metavar="10-1000", parse=parse.block_weight)
]
Restart = Annotated[str, Option(help="start it again: no, on-failure[:n], always or unless-stopped", metavar="POLICY")]
DetachKeys = Annotated[
    str, Option(help="what leaves it alone (ctrl-p,ctrl-q)", metavar="KEYS", parse=parse.detach_keys)
]
Signal = Annotated[str | int | None, Option("-s", help="what to send first", metavar="SIGNAL", complete="signal")]
Time = Annotated[
    int | None,
    Option("-t", "--timeout", help="seconds until it is killed (10)", metavar="SECONDS", parse=parse.seconds),
]
SigProxy = Annotated[bool, Option(help="pass signals on to the program; on by itself")]


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
    domainname: Annotated[str, Option(help="the NIS domain name inside", metavar="NAME", parse=parse.hostname)]
    label: Annotated[Pairs, Option("-l", help="attach a label", metavar="KEY=VALUE")]
    label_file: Annotated[Texts, Option(help="read labels from a file", metavar="FILE", complete="path")]
    annotation: Annotated[Pairs, Option(help="attach an annotation of the OCI configuration", metavar="KEY=VALUE")]
    cidfile: Annotated[str, Option(help="write its id into this new file", metavar="FILE", complete="path")]
    attach: Annotated[
        Texts,
        Option("-a", help="stdin, stdout, stderr: only these are ours", choices=("stdin", "stdout", "stderr")),
    ]
    sig_proxy: SigProxy
    detach_keys: DetachKeys
    init: Annotated[bool, Option(help="a small init as pid 1: passes signals on and reaps zombies")]
    stop_signal: Annotated[
        str | int, Option(help="what `stop` sends first (TERM)", metavar="SIGNAL", complete="signal")
    ]
    stop_timeout: Annotated[int, Option(help="seconds until `stop` kills (10)", metavar="SECONDS", parse=parse.seconds)]
    restart: Restart
    health_cmd: Annotated[
        str | Texts,
        Option(help="a command that fails when the container is unwell; none for no check", metavar="COMMAND"),
    ]
    health_interval: Annotated[
        float | str, Option(help="from one check to the next (30s)", metavar="TIME", parse=policies.check_time)
    ]
    health_timeout: Annotated[
        float | str,
        Option(help="when a check is killed and has failed (30s)", metavar="TIME", parse=policies.check_time),
    ]
    health_retries: Annotated[
        int, Option(help="how many failures in a row make it unhealthy (3)", metavar="N", parse=policies.retries)
    ]
    health_start_period: Annotated[
        float | str,
        Option(help="how long failures don't count at first (0s)", metavar="TIME", parse=policies.check_time),
    ]
    health_start_interval: Annotated[
        float | str, Option(help="from check to check in that time (5s)", metavar="TIME", parse=policies.check_time)
    ]
    health_on_failure: Annotated[
        str, Option(help="what to do when it is unhealthy (none)", metavar="ACTION", choices=policies.ON_FAILURE)
    ]
    no_healthcheck: Annotated[bool, Option(help="leave out the image's health check")]
    log_driver: Annotated[
        str, Option(help="json-file, or none to keep nothing", metavar="DRIVER", choices=policies.LOG_DRIVERS)
    ]
    log_opt: Annotated[Pairs, Option(help="max-size=10m (16m), max-file=3 (2)", metavar="NAME=VALUE")]

    volume: Annotated[
        Texts | Mapping[Any, Any],
        Option("-v", help="mount a host folder or a named volume", metavar="SOURCE:TARGET[:ro,U,…]", complete="path"),
    ]
    mount: Annotated[
        Texts,
        Option(help="mount, with every key", metavar="type=bind|volume|tmpfs|image,source=…,target=…", complete="path"),
    ]
    volumes_from: Annotated[
        Texts, Option(help="mount what another container has", metavar="CONTAINER[:ro]", complete="container")
    ]
    tmpfs: Annotated[Pairs, Option(help="mount an empty file system in memory", metavar="TARGET[:size=64m,…]")]
    read_only: Annotated[bool, Option(help="make the root file system read-only")]
    shm_size: Annotated[int | str, Option(help="size of /dev/shm (64m)", metavar="SIZE", parse=parse.positive_size)]
    device: Annotated[
        Texts, Option(help="give access to a device of the host", metavar="/dev/NAME[:PATH][:rwm]", complete="path")
    ]
    device_cgroup_rule: Annotated[Texts, Option(help="a rule for devices, as 'c 1:3 rwm'", metavar="RULE")]

    memory: Memory
    memory_swap: MemorySwap
    memory_reservation: MemoryReservation
    memory_swappiness: Annotated[
        int,
        Option(help="how readily its memory is swapped (0-100; cgroup v1 only)", metavar="N", parse=parse.percentage),
    ]
    oom_kill_disable: Annotated[bool, Option(help="let it wait for memory instead of killing it (cgroup v1 only)")]
    oom_score_adj: Annotated[
        int,
        Option(help="who is killed first when the host is out of memory", metavar="-1000..1000", parse=parse.oom_score),
    ]
    cpus: Cpus
    cpu_shares: CpuShares
    cpu_period: CpuPeriod
    cpu_quota: CpuQuota
    cpuset_cpus: CpusetCpus
    cpuset_mems: CpusetMems
    pids_limit: PidsLimit
    blkio_weight: BlkioWeight
    cgroup_parent: Annotated[
        str, Option(help="the cgroup its own is made in", metavar="PATH", parse=parse.cgroup_parent)
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
            "--net", help="a network, as NAME[:ip=…,alias=…,mac=…], none, host or container:NAME (none for an ordinary user)",
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
    mac_address: Annotated[str, Option(help="the hardware address in its network", metavar="ADDRESS")]
    link_local_ip: Annotated[Texts, Option(help="one more address, link-local", metavar="ADDRESS")]
    network_alias: Annotated[Texts, Option(help="one more name for others on its networks", metavar="NAME")]
    dns: Annotated[Texts, Option(help="a name server to ask in place of the host's", metavar="ADDRESS")]
    dns_search: Annotated[Texts, Option(help="a domain to look short names up in; . for none", metavar="DOMAIN")]
    dns_option: Annotated[Texts, Option(help="an option of resolv.conf, as ndots:2", metavar="OPTION")]
    add_host: Annotated[Texts, Option(help="a line of /etc/hosts; host-gateway is the host", metavar="NAME:ADDRESS")]
    pid: Annotated[str, Option(help="host: see the host's processes", metavar="host", parse=parse.namespace)]
    ipc: Annotated[str, Option(help="host: share the host's shared memory", metavar="host", parse=parse.namespace)]
    uts: Annotated[str, Option(help="host: share the host's name", metavar="host", parse=parse.namespace)]
    cgroupns: Annotated[str, Option(help="host: see the host's cgroups", metavar="host|private", parse=parse.namespace)]


class UpdateOptions(TypedDict, total=False):
    """What `update` changes."""

    memory: Memory
    memory_swap: MemorySwap
    memory_reservation: MemoryReservation
    cpus: Cpus
    cpu_shares: CpuShares
    cpu_period: CpuPeriod
    cpu_quota: CpuQuota
    cpuset_cpus: CpusetCpus
    cpuset_mems: CpusetMems
    pids_limit: PidsLimit
    blkio_weight: BlkioWeight
    restart: Restart


CONDITIONS = (
    "stopped", "exited", "not-running", "next-exit", "removed", "created", "running", "paused", "stopping", "restarting",
    "healthy", "unhealthy",
)  # fmt: skip
"""What `wait` can wait for."""
Condition = Annotated[
    str,
    Option(
        help="stopped (the default), running, healthy, removed, next-exit, …", metavar="CONDITION", choices=CONDITIONS
    ),
]


class Found(TypedDict, total=False):
    """Containers that are found rather than named, for a verb with a -a of its own."""

    all: Annotated[bool, Option(help="every container the verb can be used on")]
    latest: Annotated[bool, Option("-l", help="the one that was made last")]
    filter: Annotated[Texts, Option(help="those that pass: name=, label=, status=, …", metavar="KEY=VALUE")]


class Which(TypedDict, total=False):
    """The same for the others."""

    all: Annotated[bool, Option("-a", help="every container the verb can be used on")]
    latest: Annotated[bool, Option("-l", help="the one that was made last")]
    filter: Annotated[Texts, Option(help="those that pass: name=, label=, status=, …", metavar="KEY=VALUE")]


class Listing(TypedDict, total=False):
    """What `ps` shows."""

    all: Annotated[bool, Option("-a", help="those that don't run, too")]
    filter: Annotated[
        Texts,
        Option(
            "-f", help="name=, id=, label=, status=, ancestor=, exited=, health=, network=, volume=, publish=, before=, since=",
            metavar="KEY=VALUE",
        ),
    ]  # fmt: skip
    last: Annotated[int, Option("-n", help="the newest of all", metavar="N")]
    latest: Annotated[bool, Option("-l", help="the one that was made last")]
    no_trunc: Annotated[bool, Option(help="whole ids and commands")]
    size: Annotated[bool, Option("-s", help="what each has written")]


class ExecOptions(TypedDict, total=False):
    """How one more command is run in a container."""

    interactive: Annotated[bool, Option("-i", help="give it our input")]
    tty: Annotated[bool, Option("-t", help="give it a terminal")]
    detach: Annotated[bool, Option("-d", help="leave it running in the background")]
    env: Annotated[Pairs, Option("-e", help="set a variable", metavar="NAME=VALUE")]
    env_file: Annotated[Texts, Option(help="read variables from a file", metavar="FILE", complete="path")]
    workdir: Annotated[str, Option("-w", help="the working directory", metavar="DIR", parse=parse.path)]
    user: Annotated[str, Option("-u", help="user of the image: name or uid, and group", metavar="USER[:GROUP]")]
    privileged: Annotated[bool, Option(help="every capability the container's runtime can give")]
    detach_keys: DetachKeys


class LogOptions(TypedDict, total=False):
    """Which lines of a log, and how."""

    follow: Annotated[bool, Option("-f", help="go on until it ends")]
    tail: Annotated[int | str, Option("-n", help="the last lines only", metavar="N|all")]
    since: Annotated[str, Option(help="from a time or 10m ago on", metavar="TIME")]
    until: Annotated[str, Option(help="up to a time or 10m ago", metavar="TIME")]
    grep: Annotated[str, Option("-g", help="only lines that match, by a regular expression", metavar="PATTERN")]
    fixed_strings: Annotated[bool, Option("-F", help="the pattern is no expression but the text itself")]
    ignore_case: Annotated[bool, Option("-i", help="whether large or small letters, to the pattern")]
    stream: Annotated[str, Option(help="only of this one", metavar="STREAM", choices=("stdout", "stderr"))]
    timestamps: Annotated[bool, Option("-t", help="when each line came")]
    names: Annotated[bool, Option(help="whose line it is; always said of several containers")]
    latest: Annotated[bool, Option("-l", help="of the container that was made last")]


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
