"""Who a process is and what it may do: the last things init and `exec` do before execve(2) (config.md, Process)."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
from collections.abc import Mapping
from typing import Any

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import capabilities, inroot, libc, mounts, process, seccomp
from nbcontainers.runtime.plan import Security

_RLIMITS = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
_UNLIMITED = 2**64 - 1
_KEYCTL_JOIN_SESSION_KEYRING = 1
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LONGEST_LINE = 256  # of what execve(2) reads of a script's first


def set_rlimits(pid: int, document: Mapping[str, Any]) -> None:
    """prlimit(2) for `pid`, before it enters a user namespace, where raising a hard limit is no longer possible."""
    for limit in document.get("rlimits") or ():
        kind, values = limit["type"], (_limit(limit["soft"]), _limit(limit["hard"]))
        if kind not in _RLIMITS:
            raise CreateFailed(f"rlimit {kind!r} is unknown", stage="rlimits", exit_code=125)
        try:
            resource.prlimit(pid, _RLIMITS[kind], values)
        except (OSError, ValueError) as error:
            hard = resource.prlimit(pid, _RLIMITS[kind])[1]
            raise CreateFailed(
                f"setrlimit {kind} {values[0]}:{values[1]}: {error} (the hard limit here is {hard})",
                stage="rlimits", exit_code=125,
            ) from None  # fmt: skip


def _limit(value: int) -> int:
    return resource.RLIM_INFINITY if value in (-1, _UNLIMITED) else value


def set_oom_score(document: Mapping[str, Any]) -> str:
    """Write our oom_score_adj (proc_pid_oom_score_adj(5)); returns a warning where lowering it is not allowed.

    Nobody may write it for a process that is not dumpable, but the process itself, before it becomes so.
    """
    score = document.get("oomScoreAdj")
    if score is None:
        return ""
    path = "/proc/self/oom_score_adj"
    with open(path) as file:
        current = int(file.read())
    if score == current:
        return ""
    try:
        with open(path, "w") as file:
            file.write(str(score))
    except PermissionError:
        return f"oom_score_adj stays at {current}: lowering it to {score} needs CAP_SYS_RESOURCE"
    return ""


def find_program(name: str, environment: list[str]) -> str:
    """The path execve(2) will get: `name` itself if it has a slash, else looked up in the container's PATH."""
    if "/" in name:
        return _check_path(name)
    path = next((entry[5:] for entry in environment if entry.startswith("PATH=")), _DEFAULT_PATH)
    denied = False
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        try:
            if stat.S_ISREG(os.stat(candidate).st_mode):
                if os.access(candidate, os.X_OK):
                    return candidate
                denied = True
        except OSError:
            continue
    if denied:
        raise CreateFailed(
            f"{name}: permission denied: found in $PATH, but not executable",
            stage="exec",
            errno=errno.EACCES,
            exit_code=126,
        )
    raise CreateFailed(
        f"{name}: executable file not found in $PATH ({path})", stage="exec", errno=errno.ENOENT, exit_code=127
    )


def _check_path(path: str) -> str:
    """A path that plainly cannot be executed is told apart early, in the words of `execute`."""
    if path.startswith("/"):
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise _not_executable(path, errno.EACCES)
        except OSError as error:
            raise _not_executable(path, error.errno or 0) from None
    return path


def _not_executable(path: str, number: int, why: str = "", hint: str = "") -> CreateFailed:
    words = {
        errno.ENOENT: "no such file or directory",
        errno.EACCES: "permission denied",
        errno.ENOEXEC: "exec format error",
    }
    return CreateFailed(
        f"{path}: {words.get(number) or os.strerror(number).lower()}{why}",
        hint=hint,
        stage="exec",
        syscall="execve",
        errno=number,
        path=path,
        exit_code=127 if number == errno.ENOENT else 126,
    )


def _without_interpreter(path: str) -> tuple[str, str]:
    """(why, hint) where execve(2) says ENOENT of a program that is there, but not what is to run it."""
    try:
        file = inroot.openat2(mounts.AT_FDCWD, path, os.O_RDONLY | os.O_NONBLOCK, 0)  # through no /proc/PID/exe
        line = os.read(file, _LONGEST_LINE).partition(b"\n")[0]
    except OSError:
        return "", ""
    if line[:4] == b"\x7fELF":
        advice = "it was built for another C library (glibc or musl): take an image that has it, or link it statically"
        return ": the loader it names is missing", advice
    if line[:2] != b"#!":
        return "", ""
    if line.endswith(b"\r"):
        return ": its lines end as on Windows, in \\r\\n", "take the \\r out: sed -i 's/\\r$//' FILE"
    name = line[2:].split()[:1]
    shown = "".join(c if c.isprintable() else "?" for c in name[0].decode("utf-8", "replace")) if name else ""
    return f": its first line names {shown!r}, which is missing", "put that into the image, or change the first line"


def new_keyring() -> None:
    """A session keyring of the container's own, so that the host's keys stay out of reach: session-keyring(7)."""
    try:
        libc.syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, 0)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EDQUOT):  # closed anyway, or no room for one more
            raise


def become(document: Mapping[str, Any], security: Security) -> None:
    """Take on user, groups, working directory, capabilities and filter. Irreversible."""
    user = document.get("user") or {}
    sets = security.sets
    capabilities.drop_bounding(sets.bounding)
    process.prctl(process.PR_SET_KEEPCAPS, 1)
    _set_user(user)
    process.prctl(process.PR_SET_KEEPCAPS, 0)
    os.umask(user.get("umask", 0o022))
    _enter_directory(document["cwd"])
    no_new_privileges = document.get("noNewPrivileges", False)
    if security.filter and not no_new_privileges:
        held = capabilities.permitted()
        capabilities.set_all(held, held, 0)  # a change to another user than root left none in effect
        seccomp.load(security.filter, security.filter_flags)  # needs CAP_SYS_ADMIN, which is about to go
    capabilities.set_all(sets.effective, sets.permitted, sets.inheritable)
    capabilities.set_ambient(sets.ambient)
    if no_new_privileges:
        process.prctl(process.PR_SET_NO_NEW_PRIVS, 1, call="prctl(PR_SET_NO_NEW_PRIVS)")
        if security.filter:
            seccomp.load(security.filter, security.filter_flags)


def _set_user(user: Mapping[str, Any]) -> None:
    uid, gid = user.get("uid", 0), user.get("gid", 0)
    groups = list(user.get("additionalGids") or ())
    try:
        os.setgroups(groups)
    except OSError as error:
        if error.errno == errno.EPERM and _setgroups_allowed():
            raise libc.failure(errno.EPERM, f"setgroups {groups}") from None
        if groups:
            raise _unmapped(f"user {uid}:{gid}" if groups == [gid] else f"one of the groups {groups}", error) from None
    try:
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise _unmapped(f"user {uid}:{gid}", error) from None


def _unmapped(what: str, error: OSError) -> CreateFailed:
    return CreateFailed(
        f"{what} is not mapped in this user namespace ({error.strerror})", stage="user", errno=error.errno,
        hint="install uidmap and give yourself a range in /etc/subuid and /etc/subgid, or run as -u 0", exit_code=125,
    )  # fmt: skip


def _setgroups_allowed() -> bool:
    """Whether this user namespace lets groups be dropped; a one-entry map does not (user_namespaces(7))."""
    try:
        with open("/proc/self/setgroups", "rb") as file:
            return file.read().strip() == b"allow"
    except FileNotFoundError:
        return False


def _enter_directory(cwd: str) -> None:
    """chdir(2) as the user, and never to a place outside the root (CVE-2024-21626)."""
    try:
        os.chdir(cwd)
    except OSError as error:
        raise no_directory(cwd, error) from None
    buffer = ctypes.create_string_buffer(4096)
    if libc.getcwd(buffer, 4096) is None or not buffer.value.startswith(b"/"):
        raise CreateFailed(f"working directory {cwd} is outside the container", stage="cwd", exit_code=125, path=cwd)


def no_directory(cwd: str, error: OSError) -> CreateFailed:
    """The error of a working directory that cannot be entered or made."""
    message = f"working directory {cwd}: {error.strerror}"
    return CreateFailed(message, stage="cwd", errno=error.errno, path=cwd, exit_code=126)


def execute(path: str, arguments: list[str], environment: list[str], preserve: int = 0) -> None:
    """execve(2) with stdio and `preserve` more descriptors. Returns only by raising CreateFailed with 126 or 127."""
    pairs = dict(entry.split("=", 1) for entry in environment if entry.find("=") > 0)  # "=x" has no name
    process.close_on_exec(3 + preserve)
    process.reset_signals()
    try:
        os.execve(path, arguments, pairs)
    except OSError as error:
        why, hint = _without_interpreter(path) if error.errno == errno.ENOENT else ("", "")
        raise _not_executable(path, error.errno or 0, why, hint) from None
