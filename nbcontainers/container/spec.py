"""Options, an image's configuration and facts of the host become an OCI configuration (runtime-spec 1.2, config.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nbcontainers.advice import Advice, advise
from nbcontainers.container import defaults, parse, resources, security
from nbcontainers.container.host import Host
from nbcontainers.container.mounts import Mounted
from nbcontainers.container.options import RunOptions, bad, check_words, texts, value, values
from nbcontainers.container.users import Identity
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.linux.namespaces import owner_of_sysctl

Config = dict[str, Any]
_INIT_TARGET = "/dev/init"


class Basis(NamedTuple):
    """What a configuration is made from besides the options.

    `image` is the image's configuration (image-spec, config.md), `mounts` what `mounts.asked` returned, `files` the
    host paths of the container's own /etc/hostname, /etc/hosts and /etc/resolv.conf by their place inside.
    """

    id: str
    image: Mapping[str, Any]
    identity: Identity
    host: Host
    mounts: Sequence[Mounted] = ()
    files: Mapping[str, str] = {}
    rootfs: str = "rootfs"
    netns: str = ""
    """Where a network namespace is mounted that the container joins; "" for a new one or the host's."""


def build(options: RunOptions, command: Sequence[str], basis: Basis) -> Config:
    """The whole config.json. Pure: the same arguments give the same configuration.

    Raises InvalidArgument for an option that can never work, HostNotCapable for what this host cannot give.
    """
    policy, granted = security.policy(options), security.granted(options, basis.host)
    privileged = bool(options.get("privileged"))
    nodes, rules = resources.devices(options, basis.host)
    limits = resources.resources(options, basis.host)
    if not basis.host.rootless:
        limits["devices"] = rules
    masked, readonly = security.masks(options, policy, basis.host)
    linux: dict[str, Any] = {
        "namespaces": _namespaces(options, basis.netns),
        "cgroupsPath": f"{value(options, 'cgroup_parent', parse.cgroup_parent) or '/nbcontainers'}/{basis.id}",
        "resources": limits,
        "devices": nodes,
        "maskedPaths": masked,
        "readonlyPaths": readonly,
        "sysctl": _sysctls(options, basis.host),
        "rootfsPropagation": "rslave" if _propagates(basis.mounts) else "rprivate",
    }
    if profile := security.filter_profile(policy, granted, basis.host.machine):
        linux["seccomp"] = profile
    config: Config = {
        "ociVersion": defaults.OCI_VERSION,
        "process": _process(options, command, basis, policy, granted),
        "root": {"path": basis.rootfs, "readonly": bool(options.get("read_only"))},
        "mounts": _mounts(options, basis, privileged=privileged),
        "annotations": _annotations(options, basis.image),
        "linux": linux,
    }
    if not _shares(options, "uts"):
        config["hostname"] = hostname(options, basis.id)
        if domain := value(options, "domainname", parse.hostname):
            config["domainname"] = domain
    return config


def hostname(options: RunOptions, id: str) -> str:
    """-h, or the short id as Docker has it."""
    given = value(options, "hostname", parse.hostname)
    if given is not None and _shares(options, "uts"):
        raise bad("hostname", "with --uts host the name is the host's; leave one of the two out")
    return given or id[:12]


def arguments(options: RunOptions, command: Sequence[str], image: Mapping[str, Any]) -> list[str]:
    """The program and its arguments: Docker's rule of ENTRYPOINT and CMD.

    --entrypoint also drops the image's CMD; an empty one drops the ENTRYPOINT alone.
    """
    given = options.get("entrypoint")
    if given is None:
        words = [*(image.get("Entrypoint") or ()), *(command or image.get("Cmd") or ())]
    else:
        words = [*(word for word in texts("entrypoint", given) if word), *command]
    if not words:
        raise InvalidArgument(
            "there is no command: the image has none of its own", hint="type one after the image, as sh"
        )
    check_words(words)
    return words


def environment(options: RunOptions, basis: Basis) -> list[str]:
    """Docker's order, later ones win: PATH, HOSTNAME, TERM; the image's; HOME; --env-file; -e."""
    found = {"PATH": defaults.PATH, "HOSTNAME": hostname(options, basis.id)}
    if options.get("tty"):
        found["TERM"] = "xterm"
    found.update(entry.split("=", 1) for entry in basis.image.get("Env") or () if entry.find("=") > 0)
    found.setdefault("HOME", basis.identity.home)
    for variables in values(options, "env_file", parse.environment_file):
        found.update(variables)
    found.update(variable for variable in values(options, "env", parse.environment) if variable)
    return [f"{name}={text}" for name, text in found.items()]


def stop_signal(options: RunOptions, image: Mapping[str, Any]) -> int:
    """--stop-signal, the image's StopSignal, or TERM."""
    given = value(options, "stop_signal", parse.signal)
    if given is not None:
        return given
    try:
        return parse.signal(image.get("StopSignal") or defaults.STOP_SIGNAL)
    except ValueError:
        return parse.signal(defaults.STOP_SIGNAL)


def labels(options: RunOptions, image: Mapping[str, Any]) -> dict[str, str]:
    """The image's labels and --label, which win."""
    given = dict(values(options, "label", parse.pair))
    for lines in values(options, "label_file", parse.label_file):
        given = dict(lines) | given
    return {**(image.get("Labels") or {}), **given}


def _process(
    options: RunOptions, command: Sequence[str], basis: Basis, policy: security.Policy, granted: tuple[str, ...]
) -> dict[str, Any]:
    words = arguments(options, command, basis.image)
    identity = basis.identity
    return {
        "terminal": bool(options.get("tty")),
        "user": identity.user,
        "args": [_INIT_TARGET, "--", *words] if options.get("init") else words,
        "env": environment(options, basis),
        "cwd": value(options, "workdir", parse.path) or basis.image.get("WorkingDir") or "/",
        "capabilities": security.sets(options, identity.uid, granted),
        "rlimits": resources.rlimits(options, basis.host),
        "noNewPrivileges": policy.no_new_privileges,
        **_oom_score(options, basis.host),
    }


def _oom_score(options: RunOptions, host: Host) -> dict[str, int]:
    """`process.oomScoreAdj`; below its own nobody gets without CAP_SYS_RESOURCE: proc_pid_oom_score_adj(5)."""
    asked = value(options, "oom_score_adj", parse.oom_score)
    if asked is None:
        return {}
    if asked < host.oom_score_adj and not host.raises_limits:
        advise(Advice(f"--oom-score-adj {asked}: without CAP_SYS_RESOURCE it becomes our own, {host.oom_score_adj}"))
    return {"oomScoreAdj": asked if host.raises_limits else max(asked, host.oom_score_adj)}


def _shares(options: RunOptions, name: str) -> bool:
    """Whether the container uses the host's namespace of that kind."""
    if name == "network":
        return values(options, name, parse.network) == ["host"]
    return value(options, name, parse.namespace) == "host"


def _namespaces(options: RunOptions, netns: str) -> list[dict[str, str]]:
    shared = {name for name in ("pid", "ipc", "uts", "network") if _shares(options, name)}
    if value(options, "cgroupns", parse.namespace) == "host":
        shared.add("cgroup")
    joined = {"network": {"path": netns}} if netns else {}
    return [{"type": kind, **joined.get(kind, {})} for kind in defaults.NAMESPACES if kind not in shared]


def _sysctls(options: RunOptions, host: Host) -> dict[str, str]:
    """Those of the default, where the network is the container's own, and --sysctl.

    Without newuidmap(1) group ids above 0 don't exist inside, and ping_group_range takes none of them.
    """
    found: dict[str, str] = {}
    if not _shares(options, "network") and not host.rootless:
        found.update(defaults.NETWORK_SYSCTLS)
    found.update(values(options, "sysctl", parse.sysctl))
    for key in found:
        kind = owner_of_sysctl(key)
        if kind is None:
            raise bad(
                "sysctl", f"{key} belongs to the whole host; write one of net.*, kernel.shm*, kernel.msg*, kernel.sem"
            )
        if _shares(options, kind):
            raise bad("sysctl", f"{key} is the host's with --{kind} host; leave one of the two out")
    return found


def _mounts(options: RunOptions, basis: Basis, *, privileged: bool) -> list[dict[str, Any]]:
    """The kernel's file systems, the container's own files, what the user asked for; later ones replace earlier."""
    shm = value(options, "shm_size", parse.positive_size) or defaults.SHM_SIZE
    found = {m["destination"]: m for m in defaults.mounts(shm, terminal_group=not basis.host.one_id)}
    found["/sys"] = _sysfs(options, basis.host, privileged=privileged)
    if basis.host.rootless and _shares(options, "pid"):  # proc shows the pid namespace it is mounted in: proc(5)
        found["/proc"] = _kernels("/proc")
    found["/sys/fs/cgroup"] = _writable(defaults.CGROUP) if privileged else defaults.CGROUP
    if _shares(options, "ipc"):
        for path in ("/dev/shm", "/dev/mqueue"):
            if basis.host.exists(path):
                found[path] = _bind(path, path, "nosuid", "noexec", "nodev")
            else:
                del found[path]
    if options.get("init"):
        found[_INIT_TARGET] = _bind(_init(basis.host), _INIT_TARGET, "ro")
    for target, source in basis.files.items():
        found[target] = _bind(source, target)
    for mounted in basis.mounts:
        found.pop(mounted.target, None)
        found[mounted.target] = mounted.document
    return sorted(found.values(), key=lambda mount: mount["destination"].count("/"))  # parents first


def _bind(source: str, target: str, *words: str) -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": source, "options": ["bind", "rprivate", *words]}


def _sysfs(options: RunOptions, host: Host, *, privileged: bool) -> dict[str, Any]:
    """sysfs shows the network namespace it is mounted in, which must be ours; else the host's is bound: sysfs(5)."""
    if host.rootless and _shares(options, "network"):
        return _kernels("/sys", "ro", "rro")
    return _writable(defaults.SYSFS) if privileged else defaults.SYSFS


def _kernels(path: str, *words: str) -> dict[str, Any]:
    """The host's own mount of a kernel file system, where a user namespace may not make one."""
    options = ["rbind", "rprivate", "nosuid", "noexec", "nodev", *words]
    return {"destination": path, "type": "bind", "source": path, "options": options}


def _writable(mount: Mapping[str, Any]) -> dict[str, Any]:
    return {**mount, "options": [word for word in mount["options"] if word != "ro"]}


def _init(host: Host) -> str:
    if host.init is None:
        raise HostNotCapable(
            "--init: this host has no statically linked init program",
            hint="type apt install catatonit (or tini), or leave --init out", option="init",
        )  # fmt: skip
    return host.init


def _propagates(mounted: Sequence[Mounted]) -> bool:
    """Whether a bind mount is to see later mounts of the host."""
    words = {"shared", "rshared", "slave", "rslave"}
    return any(not words.isdisjoint(one.document["options"]) for one in mounted)


def _annotations(options: RunOptions, image: Mapping[str, Any]) -> dict[str, str]:
    """Labels are only shown, never acted upon; they are text whatever an image says (CVE-2026-53488)."""
    given = dict(values(options, "annotation", parse.pair))
    return {str(key): str(text) for key, text in (labels(options, image) | given).items()}
