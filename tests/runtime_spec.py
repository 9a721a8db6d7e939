"""The form of an OCI configuration (runtime-spec 1.2: config.md, config-linux.md), as a check in our own words."""

from __future__ import annotations

from typing import Any

NAMESPACES = {"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"}
U64 = range(2**64)
I64 = range(-(2**63), 2**63)
U32 = range(2**32)


def check(config: dict[str, Any]) -> None:
    """Fail with the path of what is not as the specification has it."""
    only(
        config,
        "config",
        ociVersion=text,
        process=process,
        root=root,
        mounts=mounts,
        hostname=text,
        annotations=texts,
        linux=linux,
    )
    assert config["ociVersion"].startswith("1.")
    assert {"process", "root", "linux"} <= config.keys()


def only(value: Any, path: str, /, **known: Any) -> None:
    assert isinstance(value, dict), path
    for key, part in value.items():
        assert key in known, f"{path} has no {key}"
        known[key](part, f"{path}.{key}")


def text(value: Any, path: str) -> None:
    assert isinstance(value, str), path
    assert "\0" not in value, path


def flag(value: Any, path: str) -> None:
    assert isinstance(value, bool), path


def whole(values: range) -> Any:
    def number(value: Any, path: str) -> None:
        assert type(value) is int, path
        assert value in values, f"{path}: {value}"

    return number


u64, i64, u32 = whole(U64), whole(I64), whole(U32)


def each(check_one: Any) -> Any:
    def every(value: Any, path: str) -> None:
        assert isinstance(value, list), path
        for number, one in enumerate(value):
            check_one(one, f"{path}[{number}]")

    return every


def texts(value: Any, path: str) -> None:
    assert isinstance(value, dict), path
    for key, one in value.items():
        text(key, path)
        text(one, f"{path}.{key}")


def absolute(value: Any, path: str) -> None:
    text(value, path)
    assert value.startswith("/"), f"{path}: {value}"


def root(value: Any, path: str) -> None:
    only(value, path, path=text, readonly=flag)


def capability(value: Any, path: str) -> None:
    text(value, path)
    assert value == f"CAP_{value[4:].upper()}", f"{path}: {value}"


def process(value: Any, path: str) -> None:
    sets = {name: each(capability) for name in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    only(
        value, path, terminal=flag, args=each(text), env=each(variable), cwd=absolute, noNewPrivileges=flag,
        rlimits=each(rlimit), capabilities=lambda v, p: only(v, p, **sets),
        user=lambda v, p: only(v, p, uid=u32, gid=u32, umask=u32, additionalGids=each(u32), username=text),
    )  # fmt: skip
    assert value["args"], path
    kinds = [limit["type"] for limit in value["rlimits"]]
    assert len(kinds) == len(set(kinds)), "a type of rlimit must not be there twice"


def variable(value: Any, path: str) -> None:
    text(value, path)
    assert "=" in value[1:], f"{path}: {value}"


def rlimit(value: Any, path: str) -> None:
    only(value, path, type=text, soft=u64, hard=u64)
    assert value["type"].startswith("RLIMIT_"), path
    assert value["soft"] <= value["hard"], f"{path}: {value}"


def mounts(value: Any, path: str) -> None:
    each(lambda v, p: only(v, p, destination=absolute, type=text, source=text, options=each(text)))(value, path)
    assert all(mount.get("source") for mount in value), path


def linux(value: Any, path: str) -> None:
    only(
        value, path, namespaces=each(namespace), cgroupsPath=absolute, resources=resources, devices=each(device),
        maskedPaths=each(absolute), readonlyPaths=each(absolute), sysctl=texts, rootfsPropagation=text, seccomp=seccomp,
    )  # fmt: skip
    kinds = [entry["type"] for entry in value["namespaces"]]
    assert len(kinds) == len(set(kinds)), "a namespace must not be there twice"


def namespace(value: Any, path: str) -> None:
    only(value, path, type=text, path=absolute)
    assert value["type"] in NAMESPACES, f"{path}: {value}"


def device(value: Any, path: str) -> None:
    only(value, path, path=absolute, type=text, major=i64, minor=i64, fileMode=u32, uid=u32, gid=u32)
    assert value["type"] in "cbup", f"{path}: {value}"


def resources(value: Any, path: str) -> None:
    rule = each(lambda v, p: only(v, p, allow=flag, type=text, major=i64, minor=i64, access=text))
    rate = each(lambda v, p: only(v, p, major=i64, minor=i64, rate=u64))
    kinds = ("throttleReadBpsDevice", "throttleWriteBpsDevice", "throttleReadIOPSDevice", "throttleWriteIOPSDevice")
    only(
        value, path, devices=rule, pids=lambda v, p: only(v, p, limit=i64),
        memory=lambda v, p: only(v, p, limit=i64, swap=i64, reservation=i64),
        cpu=lambda v, p: only(v, p, period=u64, quota=i64, shares=u64, cpus=text, mems=text),
        blockIO=lambda v, p: only(v, p, **dict.fromkeys(kinds, rate)),
    )  # fmt: skip


def seccomp(value: Any, path: str) -> None:
    argument = each(lambda v, p: only(v, p, index=u32, value=u64, valueTwo=u64, op=text))
    rule = each(lambda v, p: only(v, p, names=each(text), action=text, errnoRet=u32, args=argument))
    only(
        value, path, defaultAction=text, defaultErrnoRet=u32, architectures=each(text), flags=each(text), syscalls=rule
    )
