"""The one funnel through which ctypes reaches the kernel; every failure is an OSError that names the call."""

from __future__ import annotations

import ctypes
import os
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

_X86_64 = {"pivot_root": 155, "capget": 125, "capset": 126, "keyctl": 250, "setns": 308, "execveat": 322, "bpf": 321,
           "seccomp": 317, "memfd_create": 319, "getsockopt": 55}  # fmt: skip
_AARCH64 = {"pivot_root": 41, "capget": 90, "capset": 91, "keyctl": 219, "setns": 268, "execveat": 281, "bpf": 280,
            "seccomp": 277, "memfd_create": 279, "getsockopt": 209}  # fmt: skip
# From 424 on every architecture uses the same numbers: asm-generic/unistd.h.
_COMMON = {"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "pidfd_open": 434,
           "clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442}  # fmt: skip
NUMBERS: dict[str, int] = _COMMON | {"x86_64": _X86_64, "aarch64": _AARCH64}.get(os.uname().machine, {})

_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 7

mount = _libc.mount
mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
umount2 = _libc.umount2
umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
unshare = _libc.unshare
unshare.argtypes = [ctypes.c_int]
prctl = _libc.prctl
prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
sysinfo = _libc.sysinfo
sysinfo.argtypes = [ctypes.c_void_p]
personality = _libc.personality
personality.argtypes = [ctypes.c_ulong]
setdomainname = _libc.setdomainname
setdomainname.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
syncfs = _libc.syncfs
syncfs.argtypes = [ctypes.c_int]
getcwd = _libc.getcwd
getcwd.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
getcwd.restype = ctypes.c_char_p
madvise = _libc.madvise
madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
mprotect = _libc.mprotect
mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def check(result: int, call: str, path: Any = None) -> int:
    """Return `result`, or raise the OSError of errno(3) with the system call's name in it."""
    if result >= 0:
        return result
    raise failure(ctypes.get_errno(), call, path)


def failure(errno: int, call: str, path: Any = None) -> OSError:
    """An OSError that says which call failed on what; `call` stays readable as `error.syscall`."""
    where = os.fsdecode(path) if isinstance(path, (bytes, os.PathLike)) else path
    error = OSError(errno, f"{call}: {os.strerror(errno)}", where)
    error.syscall = call  # type: ignore[attr-defined]
    return error


def address(buffer: Any) -> int:
    """The address of a ctypes object, or of a bytes object that the caller keeps alive."""
    if isinstance(buffer, bytes):
        return ctypes.cast(ctypes.c_char_p(buffer), ctypes.c_void_p).value or 0
    return ctypes.addressof(buffer)


def syscall(name: str, *arguments: int, path: Any = None) -> int:
    """Call syscall(2) by name. Arguments are numbers and addresses."""
    padded = arguments + (0,) * (6 - len(arguments))
    return check(_syscall(NUMBERS[name], *padded), name, path)
