"""What `system doctor` tries, in a process of the launcher: each part of a container's making, in a child that is gone at once.

Nothing of the host is changed: mounts, links and rules are made in namespaces that end with the child, and the folders for
an overlay lie where `system prune` finds those of a killed one.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from nbcontainers.cgroups import detect, hints
from nbcontainers.cgroups.layout import layout
from nbcontainers.errors import Error
from nbcontainers.linux import flock, libc, mounts, namespaces, tree
from nbcontainers.network import firewall, foreign, netlink, rtnetlink, store, userhost
from nbcontainers.network.namespace import in_child
from nbcontainers.network.rtnetlink import Veth

Facts = dict[str, Any]

ANYWHERE = True
"""For the launcher: to be called also where it was refused its namespaces (launcher/server.py)."""
CONTROLLERS = ("memory", "cpu", "pids", "cpuset", "blkio")
"""Those whose limits `run` has options for."""
_KINDS = ("mount", "network", "pid", "uts", "ipc", "cgroup", "time")
_TUN, _FORWARD = "/dev/net/tun", "/proc/sys/net/ipv4/ip_forward"
_BRIDGE, _MAC, _MTU = "nbc-doctor", b"\x02\x42\0\0\0\1", 1500
_CALLS: dict[str, Callable[[], Any]] = {
    "unshare": lambda: namespaces.unshare(0),
    "setns": lambda: namespaces.setns(-1),
    "mount": lambda: libc.check(libc.mount(None, None, None, 0, None), "mount"),
    "open_tree": lambda: libc.syscall("open_tree", -1, 0, 0),
    "mount_setattr": lambda: libc.syscall("mount_setattr", -1, 0, 0, 0, 0),
    "clone3": lambda: libc.syscall("clone3", 0, 0),
}
_STOPPED = (errno.EPERM, errno.ENOSYS, errno.EACCES)


def everything(root: str, rootless: bool, tried: bool) -> Facts:
    """All that only this process can tell. Without `tried` nothing is tried that needs the launcher's namespaces."""
    found: Facts = {
        "filtered": _stopped(),
        "cgroups": _cgroups(rootless=rootless),
        "pressure": _refusal(lambda: _read("/proc/pressure/memory")),
        "programs": [name for name in ("pasta", "slirp4netns") if shutil.which(name)],
        "tun": _refusal(_open_tun) if rootless else "",
        "leaders": [os.path.basename(path) for path in userhost.programs()],
        "forwarding": _forwarding(),
        "room": _room(root),
        "ids": _ids(),
        "trials": {},
        "firewalls": {"notes": [], "refused": ""},
    }
    if tried:
        found["trials"] = _trials(root, rootless=rootless)
        if not rootless:
            found["firewalls"] = _firewalls(root)
    return found


def _trials(root: str, *, rootless: bool) -> dict[str, str]:
    """By what was tried, why it was refused; "" where it works."""
    with _place(root) as place:
        works: dict[str, Callable[[], Any]] = {
            "user": lambda: namespaces.unshare(namespaces.CLONE_NEWUSER),
            "namespaces": _unshare_all,
            "proc": _mount_proc,
            "sysfs": _mount_sysfs,
            "overlay": lambda: _mount_overlay(place, userxattr=rootless),
            "links": _make_links,
            "rules": _make_rules,
        }
        return {name: _refusal(partial(in_child, work)) for name, work in works.items()}


def _refusal(work: Callable[[], Any]) -> str:
    try:
        work()
    except (OSError, Error) as error:
        words = error.message if isinstance(error, Error) else error.strerror
        return words or str(error)
    return ""


@contextmanager
def _place(root: str) -> Iterator[str]:
    """A folder beside those of containers, like a half-made one's."""
    path = f"{root}/containers/.doctor-{os.getpid()}.new"
    os.mkdir(path, 0o700)
    try:
        with flock.folder_held(path):
            yield path
    finally:
        tree.remove(path)


def _unshare_all() -> None:
    """One by one, so that the refusal names the kind."""
    for kind in _KINDS:
        namespaces.unshare(namespaces.FLAGS[kind])


def _mount_proc() -> None:
    """In a process that is the first of its namespace; the kernel refuses it where parts of the outer one are hidden."""
    namespaces.unshare(namespaces.CLONE_NEWNS | namespaces.CLONE_NEWPID)
    mounts.make_slave()
    in_child(lambda: mounts.mount("proc", "/proc", "proc"))


def _mount_sysfs() -> None:
    namespaces.unshare(namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET)
    mounts.make_slave()
    mounts.mount("sysfs", "/sys", "sysfs")


def _mount_overlay(place: str, *, userxattr: bool) -> None:
    """Writes into it, and removes from it what lies below."""
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.make_slave()
    lower, upper, work, merged = (f"{place}/{name}" for name in ("lower", "upper", "work", "merged"))
    for folder in (lower, upper, work, merged):
        os.mkdir(folder)
    _write(f"{lower}/below")
    mounts.overlay([lower], merged, upper, work, userxattr=userxattr)
    _write(f"{merged}/new")
    os.unlink(f"{merged}/below")
    if not stat.S_ISCHR(os.lstat(f"{upper}/below").st_mode):
        raise OSError(errno.EOPNOTSUPP, "overlayfs makes no whiteouts here")


def _write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _make_links() -> None:
    """A bridge and a cable plugged into it, as a network of containers has them."""
    namespaces.unshare(namespaces.CLONE_NEWNET)
    with netlink.Socket() as socket:
        socket.request([rtnetlink.new_bridge(_BRIDGE, _MAC, _MTU)])
        here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        cable = Veth("nbc-doctor0", "nbc-doctor1", _MAC, _MTU, rtnetlink.index(_BRIDGE), here)
        socket.request([rtnetlink.new_veth(cable)])


def _make_rules() -> None:
    """Our whole table."""
    namespaces.unshare(namespaces.CLONE_NEWNET)
    with netlink.Socket(netlink.NETFILTER) as socket:
        firewall.rules().commit(socket)


def filtered() -> list[str]:
    """System calls that something answers before the kernel has looked at what they ask for. Without a filter each of these
    does nothing, or complains about its arguments: docs of seccomp(2), SECCOMP_RET_ERRNO."""
    return [name for name, call in _CALLS.items() if _answer(call) in _STOPPED]


def _stopped() -> list[str]:
    """The same in a child, for a filter may also kill."""
    try:
        return list(in_child(filtered))
    except OSError:
        return [f"one of {', '.join(_CALLS)}"]


def _answer(call: Callable[[], Any]) -> int:
    try:
        call()
    except OSError as error:
        return error.errno or 0
    return 0


def _cgroups(*, rootless: bool) -> Facts:
    """`version` and `kind` as cgroups/ names them, the `controllers` whose limits a container can have, by each that is
    `missing` how to get it, and how to get a cgroup at all."""
    host = layout()
    have = detect.controllers(rootless=rootless)
    delegation = hints.delegation(host)
    missing = {
        name: delegation if name in host.v1 else hints.missing(name, host, rootless=rootless)
        for name in CONTROLLERS
        if name not in have
    }
    record = detect.default_cgroup("probe", rootless=rootless).record
    return {
        "version": host.version,
        "kind": record["kind"],
        "controllers": [name for name in CONTROLLERS if name in have],
        "missing": missing,
        "hint": delegation,
    }


def _open_tun() -> None:
    """Opened only; an interface is made by an ioctl(2) that we leave out."""
    os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))


def _forwarding() -> Facts:
    """Of the host's network namespace. `on`: None where the kernel has no IPv4."""
    try:
        on = _read(_FORWARD) == "1"
    except OSError:
        return {"on": None, "writable": False}
    return {"on": on, "writable": os.access(_FORWARD, os.W_OK)}


def _firewalls(root: str) -> Facts:
    """`notes` of what drops the packets of the default network's bridge, with what to type, or why that was `refused`."""
    known = store.DEFAULT in store.names(root)
    try:
        bridge = store.read(root, store.DEFAULT)["bridge"] if known else "nbc-NETWORK"
        return {"notes": foreign.notes(bridge), "refused": ""}
    except OSError as error:
        return {"notes": [], "refused": error.strerror or str(error)}


def _room(root: str) -> Facts:
    """Bytes and inodes that we may take (`inodes` None: the file system makes them as needed), and the file system's type."""
    status = os.statvfs(root)
    inodes = status.f_favail if status.f_files else None
    return {"bytes": status.f_bavail * status.f_frsize, "inodes": inodes, "type": _type(os.stat(root).st_dev)}


def _type(device: int) -> str:
    """proc_pid_mountinfo(5); "" where it says nothing of that device."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in _read("/proc/self/mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == number:
            return rest.split()[0]
    return ""


def _ids() -> int:
    """How many users our user namespace has."""
    return sum(int(line.split()[2]) for line in _read("/proc/self/uid_map").splitlines())


def _read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()
