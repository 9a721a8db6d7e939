"""The parts of an X-ray, from texts of the kernel: what is read out of them, and how it is shown."""

from __future__ import annotations

import json
import os
import re
from html import unescape

import pytest

from nbcontainers.cgroups.layout import Hierarchy, Layout
from nbcontainers.container import processes
from nbcontainers.container.isolation import limits, look, mounted, namespaces, privileges, sections, sight, xray
from nbcontainers.linux import process

HOST = {"pid": 1, "mnt": 2, "net": 3, "uts": 4, "ipc": 5, "cgroup": 6, "time": 7, "user": 8}
MOUNTINFO = r"""
700 600 0:55 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b
701 700 0:56 / /proc rw,nosuid - proc proc rw
702 701 0:57 / /proc/kcore ro - tmpfs tmpfs ro
703 701 0:56 /sys /proc/sys ro,nosuid - proc proc rw
704 700 254:0 /home/me/my\040data /data ro shared:7 master:3 - ext4 /dev/vda rw
705 700 254:0 / /whole rw unbindable - ext4 /dev/vda rw
""".strip()
CONFIG = {
    "linux": {"maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"]},
    "mounts": [{"destination": "/data", "source": "/srv/data", "type": "bind"}],
}


def test_namespaces_are_compared_with_the_host():
    found = namespaces.rows(HOST, {**HOST, "pid": 11, "mnt": 12}, HOST)
    assert [row["type"] for row in found if row["own"]] == ["pid", "mnt"]
    assert found[0] == {
        "type": "pid", "host": 1, "container": 11, "own": True, "note": "",
        "isolates": "process numbers: its first is 1",
    }  # fmt: skip
    unread = namespaces.rows(HOST, {}, HOST)
    assert {row["own"] for row in unread} == {None}
    shared = namespaces.rows(HOST, {**HOST, "user": 18}, {**HOST, "user": 18})
    assert shared[-1]["note"] == "one for all containers of this user"
    assert [row["type"] for row in namespaces.asked(["mount", "network"]) if row["own"]] == ["mnt", "net"]


def test_id_maps():
    assert namespaces.identities("0 1000 1\n1 100000 65536\n", "0 0 4294967295\n") == [
        {"kind": "uid", "inside": 0, "outside": 1000, "count": 1},
        {"kind": "uid", "inside": 1, "outside": 100000, "count": 65536},
        {"kind": "gid", "inside": 0, "outside": 0, "count": 4294967295},
    ]


def test_mounts():
    found = {row["target"]: row for row in mounted.rows(MOUNTINFO, CONFIG)}
    assert found["/"]["source"] == "layers of the image, and one that is written to"
    assert (found["/"]["propagation"], found["/"]["read_only"]) == ("slave", False)
    assert found["/proc/kcore"]["role"] == "masked: empty"
    assert found["/proc/sys"]["role"] == "read-only path"
    assert found["/proc/sys"]["source"] == "/sys of proc"
    assert found["/data"]["source"] == "/srv/data"
    assert (found["/data"]["propagation"], found["/data"]["read_only"]) == ("shared, slave", True)
    assert found["/whole"]["propagation"] == "unbindable"
    assert mounted.rows(MOUNTINFO, {})[4]["source"] == "/home/me/my data of /dev/vda"
    assert mounted.asked({"mounts": [{"destination": "/x", "source": "/y", "options": ["rbind", "ro", "rslave"]}]}) == [
        {"target": "/x", "type": "bind", "source": "/y", "options": "rbind,ro,rslave", "read_only": True,
         "propagation": "slave", "role": ""}
    ]  # fmt: skip


def test_capabilities_against_docker_s():
    status = {"CapBnd": "00000000a80425fb", "CapPrm": "0", "CapEff": "0", "CapInh": "0", "CapAmb": "0000000000000000"}
    rows = {row["name"]: row for row in privileges.rows(privileges.of_status(status))}
    assert {name for name, row in rows.items() if row["bounding"]} == {
        name.removeprefix("CAP_") for name in privileges.DOCKER
    }  # the mask of a container that Docker made
    assert {row["compared"] for row in rows.values()} == {""}
    asked = {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"], "effective": ["CAP_CHOWN"]}}
    rows = {row["name"]: row for row in privileges.rows(privileges.of_config(asked))}
    assert (rows["SYS_ADMIN"]["compared"], rows["MKNOD"]["compared"], rows["CHOWN"]["compared"]) == (
        "added",
        "dropped",
        "",
    )
    assert rows["CHOWN"]["effective"] is True
    assert all(row["allows"] for row in rows.values())


def test_what_a_profile_does_with_each_call():
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0}]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    }
    found = {row["name"]: row["verdict"] for row in privileges.calls(profile, "x86_64")}
    assert (found["read"], found["clone"], found["clone3"], found["mount"]) == (
        "allowed", "by arguments", "denied", "denied",
    )  # fmt: skip
    some = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_ERRNO"}]}
    assert [row["name"] for row in privileges.calls(some, "x86_64") if row["verdict"] == "denied"] == ["chmod"]
    assert privileges.calls(profile, "pdp11") == privileges.calls(None, "x86_64") == []


def test_filters_and_privileges():
    said = {"Seccomp": "2", "Seccomp_filters": "1", "NoNewPrivs": "1"}
    assert [(row["name"], row["value"]) for row in privileges.filtered(said)] == [
        ("seccomp mode", "filter"), ("filters", "1"), ("no_new_privs", "on"),
    ]  # fmt: skip


@pytest.fixture
def unified(tmp_path, monkeypatch):
    """A cgroup v2 tree of files: /outer (1 GiB) with /outer/box in it."""
    box = tmp_path / "outer" / "box"
    box.mkdir(parents=True)
    files = {
        "memory.max": "268435456", "memory.current": "104857600", "memory.swap.max": "max", "cpu.max": "50000 100000",
        "cpuset.cpus.effective": "0-3", "pids.max": "64", "pids.current": "3", "io.max": "", "cpu.weight": "100",
    }  # fmt: skip
    for name, text in files.items():
        (box / name).write_text(f"{text}\n")
    (tmp_path / "outer" / "memory.max").write_text("1073741824\n")
    (tmp_path / "outer" / "memory.swap.max").write_text("0\n")
    (tmp_path / "outer" / "pids.max").write_text("32\n")
    host = Layout({}, Hierarchy((), str(tmp_path), "/", "/", 0, False))
    monkeypatch.setattr(limits, "layout", lambda: host)
    return "0::/outer/box\n"


def test_limits_of_v2_and_the_least_above(unified, tmp_path):
    found = {row["file"]: row for row in limits.rows(unified)}
    assert (found["memory.max"]["value"], found["memory.max"]["words"]) == ("268435456", "256 MiB")
    assert (found["memory.max"]["used"], found["memory.max"]["used_words"]) == (104857600, "100 MiB")
    assert found["memory.swap.max"]["words"] == "no limit"
    assert found["cpu.max"]["words"] == "0.5 CPUs: 50 ms of every 100 ms"
    assert (found["pids.max"]["controller"], found["pids.max"]["used"]) == ("pids", 3)
    assert found["io.max"]["words"] == "nothing set"
    assert {row["path"] for row in found.values()} == {str(tmp_path / "outer" / "box")}
    truth = limits.truth(unified)
    assert (truth.memory, truth.swap, truth.cpus, truth.pids, truth.memory_used) == (1 << 28, 0, 0.5, 32, 104857600)
    assert truth.files["pids"] == str(tmp_path / "outer" / "pids.max")
    assert truth.files["cpus"] == str(tmp_path / "outer" / "box" / "cpu.max")


def test_limits_of_v1(tmp_path, monkeypatch):
    trees = {}
    for name, files in {
        "memory": {"memory.limit_in_bytes": "9223372036854771712", "memory.usage_in_bytes": "4096"},
        "cpu": {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000", "cpu.shares": "1024"},
        "freezer": {"freezer.state": "FROZEN"},
        "pids": {},
    }.items():
        (tmp_path / name / "box").mkdir(parents=True)
        for file, text in files.items():
            (tmp_path / name / "box" / file).write_text(f"{text}\n")
        trees[name] = Hierarchy((name,), str(tmp_path / name), "/", "/", 0, False)
    monkeypatch.setattr(limits, "layout", lambda: Layout(trees, None))
    membership = "4:memory:/box\n3:cpu:/box\n2:freezer:/box\n1:pids:/\n"
    found = {(row["controller"], row["file"]): row["words"] for row in limits.rows(membership)}
    assert found["memory", "memory.limit_in_bytes"] == "no limit"
    assert found["cpu", "cpu.cfs_quota_us"] == "150 ms"
    assert found["freezer", "freezer.state"] == "frozen"
    assert found["pids", None] == "no limits here"
    truth = limits.truth(membership)
    assert (truth.cpus, truth.memory, truth.memory_used, truth.pids) == (1.5, None, 4096, None)


def test_what_is_seen_beside_what_is_allowed():
    truth = sight.Truth(0.5, 1 << 28, None, 64, 1 << 27, {"memory": "/m", "cpus": "/c"})
    seen = {"nproc": 8, "cpu_count": 8, "meminfo": {"MemTotal": 1 << 34, "MemAvailable": 1 << 33}, "uptime": 90.0,
            "threads_max": 32}  # fmt: skip
    rows = {(row["what"], row["asked"]): row for row in sight.rows(seen, truth, 30.0)}
    nproc = rows["processors", "nproc"]
    assert (nproc["sees"], nproc["allowed"], nproc["shown"], nproc["really"], nproc["fits"]) == (
        8,
        0.5,
        "8",
        "0.5",
        False,
    )
    assert rows["memory", "free, psutil"]["really"] == "256 MiB"
    assert rows["memory", "free, psutil"]["file"] == "/m"
    assert rows["free memory", "free, psutil"]["allowed"] == 1 << 27
    assert rows["processes", "threads-max"]["fits"] is True
    assert rows["up for", "uptime"]["shown"] == "1 min 30 s"
    assert ("swap", "free") not in rows


def test_a_look_at_this_very_process():
    pid, began = os.getpid(), process.start_time(os.getpid())
    child = os.fork()
    if child == 0:
        found = look.look(pid, began)
        same = found["namespaces"] == found["ours"] == namespaces.of_host()
        os._exit(0 if same and found["environ"] and " - " in found["mountinfo"] else 1)
    assert os.waitpid(child, 0)[1] == 0


def process_row(pid, parent, command="sh", **more):
    return {"host_pid": pid, "host_ppid": parent, "pid": pid - 100, "command": command, "host_uid": 100000, "uid": 0,
            "user": "root", "state": "S", "threads": 1, **more}  # fmt: skip


def test_processes_as_a_tree():
    rows = [
        process_row(101, 50),
        process_row(102, 101),
        process_row(103, 101),
        process_row(104, 102),
        process_row(110, 50),
    ]
    assert [(row["host_pid"], row["branch"]) for row in processes.tree(rows)] == [
        (101, ""), (102, "├─ "), (104, "│  └─ "), (103, "└─ "), (110, ""),
    ]  # fmt: skip


def view(**changes):
    facts = {
        "name": "web", "id": "3f2a9c1b0d4e" + "0" * 52, "status": "running", "at": "2026-11-23T07:40:12.000Z",
        "namespaces": xray._namespaces(namespaces.rows(HOST, {**HOST, "pid": 11}, HOST)),
        "users": sections.facts(namespaces.identities("0 100000 65536", "0 100000 65536"), "kind", "inside", "outside", "count"),
        "processes": xray._processes(processes.tree([process_row(101, 50), process_row(102, 101, "sleep 5")])),
        "sees": xray._sees(sight.rows({"nproc": 8, "meminfo": {"MemTotal": 1 << 34}}, sight.Truth(0.5, 1 << 28, None, None, None, {}), None)),
        "mounts": xray._mounts(mounted.rows(MOUNTINFO, CONFIG)),
        "capabilities": xray._capabilities(privileges.rows(privileges.of_config({"capabilities": {"bounding": ["CAP_CHOWN"]}}))),
        "syscalls": xray._syscalls({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}),
        "seccomp": sections.facts(privileges.filtered({"Seccomp": "2"}), "name", "value"),
        "environment": xray._environment(["PATH=/bin", "DB_PASSWORD=hunter2"]),
    }  # fmt: skip
    return xray.XRay(**{**facts, **changes})


def test_the_verdict():
    assert view().verdict[0] == "own: pid · shared with the host: mnt net uts ipc cgroup time user"
    assert view().verdict[1].startswith("root inside is user 100000 outside · 1 of 41 capabilities · seccomp denies ")
    assert view().verdict[2] == "it sees 8 processors, may use 0.5; 16 GiB of memory, may use 256 MiB"
    ended = xray.XRay("web", "0" * 64, "exited", "2026-11-23T07:40:12Z")
    assert ended.verdict == ["exited: nothing of it runs; this was recorded"]


def test_columns_that_nothing_stands_in_are_left_out():
    """Of one that has ended nobody knows the namespaces' numbers."""
    ended = xray.XRay(
        "web", "0" * 64, "exited", "2026-11-23T07:40:12Z", xray._namespaces(namespaces.asked(["pid", "mount"]))
    )
    assert "own          process numbers" in ended.text()
    for shown in (ended.text(), ended.html()):
        assert "TYPE" in shown
        assert "HOST ID" not in shown
    assert "HOST ID" in view().html()


def test_secrets_are_not_in_saved_notebooks():
    shown = view()._repr_mimebundle_()
    assert "hunter2" not in json.dumps(shown)
    assert "(7 characters, not shown)" in shown["text/plain"]
    assert list(view().environment.to_pandas()["value"]) == ["/bin", "hunter2"]


def test_every_fact_of_the_html_is_in_the_text():
    text = " ".join(view().text().split())
    words = re.sub(r"<[^>]*>", " ", unescape(view().html())).replace("●", " ").replace("·", " ").split()
    assert [word for word in words if word not in text] == []


def test_hostile_commands_and_variables():
    hostile = "</pre><script>alert(1)</script>\x1b[2J\n"
    shown = view(
        name=hostile, processes=xray._processes(processes.tree([process_row(101, 1, hostile)])),
        environment=xray._environment([f"{hostile}={hostile}"]),
    )  # fmt: skip
    assert "<script" not in shown.html()
    assert "\x1b" not in shown.html() + shown.text()


def test_a_thousand_processes_and_variables_stay_small():
    rows = [process_row(101 + number, 101 if number else 1, "x" * 1000) for number in range(2000)]
    shown = view(
        processes=xray._processes(processes.tree(rows)),
        environment=xray._environment([f"V{number}={'&' * 1000}" for number in range(1000)]),
    )
    assert len(json.dumps(shown._repr_mimebundle_())) < 300_000
    assert "… 1940 more; .to_pandas() has all" in shown.text()
    assert "… 1940 more; .to_pandas() has all" in shown.html()
    assert len(shown.processes.to_pandas()) == 2000


def test_frames_have_real_dtypes():
    frame = view().namespaces.to_pandas()
    assert (frame["host"].dtype, frame["own"].dtype) == ("int64", "bool")
    partly = xray._namespaces(namespaces.rows(HOST, {"pid": 11}, HOST)).to_pandas()
    assert (partly["container"].dtype, partly["own"].dtype) == ("Int64", "boolean")
    assert view().capabilities.to_pandas()["bounding"].dtype == "bool"
    assert view().sees.to_pandas()["sees"].dtype == "float64"
    assert json.loads(json.dumps(view().document()))["namespaces"][0]["container"] == 11
