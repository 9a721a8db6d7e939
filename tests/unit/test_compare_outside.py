"""What is measured of a target from outside, without a container: files in the page cache, services of this host, a trial."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from nbcontainers.compare import outside, programs, stored, workload
from nbcontainers.compare.outside import Outside, Without
from nbcontainers.compare.report import Figure, Report
from nbcontainers.compare.target import Execute, Limits, Missing, Plan, Sink
from nbcontainers.engine import Engine

MIB = 1 << 20


class Here:
    """A target that is this host, with `idle` processes of a known kind."""

    name = label = "here"
    kind = "host"

    def __init__(self, folder: Path) -> None:
        self.plan = Plan(Engine(folder, folder, True), "host", Limits(), folder, {"PATH": os.environ["PATH"]})
        self.started = self.live = 0

    def missing(self, plan: Plan) -> Missing | None:
        return None

    def facts(self) -> dict[str, str]:
        return {}

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        scratch = plan.folder / "scratch"
        scratch.mkdir()

        def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
            return programs.run(command, stdout, stderr, environment=plan.variables(str(scratch), str(plan.volume)))

        yield execute
        assert list(scratch.iterdir()) == [], "services tidy up"

    @contextmanager
    def idle(self, plan: Plan) -> Iterator[list[int]]:
        self.started += 1
        self.live += 1
        with subprocess.Popen(["sleep", "60"]) as process:
            yield [process.pid]
            process.kill()
        self.live -= 1

    def outside(self, *axes: str) -> Outside:
        return Outside(self.plan, self, lambda: 0.5, list(axes))


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_services_of_this_host_answer(here: Here) -> None:
    """Both ways lead to it, whose own address is said to be the loopback's."""
    axes = [axis.name for axis in workload.AXES if axis.group == "reached"]
    seen = here.outside(*axes)
    found = seen.measure()
    assert {name: figure.unit for name, figure in found.items()} == {
        axis.name: axis.unit for axis in workload.AXES if axis.group == "reached"
    }
    assert all(figure.value > 0 for figure in found.values())
    assert seen.absent == {}
    assert seen.facts["reached at"] == "127.0.0.1 and 127.0.0.1"
    assert list(here.plan.folder.glob("reached-*/volume/stop-*")), "it was told to end"


def test_what_a_target_remembers_outlives_its_services(here: Here) -> None:
    """They are an instance of another opening."""
    opened: list[Here] = []
    original = Here.opened

    class Remembers(Here):
        def opened(self, plan: Plan) -> AbstractContextManager[Execute]:  # type: ignore[override]
            opened.append(self)
            return original(self, plan)

    made = Remembers(here.plan.folder)
    assert set(made.outside("published_round_trip").measure()) == {"published_round_trip"}
    assert opened[0] is not made


def test_nginx_is_asked_or_named(here: Here) -> None:
    seen = here.outside("nginx", "nginx_published")
    found = seen.measure()
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
        assert set(found) == {"nginx", "nginx_published"}
        assert "16 connections" in seen.facts["nginx was asked by"]
    else:
        assert found == {}
        assert seen.absent["nginx"] == "the image has no nginx (Debian: apt-get install nginx-light)"


def test_what_nobody_answers_is_absent() -> None:
    report = Report("T")
    words = workload.load("T", ["own_round_trip", "nginx", "published_throughput"])
    said = subprocess.run(words, capture_output=True, check=True, env={"NBC_OWN": "127.0.0.1 1 1"}).stdout
    report.take(said)
    refused = "the host does not reach 127.0.0.1: Connection refused"
    assert report.figures == {}
    assert report.absent == {"own_round_trip": refused, "nginx": refused,
                             "published_throughput": "the instance told no address"}  # fmt: skip


def test_a_service_that_fails_says_why(here: Here) -> None:
    def broken(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
        stderr(b"no such network\n")
        return 125

    @contextmanager
    def opened(plan: Plan) -> Iterator[Execute]:
        yield broken

    here.opened = opened  # type: ignore[method-assign]
    seen = here.outside("own_round_trip")
    assert seen.measure() == {}
    assert seen.absent == {"own_round_trip": "the service ended with status 125: no such network"}


def test_a_trial_of_idle_instances(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sizes that are known: 30 MiB the first and 20 MiB each more, as they share 10."""
    monkeypatch.setattr(outside, "_MOST", 3)
    monkeypatch.setattr(outside, "available", lambda: 1000 * MIB)
    monkeypatch.setattr(outside, "kernel", iter([100 * MIB, 102 * MIB]).__next__)
    monkeypatch.setattr(stored, "pss", lambda pid: 20 * MIB + 10 * MIB // here.live)
    seen = here.outside("footprint", "instances")
    found = seen.measure()
    assert here.started == 3
    assert found["footprint"] == Figure(30, "MiB")
    assert found["instances"].value == pytest.approx(3 + 1000 // 21, abs=1)
    assert (
        "3 instances were started: the first takes 30 MiB, each more 20 MiB (proportional set size of all their processes) and of the kernel 1 MiB"
        in seen.facts["idle"]
    )
    assert seen.measure() == {}, "once is enough"


def test_a_trial_ends_where_memory_does(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([1000 * MIB, 600 * MIB, *[500 * MIB] * 9])
    monkeypatch.setattr(outside, "available", lambda: next(free))
    seen = here.outside("instances")
    assert set(seen.measure()) == {"instances"}
    assert here.started == 2


def test_cold_is_said_only_where_it_is(here: Here, tmp_path: Path) -> None:
    seen = here.outside("start_cold", "start_warm", "image_size")
    assert seen.measure() == {"start_warm": Figure(500, "ms")}
    assert "stay in its page cache" in seen.absent["start_cold"]
    assert seen.absent["image_size"] == "image host is this host's own files: nothing is copied"


def test_files_leave_the_page_cache() -> None:
    """On a disk: a file system in memory has no other place for them. fincore(1) is the second opinion."""
    folder = Path(workload.__file__).parent / "inside"
    path = folder / "axes.sh"
    assert path.read_bytes()
    with open(path, "rb") as file:
        if not stored.resident(file.fileno(), path.stat().st_size):
            pytest.skip("the page cache cannot be looked at here")
        left = stored.evict([str(path)])
        assert stored.resident(file.fileno(), path.stat().st_size) == left * -(-path.stat().st_size // 4096)
    if shutil.which("fincore"):
        pages = subprocess.run(["fincore", "-bno", "PAGES", path], capture_output=True, text=True, check=True).stdout
        assert int(pages) == left * -(-path.stat().st_size // 4096)


def test_sizes_count_what_has_two_names_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "link").symlink_to("/usr")
    alone = stored.sizes([str(tmp_path / "a")])[0]
    assert alone >= 100_000
    assert alone <= stored.sizes([str(tmp_path)])[0] < 2 * alone


def test_a_process_that_is_gone_has_no_size() -> None:
    assert stored.pss(os.getpid()) or MIB < 0
    assert stored.pss(2**22 + 1) is None
    with pytest.raises(Without, match="may not be read"):
        outside._footprint([2**22 + 1])
