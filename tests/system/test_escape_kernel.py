"""What a container may ask of the kernel: nothing that has led out of one (runtime reference, 6.2)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from nbcontainers.linux import syscalls
from tests import inside

CLOSED = ("EPERM", "ENOSYS")
NUMBERS = syscalls.numbers(os.uname().machine)

#: CVE-2022-0185, 2022-0847, 2023-0386, 2023-32233, 2024-1086, …: what they started from. No arguments are needed:
#: the filter does not look at any, and where it let a call through the kernel would answer EINVAL or EFAULT.
SURFACE = """
    add_key bpf delete_module finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register
    io_uring_setup kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind mount mount_setattr move_mount
    move_pages open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise quotactl quotactl_fd
    reboot request_key set_mempolicy setdomainname sethostname setns settimeofday clock_settime swapoff swapon syslog
    umount2 unshare userfaultfd vhangup acct clone3"""

ARGUMENTS = {
    "unshare, new user namespace": ["unshare", 0x10000000],
    "unshare, new network": ["unshare", 0x40000000],
    "clone, new user namespace": ["clone", 0x10000000 | 17],
    "clone, new mount namespace": ["clone", 0x00020000 | 17],
    "socket AF_ALG": ["socket", 38, 5, 0],
    "socket AF_VSOCK": ["socket", 40, 1, 0],
    "socket NETLINK_KOBJECT_UEVENT": ["socket", 16, 3, 15],
    "socket NETLINK_KOBJECT_UEVENT, high bits set": ["socket", 16, 3, 15 | 1 << 32],
    "personality without ASLR": ["personality", 0x0040000],
}

#: The same by `int 0x80`: i386 numbers of getpid, open, mkdir, mount, ptrace, socketcall, clone, personality, add_key,
#: keyctl, unshare, perf_event_open, bpf, socket, userfaultfd, io_uring_setup, fsopen
I386 = [20, 5, 39, 21, 26, 102, 120, 136, 286, 288, 310, 336, 357, 359, 374, 425, 430]

ATTACK = """
numbers, arguments, i386 = json.loads(os.environ["PLAN"])
native = {name: call(number) for name, number in numbers.items()}
special = {title: call(*words) for title, words in arguments.items()}
x32 = sorted({call(number) for number in [0x40000000 | n for n in range(600)] + list(range(512, 548))})
compat = None
if i386:
    import mmap
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(bytes.fromhex("5389f889f34189c889d14489c2cd805bc3"))  # push rbx; … ; int 0x80; pop rbx; ret
    kernel = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 4)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    compat = {number: errno.errorcode.get(-kernel(number, 0, 0, 0), "done") for number in i386}
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
report(native=native, special=special, x32=x32, compat=compat, filter=status["Seccomp"].strip(),
       no_new_privs=status["NoNewPrivs"].strip())
"""


def plan() -> str:
    arguments = {title: [NUMBERS[words[0]], *words[1:]] for title, words in ARGUMENTS.items()}
    x86 = os.uname().machine == "x86_64"
    return json.dumps([{name: NUMBERS[name] for name in SURFACE.split()}, arguments, I386 if x86 else []])


@pytest.fixture(scope="module", params=["run", "exec", "user"])
def surface(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the calls said to root, to root in `exec`, and to another user."""
    environment = {"PLAN": plan()}
    if request.param == "run":
        return inside.python(ATTACK, env=environment)
    if request.param == "user":
        return inside.python(ATTACK, env=environment, user="0" if os.getuid() else "1000")
    with inside.running("host") as container:
        return inside.facts(inside.execute(container, *inside.program(ATTACK), env=environment))


def test_the_attack_surface_is_closed(surface: dict[str, Any]) -> None:
    assert {name: word for name, word in surface["native"].items() if word not in CLOSED} == {}


def test_calls_that_are_open_are_closed_for_dangerous_arguments(surface: dict[str, Any]) -> None:
    assert {title: word for title, word in surface["special"].items() if word not in CLOSED} == {}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other ABIs of x86_64")
def test_i386_and_x32_calls_are_closed(surface: dict[str, Any]) -> None:
    assert surface["compat"] == {str(number): "ENOSYS" for number in I386}
    assert surface["x32"] == ["ENOSYS"]


def test_the_filter_and_no_new_privileges_are_on(surface: dict[str, Any]) -> None:
    assert (surface["filter"], surface["no_new_privs"]) == ("2", "1")


def test_programs_that_need_new_threads_and_processes_live() -> None:
    done = inside.python("""
        import subprocess, threading
        words = []
        thread = threading.Thread(target=words.append, args=("thread",)); thread.start(); thread.join()
        words.append(subprocess.run(["echo", "child"], capture_output=True, text=True).stdout.strip())
        report(words=words)
    """)
    assert done["words"] == ["thread", "child"]


# --- one attempt each ---

PROBES = r"""
host = int(os.environ["HOST_PID"])
def chroot_out():
    # the oldest way out: a directory kept open outside a second root
    before = os.stat("/")
    os.makedirs("/tmp/second", exist_ok=True)
    keep = os.open("/", os.O_RDONLY)
    os.chroot("/tmp/second")
    os.fchdir(keep)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    after = os.stat("/")
    return "inside" if (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino) else "outside"
def raw(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()
def connect(address, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect(address)
def setns(name):
    return libc("setns", os.open("/proc/1/ns/" + name, os.O_RDONLY), 0)
def audit():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as s:
        s.bind((0, 1))
def mknod(kind, number):
    os.mknod("/tmp/node", kind | 0o666, number)
    with open("/tmp/node", "rb") as file:
        file.read(1)
def in_child(function):
    pid = os.fork()
    if not pid:
        word = attempt(function)
        os._exit({"inside": 0, "outside": 1}.get(word, 2))
    return {0: "inside", 1: "outside", 2: "failed"}[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
def visible():
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return "few" if max(pids) < 100 and len(pids) < 10 else f"{len(pids)} processes"
def trigger(path):
    return attempt(write, path, b"") if os.path.exists(path) else "absent"
report(
    mount=libc("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    unmask=libc("umount2", b"/proc/kcore", 2),
    block_node=attempt(mknod, stat.S_IFBLK, os.makedev(int(os.environ["MAJOR"]), 0)),
    memory_node=attempt(mknod, stat.S_IFCHR, os.makedev(1, 1)),
    log_node=attempt(mknod, stat.S_IFCHR, os.makedev(1, 11)),
    **{name: attempt(read, "/dev/" + name) for name in ("kmsg", "mem", "kvm", "fuse", "port", "vda", "sda", "loop0")},
    sysrq=trigger("/proc/sysrq-trigger"),
    kcore=attempt(read, "/proc/kcore"),
    keys=attempt(read, "/proc/keys"),
    timers=attempt(read, "/proc/timer_list"),
    firmware=str(len(os.listdir("/sys/firmware"))) if os.path.isdir("/sys/firmware") else "0",
    core_pattern=attempt(write, "/proc/sys/kernel/core_pattern"),
    modprobe=attempt(write, "/proc/sys/kernel/modprobe"),
    binfmt=trigger("/proc/sys/fs/binfmt_misc/register"),
    panic=attempt(write, "/proc/sys/kernel/panic_on_oops"),
    uevent_helper=trigger("/sys/kernel/uevent_helper"),
    sysfs=attempt(write, "/sys/kernel/mm/transparent_hugepage/enabled"),
    ptrace=call(101 if os.uname().machine == "x86_64" else 117, 16, host),
    kill_host=attempt(os.kill, host, 0),
    processes=visible(),
    setns_mnt=attempt(setns, "mnt"), setns_pid=attempt(setns, "pid"), setns_user=attempt(setns, "user"),
    chroot=in_child(chroot_out),
    handle=call(304 if os.uname().machine == "x86_64" else 265, -100, 0, 0),
    raw_ip=attempt(raw, socket.AF_INET, socket.SOCK_RAW, 1),
    packet=attempt(raw, socket.AF_PACKET, socket.SOCK_RAW, 3),
    hostname=attempt(socket.sethostname, "evil"),
    clock=attempt(time.clock_settime, time.CLOCK_REALTIME, 0),
    loopback_service=attempt(connect, ("127.0.0.1", int(os.environ["PORT"]))),
    abstract=attempt(connect, os.environ["ABSTRACT"].replace("@", "\0"), socket.AF_UNIX),
    metadata=attempt(connect, ("169.254.169.254", 80)),
    priority=attempt(os.setpriority, os.PRIO_PROCESS, 0, -5),
    audit=attempt(audit),
)
"""

EXPECTED: dict[str, set[str]] = {
    "mount": {"EPERM"}, "unmask": {"EPERM"}, "block_node": {"EPERM"}, "memory_node": {"EPERM"}, "log_node": {"EPERM"},
    "kmsg": {"ENOENT"}, "mem": {"ENOENT"}, "kvm": {"ENOENT"}, "fuse": {"ENOENT"}, "port": {"ENOENT"},
    "vda": {"ENOENT"}, "sda": {"ENOENT"}, "loop0": {"ENOENT"},
    "sysrq": {"EROFS", "EACCES", "absent"}, "kcore": {"empty", "ENOENT", "EACCES"}, "keys": {"empty", "EACCES"},
    "timers": {"empty", "ENOENT", "EACCES"}, "firmware": {"0"},
    "core_pattern": {"EROFS", "EACCES"}, "modprobe": {"EROFS", "EACCES", "ENOENT"},
    "binfmt": {"EROFS", "EACCES", "absent"}, "panic": {"EROFS", "EACCES"},
    "uevent_helper": {"EROFS", "EACCES", "absent"}, "sysfs": {"EROFS", "EACCES", "ENOENT"},
    "ptrace": {"ESRCH", "EPERM"}, "kill_host": {"ESRCH"}, "processes": {"few"},
    "setns_mnt": {"EPERM"}, "setns_pid": {"EPERM"}, "setns_user": {"EPERM"},
    "chroot": {"inside", "failed"}, "handle": {"EPERM"}, "raw_ip": {"EPERM"}, "packet": {"EPERM"},
    "hostname": {"EPERM"}, "clock": {"EPERM"}, "loopback_service": {"ECONNREFUSED", "ENETUNREACH"},
    "abstract": {"ECONNREFUSED"}, "metadata": {"ENETUNREACH"}, "priority": {"EACCES", "EPERM"},
    "audit": {"EPERM", "ECONNREFUSED", "EPROTONOSUPPORT"},
}  # fmt: skip


@pytest.fixture(scope="module")
def probes() -> Iterator[dict[str, Any]]:
    import socket

    name = f"nbc-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + name)
        abstract.listen()
        with subprocess.Popen(["sleep", "1000"]) as sleeper:
            environment = {
                "HOST_PID": str(sleeper.pid), "PORT": str(tcp.getsockname()[1]), "ABSTRACT": "@" + name,
                "MAJOR": str(os.major(os.stat("/").st_dev) or 254),
            }  # fmt: skip
            try:
                yield inside.python(PROBES, env=environment)
                assert sleeper.poll() is None
            finally:
                sleeper.kill()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_way_out_is_closed(probes: dict[str, Any], name: str) -> None:
    assert probes[name] in EXPECTED[name]


def test_killing_everybody_kills_nobody_outside() -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        try:
            done = inside.shell("sleep 1000 & kill -9 -1; echo alive")
            assert done.stdout == "alive\n"
            assert sleeper.poll() is None
        finally:
            sleeper.kill()


@pytest.mark.as_root
def test_the_hosts_devices_stay_closed_even_when_their_nodes_are_bound_in() -> None:
    done = inside.python(
        """
        report(kmsg=attempt(read, "/host-dev/kmsg"), mem=attempt(read, "/host-dev/mem"),
               null=attempt(read, "/host-dev/null"))
        """,
        volume=["/dev:/host-dev"],
    )
    assert done["kmsg"] in ("EPERM", "EACCES")
    assert done["mem"] in ("EPERM", "EACCES", "ENOENT")


def test_nothing_under_the_cgroup_folder_can_be_written() -> None:
    """CVE-2022-0492 and CVE-2023-25809: release_agent, or a cgroup of the host."""
    done = inside.python(r"""
        words = set()
        for folder, folders, files in os.walk("/sys/fs/cgroup"):
            words.add(attempt(os.mkdir, folder + "/new"))
            for name in files:
                path = os.path.join(folder, name)
                if stat.S_IMODE(os.stat(path).st_mode) & 0o222:
                    words.add(attempt(write, path, b"0"))
        agents = [f for f, _, files in os.walk("/sys/fs/cgroup") if "release_agent" in files]
        report(words=sorted(words), agents=agents, own=open("/proc/self/cgroup").read())
    """)
    assert set(done["words"]) <= {"EROFS", "EACCES", "EPERM"}
    assert {line.split(":", 2)[2] for line in done["own"].splitlines()} <= {"/", "/."} or os.geteuid()


def test_a_container_with_sys_admin_still_has_no_foreign_abi() -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("int 0x80 is of x86")
    done = inside.python(ATTACK, env={"PLAN": json.dumps([{}, {}, I386])}, cap_add=["SYS_ADMIN"])
    assert set(done["compat"].values()) == {"ENOSYS"}
