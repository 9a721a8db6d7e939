"""`top`: the processes of a container, read from the host's /proc."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nbcontainers.container import parts, store, users
from nbcontainers.container.container import Container
from nbcontainers.container.failure import not_running
from nbcontainers.errors import ImageError, InvalidArgument
from nbcontainers.table import Column, Row, Table, age, bytes_, duration

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

#: By the word podman has for each: the column that shows it.
_COLUMNS = {
    "user": Column("user"),
    "uid": Column("uid", "UID"),
    "huser": Column("host_uid", "HOST UID"),
    "pid": Column("pid", "PID"),
    "ppid": Column("ppid", "PPID"),
    "hpid": Column("host_pid", "HOST PID"),
    "hppid": Column("host_ppid", "HOST PPID"),
    "state": Column("state", "S"),
    "nlwp": Column("threads"),
    "time": Column("cpu_s", "TIME", duration),
    "rss": Column("rss_bytes", "RSS", bytes_),
    "vsz": Column("vsz_bytes", "VSZ", bytes_),
    "etime": Column("elapsed_s", "ELAPSED", age),
    "comm": Column("comm", "NAME"),
    "args": Column("command"),
}
_DEFAULT = ("user", "pid", "ppid", "hpid", "state", "nlwp", "time", "rss", "etime", "args")


def top(container: Container, words: Sequence[str] = ()) -> Table:
    """Rows: user, uid, pid, ppid (as the container sees them; the user by its own passwd), host_uid, host_pid,
    host_ppid, state, threads, cpu_s, rss_bytes, vsz_bytes, elapsed_s, comm and command. `words` choose what is shown.

    Raises InvalidState where it does not run, InvalidArgument for words that name no column.
    """
    columns = _chosen(words)
    state = store.state(container.engine, container.id)
    if not store.alive(state):
        raise not_running(container.name, container.status)
    return Table(rows(container, state), columns)


def rows(container: Container, state: dict[str, Any]) -> list[Row]:
    """Those of `top`, by their host pids. `state` is state.json of one that runs."""
    seen = _Seen(state["pid"], _names(container))
    found = [row for pid in pids(state) if (row := seen.row(pid))]
    inside = {row["host_pid"]: row["pid"] for row in found}
    for row in found:
        row["ppid"] = inside.get(row["host_ppid"], 0)
    return sorted(found, key=lambda row: int(row["host_pid"]))


def tree(rows: Sequence[Row]) -> list[Row]:
    """The same with parents before their children, and in `branch` what is drawn before the command. What was started from
    outside (exec) is a root of its own."""
    below: dict[int, list[Row]] = {}
    known = {row["host_pid"] for row in rows}
    for row in rows:
        below.setdefault(row["host_ppid"] if row["host_ppid"] in known else 0, []).append(row)
    found: list[Row] = []
    waiting = [(row, "", "") for row in below.get(0, ())[::-1]]
    while waiting:
        row, branch, indent = waiting.pop()
        found.append({**row, "branch": branch})
        children = below.get(row["host_pid"], ())
        for number, child in enumerate(children[::-1]):
            waiting.append((child, f"{indent}{'├─ ' if number else '└─ '}", f"{indent}{'│  ' if number else '   '}"))
    return found


def status(pid: int) -> dict[str, str]:
    """The fields of proc_pid_status(5). Raises OSError."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def _chosen(words: Sequence[str]) -> list[Column]:
    wanted = [name for word in words for name in word.lower().split(",") if name]
    if unknown := [name for name in wanted if name not in _COLUMNS]:
        raise InvalidArgument(
            f"top: {unknown[0]!r} is no column", hint=f"write some of {', '.join(_COLUMNS)}", option="columns"
        )
    return [_COLUMNS[name] for name in wanted or _DEFAULT]


def _names(container: Container) -> Mapping[int, str]:
    """Users by their ids, as the container's own /etc/passwd has them; it may hold anything, or be gone."""
    try:
        return users.names(parts.folders(container, container.record))
    except (ImageError, OSError):
        return {}


def pids(state: dict[str, Any]) -> list[int]:
    """The processes of its cgroup; without a cgroup those in the pid namespace of its first process."""
    from nbcontainers.cgroups.detect import open_record

    found = open_record(state["cgroup"]).procs() if state.get("cgroup") else []
    return found or list(_in_namespace(state["pid"]))


def _in_namespace(pid: int) -> Iterator[int]:
    """Every process that shares a process's pid namespace, or descends from it where that may not be read."""
    mine = _namespace(pid)
    for name in os.listdir("/proc"):
        if name.isdecimal() and (int(name) == pid or (mine and _namespace(int(name)) == mine)):
            yield int(name)


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


class _Seen:
    """Processes as a container sees them: its first process `init` tells how ids are mapped."""

    def __init__(self, init: int, names: Mapping[int, str]) -> None:
        self.names = names
        self.inside = _inside(init)
        self.level = _level(init)
        with open("/proc/uptime", "rb") as file:
            self.uptime = float(file.read().split()[0])

    def row(self, pid: int) -> Row | None:
        """proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5); None if it has just ended."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            said = status(pid)
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        host_uid = int(said["Uid"].split()[1])
        uid = self.inside(host_uid)
        return {
            "user": self.names.get(uid, str(uid)), "uid": uid, "host_uid": host_uid,
            "pid": self._pid(said, pid), "host_pid": pid, "host_ppid": int(fields[1]),
            "state": fields[0].decode(), "threads": int(fields[17]),
            "cpu_s": (int(fields[11]) + int(fields[12])) / _TICKS,
            "rss_bytes": int(fields[21]) * _PAGE, "vsz_bytes": int(fields[20]),
            "elapsed_s": max(0.0, self.uptime - int(fields[19]) / _TICKS),
            "comm": said.get("Name", ""), "command": words or f"[{said.get('Name', '')}]",
        }  # fmt: skip

    def _pid(self, fields: Mapping[str, str], pid: int) -> int:
        """In the container's own pid namespace: NSpid has one number a level, and further ones of namespaces made inside."""
        numbers = fields.get("NSpid", str(pid)).split()
        return int(numbers[min(self.level, len(numbers) - 1)])


def _level(init: int) -> int:
    """How many pid namespaces the first process is below ours."""
    try:
        return len(status(init).get("NSpid", "").split()) - 1
    except OSError:
        return 0


def _inside(init: int) -> Callable[[int], int]:
    """From our uids to those of the user namespace of a process (user_namespaces(7), uid_map)."""
    try:
        with open(f"/proc/{init}/uid_map", "rb") as file:
            ranges = [tuple(map(int, line.split())) for line in file]
    except OSError:
        ranges = []

    def found(uid: int) -> int:
        return next((first + uid - ours for first, ours, count in ranges if ours <= uid < ours + count), uid)

    return found
