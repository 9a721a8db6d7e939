"""The pause process of an ordinary user: a sleeping holder of one user and one mount namespace.

In it every helper of that user is "root" with the user's own powers: user_namespaces(7). It is made once, by the
first launcher, and found again through run/pause.json by pid and start time. With newuidmap(1) and a range in
/etc/subuid the namespace has many ids; without, only uid 0, which is the user, and setgroups(2) is denied.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from typing import NoReturn

from nbcontainers.errors import HostNotCapable
from nbcontainers.linux import idmap, mounts, namespaces, process
from nbcontainers.linux.idmap import IDMapping

_LEAVING_S = 0.3
_FOREVER = "2147483647"
_KINDS = {"user": namespaces.CLONE_NEWUSER, "mnt": namespaces.CLONE_NEWNS}


def join(run: str) -> None:
    """Enter the namespaces of the pause process of this engine, making it first if need be.

    Raises HostNotCapable when the host does not let this user have a user namespace in which mounting works.
    """
    pid = find(run) or _make_once(run)
    descriptors = {kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in _KINDS}
    for kind, flag in _KINDS.items():
        namespaces.setns(descriptors[kind], flag)
        os.close(descriptors[kind])
    os.chdir("/")


def find(run: str) -> int | None:
    """The pid of the living pause process, or None."""
    try:
        with open(f"{run}/pause.json", "rb") as file:
            record = json.load(file)
    except (FileNotFoundError, ValueError):
        return None
    return record["pid"] if process.alive(record["pid"], record["start_time"]) else None


def end_if_unused(run: str) -> bool:
    """End the pause process if no other process lives in its user namespace; whether it was ended."""
    lock = _lock(run)
    try:
        pid = find(run)
        if pid is None or not _alone(pid):
            return False
        os.kill(pid, signal.SIGKILL)
        os.unlink(f"{run}/pause.json")
        return True
    finally:
        os.close(lock)


def _alone(pid: int) -> bool:
    """Whether nobody else is in its namespace; a launcher that was just hung up on may take a moment to go."""
    deadline = time.monotonic() + _LEAVING_S
    while any(other != pid for other in members(pid)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def members(pid: int) -> Iterator[int]:
    """Every process in the user namespace of `pid`, as far as /proc lets us see."""
    namespace = os.readlink(f"/proc/{pid}/ns/user")
    for name in os.listdir("/proc"):
        if name.isdigit() and _user_namespace(name) == namespace and process.start_time(int(name)) is not None:
            yield int(name)  # and no zombie


def _user_namespace(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        return ""


def _lock(run: str) -> int:
    """Only one launcher at a time makes or ends the pause process."""
    descriptor = os.open(f"{run}/pause.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _make_once(run: str) -> int:
    lock = _lock(run)
    try:
        return find(run) or _make(run)
    finally:
        os.close(lock)


def _make(run: str) -> int:
    """Try the map with many ids, then the one-entry map."""
    failure: OSError | None = None
    for uids, gids in _candidates():
        try:
            pid = _start(uids, gids)
        except OSError as error:
            failure = error
            continue
        _record(run, pid)
        return pid
    assert failure is not None
    raise HostNotCapable.from_oserror(
        failure, "no user namespace for containers", hint=f"{hint()}; system doctor looks at every part"
    ) from None


def _record(run: str, pid: int) -> None:
    path = f"{run}/pause.json"
    with open(f"{path}.new", "w") as file:
        json.dump({"pid": pid, "start_time": process.start_time(pid)}, file)
    os.rename(f"{path}.new", path)


def _candidates() -> Iterator[tuple[list[IDMapping], list[IDMapping]]]:
    uid, gid = os.geteuid(), os.getegid()
    own_uid: list[IDMapping] = [{"containerID": 0, "hostID": uid, "size": 1}]
    own_gid: list[IDMapping] = [{"containerID": 0, "hostID": gid, "size": 1}]
    more_uids, more_gids = subordinate("/etc/subuid", uid), subordinate("/etc/subgid", uid)
    if more_uids and more_gids:
        yield own_uid + more_uids, own_gid + more_gids
    yield own_uid, own_gid


def subordinate(path: str, uid: int) -> list[IDMapping]:
    """The ranges of subuid(5) or subgid(5) that belong to `uid`, as ids from 1 on."""
    owners = {str(uid), login(uid)}
    mappings: list[IDMapping] = []
    try:
        with open(path) as file:
            entries = [line.strip().split(":") for line in file]
    except OSError:
        return []
    first = 1
    for entry in entries:
        if len(entry) == 3 and entry[0] in owners and entry[1].isdigit() and entry[2].isdigit():
            size = int(entry[2])
            mappings.append({"containerID": first, "hostID": int(entry[1]), "size": size})
            first += size
    return mappings


def login(uid: int) -> str:
    """The name of a user; his number where there is none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _start(uids: list[IDMapping], gids: list[IDMapping]) -> int:
    """Fork the pause process, write its maps, and wait until it has shown that it can mount. Raises OSError."""
    ours, theirs = _socketpair()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _be_pause(theirs)
    os.close(theirs)
    try:
        _expect(ours)
        idmap.write_maps(pid, uids, gids)
        os.write(ours, b"m")
        _expect(ours)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(ours)
    return pid


def _socketpair() -> tuple[int, int]:
    import socket

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours.detach(), theirs.detach()


def _expect(ours: int) -> None:
    """One word of the child: nothing but "ok", or its error."""
    word = os.read(ours, 4096).decode()
    if word != "ok":
        number, _, text = word.partition(" ")
        raise OSError(int(number or 3), text or "the pause process died")


def _be_pause(theirs: int) -> NoReturn:
    """In the child: namespaces, a proof that mounting works, then nothing but sleep."""
    try:
        os.setsid()
        namespaces.unshare(namespaces.CLONE_NEWUSER)
        os.write(theirs, b"ok")
        if os.read(theirs, 1) == b"m":
            namespaces.unshare(namespaces.CLONE_NEWNS)
            mounts.make_slave()
            mounts.mount("tmpfs", "/tmp", "tmpfs")  # AppArmor lets unshare(2) pass and denies the mount
            mounts.umount("/tmp", mounts.MNT_DETACH)
            _sleep(theirs)
    except OSError as error:
        os.write(theirs, f"{error.errno} {error.strerror}".encode())
    finally:
        os._exit(1)


def _sleep(theirs: int) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    process.close_on_exec()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.write(theirs, b"ok")
    os.execvp("sleep", ["sleep", _FOREVER])


def hint() -> str:
    """What to type, from the switch that is most likely set."""
    if _switch("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor forbids it; sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, "
            "or give this Python a profile with `userns,`"
        )
    if _switch("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if _switch("/proc/sys/user/max_user_namespaces") == "0":
        return "sudo sysctl -w user.max_user_namespaces=15000"
    return "run as root, or where user namespaces are allowed (a container's seccomp profile may forbid them)"


def _switch(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
