"""Counters as the kernel writes them, and what is made of them: readings, points, rings, sparklines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.cgroups.glance import FIGURES, NOW, OFTEN, SELDOM, SOMETIMES, WHOLE, Glance, Source, Uppers, number
from nbcontainers.cgroups.stats import COLUMNS, Sample
from nbcontainers.container import gauges, points, sparkline
from nbcontainers.container.gauges import Gauges, Ring
from nbcontainers.container.points import Point
from nbcontainers.engine import Engine
from nbcontainers.linux import netdev
from nbcontainers.linux.process import start_time

V2 = {
    "cpu.stat": (
        "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnice_usec 0\ncore_sched.force_idle_usec 0\n"
        "nr_periods 25\nnr_throttled 20\nthrottled_usec 1300000\nnr_bursts 0\nburst_usec 0\n"
    ),
    "memory.current": "12582912\n",
    "memory.stat": "anon 4194304\nfile 8388608\nkernel 0\nslab_inactive_file 7\ninactive_anon 0\ninactive_file 2097152\n",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
    "pids.current": "3\n",
    "io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n253:1 \n7:0 rbytes=1 wbytes=1 rios=1 wios=1\n",
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1100\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
    "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=22\nfull avg10=0.0 avg60=0.0 avg300=0.0 total=0\n",
    "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=33\nfull avg10=0.0 avg60=0.0 avg300=0.0 total=0\n",
}
V1 = {
    "cpuacct": {"cpuacct.usage": "2500000000\n"},
    "cpu": {"cpu.stat": "nr_periods 25\nnr_throttled 20\nthrottled_time 1300000000\n"},
    "memory": {
        "memory.usage_in_bytes": "12582912\n",
        "memory.stat": "cache 1\ninactive_file 5\nhierarchical_memory_limit 9\ntotal_cache 1\ntotal_inactive_file 2097152\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    },
    "pids": {"pids.current": "3\n"},
    "blkio": {
        "blkio.throttle.io_service_bytes_recursive": (
            "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 0\n8:0 Total 12288\n7:0 Read 1\n7:0 Write 1\nTotal 12290\n"
        )
    },
}
EXPECTED = {
    "cpu_ns": 2_500_000_000, "throttled_ns": 1_300_000_000, "memory": 12 << 20, "pids": 3, "io_read_bytes": 4097,
    "io_write_bytes": 8193, "psi_cpu_ns": 1_100_000, "psi_memory_ns": 22_000, "psi_io_ns": 33_000,
    "memory_inactive_file": 2 << 20, "oom_kills": 1,
}  # fmt: skip


def write(folder: Path, files: dict[str, str]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return str(folder)


def v1(folder: Path) -> dict[str, Any]:
    return {"kind": "v1", "v1": {name: write(folder / name, files) for name, files in V1.items()}, "joined": list(V1)}


def test_v2_is_read(tmp_path: Path) -> None:
    glance = Glance({"kind": "v2", "v2": write(tmp_path, V2)})
    assert dict(zip(FIGURES, glance.read(), strict=True)) == EXPECTED
    assert glance.kept == 9
    glance.close()
    assert glance.kept == 0


def test_v1_is_read_and_has_no_pressure(tmp_path: Path) -> None:
    glance = Glance(v1(tmp_path))
    expected = EXPECTED | {"psi_cpu_ns": -1, "psi_memory_ns": -1, "psi_io_ns": -1}
    assert dict(zip(FIGURES, glance.read(), strict=True)) == expected


def test_a_hybrid_has_v1s_counters_and_v2s_pressure(tmp_path: Path) -> None:
    only = {name: text for name, text in V2.items() if name.endswith("pressure")}
    v2 = write(tmp_path / "v2", {**only, "cpu.stat": "usage_usec 1\nuser_usec 1\nsystem_usec 0\n"})
    glance = Glance({**v1(tmp_path), "kind": "hybrid", "v2": v2})
    assert dict(zip(FIGURES, glance.read(), strict=True)) == EXPECTED


def test_a_hybrid_without_cpuacct_keeps_v1s_throttling(tmp_path: Path) -> None:
    record = v1(tmp_path)
    record["joined"].remove("cpuacct")
    v2 = write(tmp_path / "v2", {"cpu.stat": "usage_usec 1\nuser_usec 1\nsystem_usec 0\n"})
    found = dict(zip(FIGURES, Glance({**record, "kind": "hybrid", "v2": v2}).read(), strict=True))
    assert (found["cpu_ns"], found["throttled_ns"]) == (1000, 1_300_000_000)


@pytest.mark.parametrize("missing", ["io.stat", "memory.stat", "cpu.pressure", "pids.current"])
def test_what_a_kernel_does_not_have_is_minus_one(tmp_path: Path, missing: str) -> None:
    files = {name: text for name, text in V2.items() if name != missing}
    found = dict(zip(FIGURES, Glance({"v2": write(tmp_path, files)}).read(), strict=True))
    lost = {name for name, value in found.items() if value == -1}
    assert lost == {
        "io.stat": {"io_read_bytes", "io_write_bytes"}, "memory.stat": {"memory_inactive_file"},
        "cpu.pressure": {"psi_cpu_ns"}, "pids.current": {"pids"},
    }[missing]  # fmt: skip


def test_no_cgroup_has_no_figures() -> None:
    assert set(Glance({"kind": "null"}).read()) == {-1}


def said(glance: Glance, depth: int) -> dict[str, int]:
    return dict(zip(FIGURES, glance.read(depth), strict=True))


def used(microseconds: int) -> dict[str, str]:
    return {"cpu.stat": V2["cpu.stat"].replace("usage_usec 2500000", f"usage_usec {microseconds}")}


def test_what_costs_more_is_read_seldom(tmp_path: Path) -> None:
    glance = Glance({"v2": write(tmp_path, V2)})
    glance.read()
    write(tmp_path, {"memory.stat": "anon 1\ninactive_file 5\n", "memory.current": "77\n", "pids.current": "4\n"})
    write(tmp_path, used(2_500_001))
    found = said(glance, OFTEN)
    assert (found["memory"], found["memory_inactive_file"], found["pids"]) == (77, 2 << 20, 3)
    assert said(glance, SOMETIMES)["pids"] == 4
    assert said(glance, SELDOM)["memory_inactive_file"] == 5


def test_of_one_that_rests_only_what_others_change_is_read_and_nothing_for_ever(tmp_path: Path) -> None:
    glance = Glance({"v2": write(tmp_path, V2)})
    before = glance.read()
    write(tmp_path, {"memory.current": "77\n", "pids.current": "4\n", "memory.events": "oom_kill 2\n"})
    write(tmp_path, {"io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=44\n"})
    for depth in (OFTEN, SOMETIMES):
        assert glance.read(depth) is before
        assert glance.depth == OFTEN
    found = said(glance, SELDOM)
    assert (found["memory"], found["pids"], found["psi_io_ns"]) == (77, 4, 44_000), "a disk works for it meanwhile"
    assert found["oom_kills"] == 1
    write(tmp_path, used(2_500_001))
    assert glance.read(SOMETIMES)
    assert glance.depth == SOMETIMES
    assert said(glance, WHOLE)["oom_kills"] == 2


def test_one_that_wakes_shows_its_memory_at_that_look(tmp_path: Path) -> None:
    glance = Glance({"v2": write(tmp_path, V2)})
    glance.read()
    glance.read(NOW)  # it rests
    for at, memory, shown in ((1, 70, 70), (2, 80, 70), (2, 80, 70)):
        write(tmp_path, {"memory.current": f"{memory}\n", **used(2_500_000 + at)})
        assert said(glance, NOW)["memory"] == shown
    assert said(glance, OFTEN)["memory"] == 80, "what it did before it rested"
    write(tmp_path, {"memory.current": "90\n", **used(2_500_003)})
    assert said(glance, NOW)["memory"] == 90


def test_without_a_limit_nothing_is_held_back(tmp_path: Path) -> None:
    glance = Glance(v1(tmp_path))
    glance.read()
    write(tmp_path / "cpu", {"cpu.stat": "throttled_time 5\n"})
    for at, held, shown in ((1, False, 1_300_000_000), (2, True, 5)):
        write(tmp_path / "cpuacct", {"cpuacct.usage": f"{at}\n"})
        glance.held = held
        assert said(glance, SOMETIMES)["throttled_ns"] == shown
    glance.held = False
    write(tmp_path / "cpu", {"cpu.stat": "throttled_time 6\n"})
    write(tmp_path / "cpuacct", {"cpuacct.usage": "3\n"})
    assert said(glance, WHOLE)["throttled_ns"] == 6


def family(folder: Path) -> tuple[Uppers, list[Glance]]:
    """Two containers under one folder, which counts both; the second has no cgroup of its own there."""
    uppers = Uppers()
    record = {"kind": "v2", "v2": write(folder / "a", V2)}
    write(
        folder, {name: V2[name] for name in ("cpu.stat", "io.stat", "cpu.pressure", "memory.pressure", "io.pressure")}
    )
    return uppers, [Glance(record, uppers=uppers), Glance(record, uppers=uppers, keep=False)]


def test_where_the_folder_above_stands_still_nothing_below_is_asked(tmp_path: Path) -> None:
    uppers, glances = family(tmp_path)
    before = [glance.read() for glance in glances]
    write(tmp_path / "a", {**used(2_500_009), "io.stat": "8:0 rbytes=5 wbytes=5\n", "memory.current": "77\n"})
    uppers.again()
    assert [glance.read(SOMETIMES) for glance in glances] == before
    write(tmp_path, used(2_500_009))
    assert [glance.read(SOMETIMES) for glance in glances] == before, "it is asked once a look"
    uppers.again()
    for glance in glances:
        found = said(glance, SOMETIMES)
        assert (found["cpu_ns"], found["memory"], found["io_read_bytes"]) == (2_500_009_000, 77, 4097)
    write(tmp_path, {"io.stat": "8:0 rbytes=5 wbytes=5\n"})
    uppers.again()
    assert said(glances[1], SELDOM)["io_read_bytes"] == 5
    assert said(glances[0], SOMETIMES)["io_read_bytes"] == 4097
    assert said(glances[0], SELDOM)["io_read_bytes"] == 5, "moved since it was last asked"
    write(tmp_path / "a", {"io.stat": "8:0 rbytes=6 wbytes=6\n"})
    assert said(glances[0], WHOLE)["io_read_bytes"] == 6


def test_a_cgroup_that_goes_is_seen_at_once(tmp_path: Path) -> None:
    uppers, glances = family(tmp_path)
    (tmp_path / "b").mkdir()
    before = glances[0].read()
    write(tmp_path / "a", used(2_500_009))
    (tmp_path / "b").rmdir()
    uppers.again()
    assert glances[0].read(NOW) != before


def test_a_folder_above_that_says_nothing_is_no_witness(tmp_path: Path) -> None:
    uppers, glances = family(tmp_path)
    [glance.read() for glance in glances]
    write(tmp_path, {"io.pressure": ""})
    for total in (44, 45):
        write(tmp_path / "a", {"io.pressure": f"some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n"})
        uppers.again()
        assert said(glances[0], SELDOM)["psi_io_ns"] == total * 1000
    source = Source("", "io.pressure", ("psi_io_ns",), number)
    lost = uppers._files[f"{tmp_path}/io.pressure"]
    assert uppers.of(f"{tmp_path}/a/io.pressure", source) is not lost, "it is opened again"
    assert uppers.of(f"{tmp_path}/nothing/there/io.pressure", source) is None
    assert uppers.of("/proc/self/stat", Source("", "stat", (), number)) is None, "the root of its file system"


def test_without_keeping_nothing_stays_open_and_what_has_gone_is_an_error(tmp_path: Path) -> None:
    glance = Glance({"v2": write(tmp_path, V2)}, keep=False)
    assert glance.kept == 0
    assert dict(zip(FIGURES, glance.read(), strict=True)) == EXPECTED
    (tmp_path / "pids.current").unlink()
    with pytest.raises(OSError):
        glance.read()


NET = b"""Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     999      9    0    0    0     0          0         0      999      9    0    0    0     0       0          0
  eth0: 1296 16 0 0 0 0 0 0 876 10 0 0 0 0 0 0
nbcv0a:     5       1    0    0    0     0          0         0        7       1    0    0    0     0       0          0
"""


def test_interfaces() -> None:
    assert dict(netdev.interfaces(NET)) == {b"lo": (999, 999), b"eth0": (1296, 876), b"nbcv0a": (5, 7)}
    assert dict(netdev.interfaces(NET, b"nbcv")) == {b"nbcv0a": (5, 7)}
    assert netdev.total(NET) == (1301, 883)
    assert netdev.total(b"one\ntwo\n") == (0, 0)
    assert netdev.other_ends(NET, [b"nbcv0a"]) == (7, 5)
    assert netdev.other_ends(NET, [b"nbcv0a", b"gone"]) is None


def test_our_own_interfaces_are_read_to_the_end() -> None:
    text = netdev.of(os.getpid())
    assert text.endswith(b"\n")
    assert b"lo" in dict(netdev.interfaces(text))


# -- points ----------------------------------------------------------------------------------------------------------

SECOND = 10**9


def sample(at: float, **counters: int) -> Sample:
    return Sample(**{**dict.fromkeys(COLUMNS, -1), "time_ns": int(at * SECOND), **counters})


def test_points_are_rates_between_readings() -> None:
    first = sample(10, cpu_ns=0, throttled_ns=0, memory=300, memory_inactive_file=100, net_rx_bytes=50, psi_io_ns=0)
    last = sample(
        12, cpu_ns=SECOND, throttled_ns=SECOND // 2, memory=500, net_rx_bytes=250, psi_io_ns=SECOND, oom_kills=1
    )
    begin, end = points.of_samples([first, last])
    assert begin == Point(10, None, None, 200, None, *[None] * 8)
    assert (end.cpu, end.throttled, end.memory, end.net_rx, end.psi_io, end.oom_kills) == (0.5, 0.25, 500, 100, 0.5, 1)
    assert (end.net_tx, end.psi_cpu, end.pids) == (None, None, None)


def test_a_counter_that_began_anew_has_no_rate() -> None:
    first, last = sample(1, net_rx_bytes=500), sample(2, net_rx_bytes=5)
    assert points.of_samples([first, last])[1].net_rx is None


def test_what_is_read_less_often_is_measured_over_its_own_time_and_held_between() -> None:
    readings = [
        [getattr(sample(at, cpu_ns=at * SECOND, psi_io_ns=psi, pids=pids), name) for name in points.READING]
        for at, psi, pids in ((0, 0, 3), (1, 0, 3), (2, SECOND, 5))
    ]
    first = points.point(None, readings[0])
    held = points.point(readings[0], readings[1], readings[0], first)
    assert (held.cpu, held.psi_io, held.pids) == (1, None, 3)
    last = points.point(readings[1], readings[2], readings[0])
    assert (last.cpu, last.psi_io, last.pids) == (1, 0.5, 5)


def test_pressure_is_at_most_all_the_time() -> None:
    assert points.of_samples([sample(1, psi_cpu_ns=0), sample(2, psi_cpu_ns=SECOND + 9)])[1].psi_cpu == 1


def test_stored_and_live_readings_are_the_same_figures() -> None:
    assert set(points.READING) <= set(COLUMNS)


def test_thinning_keeps_the_peaks_and_the_ends() -> None:
    found = points.of_samples([sample(at, memory=at % 7, cpu_ns=at) for at in range(5000)])
    found[1234] = found[1234]._replace(memory=9000.0)
    found[4321] = found[4321]._replace(cpu=9.0)
    few = points.thin(found, 100)
    assert 50 <= len(few) <= 110
    assert {found[0], found[1234], found[4321], found[-1]} <= set(few)
    assert few == sorted(few, key=lambda one: one.time)
    assert points.thin(found[:9], 100) == found[:9]


def test_a_ring_is_bounded_and_gives_what_is_newer() -> None:
    ring = Ring()
    assert ring.since(0) == []
    for at in range(1000):
        ring.add(Point(float(at), None, 0.5, *[None] * 10))
    found = ring.since(0)
    assert len(found) == Ring.LENGTH
    assert [one.time for one in ring.since(997)] == [998, 999]
    assert found[-1] == Point(999.0, None, 0.5, *[None] * 10)


@pytest.mark.parametrize("stirs", [1, 2, 7, 100, 239, 240, 241, 1000])
def test_a_ring_keeps_what_was_while_nothing_moved(stirs: int) -> None:
    ring, wanted = Ring(), []
    for at in range(1500):
        last = at - at % stirs
        wanted.append(Point(float(at), float(last), *[None] * 11))
        if at == last:
            ring.add(wanted[-1])
        else:
            ring.again(float(at))
        assert at % 50 or ring.since(0) == wanted[1:][-Ring.LENGTH :] or at == 0
    assert ring.since(0) == wanted[-Ring.LENGTH :]


# -- gauges ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    for name in ("root/containers", "root/names", "run"):
        (tmp_path / name).mkdir(parents=True)
    return Engine(tmp_path / "root", tmp_path / "run", rootless=False)


def running(engine: Engine, name: str, **state: Any) -> str:
    """A container that runs as far as the disk says: this process is its pid 1."""
    import json

    pid, id = os.getpid(), name * 64
    record = {"kind": "null", "v2": write(engine.root / "cgroup" / name, V2), "limits": {"memory": {"limit": 64 << 20}}}
    for folder, file, content in (
        (engine.containers / id, "container.json", {"name": name, "image": "mini", "network": "none"}),
        (engine.run / id, "state.json", {"pid": pid, "start_time": start_time(pid), "cgroup": record, **state}),
    ):
        folder.mkdir(exist_ok=True)
        (folder / file).write_text(json.dumps(content))
    return id


def test_gauges_find_what_starts_and_drop_what_ends(engine: Engine) -> None:
    shared = Gauges(engine)
    with shared.watched() as watched:
        assert watched.read() == {}
        (engine.run / "pause.json").write_text("{}")
        (engine.run / ".host").mkdir()
        a = running(engine, "a")
        b = running(engine, "b")
        found = watched.read()
        assert set(found) == {a, b}
        point = found[a].point
        assert point
        assert point.memory == 10 << 20
        assert (found[a].counter("pids"), found[a].counter("net_rx_bytes")) == (3, 0)
        assert found[a].limits == {"memory": {"limit": 64 << 20}}
        assert set(watched.read([b, "unknown"])) == {b}
        (engine.root / "cgroup/a/pids.current").unlink()
        for file in (engine.root / "cgroup/a").glob("*"):
            file.unlink()
        (engine.run / a / "new").write_text("{}")
        (engine.run / a / "new").rename(engine.run / a / "state.json")
        shared._looked = 0.0
        assert set(watched.read()) == {b}
    assert shared._gauges == {}


def test_a_fresh_reading_serves_all_who_ask(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    id = running(engine, "a")
    with Gauges(engine).watched() as watched:
        watched.read()
        watched.read()
        assert len(watched.read()[id].ring.since(0)) == 1
        monkeypatch.setattr(gauges, "FRESH_S", 0.0)
        assert len(watched.read()[id].ring.since(0)) == 2


def test_files_are_closed_with_the_last_who_looks(engine: Engine) -> None:
    running(engine, "a")
    before = len(os.listdir("/proc/self/fd"))
    shared = Gauges(engine)
    shared.enter()
    shared.enter()
    shared.read()
    assert len(os.listdir("/proc/self/fd")) == before + 9
    shared.leave()
    assert len(os.listdir("/proc/self/fd")) == before + 9
    shared.leave()
    assert len(os.listdir("/proc/self/fd")) == before


def test_many_containers_do_not_take_all_descriptors(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "_room", lambda: 24)
    for name in "abcdef":
        running(engine, name)
    with Gauges(engine).watched() as watched:
        found = watched.read().values()
        assert sorted(gauge.glance.kept for gauge in found) == [0, 0, 0, 0, 9, 9]
        assert {gauge.point.pids for gauge in found if gauge.point} == {3}


def test_traffic_is_that_of_the_hosts_ends_the_other_way_round(engine: Engine) -> None:
    id = running(engine, "a")
    (engine.containers / id / "container.json").write_text('{"name": "a", "network": "lab"}')
    (engine.run / id / "network.json").write_text('{"networks": {"lab": {"link": "nbcv0a"}}}')
    with Gauges(engine).watched() as watched:
        gauge = watched.read()[id]
        assert gauge.cables == [b"nbcv0a"]
        gauge.read(dict(netdev.interfaces(NET)))
        assert (gauge.counter("net_rx_bytes"), gauge.counter("net_tx_bytes")) == (7, 5)
        gauge.read({})
        assert gauge.counter("net_rx_bytes") is None


class Clock:
    """The time of gauges, which looks four times a second: a little early or late."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self.set_back = 0
        monkeypatch.setattr(gauges, "time", self)

    def monotonic_ns(self) -> int:
        return 10**12 + self.looks * 250_000_000 + self.looks % 3 * 4_000_000

    def time_ns(self) -> int:
        return 10**18 + self.monotonic_ns() - self.set_back

    def monotonic(self) -> float:
        return self.monotonic_ns() / 1e9


def of_cgroup(engine: Engine, name: str) -> Path:
    return engine.root / "cgroup" / name


def test_one_that_rests_wakes_at_that_look_and_what_others_change_is_seen_in_two_seconds(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, id = Clock(monkeypatch), running(engine, "a")
    above = {name: V2[name] for name in ("cpu.stat", "io.stat", "cpu.pressure", "memory.pressure", "io.pressure")}
    write(of_cgroup(engine, ""), above)
    with Gauges(engine).watched() as watched:

        def look(count: int = 1) -> list[Point]:
            found = []
            for _ in range(count):
                clock.looks += 1
                gauge = watched.read()[id]
                assert gauge.point
                found.append(gauge.point)
            return found

        first, *resting = look(20)
        assert first.cpu is None
        assert {point[1:] for point in resting} == {(0, 0, 10 << 20, 3, 0, 0, 0, 0, 0, 0, 0, 1)}
        ring = watched._gauges[id].ring
        assert ring.since(0.0) == [first, *resting], "each look has its point"
        assert watched._gauges[id].rests
        write(of_cgroup(engine, "a"), {"memory.current": str(7 << 20)})
        assert {point.memory for point in look(9)} == {10 << 20, 5 << 20}
        assert look()[0].memory == 5 << 20
        for folder in ("a", ""):
            write(of_cgroup(engine, folder), used(2_600_000))
        write(of_cgroup(engine, "a"), {"memory.current": str(9 << 20), "pids.current": "5\n"})
        woken = look()[0]
        assert woken.memory == 7 << 20
        assert woken.cpu is not None
        assert 0.35 < woken.cpu < 0.45, "of the quarter of a second since the last look"
        assert {point.pids for point in look(5)[-1:]} == {5}
        for folder in ("a", ""):
            write(of_cgroup(engine, folder), {"io.stat": "8:0 rbytes=1004097 wbytes=8193\n"})
        later = look(18)
        most = max(point.io_read or 0 for point in later)
        assert 450_000 < most < 550_000, "over the two seconds since disks were looked at"
        assert ring.since(0.0)[-18:] == later
        assert later[-1].io_read == 0


def test_a_clock_that_is_set_back_stops_no_look(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, id = Clock(monkeypatch), running(engine, "a")
    with Gauges(engine).watched() as watched:
        for _ in range(4):
            clock.looks += 1
            watched.read()
        clock.set_back = 3600 * 10**9
        write(of_cgroup(engine, "a"), {"memory.current": str(7 << 20)})
        for _ in range(9):
            clock.looks += 1
            gauge = watched.read()[id]
        assert gauge.counter("memory") == 7 << 20


def test_one_that_was_started_again_has_a_new_gauge(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, id = Clock(monkeypatch), running(engine, "a")
    with Gauges(engine).watched() as watched:
        before = watched.read()[id]
        clock.looks += 1
        (of_cgroup(engine, "a") / "memory.current").unlink()
        before.glance.close()
        before.glance = Glance({"v2": str(of_cgroup(engine, "a"))}, keep=False)  # as ENODEV of one that stays open
        (of_cgroup(engine, "a") / "cpu.stat").unlink()
        assert watched.read() == {}
        running(engine, "a")
        clock.looks += 1
        after = watched.read()[id]
        assert after is not before
        assert after.point
        assert after.point.cpu is None


def test_what_is_read_seldom_is_not_read_at_the_same_look_of_all(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    for name in "abcdefgh":
        running(engine, name)
    with Gauges(engine).watched() as watched:
        read: list[int] = []
        real = Glance.read

        def noted(glance: Glance, depth: int = WHOLE) -> list[int]:
            read.append(depth)
            return real(glance, depth)

        monkeypatch.setattr(Glance, "read", noted)
        for _ in range(2):
            watched.read()
            clock.looks += 1
        assert read == [WHOLE] * 16
        read.clear()
        for looks in range(1, 33):
            watched.read()
            clock.looks += 1
            if looks > 8:
                assert sum(depth >= SOMETIMES for depth in read[-8:]) == 2
        assert {depth: read.count(depth) for depth in range(WHOLE + 1)}[WHOLE] == 8


def test_the_hosts_traffic_is_not_the_containers(engine: Engine) -> None:
    id = running(engine, "a")
    (engine.containers / id / "container.json").write_text('{"name": "a", "network": "host"}')
    with Gauges(engine).watched() as watched:
        assert watched.read()[id].counter("net_rx_bytes") is None


# -- sparklines ------------------------------------------------------------------------------------------------------

FRAME = sparkline.Frame(0.0, 10.0, 1.0)


def test_a_line_of_text_has_the_highest_of_each_stretch() -> None:
    line = [(float(at), at / 10) for at in range(11)]
    assert sparkline.text(line, FRAME, 11) == "▁▂▂▃▄▅▅▆▇▇█"
    assert sparkline.text([(5.0, 1.0)], FRAME, 10) == "     █████"
    assert sparkline.text([], FRAME, 4) == "    "
    assert sparkline.text([(5.0, 99.0), (9.0, None)], FRAME, 4) == "  ██"


def test_svg_has_the_line_its_limit_and_its_marks() -> None:
    line = [(0.0, None), (1.0, 0.5), (2.0, 1.0), (3.0, None), (9.0, 0.1)]
    shown = sparkline.svg(
        [(line, "red")], FRAME, "<cpu>", limit=(1.0, "blue"), marks=[(5.0, "green")], shades=[(1, 2, "tan")]
    )
    assert shown.count("<polyline") == 1
    assert shown.count("<circle") == 1
    assert "stroke-dasharray" in shown
    assert 'aria-label="&lt;cpu&gt;"' in shown
    assert "green" in shown
    assert "tan" in shown
    assert "script" not in shown


def test_sparklines_never_divide_by_nothing() -> None:
    empty = sparkline.Frame(5.0, 5.0, 0.0)
    assert sparkline.text([(5.0, 0.0)], empty)
    assert "<svg" in sparkline.svg([([(5.0, 0.0), (5.0, 0.0)], "red")], empty, "")
