"""The numbered records of a log: ranges, search, growth, rotation."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time

import pytest

from nbcontainers.container import pattern
from nbcontainers.container.logindex import Index
from nbcontainers.container.pattern import Pattern
from nbcontainers.errors import InvalidArgument


def record(text, stream="stdout", time="2026-11-22T10:00:00.000000000Z"):
    return json.dumps({"log": text, "stream": stream, "time": time}, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log")


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Texts of the searches for which a child of the launcher would have been asked."""
    found = []

    def call(target, **arguments):
        assert target == f"{pattern.__name__}:search"
        found.append(arguments["text"])
        return pattern.search(**json.loads(json.dumps(arguments)))

    monkeypatch.setattr(pattern.client, "call", call)
    return found


def write(path, records, mode="ab"):
    with open(path, mode) as file:
        file.write(b"".join(records))


def texts(index, first, end):
    return [line["log"].rstrip("\n") for line in index.lines(first, end)]


def test_ranges_over_many_blocks_and_files(tmp_path, path):
    """Any range is what reading the whole gives, also where a record lies over the end of a block."""
    chosen = random.Random(1)
    every = [record(f"{number} {'x' * chosen.randrange(900)}\n") for number in range(3000)]
    write(f"{path}.2", every[:900])
    write(f"{path}.1", every[900:901])
    write(path, every[901:])
    with Index(path) as index:
        assert (index.first, index.end, index.size) == (0, 3000, sum(map(len, every)))
        assert list(index.records(0, 3000)) == every
        for _ in range(200):
            first = chosen.randrange(3000)
            end = chosen.randrange(first, 3001)
            assert list(index.records(first, end)) == every[first:end]
        assert list(index.records(2990, 99999)) == every[2990:]
        assert [line["number"] for line in index.lines(899, 903)] == [899, 900, 901, 902]
        assert index.lines(0, 1)[0] == {
            "number": 0, "log": json.loads(every[0])["log"], "stream": "stdout", "time": "2026-11-22T10:00:00.000000000Z"
        }  # fmt: skip


def test_a_record_that_ends_with_its_block(path):
    block = 1 << 18
    first = record("x" * (block - len(record(""))))
    assert len(first) == block
    write(path, [first, record("b\n"), record("c\n")])
    with Index(path) as index:
        assert texts(index, 1, 3) == ["b", "c"]
        assert texts(index, 1, 2) == ["b"]
        assert len(texts(index, 0, 3)) == 3


def test_growth_and_rotation_keep_the_numbers(path):
    write(path, [record("a\n"), record("b\n"), b'{"log":"half'])
    with Index(path) as index:
        assert index.end == 2
        write(path, [b'","stream":"stdout","time":"t"}\n'])
        assert index.refresh() == 3
        write(path, [record("c\n")])
        os.rename(path, f"{path}.1")
        write(path, [record("d\n")])
        assert index.refresh() == 5
        assert texts(index, 0, 9) == ["a", "b", "half", "c", "d"]
        write(path, [record("e\n")])
        os.rename(path, f"{path}.1")
        write(path, [record("f\n")])
        assert (index.refresh(), index.first) == (7, 4)
        assert texts(index, 0, 9) == ["d", "e", "f"]
        assert [line["number"] for line in index.lines(0, 9)] == [4, 5, 6]
        for name in (path, f"{path}.1"):
            os.unlink(name)
        assert (index.refresh(), texts(index, 6, 7)) == (7, ["f"])  # removed, and still readable


def test_a_file_that_somebody_cut(path):
    write(path, [record(f"{number}\n") for number in range(10)])
    with Index(path) as index:
        write(path, [record("new\n")], "wb")
        assert (index.refresh(), index.first, texts(index, 0, 99)) == (11, 10, ["new"])


def test_none_and_in_memory(path):
    with Index(path) as index:
        assert (index.first, index.end, index.lines(0, 5)) == (0, 0, [])
        assert index.find(Pattern("x"), 0) == ([], None)
        write(path, [record("a\n")])
        assert index.refresh() == 1
    with Index("", record("a\n") + record("b\n") + b'{"lo') as index:
        assert (index.refresh(), texts(index, 0, 9)) == (2, ["a", "b"])


def test_damaged_records_have_a_number_and_no_line(path):
    write(path, [record("a\n"), b'{"log": "b\n', b'["no"]\n', b'{"log": 1}\n', record("c\n")])
    with Index(path) as index:
        assert [(line["number"], line["log"]) for line in index.lines(0, 9)] == [(0, "a\n"), (4, "c\n")]
        assert index.find(Pattern("."), 0).numbers == [0, 4]


def test_search(path):
    lines = [f"line {number}{' ERROR' if number % 100 == 7 else ''}\n" for number in range(6000)]
    write(path, [record(text, "stderr" if "7 E" in text else "stdout") for text in lines])
    wanted = [number for number in range(6000) if number % 100 == 7]
    with Index(path) as index:
        assert index.find(Pattern("ERROR$"), 0, seconds=60) == (wanted, None)
        assert index.find(Pattern("error", fixed=True, ignore_case=True), 0, seconds=60) == (wanted, None)
        assert index.find(Pattern("error", fixed=True), 0, seconds=60) == ([], None)
        assert index.find(Pattern("ERROR", fixed=True), 1000, 2000) == (wanted[10:20], None)
        assert index.find(Pattern("ERROR", fixed=True), 0, stream="stdout", seconds=60) == ([], None)
        some = index.find(Pattern("ERROR"), 0, most=5, seconds=60)
        assert some == (wanted[:5], wanted[4] + 1)
        assert index.find(Pattern("ERROR"), some.next, most=5, seconds=60).numbers == wanted[5:10]
        last = index.find(Pattern("ERROR"), 0, backwards=True, most=5, seconds=60)
        assert last == (wanted[-5:], wanted[-5])
        before = index.find(Pattern("ERROR"), 0, last.next, backwards=True, most=5, seconds=60)
        assert before.numbers == wanted[-10:-5]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_search_stops_in_time_and_goes_on(path, backwards):
    write(path, [record(f"{number} some text\n") for number in range(20000)])
    with Index(path) as index:
        found, rounds, first, end = [], 0, 0, index.end
        while True:
            some = index.find(Pattern("99 "), first, end, backwards=backwards, seconds=0)
            found, rounds = found + some.numbers, rounds + 1
            if some.next is None:
                break
            first, end = (first, some.next) if backwards else (some.next, end)
        assert sorted(found) == [number for number in range(20000) if number % 100 == 99]
        assert rounds > 3


def test_patterns(asked):
    assert Pattern("a.c").among(["xabcx", "ac", "a\nc", "a.c"]) == [0, 3]
    assert Pattern("a.c", fixed=True).among(["abc", "a.c"]) == [1]
    assert Pattern("fail", fixed=True).among(["\x1b[31mfa\x1b[1;38:5:9mil\x1b[0m"]) == [0]
    assert Pattern('say "é\t', fixed=True).may_match(record('I say "é\tand go\n'))
    assert not Pattern("abc", fixed=True).may_match(record("acb\n"))
    with pytest.raises(InvalidArgument, match=r"--grep: '\(' is no regular expression") as caught:
        Pattern("(")
    assert caught.value.hint == "add --fixed-strings to search for the text itself"
    assert asked == ["a.c"]


def test_only_an_expression_is_searched_elsewhere_and_in_pieces(asked):
    lines = ["x" * 50_000 + str(number) for number in range(5)]
    assert Pattern("X3", ignore_case=True).among(lines) == [3]
    assert Pattern("x3").among(lines) == [3]
    assert asked == []
    assert Pattern("x[34]$").among(lines) == [3, 4]
    assert Pattern("x*").among([]) == []
    assert asked == ["x[34]$"] * 3


def test_an_expression_that_would_take_years_is_given_up(path, monkeypatch):
    monkeypatch.setattr(pattern, "LONGEST_S", 0.2)
    write(path, [record("x" * 60 + "\n")])
    with Index(path) as index, pytest.raises(InvalidArgument, match=r"takes longer than 0\.2 s") as caught:
        index.find(Pattern("(x+x+)+y"), 0)
    assert caught.value.hint.startswith("add --fixed-strings (-F) to search for the text itself")
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_others_read_the_log_while_its_lines_are_searched(path, monkeypatch):
    write(path, [record("a\n")])
    lock = threading.Lock()
    held = []
    monkeypatch.setattr(pattern.client, "call", lambda target, **arguments: held.append(lock.locked()) or [0])
    with Index(path) as index:
        assert index.find(Pattern("[a]"), 0, lock=lock) == ([0], None)
    assert held == [False]


@pytest.mark.slow
def test_a_million_lines(path):
    """Counted at first in well under half a second; any hundred lines in milliseconds."""
    write(path, [record("192.0.2.7 - - [22/Nov/2026] GET /index.html 200 612 curl/8.1\n") * 1_000_000])
    began = time.process_time()
    with Index(path) as index:
        counted = time.process_time() - began
        assert index.end == 1_000_000
        began = time.process_time()
        for first in (0, 499_999, 999_900):
            assert len(index.lines(first, first + 100)) == 100
        looked = time.process_time() - began
        began = time.process_time()
        assert index.refresh() == 1_000_000
        again = time.process_time() - began
    assert (counted < 0.5, looked < 0.1, again < 0.01) == (True, True, True), (counted, looked, again)
