"""Processes: prctl(2), pidfd_open(2), close_range(2), identity by start time, and the sealed interpreter."""

from __future__ import annotations

import fcntl
import os
import signal
import sys

from nbcontainers.linux import libc

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38
PR_SET_CHILD_SUBREAPER, PR_CAP_AMBIENT = 36, 47

CLOSE_RANGE_CLOEXEC = 4
AT_EMPTY_PATH = 0x1000


def prctl(option: int, argument: int = 0, third: int = 0, call: str = "prctl") -> int:
    return libc.check(libc.prctl(option, argument, third, 0, 0), call)


def set_subreaper() -> None:
    """Orphaned descendants become our children: prctl(2), PR_SET_CHILD_SUBREAPER."""
    prctl(PR_SET_CHILD_SUBREAPER, 1, call="prctl(PR_SET_CHILD_SUBREAPER)")


def set_pdeathsig(number: int = signal.SIGKILL) -> None:
    """The signal this process gets when its parent dies; cleared by a change of credentials."""
    prctl(PR_SET_PDEATHSIG, number, call="prctl(PR_SET_PDEATHSIG)")


def set_dumpable(dumpable: bool) -> None:
    """Not dumpable: /proc/PID/{exe,fd,mem} and ptrace(2) are closed to the container (CVE-2016-9962)."""
    prctl(PR_SET_DUMPABLE, int(dumpable), call="prctl(PR_SET_DUMPABLE)")


def pidfd_open(pid: int) -> int:
    return libc.syscall("pidfd_open", pid, 0, path=f"/proc/{pid}")


def start_time(pid: int) -> int | None:
    """Clock ticks after boot at which `pid` started (proc_pid_stat(5), field 22); None if it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in b"ZX" else int(fields[19])


def alive(pid: int, started: int | None) -> bool:
    """Whether the very process that started then still runs; safe against reuse of the number."""
    return pid > 0 and started is not None and start_time(pid) == started


def close_on_exec(first: int = 3) -> None:
    """Mark every descriptor from `first` on close-on-exec: close_range(2)."""
    libc.syscall("close_range", first, 0xFFFFFFFF, CLOSE_RANGE_CLOEXEC)


#: execve(2) resets every handler but keeps what is ignored: by CPython, by us, or by whoever started us.
_IGNORABLE = {
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGCHLD,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
}
_IGNORABLE |= {number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN}


def reset_signals() -> None:
    """Default dispositions and an empty mask, as a program expects them: signal(7)."""
    for number in _IGNORABLE:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def signal_number(text: str) -> int:
    """The number of `9`, `KILL`, `SIGKILL` or `RTMIN+3`: signal(7). Raises ValueError."""
    name = text.upper().removeprefix("SIG")
    base, plus, offset = name.partition("+")
    if name.isascii() and name.isdecimal():
        number = int(name)
    elif plus:
        number = signal.SIGRTMIN + int(offset) if base == "RTMIN" and offset.isdecimal() else 0
    else:
        number = int(signal.Signals.__members__.get(f"SIG{name}", 0))
    if not 1 <= number <= signal.SIGRTMAX:
        raise ValueError(f"{text!r} is no signal")
    return number


def seal_interpreter(marker: str = "NBCONTAINERS_SEALED") -> None:
    """Run this program again from a read-only clone of the interpreter's file (CVE-2019-5736).

    A process in a container that shares our uid could write to the interpreter through /proc/PID/exe; behind a
    read-only mount that write fails with EROFS; without the right to mount, a sealed copy in memory does the same.
    Does nothing in the second run. Raises OSError.
    """
    if os.environ.pop(marker, "") == "1":
        return
    program = os.path.realpath(sys.executable)
    try:
        sealed = _read_only_clone(program)
    except PermissionError:
        sealed = _sealed_copy(program)
    os.execve(sealed, [sys.executable, *sys.orig_argv[1:]], os.environ | {marker: "1"})


def _read_only_clone(program: str) -> int:
    from nbcontainers.linux import mounts

    clone = mounts.open_tree(program)
    mounts.mount_setattr(clone, mounts.MOUNT_ATTR_RDONLY)
    return clone


def _sealed_copy(program: str) -> int:
    """memfd_create(2), F_ADD_SEALS."""
    copy = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(program, "rb") as file:
        while os.sendfile(copy, file.fileno(), None, 1 << 24):
            pass
    fcntl.fcntl(
        copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    )
    return copy
