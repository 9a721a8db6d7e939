"""What is shown of a build (builder/progress.py, builder/card.py)."""

from __future__ import annotations

from typing import Any

from nbcontainers.builder import card
from nbcontainers.builder.progress import Progress


def progress(*events: dict[str, Any]) -> Progress:
    now = iter(range(1000))
    made = Progress("mine", clock=lambda: float(next(now)))
    lines = ["FROM mini", "RUN make <x>", "USER 5", "FROM mini AS unused"]
    made.feed({"event": "plan", "name": "Dockerfile", "lines": lines, "count": 2, "needed": [[1, 3]], "target": "0"})
    for event in events:
        made.feed(event)
    return made


def step(state: str, **facts: Any) -> dict[str, Any]:
    return {
        "event": "step",
        "id": "0.0",
        "stage": "0",
        "lines": [2, 2],
        "text": "RUN make <x>",
        "state": state,
        **facts,
    }


def test_lines_bear_the_state_of_their_instruction() -> None:
    shown = card.text(progress(step("running"), {"event": "output", "id": "0.0", "text": "one\rtwo\nthree\n"}))
    assert "▶ 2 | RUN make <x>   # running" in shown
    assert "|    two\n" in shown
    assert "one" not in shown
    done = progress(step("running"), step("done", seconds=1.5, size=2048, entries=3))
    assert "✓ 2 | RUN make <x>   # 1.5 s · 3 files, 2" in card.text(done)
    assert (done.done, done.cached) == (1, 0)


def test_the_page_holds_no_markup_of_others() -> None:
    failed = progress(step("running"), {"event": "output", "id": "0.0", "text": "<script>\x1b[31m"}, step("failed"))
    failed.end("failed")
    page = card.html(failed)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "build failed mine" in page


def test_stages_that_are_not_needed_are_faint() -> None:
    one = progress()
    assert [one.is_needed(line) for line in (1, 2, 3, 4)] == [True, True, True, False]


def test_unknown_events_change_nothing() -> None:
    one = progress({"event": "new"}, {"event": "output", "id": "9.9", "text": "x"}, {})
    assert one.steps == {}
    assert card.heading(one).startswith("building mine · 0 of 2 steps")


def test_the_end() -> None:
    one = progress(
        step("running"),
        step("cached"),
        {"event": "built", "id": "sha256:1", "digest": "x", "names": ["localhost/mine:latest"]},
    )
    one.end("done")
    assert card.heading(one).startswith("built mine in ")
    assert card.heading(one).endswith("2 steps, 1 cached")
    assert card.text(one).endswith("image sha256:1")
