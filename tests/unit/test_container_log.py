"""A container's log: records chosen, shown, followed."""

from __future__ import annotations

import json
import os
import time
from itertools import repeat

import pytest

from nbcontainers.container import log, logfile, logindex, pattern
from nbcontainers.errors import InvalidArgument, InvalidState


def record(text, stream="stdout", time="2026-11-22T10:00:00.000000000Z"):
    return json.dumps({"log": text, "stream": stream, "time": time}).encode() + b"\n"


def at(second):
    return f"2026-11-22T10:00:0{second}.000000000Z"


DATA = b"".join(
    record(text, stream, f"2026-11-22T10:00:0{number}.000000000Z")
    for number, (text, stream) in enumerate(
        [("a\n", "stdout"), ("b\n", "stderr"), ("c", "stdout"), ("c\n", "stdout"), ("d\n", "stdout")]
    )
)


def choice(**options):
    return log.Choice.parse(options)


def chosen(data, wanted):
    return log.Log(list(log.wanted(data.splitlines(keepends=True), wanted)), timestamps=wanted.timestamps)


def test_all_of_it():
    found = chosen(DATA, choice())
    assert str(found) == "a\nb\ncc\nd"
    assert (found.stdout, found.stderr) == ("a\ncc\nd\n", "b\n")
    assert len(found) == 5
    assert found[0]["log"] == "a\n"
    assert str(found[:2]) == "a\nb"
    assert "cc" in found


@pytest.mark.parametrize(("tail", "text"), [(0, ""), (1, "d"), ("2", "cc\nd"), (3, "b\ncc\nd"), (9, "a\nb\ncc\nd")])
def test_the_tail_counts_lines_not_records(tail, text):
    assert str(chosen(DATA, choice(tail=tail))) == text


def test_times():
    assert str(chosen(DATA, choice(since="2026-11-22T10:00:02Z"))) == "cc\nd"
    assert str(chosen(DATA, choice(since="2026-11-22T12:00:04+02:00"))) == "d"
    assert str(chosen(DATA, choice(until="2026-11-22T10:00:01Z"))) == "a"
    assert str(chosen(DATA, choice(timestamps=True, tail=1))) == "2026-11-22T10:00:04.000000000Z d"
    assert log.moment("1763805600", "since") == "2025-11-22T10:00:00.000000"
    assert choice(until="5s").over
    assert not choice(until="2999-01-01").over


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tail": "-1"}, "is no number of lines"), ({"since": "soon"}, "is no time"), ({"until": "10x"}, "is no time")],
)
def test_nonsense(options, message):
    with pytest.raises(InvalidArgument, match=message) as caught:
        choice(**options)
    assert caught.value.hint.startswith("write ")


def test_damaged_records_are_left_out():
    assert str(chosen(record("a\n") + b'{"log": "b\n' + record("c\n") + b'{"lo', choice())) == "a\nc"


def test_bytes_that_are_no_text_come_back_as_they_were():
    out = bytearray()
    log.Sinks(out.extend, out.extend).write([(record("\udcff\n"), "")], choice())
    assert bytes(out) == b"\xff\n"


def test_of_several_containers_each_line_says_whose_it_is():
    found = list(
        log._merged(
            [
                ([record("a1\n", time=at(1)), record("a2\n", time=at(3))], "one"),
                ([record("b1\n", time=at(2), stream="stderr"), record("b2\n", time=at(4))], "two"),
            ]
        )
    )
    both = log.Log([text for text, _ in found], [name for _, name in found])
    assert str(both) == "one | a1\ntwo | b1\none | a2\ntwo | b2"
    assert str(both[1:3]) == "two | b1\none | a2"
    frame = both.to_pandas()
    assert list(frame.columns) == ["time", "container", "stream", "log"]
    assert list(frame["container"]) == ["one", "two", "one", "two"]
    out, err = bytearray(), bytearray()
    log.Sinks(out.extend, err.extend).write(found, choice(names=True))
    assert (bytes(out), bytes(err)) == (b"one | a1\none | a2\ntwo | b2\n", b"two | b1\n")


def test_a_long_log_shows_its_beginning_and_its_end_and_says_so():
    found = log.Log([record(f"{number}\n") for number in range(2500)])
    shown = repr(found).splitlines()
    note = "… 2000 lines left out: --tail N and --grep choose, str() and to_pandas() have all"
    assert (shown[0], shown[19], shown[20], shown[21], shown[-1], len(shown)) == ("0", "19", note, "2020", "2499", 501)
    assert note in found.html()
    assert len(str(found).splitlines()) == 2500


def test_a_very_long_log_is_shown_before_anybody_counts_it(tmp_path, monkeypatch):
    """All of it had to be read for that: half a second of a busy machine, of a million lines. Rotated in the middle."""
    monkeypatch.setattr(log, "_SOON_COUNTED", 50_000)
    (tmp_path / "log.1").write_bytes(b"".join(record(f"{number}\n") for number in range(3000)))
    (tmp_path / "log").write_bytes(b"".join(record(f"{number}\n") for number in range(3000, 3100)))
    records = log.Records(logindex.Index(str(tmp_path / "log"), counted=False))
    found = log.Log(records)
    with open(tmp_path / "log", "ab") as more:
        more.write(record("too late\n"))
    shown = repr(found).splitlines()
    assert (shown[0], shown[19], shown[21], shown[-1], len(shown)) == ("0", "19", "2620", "3099", 501)
    assert shown[20].startswith("… about 2600 lines left out: ")
    assert "numbers" not in vars(records)
    assert len(found) == 3100
    assert repr(found).splitlines()[20].startswith("… 2600 lines left out: ")
    assert found[3099]["log"] == "3099\n"


def test_whatever_a_log_holds_its_view_is_small():
    for text in ("x" * 20_000, "\x00&" * 5000, "\U0010ffff" * 5000, "\x1b[31mred" * 500):
        found = log.Log([record(f"{text}\n")] * 100_000)
        both = found._repr_mimebundle_()
        assert len(json.dumps(both)) < 300_000
        assert "characters left out" in both["text/plain"]
        count = both["text/plain"].partition(" lines left out")[0].rpartition("… ")[2]
        assert f"… {count} lines left out" in both["text/html"]


def test_a_view_escapes_what_could_leave_its_place():
    hostile = log.Log([record("<script>alert(1)</script>\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m a\tb\r\n")])
    assert hostile.text() == "<script>alert(1)</script>\\x1b]0;title\\x07\\x1b[2J\x1b[31mred\x1b[0m a\tb\x1b[0m"
    html = hostile.html()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert '60%, currentColor)">red</span> a\tb' in html
    assert "\x1b" not in html


def test_lines_of_stderr_are_marked_where_there_are_both_streams():
    both = log.Log([record("a\n"), record("b\n", "stderr"), record("c"), record("d\n")])
    assert both.text() == "a\nstderr | b\ncd"
    assert both.html().count("stderr | ") == 1
    assert log.Log([record("b\n", "stderr")]).text() == "b"
    assert "no lines" in log.Log([]).html()


def test_a_pattern_and_a_stream(monkeypatch):
    monkeypatch.setattr(log, "_PIECE", 150)  # two records
    monkeypatch.setattr(pattern.client, "call", lambda target, **arguments: pattern.search(**arguments))
    assert str(chosen(DATA, choice(grep="[bc]"))) == "b\ncc"
    assert str(chosen(DATA, choice(grep="[bc]", tail=1))) == "cc"
    assert str(chosen(DATA, choice(grep="B", ignore_case=True, fixed_strings=True))) == "b"
    assert str(chosen(DATA, choice(grep="[bc]", fixed_strings=True))) == ""
    assert str(chosen(DATA, choice(stream="stderr"))) == "b"
    assert choice(grep="x", tail=3).reach is None
    assert choice(grep="x").filters
    assert not choice(tail=3).filters


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"grep": "("}, "is no regular expression", "add --fixed-strings"),
        ({"stream": "x"}, "'x' is no stream", "write stdout or stderr"),
        ({"fixed_strings": True}, "nothing to search for", "add --grep PATTERN"),
        ({"ignore_case": True}, "nothing to search for", "add --grep PATTERN"),
    ],
)
def test_wrong_choices(options, message, hint):
    with pytest.raises(InvalidArgument, match=message) as caught:
        choice(**options)
    assert caught.value.hint.startswith(hint)


def test_a_log_that_stays_on_the_disk(tmp_path):
    (tmp_path / "log").write_bytes(b"".join(record(f"{number}\n") for number in range(9)) + b"bad\n" + record("end\n"))
    found = log.Log(log.Records(logindex.Index(str(tmp_path / "log"))))
    with open(tmp_path / "log", "ab") as file:
        file.write(record("later\n"))
    assert (len(found), found[0]["log"], found[-1]["log"], found[9]["log"]) == (11, "0\n", "end\n", "")
    assert str(found).split() == [*map(str, range(9)), "end"]
    assert str(found[2:5]).split() == ["2", "3", "4"]
    assert [line["log"] for line in found[::-2]] == ["end\n", "8\n", "6\n", "4\n", "2\n", "0\n"]
    assert list(found.to_pandas()["log"]) == [*map(str, range(9)), "end"]
    assert [(one["log"], two["log"]) for one, two in zip(found, found, strict=True)][8] == ("8\n", "8\n")


@pytest.fixture
def files(tmp_path):
    """Three files of a log, the oldest first, and the path of the newest."""
    for number, name in enumerate(("log.2", "log.1", "log")):
        (tmp_path / name).write_bytes(b"".join(record(f"{number} {line}\n") for line in range(1000)))
    return str(tmp_path / "log")


def test_files_are_read_as_one(files):
    found = [json.loads(line)["log"] for line in logfile.lines(files)]
    assert found == [f"{number} {line}\n" for number in range(3) for line in range(1000)]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500, 3000, 9999])
def test_the_last_lines_are_read_from_the_end(files, count):
    found = logfile.last(files, count)
    assert len(found) >= min(count, 3000)
    assert str(log.Log(list(log.wanted(found, choice(tail=count))))).count("\n") == max(0, min(count, 3000) - 1)
    if count < 1000:
        assert len(found) < 2000


def test_a_file_put_away_while_we_look_is_read_once(tmp_path):
    (tmp_path / "log").write_bytes(record("old\n"))
    os.link(tmp_path / "log", tmp_path / "log.1")
    assert [json.loads(line)["log"] for line in logfile.lines(str(tmp_path / "log"))] == ["old\n"]
    assert list(logfile.lines(str(tmp_path / "none"))) == []


def test_following_a_log_through_its_rotations(tmp_path):
    tail = logfile.Tail(str(tmp_path / "log"))
    assert tail.first() == []
    assert tail.read() == []
    with open(tmp_path / "log", "ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert tail.read() == [b"one\n"]
        file.write(b"o\nthree\n")
        (tmp_path / "log").rename(tmp_path / "log.1")
    (tmp_path / "log").write_bytes(b"four\n")
    assert tail.read() == [b"two\n", b"three\n", b"four\n"]
    assert tail.read() == []
    (tmp_path / "log.1").rename(tmp_path / "log.2")
    (tmp_path / "log").rename(tmp_path / "log.1")
    (tmp_path / "log").write_bytes(b"five\n")
    (tmp_path / "log.1").rename(tmp_path / "log.2")
    (tmp_path / "log").rename(tmp_path / "log.1")
    (tmp_path / "log").write_bytes(b"six\n")
    assert tail.read() == [b"five\n", b"six\n"]
    for name in ("log.1", "log.2"):
        (tmp_path / name).unlink()
    (tmp_path / "log").rename(tmp_path / "log.1")
    (tmp_path / "log.1").unlink()
    (tmp_path / "log").write_bytes(b"seven\n")
    assert tail.read() == [b"seven\n"]


def test_following_begins_where_the_first_reading_ended(tmp_path):
    (tmp_path / "log.1").write_bytes(record("1\n"))
    (tmp_path / "log").write_bytes(record("2\n") + record("3\n") + b'{"log": "fo')
    for count, lines in ((None, 3), (1, 2), (0, 1)):
        tail = logfile.Tail(str(tmp_path / "log"))
        assert len(tail.first(count)) >= lines or count is not None
        assert tail.left == b'{"log": "fo'
        assert tail.read() == []


def test_whoever_stops_following_leaves_no_file_open(tmp_path, monkeypatch):
    class Followed:
        engine, id, kept, removed, status = None, "a", None, False, "running"

    (tmp_path / "log").write_bytes(record("1\n"))
    monkeypatch.setattr(log.store, "folder", lambda *_: str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.follow([Followed()], log.Choice(), log.Sinks(lambda data: None, None, stop))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow
def test_a_million_lines(tmp_path):
    """The last hundred come at once, all of them in seconds, and what is kept of them is little more than the file."""
    line = record("a line of some length, as a web server writes it\n")
    (tmp_path / "log").write_bytes(line * 1_000_000)
    began = time.process_time()
    assert len(logfile.last(str(tmp_path / "log"), 100)) > 100
    assert time.process_time() - began < 0.5
    out = 0

    def count(data):
        nonlocal out
        out += len(data)

    log.Sinks(count, count).write(zip(logfile.lines(str(tmp_path / "log")), repeat("")), choice())
    assert out == 49 * 1_000_000


def test_a_fifo_in_the_place_of_a_log_is_an_error_at_once(tmp_path):
    """To open it would have waited for a writer, and the clock of all views with it."""
    os.mkfifo(tmp_path / "log")
    with pytest.raises(InvalidState, match="is no file: something else was put in its place") as caught:
        logindex.Index(str(tmp_path / "log"))
    assert caught.value.hint.startswith(f"remove it (rm -r {tmp_path}/log)")
