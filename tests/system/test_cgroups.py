"""cgroups on this host's own kernel: limits set and in force, counters that move, nothing left behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.cgroups import detect, stats
from nbcontainers.cgroups.cgroup import Cgroup
from nbcontainers.cgroups.layout import layout
from nbcontainers.errors import HostNotCapable, InvalidArgument, InvalidState

pytestmark = [pytest.mark.as_root]

DENY_ALL = [{"allow": False, "access": "rwm"}]
MIB = 1 << 20
V1 = layout().version in ("v1", "hybrid")


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    made = detect.default_cgroup(uuid.uuid4().hex, rootless=os.geteuid() != 0)
    made.create()
    yield made
    made.destroy()


#: In the child: join as the runtime's init does. It imports little, since the VM's processor is a slow one.
JOIN = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from nbcontainers.cgroups import detect
cgroup = detect.open_record(json.loads(sys.argv[2]))
for fd in cgroup.join_files():
    os.write(fd, b"0")
    os.close(fd)
if (folder := cgroup.clone_fd()) is not None:
    fd = os.open("cgroup.procs", os.O_WRONLY, dir_fd=folder)
    os.write(fd, b"0")
    os.close(fd)
    os.close(folder)
"""


def spawn(cgroup: Cgroup, code: str) -> subprocess.Popen[str]:
    """A Python program that joins `cgroup` and runs `code`."""
    command = [sys.executable, "-S", "-c", JOIN + code, str(Path(__file__).parents[2]), json.dumps(cgroup.record)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(cgroup: Cgroup, code: str) -> tuple[int, str]:
    process = spawn(cgroup, code)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


@contextlib.contextmanager
def sampling(cgroup: Cgroup) -> Iterator[Callable[[], stats.Sample]]:
    sampler = cgroup.sampler()
    try:
        yield sampler.sample
    finally:
        sampler.close()


def text(cgroup: Cgroup, controller: str, name: str) -> str:
    record = cgroup.record
    folder = record["v1"][controller] if controller in record.get("v1", {}) else record["v2"]
    return Path(folder, name).read_text().strip()


def test_every_limit_is_what_the_kernel_says(cgroup: Cgroup) -> None:
    asked = {
        "memory": {"limit": 64 * MIB + 5, "reservation": 32 * MIB},
        "cpu": {"shares": 512, "quota": 25000, "period": 50000, "burst": 5000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 77},
        "devices": DENY_ALL,
    }
    limits = cgroup.apply(asked)
    assert limits["memory"] == {"limit": 64 * MIB, "reservation": 32 * MIB}  # whole pages
    expected = {"shares": 512, "quota": 25000, "period": 50000, "burst": 5000, "cpus": "0", "mems": "0"}
    assert {key: limits["cpu"][key] for key in expected} == expected
    assert limits["pids"] == {"limit": 77}
    assert text(cgroup, "pids", "pids.max") == "77"
    assert cgroup.limits == limits
    assert detect.open_record(cgroup.record).limits == limits


def test_memory_and_swap_go_up_and_down(cgroup: Cgroup) -> None:
    for size in (64, 256, 32, 128):
        limits = cgroup.apply({"memory": {"limit": size * MIB, "swap": size * MIB}})
        assert limits["memory"]["limit"] == size * MIB
    assert cgroup.apply({"memory": {"limit": -1, "swap": -1}})["memory"]["limit"] == -1


def test_a_smaller_quota_with_a_burst_set_before(cgroup: Cgroup) -> None:
    cgroup.apply({"cpu": {"quota": 80000, "period": 100000, "burst": 60000}})
    limits = cgroup.apply({"cpu": {"quota": 20000, "period": 100000}})
    assert limits["cpu"]["quota"] == 20000


def test_memory_hog_is_killed_and_known_to_be(cgroup: Cgroup) -> None:
    cgroup.apply({"memory": {"limit": 40 * MIB, "swap": 40 * MIB}})
    with sampling(cgroup) as sample:
        first = sample()
        status, output = run(cgroup, "x = []\nwhile True: x.append(b'x' * (1 << 20))")
        used = stats.usage(first, sample(), cgroup)
    assert status == -signal.SIGKILL, output
    assert used["oom_kills"] == 1
    assert used["memory_limit"] == 40 * MIB
    assert 38 * MIB < (used["memory_peak"] or 0) <= 40 * MIB
    assert stats.oom_cause(used) == "limit"


def test_half_a_cpu_is_half_a_cpu(cgroup: Cgroup) -> None:
    cgroup.apply({"cpu": {"quota": 5000, "period": 10000}})
    burn = "import time\nend = time.monotonic() + 2\nwhile time.monotonic() < end: pass"
    with sampling(cgroup) as sample:
        process = spawn(cgroup, "print('in', flush=True)\n" + burn)
        assert process.stdout is not None
        process.stdout.readline()
        first, began = sample(), time.monotonic()
        process.wait()
        last, wall = sample(), time.monotonic() - began
    process.stdout.close()
    used = stats.usage(first, last, cgroup)
    late = 0.2 if "NBCONTAINERS_TESTS_VM" in os.environ else 0.05  # timers of a translated processor
    assert (used["cpu_s"] or 0) / wall == pytest.approx(0.5, abs=late)
    assert (used["user_s"] or 0) + (used["system_s"] or 0) == pytest.approx(used["cpu_s"], abs=1e-5)
    assert (used["nr_throttled"] or 0) > 10
    assert (used["throttled_s"] or 0) > 0


def test_fork_bomb_stops_at_its_limit(cgroup: Cgroup) -> None:
    cgroup.apply({"pids": {"limit": 20}})
    bomb = (
        "import time\ncount = 0\n"
        "for _ in range(40):\n"
        "  try:\n    if os.fork() == 0: time.sleep(60)\n    count += 1\n"
        "  except BlockingIOError: break\n"
        "print(count, flush=True)\ntime.sleep(60)"
    )
    process = spawn(cgroup, bomb)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "19"
    with sampling(cgroup) as sample:
        assert sample().pids == 20
        assert sample().pids_peak == 20
    cgroup.kill()
    assert process.wait(10) == -signal.SIGKILL
    process.stdout.close()


def test_block_io_is_counted_and_throttled(cgroup: Cgroup, tmp_path: Path) -> None:
    number = os.stat("/var").st_dev
    disk = f"{os.major(number)}:{os.minor(number)}"
    if not Path("/sys/dev/block", disk).exists():
        pytest.skip("/var is on no block device")
    entry = {"major": os.major(number), "minor": os.minor(number), "rate": 4 * MIB}
    limits = cgroup.apply({"blockIO": {"throttleWriteBpsDevice": [entry]}})
    assert limits["blockIO"]["throttleWriteBpsDevice"] == [entry]
    target = f"/var/tmp/nbc-io-{uuid.uuid4().hex}"
    write = (
        f"import mmap\nfd = os.open({target!r}, os.O_CREAT | os.O_WRONLY | os.O_DIRECT)\n"
        "page = mmap.mmap(-1, 1 << 20)\nfor _ in range(8): os.write(fd, page)\n"
    )
    try:
        with sampling(cgroup) as sample:
            began = time.monotonic()
            status, output = run(cgroup, write)
            wall = time.monotonic() - began
            used = stats.usage(None, sample(), cgroup)
    finally:
        Path(target).unlink(missing_ok=True)
    assert status == 0, output
    assert (used["io_write_bytes"] or 0) >= 8 * MIB
    assert (used["io_writes"] or 0) >= 8
    assert wall > 1.5  # 8 MiB at 4 MiB/s


def test_freeze_and_kill(cgroup: Cgroup) -> None:
    process = spawn(cgroup, "print('in', flush=True)\nwhile True: pass")
    assert process.stdout is not None
    process.stdout.readline()
    assert cgroup.procs() == [process.pid]
    assert not cgroup.frozen
    cgroup.freeze()
    assert cgroup.frozen
    with sampling(cgroup) as sample:
        before = sample()
        time.sleep(0.1)
        assert sample().cpu_ns - before.cpu_ns < 5_000_000
    again = detect.open_record(cgroup.record)
    assert again.frozen
    cgroup.thaw()
    assert not cgroup.frozen
    cgroup.freeze()
    cgroup.kill()  # thaws what v1 has frozen, or it could not die
    assert process.wait(10) == -signal.SIGKILL
    process.stdout.close()
    assert cgroup.procs() == []


@pytest.mark.skipif(not V1, reason="this host has no v1 freezer")
def test_kill_reaches_what_v1_has_frozen(cgroup: Cgroup) -> None:
    process = spawn(cgroup, "print('in', flush=True)\nwhile True: pass")
    assert process.stdout is not None
    process.stdout.readline()
    Path(cgroup.record["v1"]["freezer"], "freezer.state").write_text("FROZEN")
    assert cgroup.frozen
    cgroup.destroy()
    assert process.wait(10) == -signal.SIGKILL
    process.stdout.close()


def test_destroy_takes_processes_and_cgroups_below(cgroup: Cgroup) -> None:
    process = spawn(cgroup, "import time\nprint('in', flush=True)\ntime.sleep(60)")
    assert process.stdout is not None
    process.stdout.readline()
    folders = set(cgroup.record.get("v1", {}).values()) | {cgroup.record.get("v2")} - {None}
    for folder in folders:
        if folder and os.path.isdir(folder):
            os.makedirs(f"{folder}/below/deeper")
    cgroup.destroy()
    cgroup.destroy()  # twice is fine
    assert process.wait(10) == -signal.SIGKILL
    process.stdout.close()
    assert not any(os.path.exists(folder) for folder in folders if folder)


def test_an_existing_cgroup_is_refused(cgroup: Cgroup) -> None:
    again = detect.default_cgroup(cgroup.record["id"], rootless=os.geteuid() != 0)
    with pytest.raises(InvalidState, match="exists"):
        again.create()
    assert cgroup.procs() == []  # and still there


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"memory": {"limit": 4096}}, "too small to start anything"),
        ({"memory": {"limit": 64 * MIB, "swap": 32 * MIB}}, "are less than the memory limit"),
        ({"memory": {"swap": 32 * MIB}}, "needs a memory limit"),
        ({"cpu": {"shares": 1}}, "cpu shares of 1"),
        ({"cpu": {"quota": 500}}, "quota of 500 µs"),
        ({"cpu": {"period": 10}}, "period of 10 µs"),
        ({"cpu": {"cpus": "0-9999"}}, "there is no CPU"),
        ({"cpu": {"cpus": "zero"}}, "'zero' is no list"),
        ({"cpu": {"mems": "63"}}, "there is no memory node 63"),
        ({"blockIO": {"weight": 5}}, "weight of 5"),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 250, "minor": 99, "rate": 1}]}}, "no such device"),
        ({"devices": [{"allow": True, "type": "x"}]}, "'x' is no type of device"),
    ],
)
def test_values_that_can_never_work(cgroup: Cgroup, resources: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        cgroup.apply(resources)


@pytest.mark.skipif(not V1, reason="not a v1 host")
def test_controllers_that_are_not_there(cgroup: Cgroup) -> None:
    with pytest.raises(HostNotCapable, match=r"unified needs cgroup v2") as caught:
        cgroup.apply({"unified": {"memory.high": "max"}})
    assert caught.value.hint
    if "net_cls" not in layout().v1:
        with pytest.raises(HostNotCapable, match="controller net_cls: the host does not mount it") as caught:
            cgroup.apply({"network": {"classID": 1}})
        assert "mount -t cgroup -o net_cls cgroup /sys/fs/cgroup/net_cls" in caught.value.hint


def test_devices_are_closed_to_root(cgroup: Cgroup) -> None:
    rules = [*DENY_ALL, {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]
    cgroup.apply({"devices": rules})
    # The v1 list or the v2 program: null may be used, kmsg read but not written, the disk not opened at all.
    code = (
        "import stat, tempfile\n"
        "def look(major, minor, kind, flags):\n"
        "  with tempfile.TemporaryDirectory(dir='/dev', prefix='nbc-') as d:\n"
        "    try: os.mknod(d + '/n', kind | 0o600, os.makedev(major, minor))\n"
        "    except PermissionError: return 'no node'\n"
        "    try: os.close(os.open(d + '/n', flags)); return 'open'\n"
        "    except PermissionError: return 'denied'\n"
        "    except OSError as error: return type(error).__name__\n"
        "print(look(1, 3, stat.S_IFCHR, os.O_RDWR), look(1, 11, stat.S_IFCHR, os.O_WRONLY), end=' ')\n"
        "fd = os.open('/dev/null', os.O_RDWR)\n"
        "disk = os.stat('/sys/block')\n"
        "try: os.close(os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)); print('read', end=' ')\n"
        "except PermissionError: print('no', end=' ')\n"
        "import glob\n"
        "for path in ['/dev/vda', '/dev/sda', '/dev/kvm', '/dev/mem', '/dev/hpet']:\n"
        "  try: os.close(os.open(path, os.O_RDONLY)); print(path)\n"
        "  except PermissionError: print('no', end=' ')\n"
        "  except FileNotFoundError: pass\n"
    )
    status, output = run(cgroup, code)
    assert status == 0, output
    assert output.startswith("open no node read no")
    assert "/dev/" not in output


def test_the_v2_device_program_on_the_controllerless_tree() -> None:
    """The program itself, on a kernel whose v1 controller we step round."""
    from nbcontainers.cgroups import device_program, devices
    from nbcontainers.cgroups.folder import Folder

    host = layout()
    if host.v2 is None:
        pytest.skip("no cgroup v2 tree here")
    folder = Folder(f"{host.v2.mount}/nbc-devices-{uuid.uuid4().hex}", host.v2.device)
    folder.make()
    try:
        kmsg = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}
        assert device_program.apply_v2(folder, devices.policy([*DENY_ALL, kmsg])) == 10
        child = os.fork()
        if child == 0:
            folder.write("cgroup.procs", "0")
            os._exit(_probe())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        folder.remove()


def _probe() -> int:
    """0 if null opens both ways, kmsg for reading only."""
    try:
        os.close(os.open("/dev/null", os.O_RDWR))
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return 1
    try:
        os.close(os.open("/dev/kmsg", os.O_WRONLY))
    except PermissionError:
        return 0
    return 2


def test_pressure_and_peaks_are_measured(cgroup: Cgroup) -> None:
    burn = "import time\nx = bytearray(50 << 20)\nprint('in', flush=True)\nsys.stdin.readline()\n"
    burn += "end = time.monotonic() + 0.5\nwhile time.monotonic() < end: pass"
    process = spawn(cgroup, burn)
    assert process.stdout is not None
    process.stdout.readline()
    cgroup.apply({"cpu": {"quota": 2000, "period": 10000}})
    process.communicate("go", timeout=60)
    with sampling(cgroup) as sample:
        used = stats.usage(None, sample(), cgroup)
    assert (used["memory_peak"] or 0) > 50 * MIB
    assert (used["pids_peak"] or 0) >= 1
    if used["psi_cpu_s"] is not None:
        assert used["psi_cpu_s"] > 0.1


@pytest.mark.skipif("NBCONTAINERS_TESTS_VM" in os.environ, reason="a translated processor has other costs")
def test_what_it_costs(cgroup: Cgroup) -> None:
    """All of a container's cgroup work stays near a millisecond; a sample near 20 µs. Minima: the machine is shared."""
    resources = {"memory": {"limit": 64 * MIB}, "cpu": {"quota": 50000, "period": 100000}, "pids": {"limit": 100}}
    resources["devices"] = DENY_ALL  # type: ignore[assignment]
    costs = []
    for number in range(30):
        began = time.perf_counter()
        made = detect.default_cgroup(f"cost-{number}", rootless=False)
        made.create()
        made.apply(resources)
        for fd in made.join_files():
            os.close(fd)
        made.destroy()
        costs.append(time.perf_counter() - began)
    assert min(costs) < 0.002
    with sampling(cgroup) as sample:
        samples = [sample() for _ in range(100)]
    assert min(b.time_ns - a.time_ns for a, b in itertools.pairwise(samples)) < 80_000


def test_leftovers_are_found(cgroup: Cgroup) -> None:
    found = {left.record["id"]: left for left in detect.leftovers()}
    assert cgroup.record["id"] in found
    found[cgroup.record["id"]].destroy()
    assert cgroup.record["id"] not in {left.record["id"] for left in detect.leftovers()}


@pytest.mark.parametrize("runtime", ["crun", "runc"])
@pytest.mark.skipif(not V1, reason="the VM compares v2")
def test_the_same_files_as_a_peer(runtime: str, peer: Callable[[str], str], tmp_path: Path) -> None:
    """The peer's container and ours, from one `linux.resources`: every limit file says the same."""
    from tests import peers

    program = peer(runtime)
    resources = {
        "devices": [*DENY_ALL, {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}],
        "memory": {"limit": 96 * MIB, "swap": 128 * MIB, "reservation": 48 * MIB},
        "cpu": {"shares": 700, "quota": 30000, "period": 60000, "cpus": "0-1", "mems": "0"},
        "pids": {"limit": 99},
    }
    name = f"nbc-{uuid.uuid4().hex[:8]}"
    subprocess.run([program, "spec"], cwd=tmp_path, check=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["process"] |= {"args": ["sleep", "60"], "terminal": False}
    config["linux"] |= {"resources": resources, "cgroupsPath": f"/nbc-peer/{name}"}
    peers.write_bundle(tmp_path, config)
    ours = detect.from_path(f"/nbc-ours/{name}", name, rootless=False)
    start = [program, "--root", str(tmp_path / "run"), "run", "--detach", "--bundle", str(tmp_path), name]
    quiet = subprocess.DEVNULL
    subprocess.run(
        peers.isolated(*start, hugetlb=runtime == "crun"),
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        timeout=60,
        check=True,
    )
    try:
        ours.create()
        ours.apply(resources)
        found = {path: _limit_files(path) for path in set(ours.record["v1"].values()) if os.path.isdir(path)}
        theirs = {path: _limit_files(path.replace("/nbc-ours/", "/nbc-peer/")) for path in found}
        if runtime == "runc":  # before 1.2 it allowed /dev/net/tun to everybody, and has no rule for /dev/console
            devices = next(path for path in found if "/devices/" in path)
            theirs[devices]["devices.list"].remove("c 10:200 rwm")
            found[devices]["devices.list"].remove("c 5:1 rwm")
        assert found == theirs
        assert sum(map(len, found.values())) > 12
    finally:
        ours.destroy()
        stop = [program, "--root", str(tmp_path / "run"), "delete", "--force", name]
        isolated = peers.isolated(*stop, hugetlb=runtime == "crun")
        subprocess.run(isolated, capture_output=True, timeout=60, check=True)
        for hierarchy in layout().v1.values():
            for parent in ("nbc-ours", "nbc-peer"):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(f"{hierarchy.mount}/{parent}")
        if (v2 := layout().v2) is not None:
            for parent in ("nbc-ours", "nbc-peer"):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(f"{v2.mount}/{parent}")


LIMIT_FILES = [
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.swappiness",
    "memory.oom_control",
    "cpu.shares",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.cfs_burst_us",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "devices.list",
    "blkio.bfq.weight",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
]


def _limit_files(folder: str) -> dict[str, list[str]]:
    return {
        name: sorted(Path(folder, name).read_text().splitlines())
        for name in LIMIT_FILES
        if os.path.exists(f"{folder}/{name}")
    }


USER_TEST = r"""
import json, os, sys
sys.path.insert(0, sys.argv[1])
from nbcontainers.cgroups import detect, stats
from nbcontainers.errors import Error
found = {"controllers": sorted(detect.controllers(rootless=True))}
cgroup = detect.default_cgroup("of-a-user", rootless=True)
found["kind"] = cgroup.record["kind"]
try:
    cgroup.create()
    found["limits"] = cgroup.apply({"memory": {"limit": 32 << 20}, "pids": {"limit": 9},
        "cpu": {"quota": 50000, "period": 100000, "cpus": "0"}, "devices": [{"allow": False, "access": "rwm"}]})
    fds = cgroup.join_files()
    sampler = cgroup.sampler()
    child = os.fork()
    if child == 0:
        for fd in fds:
            os.write(fd, b"0")
        x = []
        while True:
            x.append(b"x" * (1 << 20))
    for fd in fds:
        os.close(fd)
    found["status"] = os.waitpid(child, 0)[1]
    found["usage"] = stats.usage(None, sampler.sample(), cgroup)
    sampler.close()
    cgroup.destroy()
except Error as error:
    found["error"] = error.to_json()
print(json.dumps(found))
"""


@pytest.fixture
def user() -> Iterator[tuple[int, str]]:
    """(uid, folder with a copy of the package) of an ordinary user who can run the system's Python."""
    uid, folder = 54321, f"/tmp/nbc-user-{uuid.uuid4().hex[:8]}"
    shutil.copytree(Path(__file__).parents[2] / "nbcontainers", f"{folder}/nbcontainers")
    os.chmod(folder, 0o755)
    yield uid, folder
    shutil.rmtree(folder)


def as_user(uid: int, folder: str) -> dict[str, Any]:
    command = ["/usr/bin/python3", "-c", USER_TEST, folder]
    done = subprocess.run(
        command, user=uid, group=uid, extra_groups=[], cwd="/", env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not V1, reason="the VM tests delegation on v2")
def test_an_ordinary_user_without_delegation_is_told_how(user: tuple[int, str]) -> None:
    found = as_user(*user)
    assert found["kind"] == "null"
    assert found["controllers"] == []
    assert "nothing can enforce limits on cpu, memory, pids" in found["error"]["message"]
    assert "d=/sys/fs/cgroup/$c/nbcontainers-54321; mkdir -p $d; chown 54321 $d" in found["error"]["hint"]


@pytest.mark.skipif(not V1, reason="the VM tests delegation on v2")
def test_an_ordinary_user_after_typing_the_hint(user: tuple[int, str]) -> None:
    hint = as_user(*user)["error"]["hint"]
    subprocess.run(hint.removeprefix("sudo "), shell=True, check=True)
    try:
        found = as_user(*user)
    finally:
        for name in ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"]:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(f"/sys/fs/cgroup/{name}/nbcontainers-54321")
    assert "error" not in found
    assert found["kind"] == "v1"
    assert found["limits"]["memory"] == {"limit": 32 * MIB}
    assert found["limits"]["cpu"]["cpus"] == "0"
    assert "devices" not in found["limits"]  # left to the user namespace
    assert found["status"] == signal.SIGKILL
    assert found["usage"]["oom_kills"] == 1
