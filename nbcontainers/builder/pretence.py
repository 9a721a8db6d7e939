"""RUN where only one id is mapped (no newuidmap(1), or no range for the user): package managers believe that they are root.

They give files away, drop their rights and make device nodes, none of which this namespace can do. As in Charliecloud and
mkosi a seccomp filter answers those calls with success and does nothing: everything in the layer is root's. apt looks
whether it has become its own user, so it is told not to try (apt.conf(5), APT::Sandbox::User).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

CALLS = (
    "chown fchown fchownat lchown "
    "setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid"
).split()  # fmt: skip
_DEVICES = {"mknod": 1, "mknodat": 2}
"""The argument with the mode."""
APT = "/run/apt.conf"
_APT_TEXT = 'APT::Sandbox::User "root";\n'
_MASKED = "SCMP_CMP_MASKED_EQ"


def profile(given: Mapping[str, Any]) -> dict[str, Any]:
    """An OCI seccomp profile with CALLS, and device nodes, answered by success."""
    rules = [{**rule, "names": [name for name in rule["names"] if name not in (*CALLS, *_DEVICES)]}
             for rule in given["syscalls"]]  # fmt: skip
    pretended = [{"names": CALLS, "action": "SCMP_ACT_ERRNO", "errnoRet": 0}, *_devices()]
    return {**given, "syscalls": [*pretended, *(rule for rule in rules if rule["names"])]}


def _devices() -> Iterable[dict[str, Any]]:
    """The first rule that matches counts: only what is neither character nor block device is made."""
    for name, number in _DEVICES.items():
        for kind in (stat.S_IFCHR, stat.S_IFBLK):
            condition = {"index": number, "value": 0o170000, "valueTwo": kind, "op": _MASKED}
            yield {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "args": [condition]}
        for kind in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, 0):
            condition = {"index": number, "value": 0o170000, "valueTwo": kind, "op": _MASKED}
            yield {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition]}


def has_apt(lowers: Sequence[str]) -> bool:
    return any(Path(lower, "usr/bin/apt-get").exists() for lower in lowers)


def apt_conf(folder: Path) -> str:
    """The file for APT, which the variable APT_CONFIG names."""
    file = folder / "apt.conf"
    file.write_text(_APT_TEXT)
    file.chmod(0o644)
    return str(file)
