"""What a host looks like: the state that no test may change, and a way to say what changed.

A `Snapshot` is a dict of named sets of strings; what is in a later one and not in the former has leaked. On a
machine of its own (CI) everything counts; elsewhere only what bears our marks, since other programs are at work.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Snapshot = dict[str, set[str]]

ALONE = bool(os.environ.get("CI") or os.environ.get("NBCONTAINERS_TESTS_ALONE"))
MARK = "NBCONTAINERS_TEST_SESSION"  # in the environment of all that this test session starts
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
MACHINE = ("binary_backend", "systemd-udevd", "(udev-worker)", "agetty")  # come and go without us
SETTLE_S = 3.0


def processes() -> Iterator[tuple[Path, list[str]]]:
    """Folder and `stat_fields` of every process but the kernel's own threads and this very one."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            fields = stat_fields(folder := Path("/proc", name))
            if fields and "2" not in (name, fields[1]):
                yield folder, fields


def read(path: Path) -> str:
    """The file's text; nothing when the process has gone or is not ours to read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def marked(folder: Path) -> bool:
    """Whether the process, or the one that started it, belongs to this session; a container's own has no environment."""
    mark = f"{MARK}={os.environ.get(MARK, '')}"
    if mark in read(folder / "environ").split("\0"):
        return True
    fields = stat_fields(folder)
    return bool(fields) and mark in read(Path("/proc", fields[1], "environ")).split("\0")


def mounts() -> set[str]:
    """Mount point, type and source of each mount, without the numbers that change."""
    lines = (line.split(" - ", 1) for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return {f"{left.split()[4]} {right}" for left, right in lines}


def cgroups() -> set[str]:
    """Every cgroup folder that a test could have made; on a shared machine those in which somebody lives are his."""
    found = set()
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        for name in folders:
            path = os.path.join(top, name)
            ours = "process_api" not in path if ALONE else "/nbcontainers/" in path and not inhabited(path)
            if (
                ours and not kept_ready(path) and not path.endswith("/nbcontainers")
            ):  # the parent stays for the next container
                found.add(path)
    return found


def hierarchies() -> set[str]:
    """The v1 controllers that are in use, mounted or not: a forgotten cgroup keeps its hierarchy alive."""
    lines = (line.split() for line in read(Path("/proc/cgroups")).splitlines() if not line.startswith("#"))
    return {fields[0] for fields in lines if ALONE and fields[1] != "0"}


def inhabited(path: str) -> bool:
    return read(Path(path, "cgroup.procs")) != ""


def kept_ready(path: str) -> bool:
    """Whether a container that was begun ahead, and nobody else, lives in this cgroup."""
    pids = read(Path(path, "cgroup.procs")).split()
    return bool(pids) and all(spare(stat_fields(Path("/proc", pid))) for pid in pids)


def links() -> set[str]:
    names = set(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else set()
    return names if ALONE else {name for name in names if name.startswith("nbc")}


def namespaces() -> set[str]:
    """Every namespace some process is in, as `net:[4026531840]`, with one of its processes' name."""
    found = set()
    for folder, fields in processes():
        if (not ALONE and not marked(folder)) or spare(fields) or (fields[0] == "Z" and not parent_is_ours(fields[1])):
            continue
        for kind in NAMESPACES:
            try:
                found.add(os.readlink(folder / "ns" / kind))
            except OSError:
                continue  # gone, or somebody else's
    return found


def running() -> set[str]:
    """`pid start-time name` of each user process that counts; of zombies only those that we should have reaped."""
    found, launchers = set(), 0
    for folder, fields in processes():
        if fields[1] == str(os.getpid()) and fields[0] != "Z" and "\0-I\0-S\0-c\0" in read(folder / "cmdline"):
            launchers += 1
            if launchers == 1:
                continue  # this session's launcher: a test may have killed the one before
        comm = read(folder / "comm").strip()
        if fields[0] == "Z":
            if parent_is_ours(fields[1]):
                found.add(f"{folder.name} {fields[19]} {comm} (zombie)")
        elif (marked(folder) or (ALONE and comm not in MACHINE and contained(folder))) and not spare(fields):
            found.add(f"{folder.name} {fields[19]} {comm}")
    return found


def contained(folder: Path) -> bool:
    """Whether the process is in a namespace of its own; one in ours and without our mark is the machine's."""
    try:
        return any(os.readlink(folder / "ns" / kind) != os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "mnt"))
    except OSError:  # gone, or somebody else's
        return False


def stat_fields(folder: Path) -> list[str]:
    """proc_pid_stat(5) from the state on."""
    return read(folder / "stat").rpartition(")")[2].split()


def spare(fields: list[str]) -> bool:
    """Whether this is one that a launcher keeps ready, its child or that one's: in the launcher's own session, where
    nothing else lives."""
    if not fields:
        return False  # it has gone meanwhile
    launcher = Path("/proc", fields[1])
    return "nbcontainers.launcher" in read(launcher / "cmdline") and stat_fields(launcher)[3:4] == fields[3:4]


def parent_is_ours(parent: str) -> bool:
    return parent == str(os.getpid()) or marked(Path("/proc", parent))


def temporary_files() -> set[str]:
    if not ALONE:
        return set()  # other sessions of these tests make some too
    folders = [Path("/tmp"), Path("/dev/shm"), Path("/var/tmp")]
    names = {str(path) for folder in folders if folder.is_dir() for path in folder.iterdir()}
    return {name for name in names if "nbc" in name.lower() or "container" in name}


def engine_files() -> set[str]:
    """Containers, names, volumes and runtime state of the session's engine."""
    root, run = (Path(os.environ[name]) for name in ("NBCONTAINERS_ROOT", "NBCONTAINERS_RUN"))
    folders = [root / "containers", root / "names", root / "volumes", run, *root.glob("networks/*/leases")]
    return {str(path) for folder in folders if folder.is_dir() for path in folder.iterdir() if keep(path)}


def keep(path: Path) -> bool:
    """Leave out what lasts as long as the session's launcher: the pause process, launcher sockets and locks."""
    return not path.name.startswith(("pause", "launcher", "lock", "."))


def devices() -> set[str]:
    """Owner, mode and number of the device nodes that foreign runtimes are known to damage."""
    found = set()
    for name in DEVICES:
        try:
            status = os.stat(f"/dev/{name}")
        except FileNotFoundError:
            found.add(f"/dev/{name} is missing")
            continue
        number = (
            f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if stat.S_ISCHR(status.st_mode) else "no device"
        )
        found.add(f"/dev/{name} {number} {oct(status.st_mode)} {status.st_uid}:{status.st_gid}")
    return found


def nftables() -> set[str]:
    if os.geteuid() != 0 or not shutil.which("nft"):
        return set()
    listing = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return {line for line in listing.stdout.splitlines() if ALONE or "nbcontainers" in line}


PROBES: dict[str, Callable[[], set[str]]] = {
    "mounts": mounts,
    "cgroups": cgroups,
    "cgroup hierarchies": hierarchies,
    "links": links,
    "namespaces": namespaces,
    "processes": running,
    "temporary files": temporary_files,
    "engine files": engine_files,
    "device nodes": devices,
    "nftables": nftables,
}


def snapshot() -> Snapshot:
    return {name: probe() for name, probe in PROBES.items()}


def leaked(before: Snapshot, settle: float = SETTLE_S) -> Snapshot:
    """What is new since `before` and still there after a bounded wait; empty probes are left out."""
    deadline = time.monotonic() + settle
    left = difference(before, snapshot())
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        now = difference(before, snapshot())
        left = {name: both for name, items in left.items() if (both := items & now.get(name, set()))}
    return left


def difference(before: Snapshot, after: Snapshot) -> Snapshot:
    return {name: new for name in after if (new := after[name] - before[name])}


def report(left: Snapshot) -> str:
    return "\n".join(f"  {name}: {item}" for name, items in sorted(left.items()) for item in sorted(items))
