"""`nbcontainers-runtime`: the lifecycle rules of runtime.md, and what a container is made of."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.linux import capabilities
from tests import peers

NAMESPACES = ["pid", "mount", "network", "uts", "ipc", "cgroup", "time"]
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]},
]


def configuration(*args: str, **process: Any) -> dict[str, Any]:
    """A small configuration; an ordinary user's has a user namespace of one id."""
    rootless = os.geteuid() != 0
    one = lambda host: [{"containerID": 0, "hostID": host, "size": 1}]  # noqa: E731
    maps = {"uidMappings": one(os.getuid()), "gidMappings": one(os.getgid())} if rootless else {}
    kinds = NAMESPACES + (["user"] if rootless else [])
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": MOUNTS,
        "process": {
            "args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": True, **process,
        },
        "linux": {"namespaces": [{"type": kind} for kind in kinds], **maps,
                  "maskedPaths": ["/proc/timer_list", "/proc/acpi"], "readonlyPaths": ["/proc/sys"]},
    }  # fmt: skip


class Runtime:
    """The program, with a state folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nbcontainers.runtime.program", "--root", str(self.root), *words]
        defaults: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 30, "stdin": subprocess.DEVNULL}
        return subprocess.run(command, check=False, **(defaults | options))

    def status(self, id: str) -> str:
        return str(json.loads(self("state", id).stdout)["status"])

    def wait(self, id: str, status: str) -> None:
        end = time.monotonic() + 10
        while self.status(id) != status:
            assert time.monotonic() < end, f"{id} is {self.status(id)}, not {status}"
            time.sleep(0.02)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    program = Runtime(tmp_path / "state")
    yield program
    for id in program("list", "-q").stdout.split():
        program("delete", "--force", id)


Bundle = Callable[[dict[str, Any]], Path]


def test_run_gives_the_programs_output_and_exit_status(runtime: Runtime, bundle: Bundle) -> None:
    folder = bundle(configuration("sh", "-c", "echo hello; hostname; exit 7"))
    done = runtime("run", "-b", str(folder), "one")
    assert (done.stdout, done.stderr, done.returncode) == ("hello\nbox\n", "", 7)
    assert runtime("list", "-q").stdout.strip() == ""


def test_create_does_not_run_the_program(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    folder = bundle(configuration("touch", "/ran"))
    pid_file = tmp_path / "pid"
    done = runtime("create", "-b", str(folder), "--pid-file", str(pid_file), "one", stdout=None, capture_output=False)
    assert done.returncode == 0
    assert runtime.status("one") == "created"
    assert json.loads(runtime("state", "one").stdout)["pid"] == int(pid_file.read_text())
    time.sleep(0.1)
    assert not (folder / "rootfs/ran").exists()
    (folder / "config.json").write_text(json.dumps(configuration("touch", "/other")))  # must not matter any more
    assert runtime("start", "one").returncode == 0
    runtime.wait("one", "stopped")
    assert (folder / "rootfs/ran").exists()
    assert not (folder / "rootfs/other").exists()
    assert runtime("delete", "one").returncode == 0


def test_verbs_in_a_wrong_state_are_errors_without_effect(runtime: Runtime, bundle: Bundle) -> None:
    folder = bundle(configuration("sleep", "60"))
    for words in (("start", "no"), ("state", "no"), ("kill", "no"), ("delete", "no")):
        done = runtime(*words)
        assert done.returncode == 1
        assert "no container 'no'" in done.stderr
    runtime("create", "-b", str(folder), "one", capture_output=False)
    done = runtime("create", "-b", str(folder), "one", capture_output=False, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert "a container with id 'one' exists" in done.stderr
    assert runtime.status("one") == "created"
    runtime("start", "one")
    assert "it is running" in runtime("start", "one").stderr
    assert "it is running" in runtime("delete", "one").stderr
    runtime("kill", "one", "KILL")
    runtime.wait("one", "stopped")
    assert "it is stopped" in runtime("kill", "one", "TERM").stderr
    assert "it is stopped" in runtime("start", "one").stderr
    assert runtime("delete", "one").returncode == 0


@pytest.mark.parametrize("id", ["", "../x", "a/b", ".hidden", "a b", "ä"])
def test_bad_ids_are_refused(runtime: Runtime, bundle: Bundle, id: str) -> None:
    done = runtime("run", "-b", str(bundle(configuration("true"))), id)
    assert done.returncode == 1
    assert "is no container id" in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["nosuch"], 127, "nosuch: executable file not found in $PATH"),
        (["/nosuch"], 127, "/nosuch: no such file or directory"),
        (["/etc/passwd"], 126, "/etc/passwd: permission denied"),
        (["/bin"], 126, "/bin: permission denied"),
    ],
)
def test_a_program_that_cannot_run_has_dockers_exit_status(
    runtime: Runtime, bundle: Bundle, args: list[str], code: int, words: str
) -> None:
    done = runtime("run", "-b", str(bundle(configuration(*args))), "one")
    assert done.returncode == code
    assert words in done.stderr
    assert runtime("list", "-q").stdout.strip() == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"#! /no/such\x1b[31m -x\n",
            "no such file or directory: its first line names '/no/such?[31m', which is missing",
        ),
        (b"#!/bin/sh\r\necho x\r\n", r"its lines end as on Windows, in \r\n"),
        (b"#!\n", "exec format error"),
    ],
)
def test_a_script_whose_interpreter_is_missing_is_not_missing_itself(
    runtime: Runtime, bundle: Bundle, content: bytes, words: str
) -> None:
    folder = bundle(configuration("/script"))
    (folder / "rootfs/script").write_bytes(content)
    (folder / "rootfs/script").chmod(0o755)
    done = runtime("run", "-b", str(folder), "one")
    assert done.returncode == (126 if "format" in words else 127)
    assert words in done.stderr


def test_a_program_whose_loader_is_missing_is_not_missing_itself(runtime: Runtime, bundle: Bundle) -> None:
    folder = bundle(configuration("/program"))
    shutil.copy("/usr/bin/env", folder / "rootfs/program")
    done = runtime("run", "-b", str(folder), "one")
    assert done.returncode == 127
    assert "/program: no such file or directory: the loader it names is missing" in done.stderr
    assert "hint: it was built for another C library" in done.stderr


def test_the_namespaces_are_its_own(runtime: Runtime, bundle: Bundle) -> None:
    folder = bundle(
        configuration("sh", "-c", "for n in mnt pid net uts ipc cgroup time; do readlink /proc/self/ns/$n; done")
    )
    inside = set(runtime("run", "-b", str(folder), "one").stdout.split())
    outside = {os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid", "net", "uts", "ipc", "cgroup", "time")}
    assert len(inside) == 7
    assert not inside & outside


def test_only_stdio_is_open_and_pid_1_is_the_program(runtime: Runtime, bundle: Bundle) -> None:
    folder = bundle(configuration("sh", "-c", "echo $$; ls /proc/1/fd; cat /proc/1/comm; :"))
    descriptors = [os.open("/", os.O_RDONLY) for _ in range(30)]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    done = runtime("run", "-b", str(folder), "one", close_fds=False)
    for descriptor in descriptors:
        os.close(descriptor)
    assert done.stdout.split() == ["1", "0", "1", "2", "sh"]


def test_devices_links_and_masked_paths(runtime: Runtime, bundle: Bundle) -> None:
    script = """
    for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done
    for l in fd stdin stdout stderr ptmx; do test -L /dev/$l || echo no $l; done
    wc -c < /proc/timer_list
    echo x > /proc/sys/kernel/domainname 2>/dev/null && echo written
    echo x > /dev/null && echo ok
    """
    done = runtime("run", "-b", str(bundle(configuration("sh", "-c", script))), "one")
    assert done.stdout.split() == ["0", "ok"], done.stderr


def test_a_missing_working_directory_is_made_and_one_outside_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    folder = bundle(configuration("pwd", cwd="/work/here"))
    assert runtime("run", "-b", str(folder), "one").stdout == "/work/here\n"
    for number in (3, 7, 11):
        folder = bundle(configuration("pwd", cwd=f"/proc/self/fd/{number}"))
        done = runtime("run", "-b", str(folder), "one")
        assert done.returncode in (125, 126), done.stdout
        assert f"/proc/self/fd/{number}" in done.stderr


def test_bind_mounts_read_only_files_and_directories(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("content")
    config = configuration(
        "sh", "-c", "cat /in/file /one; echo > /in/new 2>/dev/null || echo closed; ls /rw; echo 1 > /rw/out"
    )
    config["mounts"] = [
        *MOUNTS,
        {"destination": "/in", "type": "bind", "source": str(tmp_path / "data"), "options": ["rbind", "ro"]},
        {"destination": "/one", "type": "bind", "source": str(tmp_path / "data/file"), "options": ["bind"]},
        {"destination": "/rw", "type": "bind", "source": str(tmp_path / "data"), "options": ["rbind", "rw"]},
    ]
    done = runtime("run", "-b", str(bundle(config)), "one")
    assert done.stdout == "contentcontentclosed\nfile\n", done.stderr
    assert (tmp_path / "data/out").read_text() == "1\n"


def test_a_missing_bind_source_is_named(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    config = configuration("true")
    config["mounts"] = [*MOUNTS, {"destination": "/in", "source": str(tmp_path / "no"), "options": ["bind"]}]
    done = runtime("run", "-b", str(bundle(config)), "one")
    assert done.returncode == 125
    assert f"mount source {tmp_path}/no: No such file or directory" in done.stderr


def test_mount_points_never_leave_the_root(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """T-SYMROOT: every destination as a link to a place outside."""
    canary = tmp_path / "canary"
    canary.mkdir()
    for name in ("abs", "rel", "deep"):
        config = configuration("ls", "/in")
        destination = {"abs": "/lnk", "rel": "/lnk", "deep": "/lnk/more/below"}[name]
        config["mounts"] = [*MOUNTS, {"destination": destination, "type": "tmpfs", "source": "tmpfs"}]
        folder = bundle(config)
        link = folder / "rootfs/lnk"
        link.unlink(missing_ok=True)
        link.symlink_to(canary if name != "rel" else "../../../../../../../.." + str(canary))
        runtime("run", "-b", str(folder), "one")
        assert list(canary.iterdir()) == []


def test_proc_is_never_mounted_through_a_link(runtime: Runtime, bundle: Bundle) -> None:
    folder = bundle(configuration("true"))
    (folder / "rootfs/proc").rmdir()
    (folder / "rootfs/proc").symlink_to("/tmp")
    done = runtime("run", "-b", str(folder), "one")
    assert done.returncode == 125
    assert "/proc" in done.stderr


def test_environment_umask_rlimits_and_oom_score(runtime: Runtime, bundle: Bundle) -> None:
    config = configuration("sh", "-c", "env | sort; umask; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj")
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    config["process"]["user"]["umask"] = 0o027
    config["process"]["oomScoreAdj"] = 500
    config["process"]["env"] = ["PATH=/bin", "EMPTY=", "UTF=ä=ö", "ODD"]
    done = runtime("run", "-b", str(bundle(config)), "one")
    lines = done.stdout.splitlines()
    assert {"EMPTY=", "PATH=/bin", "UTF=ä=ö"} <= set(lines)
    assert lines[-4:] == ["0027", "100", "200", "500"], done.stderr


def test_an_rlimit_above_the_hosts_is_an_error_that_names_it(runtime: Runtime, bundle: Bundle) -> None:
    if capabilities.permitted() & capabilities.mask(["CAP_SYS_RESOURCE"]):
        pytest.skip("this root may raise hard limits")
    config = configuration("true")
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 2**30, "hard": 2**30}]
    done = runtime("run", "-b", str(bundle(config)), "one")
    assert done.returncode == 125
    assert "setrlimit RLIMIT_NOFILE 1073741824:1073741824" in done.stderr


def test_capabilities_and_no_new_privileges(runtime: Runtime, bundle: Bundle) -> None:
    config = configuration("grep", "-E", "^(Cap|NoNew|Seccomp:)", "/proc/self/status")
    config["process"]["capabilities"] = {
        key: ["CAP_CHOWN", "CAP_KILL"] for key in ("bounding", "permitted", "effective")
    }
    lines = dict(line.split(":\t") for line in runtime("run", "-b", str(bundle(config)), "one").stdout.splitlines())
    wanted = f"{1 << 0 | 1 << 5:016x}"
    assert [lines[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [
        "0" * 16,
        wanted,
        wanted,
        wanted,
        "0" * 16,
    ]
    assert lines["NoNewPrivs"] == "1"


@pytest.mark.as_root
def test_user_groups_and_their_capabilities(runtime: Runtime, bundle: Bundle) -> None:
    config = configuration("sh", "-c", "id; grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status")
    config["process"]["user"] = {"uid": 1000, "gid": 2000, "additionalGids": [10, 20]}
    config["process"]["capabilities"] = {key: ["CAP_CHOWN"] for key in ("bounding", "permitted", "effective")}
    lines = runtime("run", "-b", str(bundle(config)), "one").stdout.splitlines()
    assert lines[0] == "uid=1000 gid=2000 groups=10,20,2000" or lines[0].startswith("uid=1000 gid=2000 groups=")
    assert all(line.split()[1] == "0" * 16 for line in lines[1:])


@pytest.mark.as_root
def test_a_user_namespace_maps_ids(runtime: Runtime, bundle: Bundle) -> None:
    config = configuration("sh", "-c", "id -u; cat /proc/self/uid_map; echo > /dev/null && echo ok")
    config["linux"]["namespaces"].append({"type": "user"})
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    config["linux"].update(uidMappings=maps, gidMappings=maps)
    folder = bundle(config)
    subprocess.run(["chown", "-hR", "100000:100000", folder / "rootfs"], check=True)
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001 and parent != Path("/"):
            parent.chmod(0o711)
    before = os.stat("/dev/null")
    done = runtime("run", "-b", str(folder), "one")
    assert done.stdout.split() == ["0", "0", "100000", "65536", "ok"], done.stderr
    after = os.stat("/dev/null")
    assert (before.st_uid, before.st_mode) == (after.st_uid, after.st_mode)


def test_hooks_run_in_order_and_a_failing_one_undoes_everything(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    config = configuration("true")
    hook = lambda word: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > /dev/null; echo {word} >> {log}"]}]  # noqa: E731
    order = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    config["hooks"] = {kind: hook(kind) for kind in order}
    folder = bundle(config)
    assert runtime("run", "-b", str(folder), "one").returncode == 0
    assert log.read_text().split() == order
    config["hooks"]["createRuntime"] = [{"path": "/bin/false"}]
    done = runtime("run", "-b", str(bundle(config)), "one")
    assert done.returncode == 125
    assert "createRuntime hook /bin/false failed: exit status 1" in done.stderr


@pytest.mark.parametrize("verb", ["create", "run"])
def test_a_container_that_cannot_be_handed_over_is_taken_down(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, verb: str
) -> None:
    folder = bundle(configuration("sleep", "60"))
    done = runtime(verb, "-b", str(folder), "--pid-file", str(tmp_path / "nowhere/pid"), "one")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert runtime("list", "-q").stdout.strip() == ""
    assert runtime("state", "one").returncode == 1


def test_exec_joins_every_namespace(runtime: Runtime, bundle: Bundle) -> None:
    runtime("create", "-b", str(bundle(configuration("sleep", "60"))), "one", capture_output=False)
    runtime("start", "one")
    kinds = ("mnt", "pid", "net", "uts", "ipc", "cgroup", "time", "user")
    pid = json.loads(runtime("state", "one").stdout)["pid"]
    done = runtime(
        "exec", "one", "sh", "-c", "for n in " + " ".join(kinds) + "; do readlink /proc/self/ns/$n; done; exit 9"
    )
    assert done.stdout.split() == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds], done.stderr
    assert done.returncode == 9
    assert runtime("exec", "one", "nosuch").returncode == 127
    assert runtime("exec", "one", "/etc/passwd").returncode == 126
    assert runtime("exec", "one", "ls", "/proc/self/fd").stdout.split()[:3] == ["0", "1", "2"]


@pytest.mark.as_root
def test_exec_begins_with_what_init_has(runtime: Runtime, bundle: Bundle) -> None:
    """As with runc: user, groups, folder and capabilities are those of the configuration, and options change them."""
    sets = {key: ["CAP_KILL"] for key in ("bounding", "effective", "permitted")}
    config = configuration(
        "sleep", "60", cwd="/tmp", user={"uid": 7, "gid": 8, "additionalGids": [9]}, capabilities=sets
    )
    runtime("create", "-b", str(bundle(config)), "one", capture_output=False)
    runtime("start", "one")
    look = ("one", "sh", "-c", "pwd; id -u; id -G; grep CapBnd /proc/self/status | cut -f2")
    assert runtime("exec", *look).stdout.split("\n")[:4] == ["/tmp", "7", "8 9", f"{1 << 5:016x}"]
    changed = runtime(
        "exec", "-u", "5", "-g", "33", "--additional-gids", "44", "-c", "CAP_NET_RAW", "--cwd", "/etc", *look
    )
    assert changed.stdout.split("\n")[:4] == ["/etc", "5", "8 9 33 44", f"{1 << 5 | 1 << 13:016x}"], changed.stderr
    assert runtime("exec", "-u", "5:6", "one", "--", "id", "-g").stdout == "6\n"
    assert "'CAP_BOGUS' is no capability" in runtime("exec", "-c", "CAP_BOGUS", *look).stderr
    assert "write --user 1000:1000" in runtime("exec", "-u", "root", *look).stderr


@pytest.mark.as_root
@pytest.mark.may_skip("where there is cgroup v2 alone")
def test_a_program_sees_its_own_cgroup_also_in_the_hosts_namespace(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    """Which is how podman starts containers where there is cgroup v1. `update` then changes what it sees."""
    config = configuration("sleep", "60")
    config["mounts"] = [
        *MOUNTS,
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
    ]
    config["linux"]["namespaces"] = [{"type": kind} for kind in NAMESPACES if kind != "cgroup"]
    config["linux"]["resources"] = {"memory": {"limit": 64 << 20}}
    runtime("create", "-b", str(bundle(config)), "one", capture_output=False)
    runtime("start", "one")
    name = "memory/memory.limit_in_bytes" if Path("/sys/fs/cgroup/memory").exists() else "memory.max"
    if name == "memory.max":
        pytest.skip("in the host's namespace cgroup v2 shows the host's cgroups, as with runc")
    look = (
        "exec",
        "one",
        "sh",
        "-c",
        f"cat /sys/fs/cgroup/{name}; ls -d /sys/fs/cgroup/memory/one; touch /sys/fs/cgroup/x",
    )
    done = runtime(*look)
    assert done.stdout == f"{64 << 20}\n"
    assert "Read-only file system" in done.stderr
    (tmp_path / "limits").write_text(json.dumps({"memory": {"limit": 32 << 20}, "pids": {"limit": 9}}))
    assert runtime("update", "--resources", str(tmp_path / "limits"), "one").returncode == 0
    assert runtime(*look).stdout == f"{32 << 20}\n"
    assert "no usable resources" in runtime("update", "-r", str(tmp_path / "nothing"), "one").stderr


def test_a_terminal_of_the_containers_own(runtime: Runtime, bundle: Bundle) -> None:
    config = configuration("sh", "-c", "tty; stty size; ls -l /dev/console | cut -c1", terminal=True)
    config["process"]["consoleSize"] = {"height": 33, "width": 99}
    folder = bundle(config)
    command = [
        sys.executable,
        "-m",
        "nbcontainers.runtime.program",
        "--root",
        str(runtime.root),
        "run",
        "-b",
        str(folder),
        "one",
    ]
    done = subprocess.run(["script", "-qec", " ".join(command), "/dev/null"], capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL, check=False)  # fmt: skip
    assert done.stdout.split()[0] == "/dev/pts/0", done.stdout + done.stderr
    assert done.stdout.split()[-1] == "c"


def test_tmpfs_takes_over_what_the_image_has(runtime: Runtime, bundle: Bundle) -> None:
    config = configuration(
        "sh", "-c", "ls -l /data/sub | tail -1 | cut -d' ' -f1; cat /data/sub/file; echo > /data/new; ls /data"
    )
    config["mounts"] = [*MOUNTS, {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}]
    folder = bundle(config)
    (folder / "rootfs/data/sub").mkdir(parents=True)
    (folder / "rootfs/data/sub/file").write_text("kept\n")
    (folder / "rootfs/data/sub/file").chmod(0o640)
    assert runtime("run", "-b", str(folder), "one").stdout.split() == ["-rw-r-----", "kept", "new", "sub"]
    assert not (folder / "rootfs/data/new").exists()


def test_a_read_only_root(runtime: Runtime, bundle: Bundle) -> None:
    config = configuration("sh", "-c", "echo > /new || echo closed; echo > /dev/shm_ok && echo open")
    config["root"]["readonly"] = True
    assert runtime("run", "-b", str(bundle(config)), "one").stdout.split() == ["closed", "open"]


@pytest.mark.as_root
def test_joins_a_network_namespace_by_path(runtime: Runtime, bundle: Bundle) -> None:
    with subprocess.Popen(["unshare", "-n", "sleep", "30"]) as holder:
        time.sleep(0.2)
        path = f"/proc/{holder.pid}/ns/net"
        config = configuration("readlink", "/proc/self/ns/net")
        config["linux"]["namespaces"] = [
            {"type": kind, **({"path": path} if kind == "network" else {})} for kind in NAMESPACES
        ]
        done = runtime("run", "-b", str(bundle(config)), "one")
        assert done.stdout.strip() == os.readlink(path), done.stderr
        holder.kill()


def test_sysctls_of_the_host_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    config = configuration("cat", "/proc/sys/kernel/shmmni")
    config["linux"]["sysctl"] = {"kernel.shmmni": "123"}
    assert runtime("run", "-b", str(bundle(config)), "one").stdout == "123\n"
    config["linux"]["sysctl"] = {"kernel.pid_max": "123"}
    done = runtime("run", "-b", str(bundle(config)), "one")
    assert done.returncode == 125
    assert "sysctl kernel.pid_max: not owned by any namespace" in done.stderr


def as_program(folder: Path) -> Path:
    """One file that podman can call."""
    program = folder / "nbcontainers-runtime"
    program.write_text(
        f'#!/bin/sh\nexec env PYTHONPATH={Path(__file__).parents[2]} {sys.executable} -m nbcontainers.runtime.program "$@"\n'
    )
    program.chmod(0o755)
    return program


@pytest.mark.as_root
def test_podman_runs_containers_with_it(tmp_path: Path) -> None:
    archive = peers.busybox_archive(tmp_path / "busybox.tar")
    program = as_program(tmp_path)
    results = {}
    for name in ("runc", str(program)):
        storage = Path(tempfile.mkdtemp(prefix="nbp-", dir="/tmp"))
        script = " && ".join([
            " ".join(peers.podman(storage, name, ["import", "-q", str(archive), "localhost/busybox"])),
            " ".join(peers.podman(storage, name, ["run", "--rm", *peers.PODMAN_RUN, "localhost/busybox", "/bin/sh", "-c",
                                                   "'/bin/echo out; /bin/id -u; exit 5'"])),
        ])  # fmt: skip
        done = peers.run("sh", "-c", script, timeout=120)
        shutil.rmtree(storage, ignore_errors=True)
        results[name] = (done.returncode, done.stdout.splitlines()[1:], done.stderr)
    assert results["runc"][:2] == (5, ["out", "0"]), results
    assert results[str(program)][:2] == results["runc"][:2], results


@pytest.mark.as_user
def test_podman_of_an_ordinary_user_runs_containers_with_it(tmp_path: Path) -> None:
    """Podman is root in a user namespace of its own then, and /run is not its."""
    archive = peers.busybox_archive(tmp_path / "busybox.tar")
    program = as_program(tmp_path)
    storage = Path(tempfile.mkdtemp(prefix="nbp-", dir="/tmp"))  # its paths may not be long
    session = storage / "session"
    session.mkdir(mode=0o700)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(session)}

    def podman(*words: str) -> subprocess.CompletedProcess[str]:
        command = peers.podman(storage, str(program), ["--storage-driver", "vfs", *words])
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)

    try:
        assert podman("import", "-q", str(archive), "localhost/busybox").returncode == 0
        done = podman("run", "--rm", *peers.PODMAN_RUN, "localhost/busybox", "/bin/sh", "-c", "id -u; exit 5")
        assert (done.stdout, done.returncode) == ("0\n", 5), done.stderr
        assert (session / "nbcontainers-runtime").is_dir()
    finally:
        pauses = [int(file.read_text()) for file in storage.glob("**/pause.pid")]  # which hold podman's namespace
        podman("unshare", "rm", "-rf", str(storage))
        for pause in pauses:
            os.kill(pause, signal.SIGKILL)
        shutil.rmtree(storage, ignore_errors=True)  # what podman made once more for that
