"""Which system calls a container may make: the default profile, and a profile of the user's own.

The default is an allow-list with Docker's rules (moby/profiles, seccomp/default.json, 2026): what is not named gets
EPERM, and more opens with each capability granted. Profiles are OCI JSON, `linux.seccomp` of the runtime-spec.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nbcontainers.errors import InvalidArgument
from nbcontainers.linux import seccomp

Profile = dict[str, Any]

_ALLOWED = {
    "files": """
        access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
        fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync flock fstat fstatfs fsync ftruncate
        futimesat getcwd getdents getdents64 ioctl lchown link linkat listmount lseek lstat mkdir mkdirat mknod mknodat
        name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
        readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile splice stat statfs statmount statx
        symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes
        vmsplice write writev""",
    "extended attributes": """
        fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
        lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat""",
    "events": """
        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
        eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
        io_getevents io_pgetevents io_setup io_submit pipe pipe2 poll ppoll pselect6 select signalfd signalfd4""",
    "memory": """
        brk cachestat madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect
        mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
        remap_file_pages""",
    "processes": """
        execve execveat exit exit_group fork getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid
        gettid ioprio_get ioprio_set kill pause pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv
        process_vm_writev ptrace restart_syscall rseq set_robust_list get_robust_list set_tid_address setpgid
        setpriority setrlimit setsid tgkill times tkill uretprobe vfork wait4 waitid""",
    "identity": """
        capget capset getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups
        setregid setresgid setresuid setreuid setuid""",
    "sandboxes": "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
    "scheduling": """
        futex futex_requeue futex_wait futex_waitv futex_wake get_thread_area getcpu membarrier sched_get_priority_max
        sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
        sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield set_thread_area""",
    "signals": """
        rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
        rt_tgsigqueueinfo sigaltstack""",
    "sockets": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg
        sendmsg sendto setsockopt shutdown socketpair""",
    "System V and POSIX IPC": """
        mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl
        semget semop semtimedop shmat shmctl shmdt shmget""",
    "time": """
        adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep
        setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
        timerfd_gettime timerfd_settime""",
    "the system": "getrandom sysinfo uname",
}

_ALLOWED_ON = {"x86_64": "arch_prctl modify_ldt", "aarch64": ""}

_ALLOWED_WITH = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
        lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount2 unshare""",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime settimeofday",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}

# AF_* of <linux/socket.h>. Left out are AF_ALG (38: the kernel's cryptography, CVE-2026-31431), AF_VSOCK (40: not
# bound to a network namespace) and those that kernels no longer have.
_SOCKET_FAMILIES = (*range(1, 12), 13, 14, 15, 17, 18, 21, 22, 24, *range(26, 34), 35, 36, 39, *range(41, 46))

# AF_NETLINK, all of <linux/netlink.h> but NETLINK_KOBJECT_UEVENT (15): stricter than Docker, for the kernel tells
# every network namespace of the same user namespace what happens to the host's devices
_NETLINK, _NETLINK_PROTOCOLS = 16, (*range(15), *range(16, 23))

# PER_LINUX, PER_LINUX32, both also with UNAME26, and the question for the present one
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# CLONE_NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWNS: no bit of them may be set
_CLONE_NAMESPACES = 0x7E020000

_DOCKER_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_OCI_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

_MAXIMUM_FILE = 1 << 20


def default_profile(capabilities: Collection[str], arch: str) -> Profile:
    """The default profile for a process whose bounding set is `capabilities`, on `arch` (as uname(2): x86_64)."""
    granted = [names for capability, names in _ALLOWED_WITH.items() if capability in capabilities]
    names = " ".join([*_ALLOWED.values(), _ALLOWED_ON.get(arch, ""), *granted]).split()
    rules = [
        {"names": sorted(set(names)), "action": "SCMP_ACT_ALLOW"},
        *(_allow("socket", _equal(0, family)) for family in _SOCKET_FAMILIES),
        *(_allow("socket", _equal(0, _NETLINK), _equal(2, protocol)) for protocol in _NETLINK_PROTOCOLS),
        *(_allow("personality", _equal(0, personality)) for personality in _PERSONALITIES),
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        no_namespaces = {"index": 0, "value": _CLONE_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
        rules.append(_allow("clone", no_namespaces))
        # its flags are behind a pointer, where no filter can look: the C library then falls back to clone(2)
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "architectures": [_OCI_ARCHITECTURES[arch]] if arch in _OCI_ARCHITECTURES else [],
        "syscalls": rules,
    }


def _allow(name: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": list(conditions)}


def _equal(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def chosen_profile(choice: str, capabilities: Collection[str], arch: str) -> Profile | None:
    """What `--security-opt seccomp=CHOICE` means: "" and "builtin" the default, "unconfined" None, else a file."""
    if choice == "unconfined":
        return None
    if choice in ("", "default", "builtin"):
        return default_profile(capabilities, arch)
    return read_profile(choice, capabilities, arch)


def read_profile(path: str, capabilities: Collection[str], arch: str) -> Profile:
    """A profile file in Docker's, Podman's or the OCI's form, with everything decided that depends on the host.

    Raises InvalidArgument for a file that is not there or holds no profile.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_MAXIMUM_FILE + 1)
    except OSError as error:
        raise InvalidArgument.from_oserror(
            error, "cannot read the seccomp profile", hint="--security-opt seccomp=FILE, or seccomp=unconfined"
        ) from None
    if len(text) > _MAXIMUM_FILE:
        raise InvalidArgument(f"the seccomp profile {path} is larger than 1 MiB", hint="is it the right file?")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"the seccomp profile {path} is not JSON: {error}", hint="correct the file") from None
    profile = resolve_profile(document, capabilities, arch)
    seccomp.compile_profile(profile, arch)  # complains about a bad rule now, before there is a container
    return profile


def resolve_profile(document: object, capabilities: Collection[str], arch: str, kernel: str = "") -> Profile:
    """Docker's form to the OCI's: `archMap`, `includes`, `excludes`, `name` and error names are worked out.

    `kernel` is a release such as "6.1.0-18-amd64", by default the running one. Raises InvalidArgument.
    """
    if not isinstance(document, dict):
        raise InvalidArgument("a seccomp profile is a JSON object", hint='{"defaultAction": "SCMP_ACT_ERRNO", …}')
    if document.get("architectures") and document.get("archMap"):
        raise InvalidArgument("the seccomp profile has both architectures and archMap", hint="remove one of them")
    release = kernel or os.uname().release
    applies = _filter(capabilities, _DOCKER_ARCHITECTURES.get(arch, arch), _version(release))
    rules = [_rule(entry) for entry in seccomp.objects(document, "syscalls") if applies(entry)]
    profile = {key: document[key] for key in ("defaultAction", "flags", "listenerPath") if document.get(key)}
    default_errno = _errno(document, "defaultErrnoRet", "defaultErrno")
    if default_errno is not None:
        profile["defaultErrnoRet"] = default_errno
    return profile | {"architectures": _architectures(document, arch), "syscalls": rules}


def _strings(document: Mapping[str, Any], key: str) -> list[str]:
    strings = document.get(key) or []
    if not isinstance(strings, list) or not all(isinstance(string, str) for string in strings):
        raise InvalidArgument(f"{key} of the seccomp profile is not a list of strings", hint="see the runtime-spec")
    return strings


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key) or {}
    if not isinstance(found, dict):
        raise InvalidArgument(f"{key} of the seccomp profile is not an object", hint="see Docker's documentation")
    return found


def _architectures(document: Mapping[str, Any], arch: str) -> list[str]:
    native = _OCI_ARCHITECTURES.get(arch, "")
    for entry in seccomp.objects(document, "archMap"):
        if entry.get("architecture") == native:
            return [native, *_strings(entry, "subArchitectures")]
    return _strings(document, "architectures")


def _rule(entry: Mapping[str, Any]) -> dict[str, Any]:
    if entry.get("name") and entry.get("names"):
        raise InvalidArgument(f"a seccomp rule has both name and names ({entry['name']})", hint="remove one of them")
    rule = {"names": [entry["name"]] if entry.get("name") else entry.get("names"), "action": entry.get("action")}
    number = _errno(entry, "errnoRet", "errno")
    if number is not None:
        rule["errnoRet"] = number
    if entry.get("args"):
        rule["args"] = seccomp.objects(entry, "args")
    return rule


def _errno(document: Mapping[str, Any], number_key: str, name_key: str) -> int | None:
    """Docker writes errno numbers, Podman also names; the number wins."""
    number: int | None = document.get(number_key)
    if number is not None or not document.get(name_key):
        return number
    name = document[name_key]
    if not isinstance(getattr(errno, str(name), None), int):
        raise InvalidArgument(f"the seccomp profile has an unknown error {name!r}", hint="write EPERM or ENOSYS")
    return int(getattr(errno, name))


def _filter(
    capabilities: Collection[str], architecture: str, kernel: tuple[int, int]
) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a rule of Docker's form is for this container; as moby, `excludes` first."""

    def applies(entry: Mapping[str, Any]) -> bool:
        excludes, includes = _object(entry, "excludes"), _object(entry, "includes")
        if architecture in _strings(excludes, "arches") or set(_strings(excludes, "caps")) & set(capabilities):
            return False
        if excludes.get("minKernel") and kernel >= _version(excludes["minKernel"]):
            return False
        if includes.get("arches") and architecture not in _strings(includes, "arches"):
            return False
        if includes.get("minKernel") and kernel < _version(includes["minKernel"]):
            return False
        return set(_strings(includes, "caps")) <= set(capabilities)

    return applies


def _version(release: str) -> tuple[int, int]:
    """Major and minor number of a kernel release."""
    major, _, rest = str(release).partition(".")
    minor = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    if not major.isdigit() or not minor:
        raise InvalidArgument(f"{release!r} is no kernel version", hint='write "minKernel": "4.8"')
    return int(major), int(minor)
