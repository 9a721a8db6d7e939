"""A container's log: records chosen, shown, followed."""

from __future__ import annotations

import json

import pytest

from nbcontainers.container import log
from nbcontainers.errors import InvalidArgument


def record(text, stream="stdout", time="2026-11-22T10:00:00.000000000Z"):
    return json.dumps({"log": text, "stream": stream, "time": time}).encode() + b"\n"


DATA = b"".join(
    record(text, stream, f"2026-11-22T10:00:0{number}.000000000Z")
    for number, (text, stream) in enumerate(
        [("a\n", "stdout"), ("b\n", "stderr"), ("c", "stdout"), ("c\n", "stdout"), ("d\n", "stdout")]
    )
)


def choice(**options):
    return log.Choice.parse(**{"tail": "all", "since": "", "until": "", "timestamps": False, **options})


def test_all_of_it():
    found = log.chosen(DATA, choice())
    assert str(found) == "a\nb\ncc\nd"
    assert (found.stdout, found.stderr) == ("a\ncc\nd\n", "b\n")
    assert len(found) == 5
    assert found[0]["log"] == "a\n"
    assert str(found[:2]) == "a\nb"
    assert "cc" in found


@pytest.mark.parametrize(("tail", "text"), [(0, ""), (1, "d"), ("2", "cc\nd"), (3, "b\ncc\nd"), (9, "a\nb\ncc\nd")])
def test_the_tail_counts_lines_not_records(tail, text):
    assert str(log.chosen(DATA, choice(tail=tail))) == text


def test_times():
    assert str(log.chosen(DATA, choice(since="2026-11-22T10:00:02Z"))) == "cc\nd"
    assert str(log.chosen(DATA, choice(since="2026-11-22T12:00:04+02:00"))) == "d"
    assert str(log.chosen(DATA, choice(until="2026-11-22T10:00:01Z"))) == "a"
    assert str(log.chosen(DATA, choice(timestamps=True, tail=1))) == "2026-11-22T10:00:04.000000000Z d"
    assert log.moment("1763805600", "since") == "2025-11-22T10:00:00.000000"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tail": "-1"}, "is no number of lines"), ({"since": "soon"}, "is no time"), ({"until": "10x"}, "is no time")],
)
def test_nonsense(options, message):
    with pytest.raises(InvalidArgument, match=message) as caught:
        choice(**options)
    assert caught.value.hint.startswith("write ")


def test_damaged_records_are_left_out():
    assert str(log.chosen(record("a\n") + b'{"log": "b\n' + record("c\n") + b'{"lo', choice())) == "a\nc"


def test_bytes_that_are_no_text_come_back_as_they_were():
    out = bytearray()
    found = log.chosen(record("\udcff\n"), choice())
    log.Sinks(out.extend, out.extend).write(found, timestamps=False)
    assert bytes(out) == b"\xff\n"


def test_following_a_log_through_its_rotation(tmp_path):
    tail = log.Tail(str(tmp_path / "log"))
    assert tail.read() == b""
    with open(tmp_path / "log", "ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert tail.read() == b"one\n"
        file.write(b"o\nthree\n")
        (tmp_path / "log").rename(tmp_path / "log.1")
    (tmp_path / "log").write_bytes(b"four\n")
    assert tail.read() == b"two\nthree\nfour\n"
    assert tail.before() == b"one\ntwo\nthree\n"
    assert tail.read() == b""
