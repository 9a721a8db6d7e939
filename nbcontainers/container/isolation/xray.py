"""The isolation of one container: its facts, gathered once, as tables and as a view."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbcontainers.container import health, processes, store
from nbcontainers.container.container import Container
from nbcontainers.container.isolation import limits, mounted, namespaces, privileges, sections, sight
from nbcontainers.container.isolation.sections import Facts, Section, facts
from nbcontainers.container.shade import shade
from nbcontainers.errors import Error
from nbcontainers.launcher import client
from nbcontainers.monitor.files import rfc3339
from nbcontainers.table import GREY, Column, Row
from nbcontainers.view import View

_SECRET = ("PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH")
_LEAVING_S = 0.1


def _none() -> Facts:
    return facts([], "name")


@dataclass(frozen=True, eq=False, repr=False)
class XRay(View):
    """What separates a container from the host. Each table has a DataFrame: `.namespaces.to_pandas()`.

    `unread` says by part why it could not be read. Of one that does not run it is what was recorded.
    """

    name: str
    id: str
    status: str
    at: str
    """When it was looked at: RFC 3339, UTC."""
    namespaces: Facts = field(default_factory=_none)
    users: Facts = field(default_factory=_none)
    processes: Facts = field(default_factory=_none)
    sees: Facts = field(default_factory=_none)
    limits: Facts = field(default_factory=_none)
    mounts: Facts = field(default_factory=_none)
    capabilities: Facts = field(default_factory=_none)
    seccomp: Facts = field(default_factory=_none)
    syscalls: Facts = field(default_factory=_none)
    names: Facts = field(default_factory=_none)
    environment: Facts = field(default_factory=_none)
    unread: Mapping[str, str] = field(default_factory=dict)
    colour: str = GREY
    """Of its state's dot."""

    @property
    def live(self) -> bool:
        """Whether it was read from a running container."""
        return bool(self.processes.rows or self.users.rows)

    @property
    def verdict(self) -> list[str]:
        """The gist, in a few lines."""
        own = [row["type"] for row in self.namespaces if row["own"]]
        shared = [row["type"] for row in self.namespaces if row["own"] is False]
        lines = [] if self.live else [f"{self.status}: nothing of it runs; this was recorded"]
        if own or shared:
            lines.append(f"own: {' '.join(own) or 'none'} · shared with the host: {' '.join(shared) or 'none'}")
        if privileged := [self._root(), self._capable(), self._filtered()]:
            lines.append(" · ".join(filter(None, privileged)))
        return [line for line in [*lines, self._blind()] if line]

    def _root(self) -> str:
        for row in self.users:
            if row["kind"] == "uid" and row["inside"] == 0:
                outside = row["outside"]
                return "root inside is root outside" if outside == 0 else f"root inside is user {outside} outside"
        return ""

    def _capable(self) -> str:
        held = sum(bool(row.get("bounding")) for row in self.capabilities)
        return f"{held} of {len(self.capabilities)} capabilities" if self.capabilities.rows else ""

    def _filtered(self) -> str:
        denied = sum(row["verdict"] == "denied" for row in self.syscalls)
        if denied:
            return f"seccomp denies {denied} of {len(self.syscalls)} system calls"
        return (
            "no seccomp filter"
            if any(row["value"] == "off" and row["name"] == "seccomp mode" for row in self.seccomp)
            else ""
        )

    def _blind(self) -> str:
        """The two things that surprise: processors and memory."""
        said = []
        for what in ("processors", "memory"):
            row = next((row for row in self.sees if row["what"] == what), None)
            if row and row["fits"] is False:
                said.append(
                    f"{row['shown']} {'processors' if what == 'processors' else 'of memory'}, may use {row['really']}"
                )
        return f"it sees {'; '.join(said)}" if said else ""

    @property
    def heading(self) -> list[str]:
        return [self.name, self.id[:12], self.status, f"seen {self.at[:19].replace('T', ' ')} UTC"]

    def sections(self) -> list[Section]:
        found = [
            Section("namespaces", "its own, or the host's", self.namespaces, open=True),
            Section("what it sees", "what a program is told when it asks, and what the cgroup lets it have", self.sees,
                    open=True),
            Section("processes", "just processes of the host, under other numbers", self.processes),
            Section("users", "which id inside is which on the host", self.users),
            Section("limits", "its cgroup, read back from the kernel", self.limits, self._folders()),
            Section("mounts", f"{len(self.mounts)} in its tree of files", self.mounts),
            self._capability_section(),
            Section("filter", "seccomp, new privileges, label", self.seccomp, self._calls()),
            Section("names and clocks", "on the host and inside", self.names),
            Section("environment", f"{len(self.environment)} variables of its first process", self.environment),
        ]  # fmt: skip
        return [one for one in found if one.table.rows] + self._missing()

    def _folders(self) -> list[str]:
        paths = {row["controller"]: row["path"] for row in self.limits if row["path"]}
        return [f"{controller}: {path}" for controller, path in paths.items()]

    def _capability_section(self) -> Section:
        held = [row for row in self.capabilities if row["docker"] or any(row.get(kind) for kind in privileges.SETS)]
        rest = [row["name"] for row in self.capabilities if row not in held]
        changed = {how: [row["name"] for row in held if row["compared"] == how] for how in ("added", "dropped")}
        words = "; ".join(f"{how} {' '.join(names)}" for how, names in changed.items() if names)
        below = [f"it has none of these, as with Docker: {' '.join(rest)}"] if rest else []
        return Section("capabilities", f"against Docker's default: {words or 'the same'}",
                       Facts(held, self.capabilities.columns), below)  # fmt: skip

    def _calls(self) -> list[str]:
        found = []
        for verdict, words in (
            ("denied", "denied by its profile"),
            ("by arguments", "allowed for some arguments only"),
        ):
            names = [row["name"] for row in self.syscalls if row["verdict"] == verdict]
            found += [f"{words} ({len(names)}): {' '.join(names)}"] if names else []
        return found

    def _missing(self) -> list[Section]:
        rows = [{"part": part, "why": why} for part, why in self.unread.items()]
        return [Section("not read", "the kernel did not let us", facts(rows, "part", "why"))] if rows else []

    def text(self) -> str:
        return sections.text(self.heading, self.verdict, self.sections())

    def html(self) -> str:
        return sections.html(self.heading, self.verdict, self.sections(), self.colour)

    def document(self) -> dict[str, Any]:
        """Everything as JSON."""
        tables = {name: table.rows for name, table in vars(self).items() if isinstance(table, Facts)}
        said = {"name": self.name, "id": self.id, "status": self.status, "at": self.at, "verdict": self.verdict}
        return {**said, **tables, "unread": dict(self.unread)}


def xray(container: Container) -> XRay:
    """Look at a container; of one that ends meanwhile it is what was recorded. Raises NotFound."""
    record = container.record
    config = {} if container.kept else store.read(container.engine, container.id, "config.json")
    state = store.state(container.engine, container.id)
    found = _whole(container, config, state) or _recorded(container, config)
    status = container.status
    colour = shade(status, container.ended.get("exit_code"), health.status(container))
    who: dict[str, Any] = {"name": str(record["name"]), "id": container.id, "status": status, "colour": colour}
    return XRay(**who, at=rfc3339(time.time_ns()), **found)


def _whole(container: Container, config: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any] | None:
    """All of one that runs from the first look to the last; else None."""
    try:
        found = _living(container, config, state) if store.alive(state) else None
    except (Error, OSError):
        if store.alive(state):
            raise
        return None
    if found and found["unread"]:  # it may be on its way out: its namespaces go before it is a zombie
        time.sleep(_LEAVING_S)
    return found if store.alive(state) else None


def _recorded(container: Container, config: Mapping[str, Any]) -> dict[str, Any]:
    """What its configuration asked for, and its limits as they were in force."""
    linux, process = config.get("linux") or {}, config.get("process") or {}
    found = {"limits": _limits(limits.recorded(dict(container.limits)))}
    if not config:  # of one that was removed only its records are kept
        return found
    kinds = [one["type"] for one in linux.get("namespaces") or ()]
    return found | {
        "namespaces": _namespaces(namespaces.asked(kinds)), "mounts": _mounts(mounted.asked(config)),
        "capabilities": _capabilities(privileges.rows(privileges.of_config(process))),
        "seccomp": facts([{"name": "no_new_privs", "value": "on" if process.get("noNewPrivileges") else "off"}],
                         "name", "value"),
        "syscalls": _syscalls(linux.get("seccomp")), "environment": _environment(process.get("env") or ()),
    }  # fmt: skip


def _living(container: Container, config: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    pid, began = state["pid"], state["start_time"]
    seen = client.call("nbcontainers.container.isolation.look:look", pid=pid, start_time=began)
    unread, host = dict(seen["unread"]), namespaces.of_host()
    membership = _text(f"/proc/{pid}/cgroup") or seen.get("cgroup", "")
    rows, status = processes.rows(container, state), processes.status(pid)
    inner = next((row["pid"] for row in rows if row["host_pid"] == pid), 1)
    try:
        target = "nbcontainers.container.isolation.sight:measure"
        measured = client.call(target, pid=pid, start_time=began, inner=inner)
    except (Error, OSError) as error:
        unread["what it sees"], measured = str(error), {}
    return {
        "namespaces": _namespaces(namespaces.rows(host, seen["namespaces"], seen["ours"])),
        "users": facts(namespaces.identities(_text(f"/proc/{pid}/uid_map"), _text(f"/proc/{pid}/gid_map")),
                       "kind", "inside", "outside", "count"),
        "processes": _processes(processes.tree(rows)),
        "sees": _sees(sight.rows(measured, limits.truth(membership), container.wall_s) if measured else [], container.id),
        "limits": _limits(limits.rows(membership)),
        "mounts": _mounts(mounted.rows(seen.get("mountinfo", ""), config)),
        "capabilities": _capabilities(privileges.rows(privileges.of_status(status))),
        "seccomp": facts([*privileges.filtered(status), *_label(seen)], "name", "value"),
        "syscalls": _syscalls((config.get("linux") or {}).get("seccomp")),
        "names": facts(_names(seen, measured), "what", "host", Column("container", format=sections.cut)),
        "environment": _environment(seen.get("environ", "").rstrip("\0").split("\0")),
        "unread": unread,
    }  # fmt: skip


def _namespaces(rows: Sequence[Row]) -> Facts:
    own = Column("own", "", lambda own: "" if own is None else "own" if own else "the host's")
    notes = [Column("note", "")] if any(row["note"] for row in rows) else []
    return facts(rows, "type", Column("host", "HOST ID"), Column("container", "CONTAINER ID"), own, "isolates", *notes)


def _processes(rows: Sequence[Row]) -> Facts:
    found = [{**row, "tree": f"{row['branch']}{row['command']}"} for row in rows]
    return facts(found, Column("host_pid", "HOST PID"), Column("pid", "PID INSIDE"), Column("host_uid", "HOST UID"),
                 Column("uid", "UID INSIDE"), "user", Column("state", "S"), "threads",
                 Column("tree", "COMMAND", sections.cut))  # fmt: skip


def _sees(rows: Sequence[Row], id: str = "") -> Facts:
    """The file's name where it is of the container's own cgroup, its path where one above it says less."""
    file = Column("file", "SAYS", lambda path: os.path.basename(path) if id and id in path else path)
    return facts(rows, "what", Column("asked", "ASKED WITH"), Column("shown", "IT SEES"), Column("really", "IT MAY USE"),
                 Column("fits", "AGREES", sections.yes), file)  # fmt: skip


def _limits(rows: Sequence[Row]) -> Facts:
    return facts(rows, "controller", "file", Column("value", format=sections.brief), Column("words", "IN WORDS", sections.cut), Column("used_words", "IN USE"))  # fmt: skip


def _mounts(rows: Sequence[Row]) -> Facts:
    access = Column("read_only", "ACCESS", lambda only: "ro" if only else "rw")
    return facts(rows, Column("target", "INSIDE", sections.cut), "type", "role", access, "propagation", "source")


def _capabilities(rows: Sequence[Row]) -> Facts:
    found = [{**row, "sets": ", ".join(kind for kind in privileges.SETS if row.get(kind)) or "none"} for row in rows]
    return facts(found, "name", Column("sets", "IT HAS IT IN"), Column("docker", "DOCKER'S", sections.yes), "compared",
                 "allows")  # fmt: skip


def _syscalls(profile: Mapping[str, Any] | None) -> Facts:
    return facts(privileges.calls(profile, os.uname().machine), "name", "verdict")


def _label(seen: Mapping[str, Any]) -> list[Row]:
    label = seen.get("attr/current", "").rstrip("\0\n")
    return [{"name": "label of the security module", "value": label or "none"}]


def _names(seen: Mapping[str, Any], measured: Mapping[str, Any]) -> list[Row]:
    """Rows: what, host, container."""
    found = []
    if "hostname" in seen:
        domain = (_text("/proc/sys/kernel/domainname") or "").strip()
        found.append({"what": "host name", "host": os.uname().nodename, "container": seen["hostname"]})
        found.append({"what": "domain name", "host": domain, "container": seen["domainname"]})
    for line in seen.get("timens_offsets", "").splitlines():
        clock, seconds, nanoseconds = line.split()
        offset = f"{int(seconds) + int(nanoseconds) / 1e9:g} s"
        found.append({"what": f"{clock} clock, offset", "host": "0 s", "container": offset})
    if cgroup := measured.get("cgroup", "").strip():
        found.append({"what": "/proc/1/cgroup", "host": "", "container": " ".join(cgroup.split("\n"))})
    return found


def _environment(entries: Sequence[str]) -> Facts:
    """Rows: name, value, shown: secrets would be in every saved notebook."""
    rows = []
    for entry in entries:
        name, equals, value = entry.partition("=")
        if equals:
            secret = any(word in name.upper() for word in _SECRET)
            rows.append(
                {"name": name, "value": value, "shown": f"({len(value)} characters, not shown)" if secret else value}
            )
    return facts(rows, "name", Column("shown", "VALUE", sections.cut))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
