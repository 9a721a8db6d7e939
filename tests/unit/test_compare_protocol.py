"""What a comparison does with targets that fail, hang, print too much or tell nonsense."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.compare import inforce, programs, rounds, running, workload
from nbcontainers.compare.comparison import Comparison
from nbcontainers.compare.report import Figure, Report
from nbcontainers.compare.rounds import AGAIN, Execution, Failed, Measured
from nbcontainers.compare.target import Execute, Limits, Missing, Plan, Sink
from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument, TimedOut

PLAN = Plan(Engine(Path("/nowhere"), Path("/nowhere"), True), "host", Limits(), Path("/nowhere"))


class Scripted:
    """A target whose executions are `act(number, token, stdout)`, which returns a status or raises; 0 asks for facts, 1 is
    not counted."""

    kind = "container"

    def __init__(self, name: str, act: Callable[[int, str, Sink], int]) -> None:
        self.name = self.label = name
        self.act, self.executions = act, 0

    def missing(self, plan: Plan) -> Missing | None:
        return None

    def facts(self) -> dict[str, str]:
        return {}

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[Execute]:
        def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
            self.executions += 1
            token = command[4] if command[3] == "sh" else command[3]
            return self.act(self.executions - 1, token, stdout)

        yield execute

    def idle(self, plan: Plan) -> None:
        return None


def tells(stdout: Sink, token: str, *lines: str, inside: int = 1000) -> int:
    for line in ("begin", *lines, f"end {inside} ns"):
        stdout(f"{token} {line}\n".encode())
    return 0


def good(number: int, token: str, stdout: Sink) -> int:
    return tells(stdout, token, f"figure syscall {100 + number} ns")


def late(number: int, token: str, stdout: Sink) -> int:
    """From the second round on."""
    if number > 2:
        raise TimedOut("it did not end within 3 s")
    return good(number, token, stdout)


def falling(number: int, token: str, stdout: Sink) -> int:
    """Once."""
    return 9 if number == 4 else good(number, token, stdout)


def failing(number: int, token: str, stdout: Sink) -> int:
    return 7 if number > 1 else good(number, token, stdout)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_PAUSE_S", 0)


def measured(*targets: Scripted, count: int = 6) -> Measured:
    return rounds.measure(PLAN, targets, workload.named("syscall"), count, 1)


def test_a_target_that_hangs_is_out() -> None:
    """With what it told before: only its quick executions would count."""
    hangs = Scripted("hangs", late)
    found = measured(Scripted("host", good), hangs)
    assert hangs.executions == 4, "facts, warm-up, a round, the one that was too late"
    assert found.absent == {"hangs": "round 2: it did not end within 3 s"}
    assert found.lost == {}
    assert {row["target"] for row in found.samples} == {"host", "host" + AGAIN}
    assert len(found.samples) == 24
    with pytest.raises(
        HostNotCapable, match=r"hangs, which the others are compared with, cannot run: round [12]: it did"
    ):
        measured(Scripted("hangs", late), Scripted("host", good))


def test_a_cell_that_is_too_short_now_and_then_is_out() -> None:
    """Of one in ten rounds the marks may come together; of three they do not by chance."""

    def marks(*together: int) -> Callable[[int, str, Sink], int]:
        def act(number: int, token: str, stdout: Sink) -> int:
            stdout(f"{token} begin\n".encode())
            time.sleep(0 if number in together else 0.002)
            stdout(f"{token} end\n".encode())
            return 0

        return act

    def compared(*together: int) -> Measured:
        targets = [Scripted("host", marks()), Scripted("box", marks(*together))]
        return rounds.measure(PLAN, targets, workload.cell("true", python=False), 10, 1)

    assert "box" not in compared(4).absent
    assert "too short to be timed" in compared(4, 6, 8).absent["box"]


def test_where_no_execution_ends_well_the_target_is_absent() -> None:
    found = measured(Scripted("host", good), Scripted("fails", failing))
    assert found.absent == {"fails": "none of its executions ended well; round 6: it ended with status 7"}
    assert "fails" not in found.lost
    assert {row["target"] for row in found.samples} == {"host", "host" + AGAIN}
    with pytest.raises(HostNotCapable, match="fails, which the others are compared with, cannot run: none of its exec"):
        measured(Scripted("fails", failing), Scripted("host", good))


def test_a_hint_is_told_from_the_reason() -> None:
    def refuse(number: int, token: str, stdout: Sink) -> int:
        raise HostNotCapable("no", hint="install it")

    found = measured(Scripted("host", good), Scripted("box", refuse))
    assert found.absent == {"box": "no"}


@pytest.mark.parametrize("value", ["0", "nan", "-3", "inf"])
def test_a_figure_that_cannot_be_is_none(value: str) -> None:
    def act(number: int, token: str, stdout: Sink) -> int:
        return tells(stdout, token, f"figure syscall {value} ns")

    found = measured(Scripted("host", good), Scripted("box", act))
    assert not [row for row in found.samples if row["target"] == "box" and row["axis"] == "syscall"]
    assert found.without["box", "syscall"] == f"its clock gave {float(value):g} ns"


def test_a_clock_that_is_ahead_of_ours_gives_no_start_up() -> None:
    """As in a guest whose clock drifts: nothing is put in the place of a negative time."""

    def act(number: int, token: str, stdout: Sink) -> int:
        return tells(stdout, token, "figure syscall 5 ns", inside=10**12)

    found = measured(Scripted("host", good), Scripted("box", act))
    assert {row["axis"] for row in found.samples if row["target"] == "box"} == {"syscall"}


def test_a_cell_whose_clock_was_set_back_has_failed() -> None:
    def execute(command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
        return tells(stdout, command[-1], inside=-5)

    def command(token: str, *, on_host: bool) -> list[str]:
        return [token]

    with pytest.raises(Failed, match="its clock was set back"):
        rounds.once(execute, command, on_host=True, timed=True)


def test_a_hundred_megabytes_of_output_cost_little() -> None:
    """In lines and in one line; the marks in it are found, and the end of it is kept."""
    for piece in (b"y\n" * 32768, b"y" * 65536):
        report = Report("T0123456789abcdef")
        report.take(b"T0123456789abcdef begin\n")
        begun = time.process_time()
        for _ in range(1600):
            report.take(piece)
        report.take(b"last\nT01234567")
        report.take(b"89abcdef figure a 2 ms\nT0123456789abcdef end 5 ns\n")
        assert time.process_time() - begun < 5
        assert report.figures == {"a": Figure(2.0, "ms")}
        assert report.inside_s == 5e-9
        assert report.output.endswith("last\n")
        assert len(report.output) <= 2000
        assert len(report._rest) < 1 << 19


def test_output_that_is_no_utf8() -> None:
    report = Report("T")
    report.take(b"\xff\xfe T begin\n\xc3\x28\nT fact name = \xff\nT end 1 ns\n")
    assert report.facts == {"name": "\ufffd"}
    assert report.output == "\ufffd\ufffd \n\ufffd(\n"


def test_a_program_is_ended_after_its_time(tmp_path: Path) -> None:
    """And what it left in its process group, however much it prints."""
    for script in ("sleep 60", "yes", "sleep 60 & exec >&- 2>&-; sleep 60"):
        begun = time.monotonic()
        with pytest.raises(TimedOut, match=r"it did not end within 0\.2 s"):
            programs.run(["sh", "-c", script], lambda data: None, lambda data: None, seconds=0.2)
        assert time.monotonic() - begun < 5
    assert programs.run(["true"], print, print, seconds=5) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"code": " \n"}, "the script is empty"),
        ({"code": ""}, "the script is empty"),
        ({"timeout": "0"}, "--timeout 0 leaves no time"),
        ({"timeout": "soon"}, "--timeout: 'soon' is no duration"),
        ({"n": 0}, "0 rounds give no interval"),
        ({"n": 1}, "1 rounds give no interval"),
        ({"n": -3}, "-3 rounds give no interval"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"on": "host", "n": None, "quick": False, "python": False, "image": "host",
                             "limits": Limits(), "strict": False, "seed": None}  # fmt: skip
    with pytest.raises(InvalidArgument) as caught:
        running.ask("", given.pop("code", None), **{**usual, **given})
    assert message in caught.value.message
    assert caught.value.hint


def test_a_comparison_of_targets_that_failed_is_shown() -> None:
    found = measured(Scripted("host", good), Scripted("falls", falling), Scripted("fails", failing))
    seen = Comparison(
        "syscall", found, {"host": "host", "falls": "falls"}, 6, 1, "host", "no limits", "2026-11-23T12:00:00Z"
    )
    assert "fails is absent: none of its executions ended well" in " ".join(seen.text().split())
    assert "falls: 1 of 6 executions failed" in " ".join(seen.text().split())
    row = next(row for row in seen.rows if row["target"] == "falls")
    assert row["ratio"] is not None
    assert not math.isnan(row["median"])


def gives(*figures: str, why: str = "", inside: int = 1000) -> Callable[[int, str, Sink], int]:
    """One figure an execution, the first of which is not counted; "" is none, with the reason."""

    def act(number: int, token: str, stdout: Sink) -> int:
        value = figures[(number - 1) % len(figures)]
        return tells(stdout, token, f"figure syscall {value} ns" if value else f"absent syscall {why}", inside=inside)

    return act


def seen_of(found: Measured, *names: str) -> Comparison:
    return Comparison("syscall", found, dict(zip(names, names, strict=True)), 6, 1, "host", "no limits", "2026-11-23")


def test_an_axis_that_lacks_figures_in_some_rounds_says_so() -> None:
    """And one that failed in the execution that does not count says nothing."""
    some, first = Scripted("some", gives("5", "", "5", why="lost")), Scripted("first", gives("", *"123456", why="cold"))
    found = measured(Scripted("host", good), some, first)
    said = " ".join(seen_of(found, "host", "some", "first").text().split())
    assert "syscall on some has no figure in some rounds: lost" in said
    assert "cold" not in said
    found = measured(Scripted("host", good), Scripted("none", gives("", why="no such thing")))
    assert "syscall on none is absent: no such thing" in " ".join(seen_of(found, "host", "none").text().split())


def test_a_clock_that_goes_wrong_is_told() -> None:
    """A guest's, whose seconds are half of ours."""
    done = Execution(2.5, 0.1, 1.0, Report("T", begun=1.0, ended=3.0, own_s=1.0))
    assert done._replace(report=Report("T", begun=1.0, ended=1.1, own_s=1.0)).clock is None, "too short to tell"
    found = Measured(facts={"box": {}})
    rounds._heed(done, "box", {}, found)
    assert found.facts["box"]["clock"] == "0.500 of the host's"
    (said,) = inforce.unequal(Limits(), found.facts, guest=False)
    assert said.startswith("box: its clock says 0.500 s in a second of the host's")
    assert inforce.unequal(Limits(), {"box": {"clock": "0.998 of the host's"}}, guest=False) == []


def test_laps_that_come_together_are_no_figure() -> None:
    """As where nobody read for a while: 16 MiB in no time is no throughput."""
    report = Report("T", iter([0.0, 0.1, 0.1001, 0.2]).__next__)
    for data in (b"T begin\n", b"T lap\nT lap sha256 16 MiB/s\n", b"T lap fork 50 ms\n", b"T lap integer 1 ms\n"):
        report.take(data)
    assert set(report.figures) == {"integer"}
    assert report.absent == dict.fromkeys(
        ("sha256", "fork"), "its marks came together: too short to be timed from outside"
    )


def test_a_full_disk_is_a_lost_execution() -> None:
    def act(number: int, token: str, stdout: Sink) -> int:
        if number == 4:
            raise OSError(28, "No space left on device")
        return good(number, token, stdout)

    found = measured(Scripted("host", good), Scripted("box", act))
    assert found.lost == {"box": ["round 3: [Errno 28] No space left on device"]}


def test_an_axis_that_breaks_takes_no_other_with_it(tmp_path: Path) -> None:
    source = workload.python(frozenset({"processor"})).replace(
        "def fork()", "def fork():\n    raise MemoryError('all\\nof it')\ndef unused()"
    )
    report = Report("T")
    words = [sys.executable, "-c", source, "T", "fork", "execute"]
    report.take(subprocess.run(words, capture_output=True, check=True).stdout)
    assert report.absent == {"fork": "MemoryError: all of it"}
    assert set(report.figures) == {"execute"}


def test_what_ran_on_the_host_ends_with_a_killed_harness() -> None:
    code = (
        "from nbcontainers.compare import programs\n"
        "with programs.watched() as watch:\n"
        "    programs.run(['sh', '-c', 'echo $$; sleep 60'], lambda data: print(data.decode(), flush=True), print, watch=watch)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout
        group = int(harness.stdout.readline())
        harness.kill()
    deadline = time.monotonic() + 5
    while any(f" {group} " in stat for stat in stats()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stats() -> Iterator[str]:
    """Of each process that is alive: state, parent, process group."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = path.read_text().rpartition(")")[2].split()
            if words[0] != "Z":
                yield f" {words[2]} "
