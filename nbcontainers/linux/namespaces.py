"""namespaces(7): clone3(2), unshare(2), setns(2)."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from nbcontainers.linux import libc, machine, memory

CLONE_NEWTIME = 0x80
CLONE_FILES = 0x400
CLONE_PIDFD = 0x1000
CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

#: The names of the runtime-spec (config-linux.md, Namespaces) and their clone(2) flags.
FLAGS = {
    "user": CLONE_NEWUSER, "mount": CLONE_NEWNS, "pid": CLONE_NEWPID, "network": CLONE_NEWNET, "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC, "cgroup": CLONE_NEWCGROUP, "time": CLONE_NEWTIME,
}  # fmt: skip
#: The same as the kernel names them in /proc/PID/ns.
FILES = {"user": "user", "mount": "mnt", "pid": "pid", "network": "net", "uts": "uts", "ipc": "ipc",
         "cgroup": "cgroup", "time": "time"}  # fmt: skip


_CLONE_VM, _CLONE_VFORK, _CLONE_PARENT_SETTID = 0x100, 0x4000, 0x100000
_STACK = 1 << 16
_ENTRY = machine.ENTRY
# As a PyDLL it keeps the interpreter's lock, which then is the child's too.
_clone = ctypes.PyDLL(None, use_errno=True).clone
_clone.argtypes = [_ENTRY, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


class _CloneArguments(ctypes.Structure):
    """struct clone_args, clone(2)."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
        "set_tid_size", "cgroup")]  # fmt: skip


def clone3(flags: int = 0, cgroup: int | None = None) -> tuple[int, int]:
    """Fork into new namespaces and, with `cgroup` (a directory descriptor), into a cgroup v2.

    Returns (pid, pidfd) in the parent and (0, -1) in the child. The caller must be single-threaded, and the child
    must leave by execve(2) or os._exit. Where clone3(2) is not allowed to choose the cgroup the OSError says so.
    """
    pidfd = ctypes.c_int(-1)
    arguments = _CloneArguments(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd), exit_signal=signal.SIGCHLD)
    if flags & CLONE_PARENT:
        arguments.exit_signal = 0
    if cgroup is not None:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup
    pid = libc.syscall("clone3", ctypes.addressof(arguments), ctypes.sizeof(arguments))
    return (pid, pidfd.value) if pid else (0, -1)


def clone_below(flags: int, main: Callable[[int], NoReturn], bottom: int = 0, cgroup: int | None = None) -> None:
    """Call `main` with its own pid, as seen from here, in a new process that uses our very memory; wait for it to execute
    a program or to end.

    That is vfork(2), but the child goes on below the part of the stack that is in use, so that it may do anything. As
    the memory stays ours, its execve(2) need not take it down first, which costs half a millisecond for a Python. Do
    nothing afterwards but leave: the child has changed whatever it liked. The caller must be the main thread, alone.
    `bottom` is what `stack_bottom` said before /proc became another one, `cgroup` a cgroup v2 to be born in: a machine for
    which we do not know clone3(2) forks then, which does the same.
    """
    pid = ctypes.c_int()
    entry = _ENTRY(lambda _: main(pid.value))
    stack = bottom or stack_bottom()
    flags |= _CLONE_VM | _CLONE_VFORK | _CLONE_PARENT_SETTID
    if cgroup is None:
        libc.check(_clone(entry, stack & ~15, flags | signal.SIGCHLD, None, ctypes.addressof(pid)), "clone")
    elif code := machine.clone3():
        arguments = _CloneArguments(
            flags=flags | CLONE_INTO_CGROUP, parent_tid=ctypes.addressof(pid), cgroup=cgroup,
            exit_signal=0 if flags & CLONE_PARENT else signal.SIGCHLD, stack=(stack & ~15) - _STACK, stack_size=_STACK,
        )  # fmt: skip
        done = code(ctypes.addressof(arguments), ctypes.sizeof(arguments), entry, None)
        if done < 0:
            raise libc.failure(-done, "clone3")
    elif clone3(flags & ~(_CLONE_VM | _CLONE_VFORK | _CLONE_PARENT_SETTID), cgroup)[0] == 0:
        main(os.getpid())


def stack_bottom() -> int:
    """The lowest address of the main thread's stack that was ever in use."""
    return next(mapping.address for mapping in memory.mappings() if mapping.path == "[stack]")


def unshare(flags: int) -> None:
    libc.check(libc.unshare(flags), f"unshare({_names(flags)})")


def setns(descriptor: int, flags: int = 0) -> None:
    """Join the namespace behind `descriptor`, or those in `flags` of the process behind a pidfd (Linux 5.8)."""
    libc.syscall("setns", descriptor, flags, path=_names(flags) or None)


@contextmanager
def inside_mounts(target: int) -> Iterator[None]:
    """Within the block we see the mounts of the process behind the pidfd `target`, from the root of its namespace.

    Only for a single thread that opens something there and leaves; the root directory it had is given back.
    """
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        setns(target, CLONE_NEWNS)
        try:
            yield
        finally:
            setns(own, CLONE_NEWNS)
            os.fchdir(root)
            os.chroot(".")
    finally:
        os.close(own)
        os.close(root)


def owner_of_sysctl(name: str) -> str | None:
    """Which namespace, in the runtime-spec's word, owns the kernel parameter `net.core.somaxconn`: namespaces(7).

    None for one of the whole host.
    """
    if name.startswith("net."):
        return "network"
    if name.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")) or name == "kernel.sem":
        return "ipc"
    return "uts" if name in ("kernel.hostname", "kernel.domainname") else None


def same(pid: int, kind: str) -> bool:
    """Whether `pid` lives in our own namespace of that kind."""
    name = FILES[kind]
    return os.stat(f"/proc/{pid}/ns/{name}").st_ino == os.stat(f"/proc/self/ns/{name}").st_ino


def in_user_namespace() -> bool:
    """Whether we are in a user namespace other than the first one: user_namespaces(7)."""
    with open("/proc/self/uid_map", "rb") as file:
        return file.read().split() != [b"0", b"0", b"4294967295"]


def _names(flags: int) -> str:
    return "|".join(name for name, flag in FLAGS.items() if flags & flag)
