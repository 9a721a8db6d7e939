"""The words of Docker's options as values. Each function returns the value or raises ValueError with a sentence
that says what to write; what is a value already passes through, so that Python callers may give either."""

from __future__ import annotations

import os
from typing import NamedTuple

from nbcontainers.linux import capabilities, process
from nbcontainers.option import size

SMALLEST_MEMORY = 6 * 2**20
_UNLIMITED = -1
_LARGEST_FILE = 2**20
_LONGEST_PATH = 4095  # PATH_MAX without its NUL: path_resolution(7)

#: getrlimit(2): the names of `--ulimit`, as in /etc/security/limits.conf.
ULIMITS = {
    "as": "RLIMIT_AS", "core": "RLIMIT_CORE", "cpu": "RLIMIT_CPU", "data": "RLIMIT_DATA", "fsize": "RLIMIT_FSIZE",
    "memlock": "RLIMIT_MEMLOCK", "msgqueue": "RLIMIT_MSGQUEUE", "nice": "RLIMIT_NICE",
    "nofile": "RLIMIT_NOFILE", "nproc": "RLIMIT_NPROC", "rss": "RLIMIT_RSS", "rtprio": "RLIMIT_RTPRIO",
    "rttime": "RLIMIT_RTTIME", "sigpending": "RLIMIT_SIGPENDING", "stack": "RLIMIT_STACK",
}  # fmt: skip


class Ulimit(NamedTuple):
    """One resource limit: getrlimit(2). -1 is unlimited."""

    type: str
    soft: int
    hard: int


class Device(NamedTuple):
    """A device of the host, where it appears in the container, and what may be done: any of `rwm`."""

    source: str
    target: str
    access: str


class Rate(NamedTuple):
    """A block device and how much of it a second: bytes or operations."""

    device: str
    rate: int


def memory(value: int | str) -> int:
    """A memory limit in bytes, at least 6 MiB: less does not hold the start of a program."""
    number = size(value)
    if number < SMALLEST_MEMORY:
        raise ValueError(f"{value} is below what can work; the smallest limit is 6m")
    return number


def swap(value: int | str) -> int:
    """Memory and swap together, in bytes; -1 is unlimited."""
    return _UNLIMITED if str(value) == "-1" else memory(value)


def positive_size(value: int | str) -> int:
    number = size(value)
    if number <= 0:
        raise ValueError(f"{value!r} is not above zero; write 64m or 1g")
    return number


def cpus(value: float | str) -> float:
    """How many processors' worth of time, from 0.01 on."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is no number of processors; write 0.5 or 2") from None
    if not 0.01 <= number < 1e6:
        raise ValueError(f"{value} is below what can work; the smallest share is 0.01 of a processor")
    return number


def number(value: int | str) -> int:
    text = str(value)
    if not (text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 19):
        raise ValueError(f"{value!r} is no whole number")
    return int(text)


def shares(value: int | str) -> int:
    """Relative weight of processor time: 2 to 262144, 1024 is normal (cgroup v1's cpu.shares)."""
    if not 2 <= number(value) <= 262144:
        raise ValueError(f"{value} is out of range; write 2 to 262144, where 1024 is normal")
    return number(value)


def pids(value: int | str) -> int:
    """How many processes and threads; 0 and -1 are unlimited."""
    if number(value) < -1:
        raise ValueError(f"{value} is out of range; write 1 or more, or -1 for no limit")
    return number(value) or _UNLIMITED


def cpu_period(value: int | str) -> int:
    """sched-bwc.rst: 1 ms to 1 s."""
    if not 1000 <= number(value) <= 1_000_000:
        raise ValueError(f"{value} is out of range; write 1000 to 1000000 µs, where 100000 is normal")
    return number(value)


def cpu_quota(value: int | str) -> int:
    """µs of processor time a period; -1 is unlimited."""
    if number(value) != _UNLIMITED and number(value) < 1000:
        raise ValueError(f"{value} is below what can work; write at least 1000 µs, or -1 for no limit")
    return number(value)


def block_weight(value: int | str) -> int:
    """Relative weight of disk time: cgroup v1's blkio.bfq.weight."""
    if not 10 <= number(value) <= 1000:
        raise ValueError(f"{value} is out of range; write 10 to 1000")
    return number(value)


def percentage(value: int | str) -> int:
    if not 0 <= number(value) <= 100:
        raise ValueError(f"{value} is out of range; write 0 to 100")
    return number(value)


def oom_score(value: int | str) -> int:
    """proc_pid_oom_score_adj(5)."""
    if not -1000 <= number(value) <= 1000:
        raise ValueError(f"{value} is out of range; write -1000 to 1000")
    return number(value)


def cgroup_parent(value: str) -> str:
    """Where a container's cgroup is made; from each hierarchy's root, as Docker's cgroupfs driver has it."""
    parts = value.strip("/").split("/")
    if not all(parts) or ".." in parts or "\0" in value or ":" in value or value.endswith(".slice"):
        raise ValueError(f"{value!r} is no cgroup to work below; write a path, as /lab/students")
    return "/" + "/".join(parts)


def device_rule(value: str) -> dict[str, object]:
    """`c 1:3 rwm`, with * for any number: an entry of `linux.resources.devices` (config-linux.md)."""
    kind, numbers, access = [*value.split(), "", "", ""][:3]
    major, colon, minor = numbers.partition(":")
    good = kind in ("a", "b", "c") and colon and access and not set(access) - set("rwm") and len(value.split()) == 3
    if not good or not all(part == "*" or part.isdecimal() for part in (major, minor)):
        raise ValueError(f"{value!r} is no rule for devices; write TYPE MAJOR:MINOR ACCESS, as c 10:200 rwm")
    numbered = {name: int(part) for name, part in (("major", major), ("minor", minor)) if part != "*"}
    return {"allow": True, **({} if kind == "a" else {"type": kind}), **numbered, "access": access}


def detach_keys(value: str) -> str:
    """`ctrl-p,ctrl-q`; "" for none."""
    key_codes(value)
    return value


def key_codes(value: str) -> bytes:
    """What a terminal sends for a list of keys such as `ctrl-p,ctrl-q`."""
    return "".join(map(_key_code, value.split(","))).encode() if value else b""


def _key_code(name: str) -> str:
    letter = name.lower().removeprefix("ctrl-")
    if len(name) == 1:
        return name
    if len(name) != len("ctrl-x") or len(letter) != 1 or not ("a" <= letter <= "z" or letter in "@[\\]^_"):
        raise ValueError(f"{name!r} is no key; write letters and ctrl-LETTER with commas between, as ctrl-p,ctrl-q")
    return chr(ord(letter.upper()) & 0x1F)


def seconds(value: int | str) -> int:
    if not 0 <= number(value) < 2**31:
        raise ValueError(f"{value} is out of range; write seconds, as 10")
    return number(value)


def cpu_list(value: str) -> str:
    """A list of numbers and ranges, `0-2,4`: cpuset(7), List format."""
    for part in value.split(","):
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not (high.isdecimal() and int(low) <= int(high))):
            raise ValueError(f"{value!r} is no list; write 0 or 0-1 or 0,2")
    return value


def ulimit(value: str) -> Ulimit:
    """`nofile=1024` or `nofile=1024:2048` (soft:hard)."""
    name, equals, limits = value.partition("=")
    if not equals or name not in ULIMITS:
        raise ValueError(f"{value!r} is no limit; write NAME=SOFT[:HARD], NAME one of {', '.join(ULIMITS)}")
    soft, colon, hard = limits.partition(":")
    try:
        low, high = number(soft), number(hard if colon else soft)
    except ValueError:
        raise ValueError(f"{value!r} is no limit; write {name}=1024 or {name}=1024:2048") from None
    if low < _UNLIMITED or high < _UNLIMITED or (high != _UNLIMITED and (low > high or low == _UNLIMITED)):
        raise ValueError(f"{value!r}: the soft limit is above the hard one; write {name}=SOFT:HARD with SOFT <= HARD")
    return Ulimit(ULIMITS[name], low, high)


def device(value: str) -> Device:
    """`/dev/fuse`, `/dev/sda:/dev/xvda` or `/dev/sda:/dev/xvda:r`."""
    source, *rest = value.split(":")
    access = rest.pop() if rest and not rest[-1].startswith("/") else "rwm"
    target = rest.pop(0) if rest else source
    if rest or not source.startswith("/") or not target.startswith("/") or not access or set(access) - set("rwm"):
        raise ValueError(f"{value!r} is no device; write /dev/NAME[:/dev/NAME][:rwm]")
    return Device(source, target, access)


def bytes_a_second(value: str) -> Rate:
    """`/dev/sda:1m`."""
    path, _, rate = value.rpartition(":")
    if not path.startswith("/"):
        raise ValueError(f"{value!r} is no rate; write /dev/NAME:1m")
    return Rate(path, positive_size(rate))


def operations_a_second(value: str) -> Rate:
    """`/dev/sda:1000`."""
    path, _, rate = value.rpartition(":")
    if not path.startswith("/") or number(rate) <= 0:
        raise ValueError(f"{value!r} is no rate; write /dev/NAME:1000")
    return Rate(path, number(rate))


def capability(value: str) -> str:
    """`NET_RAW`, `net_raw` or `CAP_NET_RAW`; `ALL` is every one."""
    name = value.upper()
    if name == "ALL":
        return name
    name = name if name.startswith("CAP_") else "CAP_" + name
    if name not in capabilities.NUMBERS:
        close = [known for known in capabilities.NAMES if name[4:] in known or known[4:] in name]
        raise ValueError(
            f"{value!r} is no capability; {'did you mean ' + close[0][4:] if close else 'see man 7 capabilities'}"
        )
    return name


def pair(value: str) -> tuple[str, str]:
    """`key=value`; `key` alone has an empty value."""
    key, _, text = value.partition("=")
    if not key:
        raise ValueError(f"{value!r} has no name; write NAME=VALUE")
    return key, text


def sysctl(value: str) -> tuple[str, str]:
    """`net.core.somaxconn=1024`."""
    key, equals, text = value.partition("=")
    parts = key.replace("/", ".").split(".")
    if not equals or len(parts) < 2 or not all(part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise ValueError(f"{value!r} is no kernel parameter; write net.core.somaxconn=1024")
    return ".".join(parts), text


def environment(value: str) -> tuple[str, str] | None:
    """`NAME=value`, or `NAME` alone: our own environment's value, and nothing where that has none."""
    name, equals, text = value.partition("=")
    if not name or "\0" in value:
        raise ValueError(f"{value!r} is no variable; write NAME=VALUE")
    if equals:
        return name, text
    return (name, os.environ[name]) if name in os.environ else None


def environment_file(path: str) -> list[tuple[str, str]]:
    """The lines of an --env-file: NAME=VALUE or NAME; empty lines and those beginning with # are left out."""
    return [variable for line in _pair_lines(path) if (variable := environment(line))]


def label_file(path: str) -> list[tuple[str, str]]:
    """The same of a --label-file: KEY=VALUE or KEY."""
    return [pair(line) for line in _pair_lines(path)]


def _pair_lines(path: str) -> list[str]:
    try:
        with open(os.fspath(path), encoding="utf-8-sig", newline="") as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ValueError(f"cannot read {path}: {reason}; write the path of a file of NAME=VALUE lines") from None
    if len(content) > _LARGEST_FILE:
        raise ValueError(f"{path} is larger than 1 MiB; write the path of a file of NAME=VALUE lines")
    found = []
    for count, line in enumerate(content.split("\n"), 1):  # splitlines would also break values at U+2028 and the like
        text = line.removesuffix("\r").lstrip(" \t")
        name = text.partition("=")[0]
        if not text or text.startswith("#"):
            continue
        if not name or any(c.isspace() for c in name):
            raise ValueError(f"line {count} of {path}, {text!r}, is no variable; write NAME=VALUE")
        found.append(text)
    return found


def hostname(value: str) -> str:
    """A host name, hostname(7): letters, digits, `-` and `.`, at most 64."""
    labels = value.split(".")
    good = all(part and part.replace("-", "").isalnum() and part[0] != "-" and part[-1] != "-" for part in labels)
    if not good or not value.isascii() or len(value) > 64:
        raise ValueError(f"{value!r} is no host name; write letters, digits and '-', at most 64")
    return value


def path(value: str) -> str:
    """An absolute path in the container."""
    if not value.startswith("/") or "\0" in value:
        raise ValueError(f"{value!r} is no absolute path in the container; write /{value.lstrip('./')}")
    if len(os.fsencode(value)) > _LONGEST_PATH:
        raise ValueError(f"'{value[:40]}…' is longer than a path can be; write at most {_LONGEST_PATH} bytes")
    return os.path.normpath(value).replace("//", "/")


def signal(value: str | int) -> int:
    """`SIGTERM`, `TERM`, `15`, `RTMIN+3`."""
    try:
        return process.signal_number(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is no signal; write TERM, INT, HUP, KILL or a number") from None


def network(value: str) -> str:
    """`none`: a network namespace of one's own; `host`: the host's."""
    if value not in ("none", "host"):
        raise ValueError(f"{value!r} is no kind of network namespace; write none or host")
    return value


def network_name(value: str) -> str:
    """`none`, `host`, `container:NAME` or the name of a network; what may follow a name is read by `network.wish`."""
    name = value.removeprefix("container:")
    if not name and name != value:
        raise ValueError(f"{value!r} names no container; write container:NAME")
    plain = name if name != value or "=" not in name else name.partition(":")[0]
    if not all(letter.isalnum() or letter in "_.-=," for letter in plain) or not name.isascii():
        raise ValueError(f"{value!r} is no name of a network; write one of network ls, none, host or container:NAME")
    return value


def address(value: str) -> str:
    """An IP address."""
    from ipaddress import ip_address

    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is no address; write one as 10.77.0.5") from None


def host(value: str) -> tuple[str, str]:
    """`NAME:ADDRESS`, `NAME=ADDRESS` or `NAME:host-gateway`, a line of /etc/hosts."""
    from ipaddress import ip_address

    name, _, where = value.partition("=" if "=" in value.partition(":")[0] else ":")
    if where == "host-gateway":
        return hostname(name), where
    try:
        return hostname(name), str(ip_address(where.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise ValueError(f"{value!r} is no host; write NAME:ADDRESS, as db:10.77.0.5, or NAME:host-gateway") from None


def search(value: str) -> str:
    """A domain of the search list of resolv.conf(5)."""
    return value if value == "." else hostname(value)


def resolver_option(value: str) -> str:
    """One word of `options` in resolv.conf(5)."""
    if not value.isprintable() or len(value.split()) != 1:
        raise ValueError(f"{value!r} is no option of resolv.conf; write one word, as ndots:2")
    return value


def namespace(value: str) -> str:
    """`host`, or `private` as without the option."""
    if value not in ("host", "private", ""):
        raise ValueError(f"{value!r}: only the host's or a private namespace can be used; write host or private")
    return value
