"""What is written for each limit, in which order, and what is said of a limit that cannot be; on a kernel made of files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.cgroups import detect, hints, limits, sampler, v1, v1_limits, v2, v2_limits
from nbcontainers.cgroups.folder import Folder
from nbcontainers.cgroups.layout import Hierarchy, Layout
from nbcontainers.errors import Error, HostNotCapable, InvalidArgument

MIB = 1 << 20
UNLIMITED = "9223372036854771712"


class Kernel(Folder):
    """A folder whose files take a whole value at a write, as the kernel's do, and note what was written."""

    writes: list[tuple[str, str]] = []
    refuse: dict[str, int] = {}
    keep: set[str] = set()

    def write(self, name: str, *values: str) -> None:
        if not self.has(name):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", f"{self.path}/{name}")
        if name in self.refuse:
            raise OSError(self.refuse[name], os.strerror(self.refuse[name]), f"{self.path}/{name}")
        for value in values:
            self.writes.append((name, value))
            if name not in self.keep:
                Path(self.path, name).write_text(f"{value}\n")


@pytest.fixture
def find(tmp_path: Path) -> Callable[[str], Kernel]:
    Kernel.writes, Kernel.refuse, Kernel.keep = [], {}, set()
    folder = Kernel(str(tmp_path), tmp_path.stat().st_dev)

    def put(name: str, value: str) -> None:
        (tmp_path / name).write_text(f"{value}\n")

    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes"):
        put(name, UNLIMITED)
    for name, value in {
        "memory.swappiness": "60", "memory.usage_in_bytes": str(9 * MIB), "memory.current": str(9 * MIB),
        "cpu.shares": "1024", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1", "cpu.cfs_burst_us": "0",
        "cpu.idle": "0", "pids.max": "max", "memory.max": "max", "memory.swap.max": "max", "memory.low": "0",
        "cpu.max": "max 100000", "cpu.max.burst": "0", "cpu.weight": "100", "io.max": "", "memory.high": "max",
    }.items():  # fmt: skip
        put(name, value)
    return lambda controller: folder


def written() -> list[str]:
    return [f"{name}={value}" for name, value in Kernel.writes]


def test_v1_memory_before_memory_and_swap_when_fresh(find: Any) -> None:
    found = v1_limits.memory(find, {"limit": 64 * MIB, "swap": 128 * MIB})
    assert written() == [f"memory.limit_in_bytes={64 * MIB}", f"memory.memsw.limit_in_bytes={128 * MIB}"]
    assert found == {"limit": 64 * MIB, "swap": 128 * MIB}


def test_v1_memory_and_swap_first_when_raising(find: Any) -> None:
    v1_limits.memory(find, {"limit": 64 * MIB, "swap": 64 * MIB})
    Kernel.writes.clear()
    v1_limits.memory(find, {"limit": 256 * MIB, "swap": 256 * MIB})
    assert written() == [f"memory.memsw.limit_in_bytes={256 * MIB}", f"memory.limit_in_bytes={256 * MIB}"]
    Kernel.writes.clear()
    v1_limits.memory(find, {"limit": 32 * MIB, "swap": 32 * MIB})
    assert written()[0] == f"memory.limit_in_bytes={32 * MIB}"


def test_a_limit_the_kernel_does_not_keep_is_an_error(find: Any) -> None:
    Kernel.keep = {"memory.limit_in_bytes"}
    with pytest.raises(HostNotCapable, match=f"asked for {64 * MIB}, the kernel keeps -1"):
        v1_limits.memory(find, {"limit": 64 * MIB})


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.EACCES, HostNotCapable, "may not write .*memory.limit_in_bytes: Permission denied"),
        (errno.EROFS, HostNotCapable, "may not write"),
        (errno.EBUSY, InvalidArgument, "the kernel refuses '67108864' for .*: less than what is in use"),
        (errno.EINVAL, InvalidArgument, "the kernel refuses .*: Invalid argument"),
    ],
)
def test_refusals_tell_the_host_from_the_value(find: Any, number: int, kind: type[Error], message: str) -> None:
    Kernel.refuse = {"memory.limit_in_bytes": number}
    with pytest.raises(kind, match=message):
        v1_limits.memory(find, {"limit": 64 * MIB})


def test_a_file_this_kernel_does_not_have(find: Any) -> None:
    with pytest.raises(HostNotCapable, match=r"this kernel has no memory.kmem.limit_in_bytes"):
        v1_limits.memory(find, {"kernel": MIB})


@pytest.mark.parametrize("apply", [v1_limits.memory, v2_limits.memory])
def test_check_before_update(find: Any, apply: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"{8 * MIB} bytes is less than the {9 * MIB} in use"):
        apply(find, {"limit": 8 * MIB, "checkBeforeUpdate": True})
    assert written() == []


@pytest.mark.parametrize("section", [{}, {"limit": 0}, {"limit": None, "swap": 0, "disableOOMKiller": False}])
def test_zero_and_null_are_not_given(find: Any, section: dict[str, Any]) -> None:
    assert v1_limits.memory(find, section) == {}
    assert v2_limits.memory(find, section) == {}
    assert written() == []


def test_swap_limit_without_swap_accounting(find: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.memsw.limit_in_bytes").unlink()
    monkeypatch.setattr(limits, "has_swap", lambda: False)
    assert v1_limits.memory(find, {"limit": 64 * MIB, "swap": 64 * MIB}) == {"limit": 64 * MIB}
    monkeypatch.setattr(limits, "has_swap", lambda: True)
    with pytest.raises(HostNotCapable, match="does not count swap") as caught:
        v1_limits.memory(find, {"limit": 64 * MIB, "swap": 64 * MIB})
    assert "swapaccount=1" in caught.value.hint


def test_v2_swap_is_what_is_beyond_memory(find: Any) -> None:
    found = v2_limits.memory(find, {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 16 * MIB})
    assert written() == [f"memory.max={64 * MIB}", f"memory.swap.max={32 * MIB}", f"memory.low={16 * MIB}"]
    assert found == {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 16 * MIB}
    assert v2_limits.memory(find, {"limit": 64 * MIB, "swap": 64 * MIB})["swap"] == 64 * MIB
    assert written()[-1] == "memory.swap.max=0"
    assert v2_limits.memory(find, {"limit": 64 * MIB, "swap": -1})["swap"] == -1


@pytest.mark.parametrize("key", ["swappiness", "kernel", "kernelTCP", "disableOOMKiller"])
def test_v2_says_what_it_does_not_have(find: Any, key: str) -> None:
    with pytest.raises(HostNotCapable, match=rf"cgroup v2 has no memory.{key}"):
        v2_limits.memory(find, {key: 1})


def test_v2_has_no_swappiness_of_0_either(find: Any) -> None:
    with pytest.raises(HostNotCapable, match=r"memory\.swappiness") as caught:
        v2_limits.memory(find, {"swappiness": 0})
    assert "--memory-swappiness" in caught.value.hint


def test_v2_without_a_reservation_protects_nothing(find: Any) -> None:
    """So `update` puts it back."""
    assert v2_limits.memory(find, {"reservation": -1}) == {"reservation": -1}
    assert written() == ["memory.low=0"]


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 100), (262144, 10000), (512, 59), (2048, 174)])
def test_weight_of_shares(shares: int, weight: int) -> None:
    assert limits.weight(shares) == weight


def test_v2_cpu(find: Any) -> None:
    found = v2_limits.cpu(find, {"shares": 1024, "quota": 50000, "period": 100000, "burst": 1000})
    assert found == {"weight": 100, "shares": 1024, "quota": 50000, "period": 100000, "burst": 1000}
    assert written() == ["cpu.weight=100", "cpu.max=50000 100000", "cpu.max.burst=1000"]
    assert v2_limits.cpu(find, {"period": 20000})["quota"] == 50000  # kept from before
    assert v2_limits.cpu(find, {"quota": -1})["quota"] == -1


def test_v1_quota_is_told_with_its_period(find: Any) -> None:
    assert v1_limits.cpu(find, {"quota": 50000}) == {"quota": 50000, "period": 100000}


@pytest.mark.parametrize("limit", [0, -1])
def test_no_limit_of_pids(find: Any, limit: int) -> None:
    assert v1_limits.pids(find, {"limit": limit}) == {"limit": -1}
    assert written() == ["pids.max=max"]


def test_v2_throttling(find: Any) -> None:
    entry = {"major": 8, "minor": 0, "rate": MIB}
    found = v2_limits.block_io(find, {"throttleReadBpsDevice": [entry]})
    assert found == {"throttleReadBpsDevice": [entry]}
    assert written() == [f"io.max=8:0 rbps={MIB}"]


def test_unified(find: Any) -> None:
    assert v2_limits.unified(find, {"memory.high": str(64 * MIB)}) == {"memory.high": str(64 * MIB)}
    for name in ("../memory.high", "cgroup.procs", "memory", ".x"):
        with pytest.raises(InvalidArgument, match="is no file of a cgroup v2 controller"):
            v2_limits.unified(find, {name: "1"})


@pytest.mark.parametrize(("text", "numbers"), [("0-2,5", {0, 1, 2, 5}), ("", set()), ("7", {7}), (" 1,3 ", {1, 3})])
def test_lists(text: str, numbers: set[int]) -> None:
    assert limits.cpu_list(text) == numbers


@pytest.mark.parametrize("text", ["a", "3-1", "-1", "0-99999999999", "1--2", "0x1"])
def test_bad_lists(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is no list of CPUs or nodes"):
        limits.cpu_list(text)


def test_a_plain_file_system_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "pids.max").write_text("max\n")
    folder = Folder(str(tmp_path), tmp_path.stat().st_dev + 1)
    with pytest.raises(OSError, match="not on the cgroup file system"):
        folder.write("pids.max", "5")
    assert (tmp_path / "pids.max").read_text() == "max\n"
    with pytest.raises(OSError, match="not on the cgroup file system"):
        Folder(f"{tmp_path}/new", tmp_path.stat().st_dev + 1).make()
    assert not (tmp_path / "new").exists()


def test_a_missing_file_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Folder(str(tmp_path), tmp_path.stat().st_dev).write("pids.max", "5")
    assert not (tmp_path / "pids.max").exists()


V2_FILES = {
    "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\nnr_bursts 0\n",
    "memory.current": "500\n", "memory.swap.current": "0\n",
    "memory.stat": "anon 100\nfile 200\nkernel 5\nswapcached 0\ninactive_anon 9\ninactive_file 150\n",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
    "pids.current": "2\n", "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=0 rios=1 wios=0\n",
    "cgroup.controllers": "cpu memory pids io\n",
    **{f"{name}.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=6\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
       for name in ("cpu", "memory", "io")},
}  # fmt: skip


def test_sampling_v2_without_peaks(tmp_path: Path) -> None:
    """Kernels before 5.19 keep no peaks: ours is the highest sample."""
    for name, text in V2_FILES.items():
        (tmp_path / name).write_text(text)
    hierarchy = Hierarchy((), str(tmp_path), "/", "", tmp_path.stat().st_dev, False)
    record = {"kind": "v2", "v2": str(tmp_path), "base": str(tmp_path), "rootless": False}
    reader = v2.V2(record, Layout({}, hierarchy)).sampler()
    sample = reader.sample()
    assert sample[1:7] == (30_000, 20_000, 10_000, 4, 2, 7_000)
    assert (sample.memory, sample.memory_peak, sample.memory_anon, sample.memory_inactive_file) == (500, 500, 100, 150)
    assert (sample.memory_limit_hits, sample.oom_kills, sample.pids, sample.pids_peak) == (3, 1, 2, 2)
    assert sample[-9:] == (15, 20, 2, 2, 6_000, 6_000, 6_000, -1, -1)
    (tmp_path / "memory.current").write_text("300\n")
    assert reader.sample().memory_peak == 500
    reader.close()


def test_sampling_v1(tmp_path: Path) -> None:
    files = {
        "cpuacct.usage": "1000", "cpuacct.usage_user": "30", "cpuacct.usage_sys": "10",
        "cpu.stat": "nr_periods 4\nnr_throttled 2\nthrottled_time 7", "memory.usage_in_bytes": "500",
        "memory.max_usage_in_bytes": "600", "memory.failcnt": "1", "memory.memsw.failcnt": "2",
        "memory.stat": "cache 1\nrss 2\ntotal_cache 200\ntotal_rss 100\ntotal_inactive_file 150\ntotal_swap 0",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1", "pids.current": "2",
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 5\nTotal 35",
        "blkio.throttle.io_serviced_recursive": "Total 0",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    hierarchy = Hierarchy((), str(tmp_path), "/", "", tmp_path.stat().st_dev, False)
    names = ["cpu", "cpuacct", "memory", "pids", "blkio"]
    record = {"kind": "v1", "v1": dict.fromkeys(names, str(tmp_path)), "joined": names, "rootless": False}
    reader = v1.V1(record, Layout(dict.fromkeys(names, hierarchy), None)).sampler()
    sample = reader.sample()
    assert sample[1:7] == (1000, 750, 250, 4, 2, 7)  # ticks give the ratio, cpuacct.usage the sum
    assert (sample.memory, sample.memory_peak, sample.memory_anon, sample.memory_file) == (500, 600, 100, 200)
    assert (sample.memory_limit_hits, sample.oom_kills, sample.pids_peak) == (3, 1, 2)
    assert sample[-9:] == (15, 20, 0, 0, -1, -1, -1, -1, -1)
    reader.close()


def test_fields_at_the_end_of_a_file_and_missing() -> None:
    assert sampler.field(b"\na 1\nb 2", b"\nb ") == 2
    assert sampler.field(b"\na 1\n", b"\nc ") == -1


def test_hints_say_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Hierarchy(("memory",), "/sys/fs/cgroup/memory", "/", "", 1, False)
    v2_tree = Hierarchy((), "/sys/fs/cgroup", "/", "", 1, False)
    monkeypatch.setattr(hints, "user", lambda: 1234)
    on_v1 = hints.delegation(Layout({"memory": memory}, None))
    assert "for c in memory; do d=/sys/fs/cgroup/$c/nbcontainers-1234; mkdir -p $d; chown 1234 $d $d/tasks" in on_v1
    monkeypatch.setattr("os.path.isdir", lambda path: path == "/run/systemd/system")
    on_v2 = hints.delegation(Layout({}, v2_tree))
    assert "Delegate=cpu cpuset io memory pids" in on_v2
    assert "systemd-run --user --scope -p Delegate=yes jupyter lab" in on_v2
    assert "--privileged" in hints.delegation(Layout({}, v2_tree._replace(read_only=True)))
    assert "-v /sys/fs/cgroup" in hints.delegation(Layout({}, None))
    assert hints.missing("nosuch", Layout({"memory": memory}, None), rootless=True).startswith(
        "boot with cgroup_enable=nosuch"
    )


class TestDetect:
    """Where a container's cgroup goes; folders that exist but hold no kernel files."""

    @pytest.fixture
    def host(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
        def make(v1_names: tuple[str, ...] = (), v2: bool = True, own: str = "", read_only: bool = False) -> Path:
            number = tmp_path.stat().st_dev
            hierarchies = {}
            for name in (*v1_names, *(("unified",) if v2 else ())):
                (tmp_path / name / own.strip("/")).mkdir(parents=True)
                for file in ("cgroup.procs", "cgroup.subtree_control"):
                    (tmp_path / name / own.strip("/") / file).touch()
                hierarchies[name] = Hierarchy((name,), str(tmp_path / name), "/", own, number, read_only)
            tree = hierarchies.pop("unified", None)
            found = Layout(hierarchies, tree)
            monkeypatch.setattr(detect, "layout", lambda: found)
            monkeypatch.delenv(detect.ENVIRONMENT, raising=False)
            return tmp_path

        return make

    def test_kinds(self, host: Callable[..., Path]) -> None:
        root = host(("memory", "cpu", "cpuset", "name=systemd"))
        record = detect.default_cgroup("x", rootless=False).record
        assert record["kind"] == "hybrid"
        assert record["v1"]["memory"] == f"{root}/memory/nbcontainers/x"
        assert record["joined"] == ["cpu", "memory"]  # cpuset when asked for, systemd's for other engines
        assert record["v2"] == f"{root}/unified/nbcontainers/x"

    def test_only_v2(self, host: Callable[..., Path]) -> None:
        host()
        assert detect.default_cgroup("x", rootless=False).record["kind"] == "v2"

    def test_only_v1(self, host: Callable[..., Path]) -> None:
        host(("memory",), v2=False)
        assert detect.default_cgroup("x", rootless=False).record["kind"] == "v1"

    def test_read_only_is_as_none(self, host: Callable[..., Path]) -> None:
        host(("memory",), read_only=True)
        cgroup = detect.default_cgroup("x", rootless=False)
        assert cgroup.record["kind"] == "null"
        cgroup.create()
        assert cgroup.apply({"pids": {"limit": 0}, "memory": {"limit": None}}) == {}
        with pytest.raises(HostNotCapable, match="nothing can enforce limits on memory") as caught:
            cgroup.apply({"memory": {"limit": MIB}})
        assert "--privileged" in caught.value.hint

    def test_an_ordinary_user_works_below_their_own_cgroup(self, host: Callable[..., Path]) -> None:
        root = host((), own="/user.slice/scope")
        record = detect.default_cgroup("x", rootless=True).record
        assert record["base"] == f"{root}/unified/user.slice/scope"

    def test_the_supervisor_leaf_is_not_a_base(self, host: Callable[..., Path]) -> None:
        root = host((), own="/scope/nbcontainers-supervisor")
        (root / "unified/scope/cgroup.procs").touch()
        (root / "unified/scope/cgroup.subtree_control").touch()
        assert detect.default_cgroup("x", rootless=True).record["base"] == f"{root}/unified/scope"

    def test_the_environment_chooses(self, host: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
        root = host(("memory",))
        for name in ("memory", "unified"):
            (root / name / "mine").mkdir()
        monkeypatch.setenv(detect.ENVIRONMENT, "/mine")
        record = detect.default_cgroup("x", rootless=False).record
        assert record["v1"]["memory"] == f"{root}/memory/mine/nbcontainers/x"

    @pytest.mark.parametrize(
        ("path", "below"),
        [
            ("/libpod_parent/libpod-1", "libpod_parent/libpod-1"),
            ("relative/1", "nbcontainers/relative/1"),
            ("machine.slice:libpod:1", "nbcontainers/libpod-1"),
            ("system.slice:docker:1", "nbcontainers/docker-1"),
            (":cri:1", "nbcontainers/cri-1"),
            ("", "nbcontainers/x"),
            (None, "nbcontainers/x"),
            ("/nbcontainers/x", "nbcontainers/x"),
        ],
    )
    def test_paths_of_other_engines(self, host: Callable[..., Path], path: str | None, below: str) -> None:
        root = host(("memory", "name=systemd"))
        record = detect.from_path(path, "x", rootless=False).record
        assert record["v1"]["memory"] == f"{root}/memory/{below}"
        assert record["v2"] == f"{root}/unified/{below}"
        assert ("name=systemd" in record["joined"]) == below.startswith("libpod_parent")

    @pytest.mark.parametrize(
        ("path", "systemd", "message"),
        [
            ("/a/../../b", False, "is no path of a cgroup"),
            ("/", False, "cannot live in the root cgroup"),
            ("a:b", True, "is no systemd cgroup"),
            ("/a/b", True, "is no systemd cgroup"),
            ("machine.slice:libpod:", True, "is no systemd cgroup"),
        ],
    )
    def test_bad_paths(self, host: Callable[..., Path], path: str, systemd: bool, message: str) -> None:
        host(("memory",))
        with pytest.raises(InvalidArgument, match=message):
            detect.from_path(path, "x", rootless=False, systemd=systemd)

    def test_a_slice_somebody_chose(self, host: Callable[..., Path]) -> None:
        host(("memory",))
        with pytest.raises(HostNotCapable, match=r"the limits of limited.slice would be lost") as caught:
            detect.from_path("limited.slice:libpod:1", "x", rootless=False)
        assert "--cgroup-manager=cgroupfs" in caught.value.hint

    def test_records_open_again(self, host: Callable[..., Path]) -> None:
        host(("memory",))
        record = detect.default_cgroup("x", rootless=False).record
        assert detect.open_record(record).record == record

    def test_parents_that_are_missing_are_made(self, host: Callable[..., Path]) -> None:
        root = host(("memory",), v2=False)
        detect.from_path("/a/b/c", "x", rootless=False).create()
        assert (root / "memory/a/b/c").is_dir()
