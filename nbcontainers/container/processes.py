"""`top`: the processes of a container, read from the host's /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.errors import InvalidState
from nbcontainers.table import Column, Table, age, bytes_, duration

_TICKS = os.sysconf("SC_CLK_TCK")


def top(container: Container) -> Table:
    """Rows: pid (inside), host_pid, parent (host), user (the uid as the host sees it), state, threads, cpu_s, rss_bytes,
    elapsed_s and command. Raises InvalidState where it does not run.
    """
    state = store.state(container.engine, container.id)
    if not store.alive(state):
        raise InvalidState(
            f"container {container.name} is not running", hint="type container ps -a", status=container.status
        )
    rows = [row for pid in pids(state) if (row := _row(pid))]
    columns = [
        Column("pid", "PID"),
        Column("host_pid", "HOST PID"),
        Column("parent", "HOST PPID"),
        Column("user", "UID"),
        Column("state", "S"),
        Column("threads"),
        Column("cpu_s", "TIME", duration),
        Column("rss_bytes", "RSS", bytes_),
        Column("elapsed_s", "ELAPSED", age),
        Column("command"),
    ]
    return Table(sorted(rows, key=lambda row: row["host_pid"]), columns)


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


def _row(pid: int) -> dict[str, Any] | None:
    """proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5); None if it has just ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        with open("/proc/uptime", "rb") as file:
            uptime = float(file.read().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return None
    return {
        "pid": int(status.get("NSpid", str(pid)).split()[-1]),
        "host_pid": pid,
        "parent": int(fields[1]),
        "user": int(status["Uid"].split()[1]),
        "state": fields[0].decode(),
        "threads": int(fields[17]),
        "cpu_s": (int(fields[11]) + int(fields[12])) / _TICKS,
        "rss_bytes": int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        "elapsed_s": uptime - int(fields[19]) / _TICKS,
        "command": words or f"[{status.get('Name', '')}]",
    }
