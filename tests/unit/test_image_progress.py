"""A transfer's progress: what its events add up to, and how a cell, a terminal and a log show it."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbcontainers import view
from nbcontainers.cli import transfer
from nbcontainers.cli.parser import Call
from nbcontainers.cli.verbs import Verb
from nbcontainers.errors import RegistryError
from nbcontainers.image import card
from nbcontainers.image.progress import Progress
from nbcontainers.magics import transfer as in_a_cell
from nbcontainers.table import AS_IT_IS

MIB = 1 << 20
A, B, C = (f"sha256:{digit * 64}" for digit in "abc")
NAME = "docker.io/library/nginx:1.21"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    """Three layers: one on its way for two seconds, one waiting, one that is there."""
    made = Progress("pull", "nginx:1.21", clock)
    for event in events():
        clock.now += 1
        made.feed(event)
    return made


def events() -> list[dict[str, Any]]:
    layers = [{"digest": digest, "size": size * MIB} for digest, size in ((A, 8), (B, 2), (C, 30))]
    return [
        {"event": "image", "reference": NAME, "verb": "pull", "layers": layers},
        {"event": "layer", "digest": C, "state": "exists", "bytes": 30 * MIB, "note": ""},
        {"event": "layer", "digest": A, "state": "downloading", "bytes": 2 * MIB, "note": ""},
        {"event": "layer", "digest": A, "state": "downloading", "bytes": 4 * MIB, "note": ""},
    ]


def layer(digest: str, state: str, mib: int = 0, note: str = "") -> dict[str, Any]:
    return {"event": "layer", "digest": digest, "state": state, "bytes": mib * MIB, "note": note}


def finished(progress: Progress) -> Progress:
    for event in (layer(A, "extracting", 8), layer(A, "done", 8), layer(B, "downloading"), layer(B, "done", 2)):
        progress.feed(event)
    progress.feed({"event": "moved", "reference": NAME, "from": B, "to": A})
    progress.feed({"event": "done", "digest": A})
    progress.end("done")
    return progress


def test_the_sums(progress: Progress) -> None:
    assert (progress.travelled, progress.to_travel) == (4 * MIB, 10 * MIB)
    assert progress.part == pytest.approx(0.4)
    assert [one.state for one in progress.rows] == ["downloading", "waiting", "exists"]


def test_the_speed_is_of_the_last_seconds_and_gives_the_time_left(progress: Progress, clock: Clock) -> None:
    assert (progress.speed, progress.left) == (MIB, 6)
    clock.now += 4
    assert (progress.speed, progress.left) == (MIB / 2, 12)
    progress.feed(layer(A, "downloading", 4))
    assert progress.speed == 0
    assert "left" not in card.heading(progress)


def test_a_layer_tried_again_keeps_what_came(progress: Progress) -> None:
    progress.feed(layer(A, "retrying", 4, "the connection broke"))
    assert progress.travelled == 4 * MIB
    assert "trying again" in card.text(progress)
    assert "the connection broke" in card.html(progress)


def test_what_was_mounted_did_not_travel(progress: Progress) -> None:
    progress.feed(layer(B, "mounted", 2))
    assert progress.to_travel == 8 * MIB


def test_a_layer_that_is_here_may_be_unpacked_alone(progress: Progress) -> None:
    progress.feed(layer(B, "extracting", 1))
    assert progress.to_travel == 8 * MIB
    assert progress.part == pytest.approx(0.5)
    progress.feed(layer(B, "done", 2))
    progress.feed(layer(A, "done", 8))
    assert progress.travelled == 8 * MIB
    assert list(progress.counts()) == [(1, "downloaded"), (1, "unpacked"), (1, "already there")]


@pytest.mark.parametrize(("verb", "word"), [("push", "uploaded"), ("load", "read")])
def test_what_a_push_or_a_load_did_not_skip_it_sent(clock: Clock, verb: str, word: str) -> None:
    """A quick layer has no event but its last."""
    made = Progress(verb, "", clock)
    made.feed({"event": "image", "verb": verb, "reference": NAME, "layers": [{"digest": A, "size": MIB}]})
    made.feed(layer(C, "done", 1))
    made.feed(layer(A, "done", 1))
    assert list(made.counts()) == [(1, word)], "the config is no layer"
    assert made.travelled == MIB


def test_unknown_events_change_nothing(progress: Progress) -> None:
    before = card.text(progress)
    for event in ({}, {"event": "weather"}, layer(A, "levitating", 9)):
        progress.feed(event)
    assert card.text(progress) == before


def test_one_blob_of_two_images_is_one_row(progress: Progress) -> None:
    progress.feed({"event": "image", "reference": "other:1", "layers": [{"digest": A, "size": 8 * MIB}]})
    assert len(progress.rows) == 3
    assert progress.name == f"{NAME}, other:1"
    assert progress.travelled == 4 * MIB


def test_text_while_it_works(progress: Progress) -> None:
    assert card.text(progress).splitlines() == [
        f"pulling {NAME} · 4.19 MB of 10.5 MB · 1.05 MB/s · 6 s left",
        "  aaaaaaaaaaaa  downloading    4.19 MB of 8.39 MB",
        "  bbbbbbbbbbbb  waiting        2.1 MB",
        "  cccccccccccc  already there  31.5 MB",
    ]


def test_the_summary(progress: Progress) -> None:
    assert card.text(finished(progress)).splitlines() == [
        f"pulled {NAME} in 4 s",
        f"  digest  {A}",
        f"  moved   from {B}",
        "  layers  3: 2 downloaded, 1 already there",
        "  bytes   10.5 MB, 2.62 MB/s",
    ]


def test_of_several_images_the_summary_says_which_moved(progress: Progress) -> None:
    progress.feed({"event": "image", "reference": "other:1", "layers": [{"digest": A, "size": 8 * MIB}]})
    assert f"  moved   from {B} {NAME}" in card.text(finished(progress)).splitlines()


@pytest.mark.parametrize("outcome", ["failed", "interrupted"])
def test_an_end_that_is_none(progress: Progress, outcome: str) -> None:
    progress.end(outcome)
    progress.end("done")
    shown = card.text(progress)
    assert shown.startswith(f"pull {outcome} {NAME} after 4 s")
    assert "3: 1 already there, 2 not finished" in shown
    assert f"pull {outcome}" in card.html(progress)


def test_every_fact_of_the_html_is_in_the_text(progress: Progress) -> None:
    """And the other way round: what the summary says is all there, escaped."""
    html = card.html(finished(progress))
    for fact in ("pulled", NAME, A, B, "2 downloaded, 1 already there", "10.5 MB, 2.62 MB/s"):
        assert fact in html
        assert fact in card.text(progress)


def test_nothing_of_a_registry_is_markup_or_drives_a_terminal(clock: Clock) -> None:
    evil = '<script>alert(1)</script>"\x1b[2J'
    hostile = Progress("pull", evil, clock)
    hostile.feed({"event": "image", "reference": evil, "layers": [{"digest": evil, "size": 1}]})
    hostile.feed({"event": "layer", "digest": evil, "state": "retrying", "bytes": 0, "note": evil})
    for _ in range(2):
        assert "<script" not in card.html(hostile)
        assert "\x1b" not in card.html(hostile) + card.text(hostile)
        hostile.end("failed")


@pytest.mark.parametrize("forbidden", ["<script", "<style", "http:", "https:", "<iframe", "class="])
def test_the_html_stands_alone(progress: Progress, forbidden: str) -> None:
    """But for the class that keeps a notebook from reading mathematics into it."""
    assert forbidden not in card.html(progress).replace(AS_IT_IS, "")
    assert forbidden not in card.html(finished(progress)).replace(AS_IT_IS, "")


def test_many_layers_show_those_at_work(clock: Clock) -> None:
    many = Progress("pull", "many", clock)
    digests = [f"sha256:{number:064x}" for number in range(120)]
    many.feed({"event": "image", "reference": "many", "layers": [{"digest": d, "size": MIB} for d in digests]})
    for digest in digests[:50]:
        many.feed(layer(digest, "done", 1))
    for digest in digests[110:]:
        many.feed(layer(digest, "downloading", 0))
    rows, more = card.shown(many)
    assert len(rows) == card.MOST_ROWS
    assert {row.digest for row in rows} >= set(digests[110:])
    assert more == "and 50 done, 46 waiting"
    assert len(card.html(many)) < 50_000


# The faces


class Pipe(io.StringIO):
    def __init__(self, tty: bool) -> None:
        super().__init__()
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


def screen(text: str) -> list[str]:
    """What a terminal shows in the end; knows the three sequences that bars use."""
    lines: list[str] = [""]
    row = 0
    for part in re.split(r"(\x1b\[\d*[FKJ]|\n)", text):
        if match := re.fullmatch(r"\x1b\[(\d*)([FKJ])", part):
            if match[2] == "F":
                row -= int(match[1])
            elif match[2] == "J":
                del lines[row + 1 :]
                lines[row] = ""
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part:
            lines[row] = part
    return lines


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    def size(columns: int, rows: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(rows))

    monkeypatch.setenv("TERM", "xterm")
    return size


def test_bars_are_drawn_over_and_the_summary_takes_their_place(
    progress: Progress, wide: Callable[[int, int], None]
) -> None:
    wide(100, 30)
    stream = Pipe(True)
    bars = transfer.Bars(progress, stream)
    bars.draw()
    first = screen(stream.getvalue())
    assert first[1].startswith(
        "aaaaaaaaaaaa  downloading    [####################....................]  4.19 MB of 8.39 MB"
    )
    bars.draw()
    assert screen(stream.getvalue()) == first
    finished(progress)
    bars.finish()
    assert screen(stream.getvalue()) == [*card.text(progress).splitlines(), ""]


@pytest.mark.parametrize("columns", [20, 40, 69, 70, 75, 200])
def test_no_line_is_wider_or_higher_than_the_terminal(
    progress: Progress, wide: Callable[[int, int], None], columns: int
) -> None:
    wide(columns, 6)
    stream = Pipe(True)
    transfer.Bars(progress, stream).draw()
    shown = screen(stream.getvalue())
    assert max(map(len, shown)) < columns
    assert len(shown) <= 6


def test_without_a_terminal_a_line_for_what_matters(progress: Progress, clock: Clock) -> None:
    stream = Pipe(False)
    lines = transfer.shown_on(stream, Progress("pull", "nginx:1.21", clock))
    assert isinstance(lines, transfer.Lines)
    for event in [*events(), layer(A, "retrying", 4, "stalled"), layer(A, "done", 8), layer(A, "done", 8)]:
        lines(event)
    assert stream.getvalue().splitlines() == [
        f"pulling {NAME}: 3 layers, 41.9 MB",
        "cccccccccccc  already there  31.5 MB",
        "aaaaaaaaaaaa  trying again   4.19 MB of 8.39 MB · stalled",
        "aaaaaaaaaaaa  done           8.39 MB",
    ]


def test_one_layer_is_one() -> None:
    stream = Pipe(False)
    lines = transfer.Lines(Progress("load", "x"), stream)
    lines({"event": "image", "reference": "x:1", "verb": "load", "layers": [{"digest": A, "size": MIB}]})
    assert stream.getvalue() == "loading x:1: 1 layer, 1.05 MB\n"


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(transfer.shown_on(Pipe(True), Progress("pull")), transfer.Lines)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(transfer.shown_on(Pipe(True), Progress("pull")), transfer.Bars)


def test_a_closed_stderr_stops_no_pull() -> None:
    stream = Pipe(False)
    lines = transfer.shown_on(stream, Progress("pull", "x"))
    stream.close()
    with lines:
        lines(events()[0])


def pull(name: str, *, progress: Callable[[dict[str, Any]], None] | None = None) -> str:
    """Pull an image."""
    if progress is None:
        return "silent"
    if name == "broken":
        progress(events()[0])
        raise RegistryError("the registry lied")
    if name == "nowhere":
        raise RegistryError("no such host")
    for event in events():
        progress(event)
    if name == "slow":
        time.sleep(view.patience + 0.35)
        progress(layer(A, "downloading", 6))
    for event in (layer(A, "done", 8), layer(B, "done", 2), {"event": "done", "digest": A}):
        progress(event)
    return "an image"


VERB = Verb("image", "pull", pull)


def call(name: str) -> Call:
    return Call(arguments=[name])


def test_the_command_line_shows_it_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert transfer.run(VERB, call("quick"), quiet=False) == "an image"
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"pulled {NAME} in" in shown.err
    assert transfer.run(VERB, call("quick"), quiet=True) == "silent"
    assert capsys.readouterr() == ("", "")


def test_where_nothing_was_begun_the_error_says_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RegistryError):
        transfer.run(VERB, call("nowhere"), quiet=False)
    assert capsys.readouterr().err == ""
    with pytest.raises(RegistryError):
        transfer.run(VERB, call("broken"), quiet=False)
    assert f"pull failed {NAME} after" in capsys.readouterr().err


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool, str]]:
    """What a front end gets: display id, whether it is an update, the text."""
    found: list[tuple[str, bool, str]] = []

    def publish(data: dict[str, str], *, transient: dict[str, str], update: bool) -> None:
        found.append((transient["display_id"], update, data["text/plain"]))

    monkeypatch.setattr("nbcontainers.magics.area.publish_display_data", publish)
    return found


def test_a_quick_transfer_shows_its_summary_alone(published: list[tuple[str, bool, str]]) -> None:
    assert in_a_cell.run(VERB, call("quick"), quiet=False) == "an image"
    ((_, update, shown),) = published
    assert not update
    assert shown.startswith(f"pulled {NAME} in")


def test_a_slow_one_is_one_area_that_ends_in_its_summary(published: list[tuple[str, bool, str]]) -> None:
    in_a_cell.run(VERB, call("slow"), quiet=False)
    assert len({display for display, _, _ in published}) == 1
    assert [update for _, update, _ in published] == [False] + [True] * (len(published) - 1)
    assert len(published) <= 5
    assert published[0][2].startswith(f"pulling {NAME} · 4.19 MB of 10.5 MB"), "though no event came meanwhile"
    assert published[-1][2].startswith(f"pulled {NAME} in")


@pytest.mark.parametrize(
    ("name", "now", "past"),
    [("save", "saving", "saved"), ("import", "importing", "imported"), ("commit", "committing", "committed"),
     ("verify", "verifying", "verified"), ("export", "exporting", "exported")],
)  # fmt: skip
def test_a_verb_that_tells_nothing_says_that_it_works_where_it_takes_long(
    published: list[tuple[str, bool, str]], monkeypatch: pytest.MonkeyPatch, name: str, now: str, past: str
) -> None:
    monkeypatch.setattr(view, "patience", 0.02)
    monkeypatch.setattr(transfer, "_BEAT", 0.01)
    drawn = threading.Event()
    monkeypatch.setattr(in_a_cell.Waiting, "draw", lambda area: (in_a_cell.Area.draw(area), drawn.set()))

    def slow(image: str) -> str:
        assert drawn.wait(5)
        return image

    assert name in in_a_cell.SILENT
    assert in_a_cell.wait(Verb("image", name, slow), call("x"), quiet=False) == "x"
    assert published[0][1:] == (False, f"{now} x")
    assert published[-1][2].startswith(f"{past} x in ")
    assert len({display for display, _, _ in published}) == 1


def test_one_that_tells_nothing_and_is_quick_shows_nothing(published: list[tuple[str, bool, str]]) -> None:
    assert in_a_cell.wait(Verb("image", "save", lambda image: image), call("x"), quiet=False) == "x"
    assert published == []


def test_a_cell_that_fails_keeps_how_far_it_came(published: list[tuple[str, bool, str]]) -> None:
    with pytest.raises(RegistryError):
        in_a_cell.run(VERB, call("broken"), quiet=False)
    assert [shown.splitlines()[0].partition(" after")[0] for _, _, shown in published] == [f"pull failed {NAME}"]
    with pytest.raises(RegistryError):
        in_a_cell.run(VERB, call("nowhere"), quiet=False)
    assert len(published) == 1


def test_quiet_shows_nothing(published: list[tuple[str, bool, str]]) -> None:
    assert in_a_cell.run(VERB, call("quick"), quiet=True) == "silent"
    assert published == []


def test_an_interrupt_ends_it_as_such(published: list[tuple[str, bool, str]]) -> None:
    def stopped(name: str, *, progress: Callable[[dict[str, Any]], None]) -> None:
        """Pull."""
        progress(events()[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_a_cell.run(Verb("image", "pull", stopped), call("x"), quiet=False)
    assert published[-1][2].startswith(f"pull interrupted {NAME}")


def test_the_magic_shows_the_area_and_not_the_result_again(published: list[tuple[str, bool, str]]) -> None:
    from nbcontainers.magics.magics import NBContainers, ObjectMagic, face_options

    magic = ObjectMagic(NBContainers(InteractiveShell.instance()), "image")
    magic.verbs = lambda: {"pull": VERB}  # type: ignore[method-assign]
    assert [one.name for one in face_options(VERB)] == ["out", "quiet"]
    assert magic("pull quick") is None
    assert magic.do(["pull", "quick", "-o", "kept"], None).value == "an image"
    assert magic.settings.namespace["kept"] == "an image"
    assert magic.do(["pull", "-q", "quick"], None).value == "silent"
    assert len(published) == 2
