"""Tables: Docker's text, HTML that needs no theme, raw values for pandas, and no repr that raises."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nbcontainers.table import (
    AMBER,
    BLUE,
    GREEN,
    RED,
    Column,
    Table,
    age,
    bytes_,
    command,
    digest,
    duration,
    few,
    ink,
    instant,
    percent,
    safe,
    since,
    stored,
    timestamp,
    tint,
    width,
)
from nbcontainers.view import View

NAME_AND_SIZE = [Column("name"), Column("size", format=bytes_)]


def test_text_is_dockers() -> None:
    rows = [
        {"id": "sha256:" + "3f2a9c1b0d4e" * 5, "size": 7340032, "names": "web"},
        {"id": "a" * 64, "size": None, "names": "日本"},
    ]
    table = Table(rows, [Column("id", "CONTAINER ID", digest), Column("size", format=bytes_), Column("names")])
    assert repr(table) == (
        "CONTAINER ID   SIZE   NAMES\n"
        "3f2a9c1b0d4e   7MiB   web\n"
        "aaaaaaaaaaaa          日本"
    )  # fmt: skip


def test_an_empty_table_has_its_heading() -> None:
    assert repr(Table([], NAME_AND_SIZE)) == "NAME   SIZE"
    assert len(Table([], NAME_AND_SIZE).to_pandas()) == 0


def test_it_is_a_sequence_of_rows() -> None:
    table = Table([{"name": "a"}, {"name": "b"}], [Column("name")])
    assert len(table) == 2
    assert table[1] == {"name": "b"}
    assert [row["name"] for row in table] == ["a", "b"]
    assert list(table[:1]) == [{"name": "a"}]
    assert table == Table([{"name": "a"}, {"name": "b"}], [Column("name")])


def test_html_has_no_markup_from_values_and_no_style_element() -> None:
    html = Table([{"name": "<script>alert(1)</script>\x1b[31m"}], [Column("name")]).html()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m" in html
    assert "<style" not in html
    assert not re.search(r"https?:|url\(", html)


def test_no_value_drives_the_terminal() -> None:
    assert "\x1b" not in repr(Table([{"name": "\x1b]0;title\x07"}], [Column("name")]))
    assert "\n" not in repr(Table([{"name": "a\nb"}], [Column("name")])).partition("\n")[2]


def test_no_repr_raises() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert "<Broken>" in repr(Table([{"name": Broken()}], [Column("name")]))
    assert "&lt;Broken&gt;" in Table([{"name": Broken()}], [Column("name")]).html()


def test_long_tables_are_cut_in_html_only() -> None:
    table = Table([{"name": str(i), "size": i} for i in range(150)], NAME_AND_SIZE)
    assert "… 50 more" in table.html()
    assert len(repr(table).splitlines()) == 151


def test_a_frame_has_real_types() -> None:
    pandas = pytest.importorskip("pandas")
    rows = [{"name": "a", "size": 5, "created": "2026-01-02T03:04:05.123456789Z", "ran": 1.5, "cpu": 12.5}]
    columns = [*NAME_AND_SIZE, Column("created", format=since), Column("ran", format=duration), Column("cpu")]
    frame = Table(rows, columns).to_pandas()
    assert frame["size"].dtype == "int64"
    assert str(frame["created"].dt.tz) == "UTC"
    assert frame["created"][0] == pandas.Timestamp("2026-01-02T03:04:05.123456Z")
    assert frame["ran"][0] == pandas.Timedelta(seconds=1.5)
    missing = Table([*rows, {"name": "b"}], columns).to_pandas()
    assert missing["size"].dtype == "Int64"
    assert missing["created"].isna().tolist() == [False, True]
    said = Table([{"differs": True}, {"differs": None}], [Column("differs")]).to_pandas()
    assert said["differs"].dtype == "boolean"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0B"), (1023, "1023B"), (1024, "1KiB"), (65 << 20, "65MiB"), (1342177280, "1.25GiB"), (5 << 50, "5PiB"),
        (None, ""), ("n/a", "n/a"),
    ],
)  # fmt: skip
def test_bytes(value: Any, shown: str) -> None:
    assert bytes_(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (231_000, "231kB"), (7_654_321, "7.65MB"), (999_499_999, "999MB"),
     (999_600_000, "1GB"), (5 * 10**15, "5PB"), (5 * 10**18, "5000PB"), ("?", "?"), (None, "")],
)  # fmt: skip
def test_what_is_stored_is_decimal_as_docker_has_it(value: object, shown: str) -> None:
    assert stored(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 s"), (1e-5, "10 µs"), (0.0082, "8.2 ms"), (0.5, "0.5 s"), (3.414, "3.41 s"), (125, "2 min 05 s"),
        (3700, "1 h 01 min"), (200000, "2 d 7 h"), (timedelta(seconds=2), "2 s"), (None, ""),
    ],
)  # fmt: skip
def test_durations(value: Any, shown: str) -> None:
    assert duration(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.2, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (185, "3 minutes"),
        (3600, "About an hour"), (7300, "2 hours"), (86400 * 3, "3 days"), (86400 * 20, "2 weeks"),
        (86400 * 100, "3 months"), (86400 * 800, "2 years"),
    ],
)  # fmt: skip
def test_ages_are_said_as_docker_does(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_since_takes_every_form_of_time() -> None:
    now = time.time() - 5.2
    for value in (now, datetime.fromtimestamp(now, UTC), datetime.fromtimestamp(now, UTC).isoformat()):
        assert since(value) == "5 seconds ago"
    assert since("never") == "never"
    assert timestamp("2026-01-01T00:00:00") == timestamp("2026-01-01T01:00:00+01:00")


def test_many_names_are_counted() -> None:
    assert few(["a", "b", "c"]) == few("a, b, c") == "a, b, c"
    assert few(["a", "b", "c", "d"]) == few("a, b, c, d") == "a, b, and 2 more"
    assert (few(None), few([]), few("<none>")) == ("", "", "<none>")


def test_small_formats() -> None:
    assert percent(12.5) == "12.50%"
    assert command(["sh", "-c", "sleep 1000000000"]) == '"sh -c sleep 1000000…"'
    assert command([]) == ""
    assert Column("x").show({"x": ["a", 1]}) == "a, 1"
    assert Column("x").show({"x": {"a": 1}}) == "a=1"
    assert width("日本") == 4
    assert width("e\u0301") == 1


def test_a_colour_for_words_is_mixed_with_the_text_s_own() -> None:
    assert ink("red") == "color-mix(in srgb, red 60%, currentColor)"


def test_a_ground_has_its_own_colour_of_words() -> None:
    ink = "color: var(--jp-content-font-color1, var(--vscode-editor-foreground, inherit));"
    assert tint("red", 16) == f"background: color-mix(in srgb, red 16%, transparent); {ink}"


@pytest.mark.parametrize("accent", [BLUE, GREEN, AMBER, RED])
def test_accents_are_those_of_the_front_end(accent: str) -> None:
    assert re.fullmatch(r"var\(--jp-[a-z]+-color1, var\(--vscode-charts-[a-z]+, #[0-9a-f]{6}\)\)", accent)


def test_two_hundred_rows_in_a_cell() -> None:
    """A hundred are shown, in text as in HTML, the others counted; whatever is in them it stays small. `repr` has all."""
    rows = [
        {"name": f"web-{number}", "status": "Up", "note": "<&>" * number * 10, "size": number} for number in range(200)
    ]
    columns = [
        Column("name"),
        Column("status", colour=lambda row: "#123456"),
        Column("note"),
        Column("size", format=stored),
    ]
    table = Table(rows, columns)
    shown = table._repr_mimebundle_()
    for kind in ("text/plain", "text/html"):
        assert "web-99" in shown[kind]
        assert "web-100" not in shown[kind]
        assert "… 100 more; .to_pandas() has all" in shown[kind]
    assert len(shown["text/plain"]) + len(shown["text/html"]) < 300_000
    assert shown["text/html"].count('aria-hidden="true">● </span>Up') == 100
    assert "web-199" in repr(table)
    assert len(table.to_pandas()) == 200


def test_numbers_are_lined_up_on_the_right() -> None:
    row = {"name": "web", "pids": 3, "rate": 20.5, "size": None, "created": 1764000000, "own": True}
    columns = [Column("name"), Column("pids"), Column("rate", format=lambda rate: f"{rate}/s"),
               Column("size", format=stored), Column("created", format=since), Column("own")]  # fmt: skip
    html = Table([row], columns).html()
    sides = re.findall(r"<td style=\"[^\"]*text-align:(\w+)", html)
    assert sides == ["left", "right", "right", "right", "left", "left"]
    assert sides == re.findall(r"<th style=\"[^\"]*text-align:(\w+)", html)
    assert "tabular-nums" in html


def test_words_may_go_into_more_lines_and_names_and_numbers_do_not() -> None:
    row = {"name": "a-long-name", "status": "exited 3 minutes ago", "took": 0.0082}
    shown = Table([row], [Column("name"), Column("status"), Column("took", format=duration)]).html()
    cells = {words: "nowrap" in style for style, words in re.findall(r'<td style="([^"]*)">([^<]*)</td>', shown)}
    assert cells == {"a-long-name": True, "exited 3 minutes ago": False, "8.2 ms": True}


def test_an_age_grows_old_so_its_time_is_there_too() -> None:
    shown = Table([{"created": 1764000000}], [Column("created", format=since)]).html()
    assert 'title="2025-11-24 16:00:00.000 UTC"' in shown
    assert instant("2026-11-23T08:05:30.0829Z") == "2026-11-23 08:05:30.082"
    assert instant("never") == "never"


def test_a_foreign_text_in_html_has_no_markup_and_no_control_characters() -> None:
    assert safe('<b title="x">\x1b[2J\nzürich') == "&lt;b title=&quot;x&quot;&gt;\\x1b[2J\\nzürich"


class Broken(View):
    def text(self) -> str:
        raise ValueError("no \x1b[2J here")

    def html(self) -> str:
        return ""


def test_a_view_that_cannot_be_read_says_why_and_drives_no_terminal() -> None:
    found = Broken()._repr_mimebundle_()
    assert list(found) == ["text/plain"]
    assert found["text/plain"].endswith("(ValueError: no \\x1b[2J here)")
