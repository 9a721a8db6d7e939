"""`container xray`: what it says of namespaces, ids, mounts, privileges and limits is what the host's own tools and the
container itself say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.container import api, defaults, store
from nbcontainers.container.container import Container
from nbcontainers.container.isolation.xray import XRay
from nbcontainers.errors import Error, NotFound
from tests.monitored import wait_for
from tests.peers import program

ROOT = os.geteuid() == 0


def serve(name: str, *command: str, **options: Any) -> Container:
    return nbcontainers.run("mini", *(command or ("sleep", "1000")), name=name, detach=True, **options)


def inside(container: Container, *command: str) -> str:
    out = bytearray()
    container.exec(*command, stdout=out.extend)
    return out.decode()


def tool(*command: str) -> str:
    """What a tool of the host prints; without it the test is skipped, but not in CI."""
    words = [program(command[0]), *command[1:]]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout


def by(table: Any, key: str) -> dict[Any, dict[str, Any]]:
    return {row[key]: row for row in table}


def test_namespaces_are_those_lsns_finds(name: str) -> None:
    container = serve(name)
    found = by(container.xray().namespaces, "type")
    lines = [line.split() for line in tool("lsns", "-n", "-o", "TYPE,NS", "-p", str(container.pid)).splitlines()]
    assert {kind: int(number) for kind, number in lines} == {kind: row["container"] for kind, row in found.items()}
    for kind, row in found.items():
        assert row["host"] == os.stat(f"/proc/self/ns/{kind}").st_ino
        assert row["own"] == (row["host"] != row["container"])
    own = {kind for kind, row in found.items() if row["own"]}
    assert own == {"pid", "mnt", "net", "uts", "ipc", "cgroup", "time"} | (set() if ROOT else {"user"})
    assert container.xray().verdict[0].startswith("own: pid mnt net uts ipc cgroup time")


def test_what_is_the_host_s_is_said_so(name: str) -> None:
    seen = serve(name, pid="host", network="host", uts="host").xray()
    shared = {row["type"] for row in seen.namespaces if not row["own"]}
    assert {"pid", "net", "uts"} <= shared
    assert by(seen.names, "what")["host name"]["container"] == os.uname().nodename
    first = seen.processes[0]
    assert first["pid"] == first["host_pid"]


def test_processes_and_users_on_both_sides(name: str) -> None:
    container = serve(name, "sh", "-c", "sleep 1000 & exec sleep 1001", user="33:33")
    wait_for(lambda: {row["command"] for row in container.top()} == {"sleep 1000", "sleep 1001"})
    seen = container.xray()
    rows = by(seen.processes, "pid")
    assert rows[1]["host_pid"] == container.pid
    assert rows[1]["command"] == "sleep 1001"
    child = next(row for row in seen.processes if row["pid"] != 1)
    assert child["branch"] == "└─ "
    for row in seen.processes:
        status = Path(f"/proc/{row['host_pid']}/status").read_text()
        assert f"NSpid:\t{row['host_pid']}\t{row['pid']}\n" in status
        assert f"Uid:\t{row['host_uid']}\t" in status
        assert row["uid"] == 33
        assert (row["host_uid"] == 33) == ROOT
    listed = {int(line.split()[0]) for line in inside(container, "ps", "-o", "pid").splitlines()[1:]}
    assert {row["pid"] for row in seen.processes} <= listed
    maps = [tuple(map(int, line.split())) for line in Path(f"/proc/{container.pid}/uid_map").read_text().splitlines()]
    assert [(row["inside"], row["outside"], row["count"]) for row in seen.users if row["kind"] == "uid"] == maps
    assert "└─ sleep 1000" in seen.text()


def test_mounts_are_those_the_container_has(name: str, tmp_path: Path) -> None:
    container = serve(name, volume=[f"{tmp_path}:/data:ro"], tmpfs=["/scratch"])
    rows = by(container.xray().mounts, "target")
    points = {line.split()[4] for line in inside(container, "cat", "/proc/1/mountinfo").splitlines()}
    assert points == set(rows)
    assert (rows["/data"]["read_only"], rows["/data"]["source"]) == (True, str(tmp_path))
    assert (rows["/scratch"]["read_only"], rows["/scratch"]["type"]) == (False, "tmpfs")
    masked = {target for target, row in rows.items() if row["role"] == "masked: empty"}
    assert masked == {path for path in defaults.MASKED_PATHS if path in points}
    assert masked
    assert rows["/proc/sys"]["role"] == "read-only path"
    assert rows["/"]["type"] in ("overlay", "fuse.fuse-overlayfs")


@pytest.mark.parametrize(
    "options", [{}, {"cap_drop": ["ALL"], "cap_add": ["CHOWN"]}, {"cap_add": ["SYS_PTRACE"], "user": "33"}]
)
def test_capabilities_are_those_capsh_decodes(name: str, options: dict[str, Any]) -> None:
    container = serve(name, **options)
    rows = container.xray().capabilities
    status = dict(line.split(":\t") for line in Path(f"/proc/{container.pid}/status").read_text().splitlines())
    for kind, field in (
        ("bounding", "CapBnd"),
        ("effective", "CapEff"),
        ("ambient", "CapAmb"),
        ("permitted", "CapPrm"),
    ):
        decoded = tool("capsh", f"--decode={status[field].strip()}").strip().partition("=")[2]
        held = {f"cap_{row['name'].lower()}" for row in rows if row[kind]}
        assert held == {word for word in decoded.split(",") if word}, kind
    dropped = {row["name"] for row in rows if row["compared"] == "dropped"}
    assert {"MKNOD", "NET_RAW", "AUDIT_WRITE"} <= dropped


def test_the_filter(name: str) -> None:
    container = serve(name)
    seen = container.xray()
    said = {row["name"]: row["value"] for row in seen.seccomp}
    assert (said["seccomp mode"], said["no_new_privs"]) == ("filter", "on")
    denied = {row["name"] for row in seen.syscalls if row["verdict"] == "denied"}
    assert {"mount", "unshare", "setns", "bpf", "init_module"} <= denied
    assert not {"read", "write", "chmod"} & denied
    with pytest.raises(Error, match="exec of unshare"):
        inside(container, "unshare", "-u", "true")
    open_ = serve(f"{name}-open", security_opt=["seccomp=unconfined", "no-new-privileges=false"]).xray()
    said = {row["name"]: row["value"] for row in open_.seccomp}
    assert (said["seccomp mode"], said["no_new_privs"]) == ("off", "off")
    assert "no seccomp filter" in open_.verdict[1]
    assert open_.syscalls.rows == []


def test_what_it_sees_is_what_programs_in_it_print(name: str) -> None:
    container = serve(name)
    seen = {(row["what"], row["asked"]): row for row in container.xray().sees}
    assert int(inside(container, "nproc")) == seen["processors", "nproc"]["sees"]
    assert (
        inside(container, "grep", "-c", "^processor", "/proc/cpuinfo").strip()
        == seen["processors", "/proc/cpuinfo"]["shown"]
    )
    total = inside(container, "grep", "MemTotal", "/proc/meminfo").split()[1]
    assert int(total) * 1024 == seen["memory", "free, psutil"]["sees"] == seen["memory", "sysinfo(2)"]["sees"]
    assert seen["up for", "uptime"]["sees"] == pytest.approx(
        float(inside(container, "cat", "/proc/uptime").split()[0]), abs=5
    )
    assert by(container.xray().names, "what")["host name"]["container"] == inside(container, "hostname").strip()


@pytest.mark.limits
def test_limits_with_their_files_read_back(name: str) -> None:
    container = serve(name, memory="64m", cpus=0.5, pids_limit=50)
    seen = container.xray()
    for row in seen.limits:
        if row["file"] and row["file"] not in ("devices.list",):
            assert Path(row["path"], row["file"]).read_text().strip() == row["value"]
    values = {row["file"]: row["words"] for row in seen.limits}
    assert values.get("memory.max", values.get("memory.limit_in_bytes")) == "64 MiB"
    assert values["pids.max"] == "50"
    told = {(row["what"], row["asked"]): row for row in seen.sees}
    assert told["processors", "nproc"]["allowed"] == 0.5
    assert told["memory", "free, psutil"]["allowed"] == 64 << 20
    assert told["memory", "free, psutil"]["fits"] is False
    assert "may use 64 MiB" in " ".join(seen.verdict)
    api.update(name, memory="96m")
    told = {(row["what"], row["asked"]): row for row in container.xray().sees}
    assert told["memory", "free, psutil"]["allowed"] == 96 << 20


@pytest.mark.limits
def test_one_that_is_paused(name: str) -> None:
    container = serve(name)
    container.pause()
    began = time.monotonic()
    seen = container.xray()
    assert time.monotonic() - began < 3
    assert (seen.status, len(seen.processes)) == ("paused", 1)
    assert seen.sees.rows
    assert not seen.unread


def test_one_that_does_not_run_says_what_was_recorded(name: str) -> None:
    created = api.create("mini", "true", name=f"{name}-c", network="host", env={"A": "1"})
    seen = created.xray()
    assert seen.verdict[0] == "created: nothing of it runs; this was recorded"
    own = {row["type"] for row in seen.namespaces if row["own"]}
    assert own == {"pid", "mnt", "uts", "ipc", "cgroup", "time"}
    assert {row["target"] for row in seen.mounts} >= {"/proc", "/dev", "/sys"}
    assert {row["name"]: row["value"] for row in seen.environment}["A"] == "1"
    ended = nbcontainers.run("mini", "true", name=f"{name}-e")
    assert "exited: nothing of it runs" in ended.xray().text()
    gone = nbcontainers.run("mini", "true", rm=True)
    assert gone.xray().verdict == ["exited: nothing of it runs; this was recorded"]
    with pytest.raises(NotFound):
        api.xray(f"{name}-none")


def test_what_a_container_chooses_stays_text(name: str) -> None:
    hostile = '<script>alert(1)</script>\x1b[2J"'
    container = serve(
        name, "sh", "-c", "sleep 1000; true", hostile, env={"A": hostile, "<b>": "x"}, label=[f"a={hostile}"]
    )
    shown = container.xray()._repr_mimebundle_()
    assert "<script" not in shown["text/html"]
    assert "<b>x" not in shown["text/html"]
    assert "\x1b" not in shown["text/html"] + shown["text/plain"]
    assert len(json.dumps(shown)) < 300_000


@pytest.mark.as_root
def test_a_container_that_lies_in_its_proc_keeps_nobody_waiting(name: str) -> None:
    script = "mkfifo /f; mount --bind /f /proc/meminfo; mount --bind /f /proc/cpuinfo; touch /done; sleep 1000"
    container = serve(name, "sh", "-c", script, privileged=True)
    wait_for(lambda: _there(container, "/done"))
    began = time.monotonic()
    seen = container.xray()
    assert time.monotonic() - began < 8
    asked = {row["asked"] for row in seen.sees}
    assert "/proc/cpuinfo" not in asked or by(seen.sees, "asked")["/proc/cpuinfo"]["sees"] == 0
    assert "free, psutil" not in asked
    assert len(seen.processes) >= 1


def _there(container: Container, path: str) -> bool:
    try:
        inside(container, "test", "-e", path)
    except Error:
        return False
    return True


def test_on_the_command_line(name: str) -> None:
    container = serve(name)
    command = [sys.executable, "-m", "nbcontainers", "container", "xray", name]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert shown.startswith(f"{name}  {container.short_id}  running  seen ")
    assert "namespaces: its own, or the host's" in shown
    told = json.loads(
        subprocess.run([*command, "--format", "json"], check=True, capture_output=True, text=True, timeout=60).stdout
    )
    assert told["id"] == container.id
    assert {row["type"] for row in told["namespaces"]} >= {"pid", "mnt", "net"}


def test_one_that_ends_while_it_is_looked_at(name: str) -> None:
    """It is seen as it ran, or as it was recorded; never half."""
    for number in range(12):
        container = serve(f"{name}-{number}", "sleep", f"0.0{number % 4}")
        seen = container.xray()
        assert not seen.unread
        assert seen.live == bool(seen.sees.rows)


def test_it_leaves_nothing_and_changes_nothing(name: str) -> None:
    container = serve(name)
    before = (store.state(container.engine, container.id), len(container.top()))
    assert isinstance(container.xray(), XRay)
    assert (store.state(container.engine, container.id), len(container.top())) == before
