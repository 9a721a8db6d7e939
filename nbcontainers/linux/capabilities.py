"""capabilities(7): names, numbers and the five sets of a thread."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterable, Mapping
from functools import cache

from nbcontainers.linux import libc
from nbcontainers.linux.process import (
    PR_CAP_AMBIENT,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
    prctl,
)

NAMES = (  # forty quoted strings are harder to read
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP "
    "CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER "
    "CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE "
    "CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL "
    "CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ "
    "CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE"
).split()
NUMBERS = {name: number for number, name in enumerate(NAMES)}

_VERSION_3 = 0x20080522
_PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 2, 4


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    """Two of these hold 64 bits of each set."""

    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def mask(names: Iterable[str]) -> int:
    """The bit mask of known names; unknown ones are left out, as the runtime-spec lets a runtime do with a warning."""
    return sum(1 << NUMBERS[name] for name in set(names) if name in NUMBERS)


@cache
def last() -> int:
    """The highest capability of this kernel."""
    with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
        return int(file.read())


def permitted() -> int:
    """What this process may use at most: the permitted set as a bit mask."""
    data = (_Data * 2)()
    header = _Header(_VERSION_3, 0)
    libc.syscall("capget", ctypes.addressof(header), ctypes.addressof(data))
    return int(data[0].permitted | data[1].permitted << 32)


def drop_bounding(keep: int) -> None:
    """Leave only `keep` in the bounding set, for good. Needs CAP_SETPCAP."""
    for number in range(last() + 1):
        if not keep >> number & 1 and prctl(PR_CAPBSET_READ, number):
            prctl(PR_CAPBSET_DROP, number, call="prctl(PR_CAPBSET_DROP)")


def set_all(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) of this thread."""
    header = _Header(_VERSION_3, 0)
    data = (_Data * 2)(
        *(
            _Data(effective >> s & 0xFFFFFFFF, permitted >> s & 0xFFFFFFFF, inheritable >> s & 0xFFFFFFFF)
            for s in (0, 32)
        )
    )
    libc.syscall("capset", ctypes.addressof(header), ctypes.addressof(data))


def set_ambient(wanted: int) -> None:
    """Exactly `wanted` in the ambient set; a kernel that refuses one of them leaves it out."""
    prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, call="prctl(PR_CAP_AMBIENT)")
    for number in range(last() + 1):
        if wanted >> number & 1:
            try:
                prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, call="prctl(PR_CAP_AMBIENT)")
            except PermissionError as error:
                if error.errno != errno.EPERM:
                    raise


class Sets:
    """The five sets of an OCI process, cut down to what this process itself has."""

    def __init__(self, document: Mapping[str, list[str]] | None, available: int) -> None:
        sets = document or {}
        every = {name: mask(sets.get(name, ())) & available for name in
                 ("bounding", "effective", "permitted", "inheritable", "ambient")}  # fmt: skip
        self.bounding, self.permitted = every["bounding"], every["permitted"]
        self.effective = every["effective"] & self.permitted
        self.inheritable = every["inheritable"] & (self.permitted | self.bounding)
        self.ambient = every["ambient"] & self.permitted & self.inheritable
