"""Comparisons without a container: made-up targets, a made-up clock, and what is said of what they measured."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.compare import conditions, figure, rounds, running, scenes, workload
from nbcontainers.compare.comparison import Comparison
from nbcontainers.compare.report import Figure, Report
from nbcontainers.compare.rounds import AGAIN, Failed, Measured
from nbcontainers.compare.target import Execute, Limits, Missing, Plan, Sink, names, target
from nbcontainers.compare.workload import Workload
from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument
from tests import peers

PLAN = Plan(Engine(Path("/nowhere"), Path("/nowhere"), True), "host", Limits(), Path("/nowhere"))


class Made:
    """A target that answers `values` one after the other, or fails."""

    kind = "container"

    def __init__(self, name: str, values: Iterator[float] | None = None, *, missing: str = "", status: int = 0) -> None:
        self.name = self.label = name
        self.values, self.why, self.status = values, missing, status
        self.order: list[str] = []

    def missing(self, plan: Plan) -> Missing | None:
        return Missing(self.why, "install it") if self.why else None

    def facts(self) -> dict[str, str]:
        return {"version": "1"}

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
            token, axes = command[3], command[4:]
            stdout(f"{token} begin\n".encode())
            if axes == ["about"]:
                stdout(f"{token} fact scratch = overlay, volatile\n".encode())
            for axis in axes if self.values and axes != ["about"] else ():
                stdout(f"{token} figure {axis} {next(self.values)} ms\n".encode())
            stderr(b"it says why\n")
            stdout(f"{token} end 1000 ns\n".encode())
            return self.status

        yield execute

    def idle(self, plan: Plan) -> None:
        return None


def around(value: float, spread: float = 0.01) -> Iterator[float]:
    """Values close to each other, the same every time."""
    number = 0
    while True:
        number += 1
        yield value * (1 + spread * ((number * 7919) % 11 - 5) / 5)


def measured(*targets: Made, axes: str = "syscall", count: int = 10, seed: int = 1) -> Measured:
    return rounds.measure(PLAN, targets, workload.named(axes), count, seed)


def compared(*targets: Made, axes: str = "syscall", count: int = 10, **more: Any) -> Comparison:
    found = measured(*targets, axes=axes, count=count)
    ran = {one.name: one.label for one in targets if one.name in found.facts and one.name not in found.absent}
    return Comparison(axes, found, ran, count, 1, "host", "no limits", "2026-11-23T12:00:00Z", **more)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_PAUSE_S", 0)


def test_every_round_runs_each_target_once_and_the_first_twice() -> None:
    found = measured(Made("host", around(1)), Made("box", around(2)))
    for number in range(1, 11):
        lanes = [row["target"] for row in found.samples if row["round"] == number and row["axis"] == "syscall"]
        assert sorted(lanes) == ["box", "host", "host" + AGAIN]
    orders = {tuple(row["target"] for row in found.samples if row["round"] == number) for number in range(1, 11)}
    assert len(orders) > 2, "the order is random"


def test_the_same_seed_gives_the_same_order() -> None:
    first, second = (measured(Made("host", around(1)), Made("box", around(2)), seed=7).samples for _ in range(2))
    assert [row["target"] for row in first] == [row["target"] for row in second]


def test_how_long_it_still_takes_is_said_by_what_each_target_took() -> None:
    """Not by the rounds so far: one slow target comes early in one round and late in another."""
    pace = rounds.Pace()
    pace.took("host", 1.0)
    assert pace.left(["vm"], ["host", "vm"], 3) == ""
    pace.took("vm", 10.0)
    pace.took("vm", 12.0)
    assert pace.left(["vm"], ["host", "vm"], 0) == ", about 11 s left"
    assert pace.left(["host"], ["host", "vm"], 2) == ", about 25 s left"


def test_what_there_is_of_whole_rounds_stays_when_it_is_interrupted() -> None:
    found = Measured()

    def stop(words: str) -> None:
        if words.startswith("round 7 of 10: host again"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds.measure(
            PLAN, [Made("host", around(1)), Made("box", around(2))], workload.named("syscall"), 10, 1, stop, found
        )
    assert found.finished == 6
    assert {row["round"] for row in found.samples} == {1, 2, 3, 4, 5, 6}


def test_one_execution_a_target_is_not_counted() -> None:
    """The first value is far off, and is nowhere."""
    found = measured(Made("host", iter([1000.0] + [1.0] * 30)), count=5)
    assert max(row["value"] for row in found.samples if row["axis"] == "syscall") == 1.0


def test_a_difference_is_found_and_an_equal_is_not() -> None:
    seen = compared(Made("host", around(1)), Made("slow", around(1.5)), Made("same", around(1)))
    verdicts = {row["target"]: row["verdict"] for row in seen.rows if row["axis"] == "syscall"}
    assert re.fullmatch(r"(49|50|51) % slower", verdicts["slow"])
    assert verdicts["same"].startswith("no difference found (could be up to ")
    assert verdicts["host"] == "what the others are compared with"
    assert verdicts["host" + AGAIN].startswith("the same again: differences within ")


def test_rates_count_the_other_way_round() -> None:
    """Twice the MiB a second is half the cost."""
    assert Figure(200, "MiB/s").cost == 0.005
    assert Figure(200, "ms").cost == 200


def test_start_up_is_an_axis_of_its_own() -> None:
    seen = compared(Made("host", around(1)), axes=f"syscall,{workload.START}")
    assert seen.axes == ["start-up", "syscall"]
    row = next(row for row in seen.samples if row["axis"] == "start-up")
    assert row["value"] == pytest.approx((row["outside_s"] - row["inside_s"]) * 1e3)


def test_a_target_that_is_missing_or_fails_is_absent_with_its_reason_and_no_number() -> None:
    seen = compared(
        Made("host", around(1)), Made("gone", missing="it is not installed"), Made("broken", around(1), status=3)
    )
    assert seen.absent["gone"] == "it is not installed; install it"
    assert seen.absent["broken"] == "it ended with status 3: it says why"
    assert {row["target"] for row in seen.rows} == {"host", "host" + AGAIN}
    assert "gone is absent: it is not installed; install it" in seen.text()
    assert "broken is absent" in seen.html()


def test_without_the_first_target_there_is_no_comparison() -> None:
    with pytest.raises(HostNotCapable, match="host, which the others are compared with, cannot run: it is no"):
        measured(Made("host", missing="it is not there"), Made("box", around(1)))


def test_an_axis_that_is_absent_says_why_once() -> None:
    seen = compared(Made("host", around(1)), Made("box", around(1)))
    seen.measured.without.update({("host", "fit"): "no numpy", ("box", "fit"): "no numpy", ("box", "fork"): "no fork"})
    assert "fit on host, box is absent: no numpy" in seen.text()
    assert "fork on box is absent: no fork" in seen.html()


def test_too_few_rounds_have_values_and_no_verdict() -> None:
    seen = compared(Made("host", around(1)), Made("box", around(2)), count=4)
    row = next(row for row in seen.rows if row["target"] == "box" and row["axis"] == "syscall")
    assert row["low"] is None
    assert row["ratio"] is None
    assert row["verdict"] == "too few rounds for a verdict (at least 5)"
    assert figure.svg(seen) == ""


def test_outliers_are_marked_and_kept() -> None:
    values = [1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.01, 50.0, 0.99, 1.0]
    seen = compared(Made("host", iter([one for one in values for _ in range(2)])))
    marked = [row for row in seen.samples if row["axis"] == "syscall" and row["outlier"]]
    assert {row["value"] for row in marked} == {50.0}
    assert "kept" in seen.text()


def test_the_samples_are_a_tidy_frame() -> None:
    seen = compared(Made("host", around(1)), Made("box", around(2)), count=5, conditions={"kernel": "6.1"})
    frame = seen.to_pandas()
    assert len(frame) == 5 * 3 * 2
    assert list(frame.columns) == [
        "round", "position", "target", "axis", "value", "unit", "cost", "start_s", "inside_s", "outside_s", "outlier",
    ]  # fmt: skip
    assert frame["value"].dtype == float
    assert frame.attrs["conditions"] == {"kernel": "6.1"}
    assert json.loads(json.dumps(seen.document()))["seed"] == 1


def test_what_a_target_says_of_itself_is_escaped() -> None:
    evil = Made("<b>x</b>\x1b[2J", around(1))
    seen = compared(Made("host", around(1)), evil)
    assert "<b>x" not in seen.html()
    assert "\x1b" not in seen.text() + seen.html()


class Clock:
    """Goes on by `step` each time it is looked at."""

    def __init__(self, step: float = 1.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_a_report_in_pieces() -> None:
    report = Report("T", Clock())
    for piece in (
        b"hello T beg",
        b"in\nT figure a 2.5 \xc2\xb5s\nT absent b no",
        b" numpy\nT fact k = v w\nbye\nT end 5000",
        b" ns\n",
    ):
        report.take(piece)
    assert report.figures == {"a": Figure(2.5, "µs")}
    assert report.absent == {"b": "no numpy"}
    assert report.facts == {"k": "v w"}
    assert report.output == "hello \nbye\n"
    assert report.inside_s == 5e-6
    assert report.begun == 2.0


def test_a_program_without_a_clock_is_timed_by_its_marks() -> None:
    report = Report("T", Clock(2.0))
    for line in (b"T begin\n", b"T lap\n", b"T lap a 4 ms\n", b"T lap b 8 MiB/s\n", b"T end\n"):
        report.take(line)
    assert report.figures == {"a": Figure(500.0, "ms"), "b": Figure(4.0, "MiB/s")}
    assert report.inside_s == 8.0


def test_marks_that_come_together_are_no_time() -> None:
    def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
        stdout(f"{command[-1]} begin\n{command[-1]} end\n".encode())
        return 0

    def command(token: str, *, on_host: bool) -> list[str]:
        return [token]

    assert rounds.once(execute, command, on_host=True).inside_s == 0
    with pytest.raises(Failed, match="too short to be timed from outside"):
        rounds.once(execute, command, on_host=True, timed=True)


def test_names_of_workloads() -> None:
    assert workload.named("sha256,cpu").axes == ("sha256", "integer", "matmul")
    inside = {axis.name for axis in workload.AXES if axis.group != "tools"} - workload.OUTSIDE
    assert set(workload.named("all").axes) == inside
    assert workload.named("start").axes == ("start_warm", "start_cold")
    assert workload.named(workload.START).axes == ()
    with pytest.raises(InvalidArgument, match="no workload 'sha265'") as caught:
        workload.named("sha265")
    assert caught.value.hint.startswith("did you mean sha256? ")


def test_every_axis_is_a_function_of_the_program() -> None:
    shell = (Path(workload.__file__).parent / "inside/axes.sh").read_text()
    for axis in workload.AXES:
        words = Workload("", (axis.name,)).command("T", on_host=True)
        if axis.name in workload.OUTSIDE:
            assert words[3:] == ["T"], "nothing of it runs inside"
            asked = workload.load("T", [axis.name])[2]
            assert (f"\ndef {axis.name}() -> tuple[float, str]:" in asked) is (axis.name in workload.REACHED)
            continue
        assert f"\ndef {axis.name}() -> tuple[float, str]:" in words[2]
        assert "nbcontainers.compare" not in words[2].replace("(nbcontainers.compare.workload)", "")
        compile(words[2], axis.name, "exec")
        assert bool(re.search(rf"^    [\w |]*\b{axis.name}\b[\w |]*\)", shell, re.M)) is axis.shell, axis.name


@pytest.mark.parametrize("form", ["python", "shell"])
def test_the_programs_tell_figures_here(form: str, tmp_path: Path) -> None:
    """In the unit that is said of the axis."""
    axes = [axis for axis in workload.AXES if axis.shell and axis.name not in workload.OUTSIDE]
    words = Workload("", tuple(axis.name for axis in axes)).command("T", on_host=form == "python")
    if form == "shell":
        words = ["/bin/sh", "-c", words[3], "sh", *words[5:]]
    variables = {"NBC_SCRATCH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, capture_output=True, check=True, env=variables)
    report = Report("T", Clock(0.1))
    for line in done.stdout.splitlines(keepends=True):
        report.take(line)
    found = {name: figure.unit for name, figure in report.figures.items()} | report.absent
    shared = [axis.name for axis in axes if axis.name.startswith("volume_")]
    assert {name: found[name] for name in shared} == dict.fromkeys(shared, "this target shares no folder with the host")
    assert all(found[axis.name] == axis.unit for axis in axes if axis.name not in (*shared, "write_sync")), found
    assert found["write_sync"] == "ms" or "in memory, where fsync does nothing" in found["write_sync"]
    assert report.inside_s
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["python", "shell"])
def test_nobody_wins_by_not_waiting_for_the_disk(form: str, tmp_path: Path) -> None:
    """In memory, and where a target says that it throws its disk away."""
    words = Workload("", ("write_sync", "volume_write_sync")).command("T", on_host=form == "python")
    if form == "shell":
        words = ["/bin/sh", "-c", words[3], "sh", *words[5:]]
    variables = {"NBC_SCRATCH": str(tmp_path), "NBC_VOLUME": "/dev/shm", "NBC_UNSYNCED": "it is thrown away"}
    done = subprocess.run(words, capture_output=True, check=True, text=True, env={**variables, "PATH": "/usr/bin:/bin"})
    said = [line for line in done.stdout.splitlines() if "sync" in line]
    assert said == [
        "T absent write_sync it is thrown away; volume_write_sync is to be compared",
        "T absent volume_write_sync it is in memory, where fsync does nothing",
    ]


@pytest.mark.parametrize(("code", "python"), [("echo hi", False), ("print('hi')", True)])
def test_a_cell_is_timed_by_its_own_clock(code: str, python: bool) -> None:
    report = Report("T")
    words = workload.cell(code, python=python).command("T", on_host=True)
    report.take(subprocess.run(words, capture_output=True, check=True).stdout)
    assert report.output.splitlines()[0] == "hi"
    assert report.own_s is not None
    assert 0 < report.own_s < 5


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_cell_sees_nothing_of_ours(shell: str) -> None:
    """Neither our words in the place of its own, nor what its marks are told by."""
    program = peers.program(shell)
    code = 'now() { echo mine; }; now; echo "$#$1$token$code$t$a."'
    words = workload.cell(code, python=False).command("T", on_host=True)[1:]
    done = subprocess.run([program, *(["sh"] if shell == "busybox" else []), *words], capture_output=True, check=True)
    assert done.stdout.startswith(b"T begin\nmine\n0.\n\nT end")


def test_a_cell_that_fails_fails() -> None:
    for code, python in (("exit 3", False), ("raise SystemExit(3)", True)):
        words = workload.cell(code, python=python).command("T", on_host=True)
        assert subprocess.run(words, capture_output=True, check=False).returncode == 3


def ask(words: str = "", code: str | None = None, **changed: Any) -> running.Asked:
    usual: dict[str, Any] = {"on": "host,container", "n": None, "quick": False, "python": False, "image": "host",
                             "limits": Limits(), "strict": False, "seed": None}  # fmt: skip
    return running.ask(words, code, **{**usual, **changed})


def test_what_is_asked_for() -> None:
    asked = ask(quick=True, on=" host, container ,host")
    assert asked.rounds == 5
    assert [one.name for one in asked.targets] == ["host", "container"]
    assert asked.workload.name == "all"
    assert [one.name for one in ask(on=["host", "vm"]).targets] == ["host", "vm"]
    assert ask(code="true").workload == Workload("cell", ("cell",), "true", False)


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"n": 4}, "4 rounds give no interval", "write -n 5 or more"),
        ({"on": ","}, "--on names no target", "write --on host,container"),
        ({"on": "hst"}, "--on: 'hst' is no target", "did you mean host? "),
        ({"on": "host,", "words": "container"}, "a blank ends the list of targets", "write --on host,container"),
        ({"words": "sha256", "code": "true"}, "a cell and the workload 'sha256' are two comparisons", "leave the name"),
        ({"python": True}, "--python needs a cell of Python below its line", "write %%compare --python"),
        ({"python": True, "code": "if"}, "the cell is no Python: ", "leave out --python"),
        ({"code": "x" * 100_001}, "longer than a command line may be", "put it into a file"),
    ],
)
def test_what_can_never_work(given: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ask(**given)
    assert message in caught.value.message
    assert caught.value.hint.startswith(hint)


def test_limits_are_those_of_run() -> None:
    assert running.limits("512m", "0.5", "0-1") == Limits(512 << 20, 0.5, "0-1")
    assert running.limits(None, None, "").words == "no limits"
    assert running.limits("1g", 2, "1").words == "memory 1GiB, 2 CPUs, on CPU 1"
    with pytest.raises(InvalidArgument, match="memory"):
        running.limits("much", None, "")


def test_every_target_says_what_it_is() -> None:
    assert list(names())[:2] == ["host", "host:unlimited"]
    for name in names():
        made = target(name)
        assert made.name == name
        assert made.kind in ("host", "container", "vm")
        assert made.label


def test_bare_metal_is_said_only_where_it_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str] = {}
    pod: list[str] = []
    monkeypatch.setattr(conditions, "_first_pids", lambda: not pod)
    monkeypatch.setattr(conditions, "_read", lambda path: told.get(path, ""))
    monkeypatch.setattr(conditions.os.path, "exists", lambda path: path in told)
    assert not conditions.bare_metal(), "a machine whose processor tells nothing may be a guest"
    told["/proc/cpuinfo"] = "processor : 0\nflags\t\t: fpu vmx sse"
    assert conditions.bare_metal()
    told["/.dockerenv"] = ""
    assert not conditions.bare_metal(), "a container of somebody else's"
    del told["/.dockerenv"]
    pod.append("of Kubernetes, which has no such file")
    assert not conditions.bare_metal()
    pod.clear()
    told["/proc/cpuinfo"] += " hypervisor"
    assert not conditions.bare_metal()


def test_what_makes_a_host_noisy() -> None:
    quiet = {"busy_part": 0.02, "steal_part": 0.0, "load": 0.1, "pressure_part": 0.0}
    assert conditions.noise(quiet, {"steal_part": 0.0, "swapped_pages": 0, "thermal_throttles": 0}) == []
    said = conditions.noise(
        {**quiet, "busy_part": 0.5, "load": 99.0, "pressure_part": 0.2},
        {"steal_part": 0.03, "swapped_pages": 7, "thermal_throttles": 1},
    )
    assert said == [
        "other programs took 50% of the processors before it began",
        "somebody waited for a processor in 20% of the time before it began",
        "the load was 99.0 before it began",
        "the hypervisor took 3.0% of the processors' time",
        "7 pages were swapped meanwhile",
        "the processor was throttled by its temperature meanwhile",
    ]


def test_the_conditions_of_this_host_are_facts() -> None:
    found = conditions.recorded()
    assert found["processors"] >= 1
    assert found["memory_bytes"] > 1 << 20
    assert isinstance(found["bare_metal"], bool)
    before = conditions.counters()
    assert conditions.during(before, conditions.counters())["swapped_pages"] >= 0


def test_no_app_that_never_answered_is_divided_by() -> None:
    assert scenes.Scene("host", {"App2": [0] * 49}).kept("App2") == 0.0
