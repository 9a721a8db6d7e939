"""What a container may do: capabilities(7), seccomp(2), no_new_privs, and the label of a security module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nbcontainers.linux import capabilities, syscalls
from nbcontainers.table import Row

DOCKER = frozenset(
    "CAP_AUDIT_WRITE CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_MKNOD CAP_NET_BIND_SERVICE "
    "CAP_NET_RAW CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_CHROOT".split()
)
"""Docker's default (moby, oci/caps/defaults.go)."""

ALLOWS = {
    "CHOWN": "change owners of files", "DAC_OVERRIDE": "read and write any file", "DAC_READ_SEARCH": "read any file",
    "FOWNER": "do with any file what its owner may", "FSETID": "keep set-user-ID bits when writing",
    "KILL": "send signals to anybody's processes", "SETGID": "take any group", "SETUID": "take any user",
    "SETPCAP": "give capabilities away", "LINUX_IMMUTABLE": "set the flags immutable and append-only",
    "NET_BIND_SERVICE": "listen on ports below 1024", "NET_BROADCAST": "broadcast", "NET_ADMIN": "configure the network",
    "NET_RAW": "open raw sockets", "IPC_LOCK": "lock memory", "IPC_OWNER": "use anybody's shared memory",
    "SYS_MODULE": "load kernel modules", "SYS_RAWIO": "reach hardware ports and memory", "SYS_CHROOT": "chroot",
    "SYS_PTRACE": "trace anybody's processes", "SYS_PACCT": "switch accounting",
    "SYS_ADMIN": "mount, and a hundred other things", "SYS_BOOT": "reboot", "SYS_NICE": "raise priorities",
    "SYS_RESOURCE": "go beyond limits and quotas", "SYS_TIME": "set the clock (date -s)",
    "SYS_TTY_CONFIG": "configure terminals", "MKNOD": "make device nodes", "LEASE": "lease files",
    "AUDIT_WRITE": "write to the audit log", "AUDIT_CONTROL": "configure auditing",
    "SETFCAP": "give capabilities to files", "MAC_OVERRIDE": "overrule a security module",
    "MAC_ADMIN": "configure a security module", "SYSLOG": "read the kernel's log", "WAKE_ALARM": "wake the machine",
    "BLOCK_SUSPEND": "keep the machine awake", "AUDIT_READ": "read the audit log", "PERFMON": "measure performance",
    "BPF": "load BPF programs", "CHECKPOINT_RESTORE": "checkpoint and restore processes",
}  # fmt: skip
"""By name without CAP_, the best-known thing each allows."""
SETS = {
    "bounding": "CapBnd",
    "permitted": "CapPrm",
    "effective": "CapEff",
    "inheritable": "CapInh",
    "ambient": "CapAmb",
}
_MODES = {"0": "off", "1": "strict: read, write, exit", "2": "filter"}


def of_status(status: Mapping[str, str]) -> dict[str, int]:
    """The five sets as bit masks, from the fields of /proc/PID/status."""
    return {name: int(status[field], 16) for name, field in SETS.items() if field in status}


def of_config(process: Mapping[str, Any]) -> dict[str, int]:
    """The same, as an OCI process asks for them."""
    asked = process.get("capabilities") or {}
    return {name: capabilities.mask(asked.get(name) or ()) for name in SETS}


def rows(sets: Mapping[str, int]) -> list[Row]:
    """Rows: name (without CAP_), docker (whether Docker gives it by default), one bool a set, compared (added, dropped or
    ""), allows."""
    found = []
    for number, name in enumerate(capabilities.NAMES):
        held = {kind: bool(mask >> number & 1) for kind, mask in sets.items()}
        docker, bounding = name in DOCKER, held.get("bounding", False)
        compared = "" if docker == bounding else "added" if bounding else "dropped"
        short = name.removeprefix("CAP_")
        found.append({"name": short, "docker": docker, **held, "compared": compared, "allows": ALLOWS.get(short, "")})
    return found


def filtered(status: Mapping[str, str]) -> list[Row]:
    """Rows name, value: what the kernel says of filters and of new privileges."""
    found = []
    for field, name in (("Seccomp", "seccomp mode"), ("Seccomp_filters", "filters"), ("NoNewPrivs", "no_new_privs")):
        if field in status:
            value = status[field].strip()
            words = _MODES.get(value, value) if field == "Seccomp" else value
            found.append({"name": name, "value": {"0": "off", "1": "on"}[value] if field == "NoNewPrivs" else words})
    return found


def calls(profile: Mapping[str, Any] | None, machine: str) -> list[Row]:
    """Rows name, verdict (allowed, denied, or `by arguments`) of every system call of this machine; none without a
    profile, or for a machine whose calls are not known."""
    try:
        names = syscalls.numbers(machine)
    except KeyError:
        return []
    if not profile:
        return []
    rules: dict[str, list[Mapping[str, Any]]] = {}
    for rule in profile.get("syscalls") or ():
        for name in rule.get("names") or ():
            rules.setdefault(name, []).append(rule)
    default = _allows(profile.get("defaultAction"))
    return [{"name": name, "verdict": _verdict(rules.get(name, ()), default)} for name in sorted(names)]


def _verdict(rules: Iterable[Mapping[str, Any]], default: bool) -> str:
    """A rule with arguments decides only for those; the others are left to the default."""
    whole = [_allows(rule.get("action")) for rule in rules if not rule.get("args")]
    if whole:
        return "allowed" if whole[-1] else "denied"
    if any(_allows(rule.get("action")) != default for rule in rules):
        return "by arguments"
    return "allowed" if default else "denied"


def _allows(action: object) -> bool:
    return action in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
