"""What is shown of a build (builder/progress.py, builder/card.py, cli/build.py)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcontainers.builder import card
from nbcontainers.builder.progress import Progress, left_on_screen
from nbcontainers.cli.build import Lines
from nbcontainers.errors import BuildError
from nbcontainers.image.portrait import Layer, Portrait, instruction

LINES = ["FROM mini", "RUN make <x>", "USER 5", "FROM mini AS unused", "RUN true"]
PLAN = {
    "event": "plan", "name": "Dockerfile", "lines": LINES, "steps": [[1, 1], [2, 2], [3, 3]], "unneeded": [[4, 5]],
    "context": "",
}  # fmt: skip


def progress(*events: dict[str, Any], plan: dict[str, Any] = PLAN) -> Progress:
    now = iter(range(100_000))
    made = Progress("mine", clock=lambda: float(next(now)))
    for event in (plan, *events):
        made.feed(event)
    return made


def step(state: str, id: str = "0.0", line: int = 2, **facts: Any) -> dict[str, Any]:
    lines = [line, line]
    return {"event": "step", "id": id, "stage": "0", "lines": lines, "text": "RUN make <x>", "state": state, **facts}


def output(text: str) -> dict[str, Any]:
    return {"event": "output", "id": "0.0", "text": text}


def failure(**details: Any) -> BuildError:
    found = {"file": "Dockerfile", "line": 2, "end_line": 2, **details}
    return BuildError("Dockerfile:2: RUN failed with exit status 3\n  2 | RUN", hint="write <it> well", **found)


def test_lines_bear_the_state_of_their_instruction() -> None:
    shown = card.text(progress(step("running"), output("one\rtwo\nthree\n")))
    assert "▶ 2 | RUN make <x>   # running" in shown
    assert "· 3 | USER 5" in shown
    assert "|   two\n" in shown
    assert "one" not in shown
    done = progress(step("running"), step("done", seconds=1.5, size=2048, entries=4, files=3))
    assert "✓ 2 | RUN make <x>   # 1.5 s · 3 files, 2.05 kB" in card.text(done)
    assert (done.done, done.count) == (1, 3)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"state": "cached", "size": 0, "entries": 1, "files": 0}, "cached · 1 folder"),
        ({"state": "cached", "size": 0, "entries": 0, "files": 0}, "cached · changed nothing"),
        ({"state": "done", "seconds": 0.001}, ""),
        ({"state": "done", "seconds": 0.02, "note": "2 layers"}, "20 ms · 2 layers"),
        ({"state": "failed", "seconds": 3}, "failed · 3 s"),
    ],
)
def test_what_is_said_of_a_step(facts: dict[str, Any], said: str) -> None:
    assert card.says(progress(step("running"), step(**facts)).steps["0.0"]) == said


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("a\rb\r\nc\n", ["b", "c", ""]), ("\x1b[31;1mred\x1b[0m\tx", ["red     x"]), ("10%\r20%\r", ["20%"]),
        ("\x1b]0;title\x07words", ["words"]), ("\x1b]8;;http://x\x1b\\link", ["link"]), ("\x1b[2K\x1b[1Gdone", ["done"]),
    ],
)  # fmt: skip
def test_what_a_command_left_on_the_screen(output: str, lines: list[str]) -> None:
    assert left_on_screen(output) == lines


def test_what_an_onbuild_did_is_told_as_such() -> None:
    one = progress(step("running", "0.0", 1), step("failed", "0.0", 1))
    one.error = BuildError("ONBUILD of base:1: RUN failed", hint="look", file="ONBUILD of base", line=1, end_line=1)
    one.end("failed")
    assert "✗ 1 | FROM mini   # failed" in card.text(one)
    assert "^ ONBUILD of base: RUN failed" in card.text(one)


def test_a_failure_stands_at_its_line() -> None:
    one = progress(step("running"), output("words\n"), step("failed", seconds=1))
    one.error = failure()
    one.end("failed")
    shown = card.text(one)
    assert shown.startswith("build failed: mine · 0 of 3 steps")
    assert "✗ 2 | RUN make <x>   # failed · 1 s\n    |   words\n    | ^ RUN failed with exit status 3\n" in shown
    assert "try: write <it> well" in shown
    assert "try: write &lt;it&gt; well" in card.html(one)


def test_what_a_finished_step_wrote_is_folded_away() -> None:
    one = progress(step("running"), output("".join(f"<{number}>\n" for number in range(50))), step("done", size=0))
    assert "<49>" not in card.text(one)
    one.end("done")
    assert card.text(one).count("|   <4") == 3
    assert "<summary" in card.html(one)
    assert "30 lines of output" in card.html(one)
    assert "&lt;49&gt;" in card.html(one)


def test_an_error_before_any_step_marks_its_line() -> None:
    one = progress(step("running", "0.from", 1), step("running", "1.0", 3))
    one.error = failure(line=1, end_line=1)
    one.end("failed")
    assert (one.steps["0.from"].state, one.steps["1.0"].state) == ("failed", "cancelled")
    assert "✗ 1 | FROM mini" in card.text(one)


def test_an_interrupt_leaves_nothing_running() -> None:
    one = progress(step("running"))
    one.end("interrupted")
    assert "– 2 | RUN make <x>   # cancelled" in card.text(one)
    assert card.heading(one).startswith("build interrupted: mine")


def test_the_page_holds_no_markup_of_others() -> None:
    one = progress(step("running"), output("<script>\x1b[31m"), step("failed"))
    one.end("failed")
    page = card.html(one)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


def test_stages_that_are_not_needed_are_faint_and_said() -> None:
    one = progress()
    assert [one.is_needed(line) for line in (1, 2, 3, 4, 5)] == [True, True, True, False, False]
    assert card.html(one).count("not needed") == 1


def test_warnings_stand_below_their_lines() -> None:
    one = progress({"event": "warning", "rule": "Rule", "message": "say <it>", "lines": [3, 3]})
    assert "· 3 | USER 5\n    | ^ warning: Rule: say <it>" in card.text(one)
    assert "⚠ Rule: say &lt;it&gt;" in card.html(one)


def test_a_long_file_is_shown_in_part() -> None:
    lines = ["FROM mini", *(f"# {number}" for number in range(5000)), "RUN it", *["# more"] * 3000]
    plan = PLAN | {"lines": lines, "steps": [[1, 1], [5002, 5002]], "unneeded": []}
    one = progress(step("running", line=5002), plan=plan)
    shown = card.text(one)
    assert "▶ 5002 | RUN it   # running" in shown
    assert shown.splitlines()[-1].endswith("more lines")
    assert len(card.html(one)) < 100_000


def test_unknown_events_change_nothing() -> None:
    one = progress({"event": "new"}, {"event": "output", "id": "9.9", "text": "x"}, {})
    assert one.steps == {}
    assert card.heading(one).startswith("building mine · 0 of 3 steps")


def test_a_pull_is_told_while_it_lasts() -> None:
    layers = [{"digest": "sha256:1", "size": 2048}]
    one = progress({"event": "image", "verb": "pull", "reference": "base:1", "layers": layers})
    one.feed({"event": "layer", "digest": "sha256:1", "state": "downloading", "bytes": 1024})
    assert "pulling base:1 · 1.02 kB of 2.05 kB" in card.heading(one)
    one.feed({"event": "done", "digest": "sha256:2"})
    assert "pulling" not in card.heading(one)


@pytest.mark.parametrize(
    ("states", "said"),
    [(["done"], "1 step"), (["done", "done"], "2 steps"), (["done", "cached"], "1 of 2 steps cached"),
     (["cached", "cached"], "all 2 steps cached"), (["cached"], "its step was cached")],
)  # fmt: skip
def test_the_end(states: list[str], said: str) -> None:
    events = [step(state, f"0.{number}", size=1) for number, state in enumerate(states)]
    one = progress(*events, {"event": "built", "id": "sha256:1", "digest": "x", "names": ["localhost/mine:latest"]})
    one.image = Portrait("mine", "1234", "1 B in 1 layer", "", [("runs", "sh")], [Layer("RUN <x>", 1, 1)])
    one.end("done")
    assert card.heading(one).startswith("built mine in ")
    assert card.heading(one).endswith(said)
    assert "RUN <x>" in card.text(one)
    assert "RUN &lt;x&gt;" in card.html(one)


def test_lines_for_a_log() -> None:
    said: list[str] = []
    lines = Lines(Progress("mine"), said.append)
    warning = {"event": "warning", "rule": "Rule", "message": "mind", "lines": [2, 2]}
    for event in (PLAN, warning, step("running"), output("a\nb"), output("c\x1b\n"), step("done", seconds=2)):
        lines(event)
    lines.finish()
    assert said[:-1] == [
        "warning: Dockerfile:2: Rule: mind\n", "     2 | RUN make <x>\n", "[0] 2: RUN make <x>\n", "  2 | a\n",
        "  2 | bc\\x1b\n", "  2 2 s\n",
    ]  # fmt: skip
    assert said[-1].startswith("building mine")


@pytest.mark.parametrize(
    ("created_by", "shown"),
    [
        ("RUN /bin/sh -c make # buildkit", "RUN make"), ("/bin/sh -c make", "RUN make"),
        ("RUN |1 A=b /bin/sh -c make", "RUN make"), ('/bin/sh -c #(nop)  CMD ["sh"]', 'CMD ["sh"]'),
        ("COPY a b # buildkit", "COPY a b"), ("RUN make a", "RUN make a"),
    ],
)  # fmt: skip
def test_an_instruction_of_a_history(created_by: str, shown: str) -> None:
    assert instruction(created_by) == shown


WORDS = st.text(max_size=40) | st.sampled_from(["<script>", "\x1b[2J", "$x$", "\ud800", "&amp;", "a\rb\tc"])
STATES_TOLD = st.sampled_from(["running", "cached", "done", "failed", "cancelled"])
EVENTS = st.one_of(
    st.builds(lambda state, line, size: step(state, f"0.{line}", line, size=size, files=1), STATES_TOLD,
              st.integers(1, 5), st.none() | st.integers(0, 2**50)),
    st.builds(output, WORDS),
    st.builds(lambda rule, text, line: {"event": "warning", "rule": rule, "message": text, "lines": [line, line]},
              WORDS, WORDS, st.integers(1, 9)),
)  # fmt: skip


@given(lines=st.lists(WORDS, min_size=5, max_size=5), events=st.lists(EVENTS, max_size=12),
       outcome=st.sampled_from(["", "done", "failed", "interrupted"]), words=WORDS)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_nothing_that_is_in_it_breaks_the_card(
    lines: list[str], events: list[dict[str, Any]], outcome: str, words: str
) -> None:
    one = progress(step("running"), *events, plan=PLAN | {"lines": lines, "context": words})
    if outcome == "failed":
        one.error = BuildError(words, hint=words, file="Dockerfile", line=7, end_line=9)
    if outcome:
        one.end(outcome)
    shown, page = card.text(one), card.html(one)
    assert "\x1b" not in shown + page
    assert "<script" not in page
    assert (page.count("<tr"), page.count("<td")) == (page.count("</tr>"), page.count("</td>"))


@pytest.mark.parametrize(("piece", "most"), [("x" * 1000, 110_000), ("50 %\r" * 200, 20)])
def test_output_without_a_line_end_takes_neither_memory_nor_time(piece: str, most: int) -> None:
    said: list[str] = []
    lines = Lines(Progress("mine"), said.append)
    lines({"event": "step", "id": "a", "stage": "0", "lines": [1, 1], "text": "RUN x", "state": "running"})
    for _ in range(1000):
        lines({"event": "output", "id": "a", "text": piece})
        assert sum(map(len, lines._begun.values())) < 1 << 17
    lines({"event": "step", "id": "a", "stage": "0", "lines": [1, 1], "text": "RUN x", "state": "done"})
    shown = "".join(said[1:])
    assert shown.count("x") == piece.count("x") * 1000
    assert max(map(len, said)) < most
